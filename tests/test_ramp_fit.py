"""upramp.ramps.fit: every method on any cube, defined answers at the edges, pedestal, integrations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from upramp.ramps import FIT_METHODS, covariance_of, fit, fit_differences, rate_bias

NOISE = 12.0
STEP = 10.0
RATE = 5.0


def simulate(
    shape: tuple[int, ...], rate: float = RATE, seed: int = 1, first: float = STEP
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Single reads `STEP` apart, (..., nread, ny, nx) in electrons, and their times."""
    rng = np.random.default_rng(seed)
    times = first + STEP * np.arange(shape[-3])
    step = np.full(shape, rate * STEP)
    step[..., 0, :, :] = rate * first
    counts = rng.poisson(step).cumsum(axis=-3)
    return (counts + rng.normal(0, NOISE, shape)).astype(np.float32), times


@pytest.mark.parametrize("method", FIT_METHODS)
def test_every_method_finds_the_rate_its_error_and_the_hits(method: Any) -> None:
    cube, times = simulate((2, 10, 48, 64))
    hit = np.random.default_rng(2).random((2, 48, 64)) < 0.1
    cube[:, 6:] += np.where(hit, 2000, 0)[:, None]
    for searched in ("auto", None) if method == "calwf3" else ("auto", "twopoint", None):
        made = fit(cube, times, NOISE, method=method, jumps=searched)  # type: ignore[arg-type]
        assert made.rate.shape == (2, 48, 64)
        clean = (made.rate - RATE)[~hit]
        assert abs(clean.mean()) < 4 * clean.std() / np.sqrt(clean.size)
        if method != "calwf3":
            assert clean.std() / made.err[~hit].mean() == pytest.approx(1, abs=0.04)
        if searched is None:
            assert not made.jumps.any()
            assert made.rate[hit].mean() > RATE + 20
            continue
        found = made.jumps
        assert found.shape == (2, 9, 48, 64)
        assert found[:, 5][hit].all()
        assert made.sizes[:, 5][hit].mean() == pytest.approx(2000, abs=5)
        assert made.rate[hit].mean() == pytest.approx(RATE, abs=0.1)
        marked = made.mark(np.zeros(cube.shape, np.uint8))
        np.testing.assert_array_equal(marked[:, 1:] == 4, found)
        both = made.combine()
        assert both.rate.shape == (48, 64)
        assert both.combine() is both
        clean = (both.rate - RATE)[~hit.any(axis=0)]
        if method != "calwf3":
            assert clean.std() / both.err[~hit.any(axis=0)].mean() == pytest.approx(1, abs=0.05)


def test_a_cube_of_one_integration_is_that_of_three_axes() -> None:
    cube, times = simulate((1, 8, 12, 20))
    for method in FIT_METHODS:
        four, three = fit(cube, times, NOISE, method=method), fit(cube[0], times, NOISE, method=method)
        np.testing.assert_array_equal(four.rate[0], three.rate)
        np.testing.assert_array_equal(four.err[0], three.err)


@pytest.mark.parametrize("method", FIT_METHODS)
def test_types_and_layouts_do_not_matter(method: Any) -> None:
    cube, times = simulate((9, 14, 150))
    whole = np.clip(np.rint(cube + 100), 0, 65535).astype(np.uint16)
    dq = (np.random.default_rng(3).random(cube.shape) < 0.02).astype(np.uint8)
    wanted = fit(whole.astype(np.float32), times, NOISE, dq=dq, method=method)
    wide = np.zeros((18, 14, 300), np.uint16)
    wide[::2, :, ::2] = whole
    turned = np.moveaxis(np.ascontiguousarray(np.moveaxis(whole, 0, -1)), -1, 0)
    others = [
        whole,
        whole.astype(np.float64),
        whole.astype(">f4"),
        whole.astype(np.int32),
        wide[::2, :, ::2],
        turned,
        np.asfortranarray(whole),
        whole[::-1, ::-1, ::-1][::-1, ::-1, ::-1],
    ]
    for k, other in enumerate(others):
        flags = np.asfortranarray(dq) if k % 2 else dq.astype(np.int16)
        made = fit(other, times, NOISE, dq=flags, method=method, threads=1 + k % 3)
        np.testing.assert_array_equal(made.rate, wanted.rate)
        np.testing.assert_array_equal(made.err, wanted.err)
        np.testing.assert_array_equal(made.hits.pixel, wanted.hits.pixel)


