"""Where the default fit departs from calwf3, and what a read mask does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import upramp
from upramp.ramps import CrcorrParams, fit_crcorr
from upramp.wfc3ir.fit import parse_reads

TIMES = np.arange(12, dtype=np.float32) * 25


def ramp_of(rate: float = 1.0, steps: dict[int, float] | None = None, **spikes: float) -> NDArray[np.float32]:
    """Noiseless counts of one pixel, with steps from a read on."""
    counts = rate * TIMES
    for read, size in (steps or {}).items():
        counts[read:] += size
    return counts


def fit_pixels(
    pixels: list[NDArray[np.float32]], dq: NDArray[np.uint16] | None = None, **options: Any
) -> Any:
    sci = np.array(pixels, np.float32).T[:, None, :].copy()
    err = np.full_like(sci, 9.0)
    flags = np.zeros(sci.shape, np.uint16) if dq is None else dq
    params = CrcorrParams(rate=False, **{k: options.pop(k) for k in ("parity", "bad_dq") if k in options})
    return fit_crcorr(sci, err, flags, TIMES, params, **options)


@pytest.mark.parametrize("parity", [True, False])
def test_a_clean_ramp_and_a_hit(parity: bool) -> None:
    fit = fit_pixels([ramp_of(), ramp_of(steps={5: 400})], parity=parity)
    np.testing.assert_allclose(fit.rate / fit.time, 1.0, rtol=1e-5)
    assert fit.samp.tolist() == [[12, 11]]
    assert fit.time[0].tolist() == [275.0, 250.0]
    assert ((fit.read_dq[:, 0, 1] & 8192) != 0).tolist() == [False] * 5 + [True] * 7
    assert not fit.dq.any()


def test_flags_of_an_earlier_fit_are_cleared_first() -> None:
    """Q11: smeared 8192 is neither taken for hits nor kept, nor are its companions 4 and 32."""
    pixels = [ramp_of(steps={5: 400})] * 3
    dq = np.zeros((12, 1, 3), np.uint16)
    dq[3:, 0, 1] = 8192
    dq[3:, 0, 2] = 8192
    dq[6, 0, 2] |= 4
    dq[11, 0, 2] |= 32
    fit = fit_pixels(pixels, dq)
    for plane in (fit.rate, fit.err, fit.samp, fit.time, fit.dq):
        assert plane[0, 0] == plane[0, 1] == plane[0, 2]
    assert np.array_equal(fit.read_dq[:, 0, 0], fit.read_dq[:, 0, 1])
    assert np.array_equal(fit.read_dq[:, 0, 0], fit.read_dq[:, 0, 2])


def test_many_smeared_flags_do_not_crash_in_parity() -> None:
    dq = np.zeros((12, 1, 1), np.uint16)
    dq[2:, 0, 0] = 8192
    fit = fit_pixels([ramp_of()], dq, parity=True)
    assert np.isfinite(fit.rate).all()


def test_bad_pixels_of_the_detector_keep_their_flags() -> None:
    dq = np.full((12, 1, 2), 32, np.uint16)
    dq[:, 0, 1] = 4
    fit = fit_pixels([ramp_of(), ramp_of()], dq)
    assert fit.dq.tolist() == [[32, 4]]
    np.testing.assert_allclose(fit.rate / fit.time, 1.0, rtol=1e-5)


@pytest.mark.parametrize("static", [0, 16])
def test_samples_marked_1024_are_left_out_in_both_modes(static: int) -> None:
    """Q17: for a pixel that is flagged throughout too, and the product's DQ stays free of the mark."""
    pixel = ramp_of()
    pixel[:4] += 5000.0
    dq = np.full((12, 1, 1), static, np.uint16)
    dq[1:4, 0, 0] |= 1024
    fit = fit_pixels([pixel - 5000.0 * (TIMES >= 100)], dq)
    assert fit.dq[0, 0] == static
    assert fit.rate[0, 0] / fit.time[0, 0] == pytest.approx(1.0, rel=1e-4)
    assert fit.samp[0, 0] == 9
    assert np.array_equal(fit.read_dq, dq)
    parity = fit_pixels([pixel], dq, parity=True)
    assert parity.dq[0, 0] & 1024
    assert (parity.samp[0, 0] == 9) == (static == 0)


