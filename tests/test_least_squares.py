"""fit_ols on arrays: layouts, edges that must be defined, errors calibrated against the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from upramp.ramps import OlsFit, RampBits, fit_ols

DNU, SAT, JUMP = 1, 2, 4


def fit(cube: Any, dq: Any = None, **options: Any) -> OlsFit:
    return fit_ols(
        cube, dq=dq, **{"group_time": 10.0, "read_noise": 6.0, "gain": 2.0, "threads": 1} | options
    )


def line(*values: float) -> NDArray[np.float32]:
    """One pixel's ramp."""
    return np.array(values, np.float32)[:, None, None]


def ramps(rng: np.random.Generator, rate: float, shape: tuple[int, ...], noise: float = 6.0) -> Any:
    """Cube in DN of a rate in DN/s, at a gain of 2."""
    steps = rng.poisson(rate * 2 * 10, shape).cumsum(axis=0)
    return ((steps + rng.normal(0, noise, shape)) / 2).astype(np.float32)


def expect_same(a: OlsFit, b: OlsFit) -> None:
    for name in ("rate", "err", "var_poisson", "var_rnoise", "dq"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        if a.integrations is not None:
            np.testing.assert_array_equal(getattr(a.integrations, name), getattr(b.integrations, name))


def test_any_layout_type_and_byte_order_gives_the_same() -> None:
    rng = np.random.default_rng(1)
    words = rng.integers(0, 5000, (2, 6, 9, 14)).cumsum(axis=1).astype(np.uint16)
    dq = rng.choice([0, 0, 0, 0, DNU, SAT, JUMP], words.shape).astype(np.uint8)
    reference = fit(words.astype(np.float32), dq)
    wide = np.zeros((2, 8, 11, 14), np.uint16)
    wide[:, 1:-1, 1:-1] = words
    for cube in (
        words,
        words.astype(">u2"),
        words.astype(">f4"),
        words.astype(np.float64),
        words.astype(np.int32),
        np.asfortranarray(words),
        wide[:, 1:-1, 1:-1],
        words[..., ::-1][..., ::-1],
        words[:, :, ::-1][:, :, ::-1],
    ):
        expect_same(fit(cube, dq), reference)
    for flags in (dq.astype(np.uint16), dq.astype(">i2"), dq.astype(np.int64), np.asfortranarray(dq)):
        expect_same(fit(words, flags), reference)
    expect_same(fit(words[:1], dq[:1]), fit(words[0], dq[0]))
    expect_same(
        fit(words[:, :, ::2, ::3], dq[:, :, ::2, ::3]),
        fit(words[:, :, ::2, ::3].copy(), dq[:, :, ::2, ::3].copy()),
    )


def test_threads_change_nothing() -> None:
    rng = np.random.default_rng(2)
    cube = ramps(rng, 30.0, (12, 40, 33))
    dq = rng.choice([0] * 9 + [JUMP], cube.shape).astype(np.uint8)
    expect_same(fit(cube, dq, threads=1), fit(cube, dq, threads=5))


@pytest.mark.parametrize(
    ("rate", "ngroups"), [(0.0, 10), (0.5, 10), (20.0, 10), (2000.0, 10), (5.0, 40), (5.0, 2)]
)
def test_errors_are_those_of_the_truth(rate: float, ngroups: int) -> None:
    """Scatter over 20,000 ramps against the error reported, whose rate is a noisy median: too much if faint."""
    rng = np.random.default_rng(3)
    result = fit(ramps(rng, rate, (ngroups, 100, 200)))
    assert abs(result.rate.mean() - rate) < 4 * result.rate.std() / np.sqrt(20_000)
    assert result.rate.std() / np.sqrt(np.mean(result.err**2)) == pytest.approx(1, abs=0.05 if rate else 0.1)


def test_a_jump_divides_the_ramp_and_no_charge_is_fitted_across_it() -> None:
    rng = np.random.default_rng(4)
    cube = ramps(rng, 20.0, (10, 100, 100))
    hit = cube.copy()
    hit[4:] += 5000
    dq = np.zeros(cube.shape, np.uint8)
    dq[4] = JUMP
    clean, divided = fit(cube), fit(hit, dq)
    assert abs(np.median(divided.rate) - 20) < 0.05
    # Two segments of four and of six groups.
    ratio = (10**3 - 10) / (4**3 - 4 + 6**3 - 6)
    np.testing.assert_allclose(divided.var_rnoise, clean.var_rnoise * ratio, rtol=1e-5)
    assert np.all(divided.dq == JUMP)


def test_short_ramps() -> None:
    one = fit(line(50.0))
    # The group's only read is one frame after the reset.
    assert one.rate[0, 0] == pytest.approx(5.0)
    assert one.var_rnoise[0, 0] == pytest.approx(2 * 36 / 400)
    two = fit(line(10.0, 30.0))
    assert two.rate[0, 0] == pytest.approx(2.0)
    assert two.var_rnoise[0, 0] == pytest.approx(2 * 36 / 400)
    three = fit(line(10.0, 30.0, 50.0), segments=True)
    assert three.rate[0, 0] == pytest.approx(2.0)
    assert three.var_rnoise[0, 0] == pytest.approx(12 * 36 / 400 / 24)
    assert three.segments is not None
    assert three.segments.rate.shape == (1, 1, 1, 1)
    assert three.segments.hits.shape == (1, 0, 1, 1)
    assert three.segments.intercept[0, 0, 0, 0] == pytest.approx(10.0)
    # The ramp starts one group before the first.
    assert three.segments.pedestal[0, 0, 0] == pytest.approx(-10.0)


def test_a_lone_good_group_has_a_rate_only_if_it_is_wanted() -> None:
    cube = line(20.0, 99.0, 99.0, 99.0)
    dq = np.array([0, SAT, SAT, SAT], np.uint8)[:, None, None]
    without = fit(cube, dq)
    assert np.isnan(without.rate[0, 0])
    assert without.dq[0, 0] == DNU | SAT
    assert without.suppressed.tolist() == [[0, 0, 0]]
    alone = fit(cube, dq, suppress_one_group=False, nframes=4, groupgap=1)
    # The mean of four frames of 2 s is 5 s after the reset.
    assert alone.rate[0, 0] == pytest.approx(4.0)
    assert alone.dq[0, 0] == SAT
    dq[0] = SAT
    frame = fit(cube, dq, suppress_one_group=False, nframes=4, groupgap=1, zeroframe=np.full((1, 1), 6.0))
    assert frame.rate[0, 0] == pytest.approx(3.0)


@pytest.mark.parametrize("word", [DNU, SAT, JUMP, DNU | SAT, DNU | JUMP])
@pytest.mark.parametrize("ngroups", [1, 2, 5])
def test_a_ramp_of_flags_alone_has_no_rate_and_no_variance(word: int, ngroups: int) -> None:
    cube = np.arange(ngroups, dtype=np.float32)[:, None, None] * np.ones((1, 2, 3), np.float32)
    result = fit(cube, np.full(cube.shape, word, np.uint8))
    for name in ("rate", "err", "var_poisson", "var_rnoise"):
        assert np.isnan(getattr(result, name)).all(), name
    assert np.all(result.dq & DNU)
    assert np.all(result.dq & word == word)


def test_what_is_not_a_number_is_left_out() -> None:
    cube = np.repeat(line(0, 10, 20, 30, 40, 50), 3, axis=2)
    cube[0, 0, 1] = np.nan
    cube[2, 0, 2] = np.inf
    result = fit(cube)
    np.testing.assert_allclose(result.rate[0], 1.0)
    assert result.var_rnoise[0, 1] == pytest.approx(12 * 36 / 400 / (5**3 - 5))
    assert result.var_rnoise[0, 2] == pytest.approx(12 * 36 / 400 / (2**3 - 2 + 3**3 - 3))
    assert not result.dq.any()


def test_pixels_without_gain_or_noise() -> None:
    cube = np.repeat(line(0, 10, 20, 30, 40, 50), 7, axis=2)
    gain = np.array([[2.0, 0.0, -1.0, np.nan, 2.0, 2.0, 2.0]], np.float32)
    noise = np.array([[6.0, 6.0, 6.0, 6.0, 0.0, -1.0, np.nan]], np.float32)
    result = fit(cube, gain=gain, read_noise=noise)
    no_gain, no_noise = RampBits().no_gain | DNU, DNU
    assert result.dq.tolist() == [[0, no_gain, no_gain, no_gain, 0, no_noise, no_noise]]
    np.testing.assert_array_equal(np.isnan(result.rate[0]), result.dq[0] != 0)
    assert result.rate[0, 4] == pytest.approx(1.0)
    assert result.var_rnoise[0, 4] == 0
    assert result.err[0, 4] == pytest.approx(np.sqrt(result.var_poisson[0, 4]))


def test_large_variances_keep_the_rate_that_stcal_loses() -> None:
    cube = line(0.0, 10.0)
    mended, peer = (fit(cube, group_time=0.005, parity=parity) for parity in (False, True))
    assert mended.rate[0, 0] == pytest.approx(2000.0)
    assert mended.var_rnoise[0, 0] == pytest.approx(2 * 36 / (4 * 0.005**2), rel=1e-5)
    small = fit(cube, group_time=0.003, parity=True)
    assert small.rate[0, 0] == 0
    assert peer.rate[0, 0] == pytest.approx(2000.0)


def test_many_integrations_are_averaged() -> None:
    rng = np.random.default_rng(5)
    cube = np.stack([ramps(rng, 10.0, (4, 20, 20)) for _ in range(110)])
    dq = np.zeros(cube.shape, np.uint8)
    dq[3] = SAT
    result = fit(cube, dq)
    assert result.integrations is not None
    assert np.isnan(result.integrations.rate[3]).all()
    good = np.delete(result.integrations.rate, 3, axis=0)
    np.testing.assert_allclose(result.rate, good.mean(axis=0), rtol=1e-5)
    assert result.rate.std() == pytest.approx(result.err.mean(), rel=0.15)
    assert fit(cube, dq, integrations=False).integrations is None


def test_bits_mean_what_they_are_said_to_mean() -> None:
    cube = np.repeat(line(0, 10, 20, 130, 140, 150), 2, axis=2)
    dq = np.zeros(cube.shape, np.uint16)
    dq[3, 0, 0] = 8192
    bits = RampBits(do_not_use=4, saturated=256, jump=8192, persistence=0, charge_loss=0, no_gain=1 << 20)
    result = fit(cube, dq, bits=bits)
    assert result.rate[0, 0] == pytest.approx(1.0)
    assert result.rate[0, 1] > 2
    assert result.dq.tolist() == [[8192, 0]]


def test_charge_loss_is_left_out_of_the_fit_but_not_of_the_read_noise() -> None:
    cube = np.repeat(line(0, 10, 20, 30, 90, 95), 2, axis=2)
    dq = np.zeros(cube.shape, np.uint8)
    dq[4:, 0, 0] = 128 | DNU
    result = fit(cube, dq)
    assert result.rate[0, 0] == pytest.approx(1.0)
    np.testing.assert_allclose(result.var_rnoise[0, 0], result.var_rnoise[0, 1])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cube": np.zeros((4, 5))}, ValueError, r"cube has shape \(4, 5\), expected \(nints"),
        ({"cube": np.zeros((4, 0, 5))}, ValueError, "cube has shape"),
        ({"cube": np.zeros((4, 2, 5), complex)}, TypeError, "cube has dtype complex128"),
        (
            {"dq": np.zeros((4, 2, 6), np.uint8)},
            ValueError,
            r"dq has shape \(4, 2, 6\), expected \(4, 2, 5\)",
        ),
        ({"dq": np.zeros((4, 2, 5))}, TypeError, "dq has dtype float64, expected DQ words"),
        ({"dq": np.full((4, 2, 5), 1 << 16)}, ValueError, "dq holds 65536, expected words of 16 bits"),
        ({"gain": np.ones((5, 2))}, ValueError, r"gain has shape \(5, 2\), expected \(2, 5\)"),
        ({"pixel_dq": np.ones((5, 2), int)}, ValueError, "pixel_dq has shape"),
        ({"zeroframe": np.ones((5, 2))}, ValueError, "zeroframe has shape"),
        ({"group_time": 0.0}, ValueError, "group_time is 0, expected a positive number"),
        ({"group_time": np.nan}, ValueError, "group_time is NaN"),
        ({"nframes": 0}, ValueError, "nframes 0"),
        ({"threads": 0}, ValueError, "threads is 0"),
    ],
)
def test_arguments_that_do_not_fit_are_named(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = {"cube": np.zeros((4, 2, 5), np.float32), "dq": None} | options
    with pytest.raises(error, match=message):
        fit(**given)