@pytest.mark.parametrize("method", FIT_METHODS)
@pytest.mark.parametrize("nread", [1, 2, 3])
def test_short_ramps(method: Any, nread: int) -> None:
    cube, times = simulate((nread, 20, 30))
    made = fit(cube, times, NOISE, method=method)
    assert made.jumps.shape == (nread - 1, 20, 30)
    if nread == 1 and method == "fixsen":
        # As stcal: the ramp is taken to start at 0.
        assert made.rate.mean() == pytest.approx(RATE, abs=0.3)
        return
    if nread == 1:
        assert np.isnan(made.rate).all()
        assert np.isnan(made.err).all()
        return
    assert np.isfinite(made.rate).all()
    assert made.rate.mean() == pytest.approx(RATE, abs=0.3)


@pytest.mark.parametrize("method", FIT_METHODS)
def test_pixels_without_an_answer_are_not_a_number(method: Any) -> None:
    cube, times = simulate((8, 1, 12))
    gain, noise = np.ones((1, 12), np.float32), np.full((1, 12), NOISE, np.float32)
    dq = np.zeros(cube.shape, np.uint8)
    gain[0, :3] = 0, -1, np.nan
    noise[0, 3:5] = -1, np.nan
    dq[:, 0, 5] = 1
    dq[:, 0, 6] = 2
    cube[:, 0, 7] = np.nan
    dq[1:, 0, 8] = 2  # one usable sample
    dq[::2, 0, 9] = 1  # no two in succession
    made = fit(cube, times, noise, gain=gain, dq=dq, method=method)
    without = 10 if method in ("gls", "uniform", "casertano") else 8
    assert np.isnan(made.rate[0, :without]).all(), made.rate
    assert np.isnan(made.err[0, :without]).all()
    assert np.isfinite(made.rate[0, 10:]).all()
    if made.dof is not None:
        assert (made.dof[0, :10] == -1).all()
        assert (made.dof[0, 10:] == 6).all()
    assert not made.jumps[..., :10].any()


@pytest.mark.parametrize("method", ["gls", "fixsen", "uniform", "casertano"])
def test_without_read_noise_errors_are_those_of_photons(method: Any) -> None:
    rng = np.random.default_rng(5)
    cube = rng.poisson(100 * STEP, (10, 40, 50)).cumsum(axis=0).astype(np.float32)
    made = fit(cube, STEP * np.arange(1, 11), 0.0, method=method, jumps=None)
    assert made.rate.mean() == pytest.approx(100, abs=0.1)
    assert (made.rate - 100).std() / made.err.mean() == pytest.approx(1, abs=0.06)
    assert np.isfinite(fit(np.zeros((6, 1, 3)), np.arange(6.0), 0.0, method=method).rate).all()


def test_saturated_flagged_and_bad_samples_change_nothing_else() -> None:
    cube, times = simulate((10, 30, 40))
    dq = np.zeros(cube.shape, np.uint8)
    spoilt = cube.copy()
    dq[6, :, ::2] = 2  # saturated from there on
    spoilt[6:, :, ::2] = 60000
    dq[3, :, 1::4] = 1
    spoilt[3, :, 1::4] = -1e6
    spoilt[4, :, 3::4] = np.nan
    dq[5, :, 3::4] = 4  # a jump was found before: only that difference goes
    spoilt[5:, :, 3::4] += 1e5
    for method in ("gls", "uniform", "casertano"):
        made = fit(spoilt, times, NOISE, dq=dq, method=method)
        assert (made.rate - RATE).std() / made.err.mean() == pytest.approx(1, abs=0.06)
        assert made.rate.mean() == pytest.approx(RATE, abs=0.06)
    made = fit(spoilt, times, NOISE, dq=dq)
    assert made.dof is not None
    assert (made.dof[:, ::2] == 4).all()
    assert (made.dof[:, 1::4] == 6).all()