def test_spikes_are_left_out_of_lenient_fits() -> None:
    """Q12: one read of a permanently flagged pixel sticks out."""
    pixel = ramp_of()
    pixel[6] += 300.0
    dq = np.full((12, 1, 1), 16, np.uint16)
    fit, parity = fit_pixels([pixel], dq), fit_pixels([pixel], dq, parity=True)
    assert fit.rate[0, 0] / fit.time[0, 0] == pytest.approx(1.0, rel=1e-4)
    assert fit.samp[0, 0] == 11
    assert fit.read_dq[6, 0, 0] == 16 | 4
    assert parity.samp[0, 0] != 11 or parity.rate[0, 0] != fit.rate[0, 0]


def test_errors_of_two_point_rates_add_in_quadrature() -> None:
    """Q16: an unstable pixel."""
    pixel = ramp_of(steps={2: 900, 4: -900, 6: 900, 8: -900, 10: 900})
    fit, parity = fit_pixels([pixel]), fit_pixels([pixel], parity=True)
    assert fit.unstable == parity.unstable == 1
    assert fit.err[0, 0] == pytest.approx(9 * np.sqrt(2), rel=1e-5)
    assert parity.err[0, 0] == 0


@pytest.mark.parametrize("parity", [True, False])
@pytest.mark.parametrize("static", [0, 16])
def test_excluded_reads_have_no_influence(static: int, parity: bool) -> None:
    random = np.random.default_rng(1)
    pixels = [
        ramp_of(0.5 + i, {i % 11 + 1: 300.0}) + random.normal(0, 9, 12).astype("f4") for i in range(300)
    ]
    dq = np.full((12, 1, 300), static, np.uint16)
    excluded = np.zeros(12, bool)
    excluded[[2, 3, 7]] = True
    first = fit_pixels(pixels, dq, excluded=excluded, parity=parity)
    spoiled = np.array(pixels)
    spoiled[:, excluded] = 1e6
    flagged = dq.copy()
    flagged[excluded] |= 512
    second = fit_pixels(list(spoiled), flagged, excluded=excluded, parity=parity)
    for name in ("rate", "err", "dq", "samp", "time"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
    assert (first.samp <= 10).all()
    assert not (first.dq & 1024).any()


def test_known_case_of_excluded_reads(tmp_path: Path) -> None:
    """SPARS100, 16 samples, imsets 11-15 left out: 1402.94 s become 1000.00 s."""
    from upramp.simulate import Exposure, simulate

    made = simulate(Exposure(size=1014, samp_seq="SPARS100", nsamp=16))
    excluded = parse_reads("imset:11-15", 16)
    window = np.s_[:, 500:520, 500:520]
    fit = fit_crcorr(made.sci[window], made.err[window], made.dq[window], made.times, excluded=excluded)
    assert made.times[-1] == pytest.approx(1402.94, abs=0.01)
    assert np.median(fit.time) == pytest.approx(1000.00, abs=0.01)


@pytest.mark.parametrize(("fit_method", "since"), [("calwf3", 2), ("gls", 3)])
def test_exclusion_is_told_in_the_headers(ima: Path, fit_method: str, since: int, tmp_path: Path) -> None:
    # Without read 2, differences begin at read 3; calwf3 counts the time before its first read too.
    from astropy.io import fits

    done = upramp.fix_file(ima, tmp_path, exclude="1,2", fit_method=fit_method)
    header = fits.getheader(done.flt)
    assert (header["NPOP"], header["POPREADS"]) == (2, "1 2")
    ramp = upramp.read_ramp(ima)
    assert header["EXPTIME"] == pytest.approx(ramp.times[-1] - ramp.times[since])
    assert fits.getheader(done.flt, "SCI")["SAMPTIME"] == header["EXPTIME"]
    assert fits.getdata(done.flt, "READS")["USED"].tolist() == [False] * 3 + [True] * 13


def test_result_does_not_depend_on_threads_or_edges(ima: Path) -> None:
    ramp = upramp.read_ramp(ima)
    whole = fit_crcorr(ramp.sci, ramp.err, ramp.dq, ramp.time, threads=1)
    for threads in (2, 3, 16):
        again = fit_crcorr(ramp.sci, ramp.err, ramp.dq, ramp.time, threads=threads)
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(whole[:6], again[:6], strict=True))
    part = fit_crcorr(ramp.sci, ramp.err, ramp.dq, ramp.time, region=np.s_[7:101, 13:50])
    assert np.array_equal(part.rate, whole.rate[7:101, 13:50], equal_nan=True)