def test_many_integrations_and_uneven_groups() -> None:
    cube, _ = simulate((110, 4, 4, 6))
    many = fit(cube, STEP * np.arange(1, 5), NOISE)
    mean = many.combine()
    assert (mean.rate - RATE).std() / mean.err.mean() == pytest.approx(1, abs=0.35)
    assert mean.dof is not None
    assert (mean.dof > 180).all()
    pattern = [[1], [2, 3], [4, 5, 6, 7], [9, 10], [12]]
    reads, _ = simulate((12, 60, 60))
    groups = np.stack([reads[np.array(group) - 1].mean(axis=0) for group in pattern])
    for method in ("gls", "uniform", "casertano"):
        made = fit(groups, read_pattern=pattern, read_time=STEP, read_noise=NOISE, method=method)
        assert (made.rate - RATE).std() / made.err.mean() == pytest.approx(1, abs=0.04)
    with pytest.raises(ValueError, match="not evenly spaced"):
        fit(groups, read_pattern=pattern, read_time=STEP, read_noise=NOISE, method="fixsen")


def dense(times: list[list[float]], rate: float, noise: float) -> NDArray[np.float64]:
    """Covariance of samples from first principles: the charge that two reads share."""
    cov = [
        [rate * np.minimum.outer(a, b).mean() + (noise**2 / len(a) if a is b else 0.0) for b in times]
        for a in times
    ]
    return np.array(cov)


@pytest.mark.parametrize("prior", [True, (40.0, 30.0), (0.0, 5.0)])
def test_the_pedestal_is_that_of_all_samples_together(prior: Any) -> None:
    times = [[3.0], [10.0, 13.0], [20.0], [30.0, 31.0, 32.0], [45.0]]
    rng = np.random.default_rng(8)
    samples = np.array([np.mean(t) for t in times]) * 20 + 50 + rng.normal(0, 20, (6, 5))
    made = fit(samples.T[:, None], times, NOISE, pedestal=prior, jumps=None)
    value, sigma = (0.0, 1e9) if prior is True else prior
    mean = np.array([np.mean(t) for t in times])
    design = np.stack([mean, np.ones(5)], axis=1)
    photons = made.var_poisson
    assert photons is not None
    assert made.pedestal is not None
    assert made.pedestal_err is not None
    assert made.pedestal_cov is not None
    for p in range(6):
        # The covariance is that for the rate of the differences alone.
        differences = fit(samples[p][:, None, None], times, NOISE, jumps=None).rate
        full = dense(times, max(float(differences[0, 0]), 0), NOISE)
        known = design.T @ np.linalg.solve(full, design) + np.diag([0, sigma**-2])
        right = design.T @ np.linalg.solve(full, samples[p]) + np.array([0, value * sigma**-2])
        cov = np.linalg.inv(known)
        rate, pedestal = cov @ right
        assert made.rate[0, p] == pytest.approx(rate, rel=1e-3)
        assert made.pedestal[0, p] == pytest.approx(pedestal, abs=0.02)
        assert made.err[0, p] == pytest.approx(np.sqrt(cov[0, 0]), rel=1e-3)
        assert made.pedestal_err[0, p] == pytest.approx(np.sqrt(cov[1, 1]), rel=1e-3)
        assert made.pedestal_cov[0, p] == pytest.approx(cov[0, 1], rel=2e-3)
        weights = (cov @ design.T @ np.linalg.inv(full))[0]
        only = weights @ dense(times, max(float(differences[0, 0]), 0), 0) @ weights
        assert photons[0, p] == pytest.approx(only, rel=2e-3)


def test_one_usable_sample_has_a_rate_if_the_pedestal_is_known() -> None:
    cube, times = simulate((1, 50, 60))
    made = fit(cube, times, NOISE, pedestal=(0.0, 1.0))
    assert made.rate.mean() == pytest.approx(RATE, abs=0.1)
    assert (made.rate - RATE).std() / made.err.mean() == pytest.approx(1, abs=0.05)
    long, times = simulate((6, 50, 60))
    dq = np.zeros(long.shape, np.uint8)
    dq[1:, :, ::2] = 2
    made = fit(long, times, NOISE, dq=dq, pedestal=(0.0, 1.0))
    assert np.isfinite(made.rate).all()
    assert (made.rate - RATE)[:, ::2].std() / made.err[:, ::2].mean() == pytest.approx(1, abs=0.05)
    assert np.isnan(fit(long, times, NOISE, dq=dq, pedestal=True).rate[:, ::2]).all()


def test_the_bias_of_a_fit_is_that_of_its_guess() -> None:
    """Of a fit with the mean difference as guess it is what the formula says; of ours next to nothing."""
    cube, times = simulate((10, 500, 800), rate=1.0, seed=4)
    diffs = np.diff(cube.reshape(10, -1).astype(np.float64), axis=0) / STEP
    cov = covariance_of(times)
    guess = np.maximum(diffs.mean(axis=0), 0)
    noise = np.full(diffs.shape[1], NOISE)
    once = fit_differences(diffs, cov, noise, guess)
    right = fit_differences(diffs, cov, noise, np.ones(diffs.shape[1]))
    expected = rate_bias(cov, [1.0], NOISE, np.ones(9))[0]
    # Less the noise that all fits share.
    assert (once.rate - right.rate).mean() == pytest.approx(expected, rel=0.1)
    ours = fit(cube, times, NOISE, jumps=None).rate.ravel()
    assert abs((ours - right.rate).mean()) < 0.002 * right.err.mean()
    weights = right.weights[:, 0]
    assert abs(rate_bias(cov, [1.0], NOISE, weights)[0]) < 1e-12


def test_a_given_rate_takes_the_place_of_the_median() -> None:
    cube, times = simulate((8, 20, 30))
    cube[4:] += 400
    wrong = fit(cube, times, NOISE, rate_guess=5000.0)
    right = fit(cube, times, NOISE, rate_guess=np.full((20, 30), RATE))
    assert not wrong.jumps.any()
    assert right.jumps[3].all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "mean"}, "method is 'mean', expected one of gls"),
        ({"jumps": "none"}, "jumps is 'none'"),
        ({"jumps": "calwf3"}, "calwf3's search is part of its fit"),
        ({"jumps": "casertano"}, "expected method 'casertano'"),
        ({"times": None}, "either times or read_pattern"),
        ({"read_noise": None}, "read_noise is missing"),
        ({"dq": np.zeros((3, 4))}, r"dq has shape \(3, 4\), expected \(5, 2, 3\)"),
        ({"dq": np.full((5, 2, 3), 1 << 20)}, "words of 16 bits"),
        ({"mask": np.zeros((5, 2, 3), bool)}, r"mask has shape \(5, 2, 3\), expected \(4, 2, 3\)"),
        ({"gain": np.ones((3, 2))}, r"gain has shape \(3, 2\), expected \(2, 3\)"),
        ({"times": [0, 1, 2, 3]}, "times has length 4, expected 5"),
        ({"times": [0, 1, 2, 2, 3]}, "times"),
        ({"pedestal": True, "method": "uniform"}, "pedestal is True"),
        ({"pedestal": (0.0, -1.0), "times": [1, 2, 3, 4, 5]}, "pedestal"),
        ({"pedestal": True}, "a first sample after time 0"),
        ({"fewest": 1}, "fewest is 1"),
        ({"sigma": -1.0}, "sigma is -1"),
        ({"cube": np.zeros((5, 2))}, r"cube has shape \(5, 2\)"),
        ({"cube": np.zeros((5, 0, 3))}, "at least one sample of one pixel"),
    ],
)
def test_bad_arguments_are_named(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"cube": np.zeros((5, 2, 3)), "times": np.arange(5.0), "read_noise": NOISE}
    with pytest.raises((ValueError, TypeError), match=message):
        fit(**(arguments | changes))