def test_the_two_paths_give_the_same_bits(ima: Path) -> None:
    """A time for every pixel sends each through the plain path."""
    ramp = upramp.read_ramp(ima)
    times = np.broadcast_to(ramp.time[:, None, None], ramp.sci.shape)
    for parity in (True, False):
        params = CrcorrParams(parity=parity)
        fast = fit_crcorr(ramp.sci, ramp.err, ramp.dq, ramp.time, params)
        plain = fit_crcorr(ramp.sci, ramp.err, ramp.dq, times, params)
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(fast[:6], plain[:6], strict=True))


def test_every_parameter_matters(ima: Path) -> None:
    from dataclasses import fields

    ramp = upramp.read_ramp(ima)
    dq = ramp.dq.copy()
    dq[1:3, 40:60, 40:60] |= 256
    dq[:, 70:80, 70:80] |= 512
    dq[5, 90:95, 90:95] |= 1024
    other = {
        "crsigma": 6.0,
        "bad_dq": 256 | 512,
        "gain": 1.0,
        "rate": False,
        "zeroth_rescue": False,
        "zeroth_time": 7.0,
        "parity": True,
    }
    assert set(other) == {item.name for item in fields(CrcorrParams)}
    base = fit_crcorr(ramp.sci, ramp.err, dq, ramp.time, CrcorrParams())
    for name, value in other.items():
        made = fit_crcorr(ramp.sci, ramp.err, dq, ramp.time, CrcorrParams(**{name: value}))
        assert any(
            not np.array_equal(a, b, equal_nan=True) for a, b in zip(base[:6], made[:6], strict=True)
        ), name


@pytest.mark.parametrize(
    ("reads", "expected"),
    [("1-3,5", [1, 2, 3, 5]), ("imset:15", [1]), ([0, 2], [0, 2]), (None, []), (np.arange(16) == 4, [4])],
)
def test_reads_as_text_numbers_or_mask(reads: Any, expected: list[int]) -> None:
    assert parse_reads(reads, 16).nonzero()[0].tolist() == expected


def test_what_falls_into_a_gap_stays_out(ima: Path) -> None:
    ramp = upramp.read_ramp(ima)
    disturbed = ramp.with_(sci=ramp.sci.copy())
    # A constant amount of light between reads 6 and 7, in every read from 7 on.
    disturbed.sci[7:] += (40.0 / ramp.times[7:])[:, None, None].astype(np.float32)
    for options in ({"exclude": [7]}, {"breaks": [7]}):
        clean = upramp.fit_ramp(ramp, untouched=ramp, **options)
        spoilt = upramp.fit_ramp(disturbed, untouched=ramp, **options)
        good = (clean.dq == 0) & (spoilt.dq == 0) & (clean.samp == spoilt.samp)
        assert good.mean() > 0.9
        np.testing.assert_allclose(spoilt.rate[good], clean.rate[good], atol=0.02 * np.median(clean.err))
    # Read 7 is used as the start of what follows, or not at all: then the time up to read 8 is lost too.
    steps = np.diff(ramp.times)
    assert upramp.fit_ramp(ramp, breaks=[7]).exptime == pytest.approx(ramp.times[-1] - steps[6])
    left_out = upramp.fit_ramp(ramp, exclude=[7])
    assert left_out.exptime == pytest.approx(ramp.times[-1] - steps[6] - steps[7])
    assert np.median(left_out.time) == pytest.approx(left_out.exptime, rel=1e-6)
    assert np.median(left_out.samp) == ramp.nread - 1
