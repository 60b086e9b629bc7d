"""The ramp fit by generalised least squares on WFC3/IR exposures: truth, flags, units, reads left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

import upramp
from upramp.bench.fits import Case, compare_fits
from upramp.cli import main
from upramp.ramps import DqRule, fit_gls
from upramp.ramps.likelihood import thresholds
from upramp.simulate import Exposure, Scene, Simulation, simulate
from upramp.simulate.score import score_hits
from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.fit import fit_ramp
from upramp.wfc3ir.gls import NOMINAL_DARK, dark_rate
from upramp.wfc3ir.references import Refs, amplifiers

INSIDE = np.s_[5:-5, 5:-5]


@pytest.fixture(scope="module")
def quiet() -> Simulation:
    return simulate(Exposure(size=64, samp_seq="SPARS25", seed=5, flat_fielded=False), Scene(n_sources=0))


@pytest.fixture
def ramp(quiet: Simulation, tmp_path: Path) -> Ramp:
    return upramp.read_ramp(quiet.write(tmp_path)["ima"])


@pytest.mark.parametrize(
    ("sky", "samp_seq"),
    [
        *((0.3, "SPARS100"), (1.0, "STEP100"), (3.0, "SPARS50"), (10.0, "STEP200"), (30.0, "SPARS100")),
        *((100.0, "SPARS25"), (300.0, "SPARS10"), (1000.0, "SPARS5"), (3000.0, "RAPID"), (10000.0, "RAPID")),
    ],
)
def test_errors_are_calibrated_and_hits_found_at_any_sky(sky: float, samp_seq: str) -> None:
    made = compare_fits(Case(sky, samp_seq, 256), seed=11)
    gls, calwf3 = made["gls"], made["calwf3"]
    assert 0.98 < gls.residual < 1.02
    assert 0.9 < gls.residual_struck < 1.1
    assert abs(gls.bias) < 4 * gls.noise / sky / 256  # four of its standard errors
    assert gls.faint > max(0.9, calwf3.faint)
    assert gls.bright > 0.995
    assert gls.false < 0.0005
    assert gls.noise < 1.002 * calwf3.noise


def test_hot_pixels_have_the_noise_of_their_dark_current(tmp_path: Path) -> None:
    """Which has been subtracted: without it they would be full of hits."""
    exposure = Exposure(size=256, seed=9, flat_fielded=False)
    simulation = simulate(exposure, Scene(n_sources=0, cosmic_rays=0, sky=1.0))
    ramp = upramp.read_ramp(simulation.write(tmp_path)["ima"])
    fit = fit_ramp(ramp, method="gls")
    hot = (ramp.dq[:, *INSIDE] == 16).all(axis=0)
    assert hot.sum() > 200
    truth = simulation.rate[INSIDE] * simulation.flat[INSIDE] / 2.35
    residual = ((fit.rate - truth) / fit.err)[hot]
    assert residual.std() == pytest.approx(1, abs=0.12)
    assert np.mean(fit.read_dq[-1][INSIDE][hot] & 8192 != 0) < 0.01
    assert (fit.dq[hot] == 16).all()


def test_hits_are_found_in_short_exposures_too() -> None:
    """Three differences, of which two agree."""
    bright = {nsamp: compare_fits(Case(100.0, "SPARS25", 256, nsamp=nsamp))["gls"] for nsamp in (4, 6)}
    assert bright[4].bright > 0.8
    assert bright[6].bright > 0.995
    assert max(quality.false for quality in bright.values()) < 5e-4
    assert all(0.98 < quality.residual < 1.02 for quality in bright.values())


def test_errors_are_calibrated_on_real_reads(shared: Path) -> None:
    """Short darkish exposures of the archive: what their pixels scatter by is what the fit says."""
    for name in ("ibxy01z8q", "ibxy07p9q"):
        ramp = upramp.read_ramp(shared / "data" / "wfc3ir" / f"{name}_ima.fits.gz")
        scatter = {}
        for method in ("gls", "calwf3"):
            fit = fit_ramp(ramp, method=method)
            good = fit.dq == 0
            scatter[method] = 1.4826 * np.median(np.abs(fit.rate - np.median(fit.rate[good]))[good])
            if method == "gls":
                assert scatter[method] / np.median(fit.err[good]) == pytest.approx(1, abs=0.04)
        assert scatter["gls"] < 0.7 * scatter["calwf3"]


@pytest.mark.parametrize("case", ["s64_nominal", "s64_bright", "s64_spars100"])
def test_from_the_raw_rates_are_true_and_errors_calibrated(shared: Path, case: str) -> None:
    golden = shared / "golden" / "wf3ir"
    _, fit = upramp.calibrate(
        golden / case / "isim01aaq_raw.fits.gz", refs=Refs(golden / "refs_s64"), fit_method="gls"
    )
    with np.load(golden / case / "isim01aaq_truth.npz") as truth:
        rate = (truth["scene"] + truth["sky"])[INSIDE]
    residual = ((fit.rate - rate) / fit.err)[fit.dq == 0]
    assert residual.std() == pytest.approx(1, abs=0.04)
    assert abs(residual.mean()) < 0.06
    assert np.isfinite(fit.rate).all()
    assert np.isfinite(fit.err).all()


@pytest.mark.parametrize("helium", [2.0, 8.0])
def test_a_flattened_exposure_has_the_noise_of_its_photons(tmp_path: Path, helium: float) -> None:
    simulation = simulate(Exposure(size=256, seed=4), Scene(helium=helium, n_sources=0))
    ramp = upramp.read_ramp(simulation.write(tmp_path)["ima"])
    flat = upramp.flatten_ramp(ramp, clip=3).ramp
    spans = np.diff(simulation.times, prepend=0)
    truth = simulation.rate[INSIDE] + (simulation.background * spans).sum() / spans.sum()
    noise = {}
    for method in ("gls", "calwf3"):
        fit = fit_ramp(flat, method=method, untouched=ramp, refs=Refs(tmp_path))
        good = fit.dq == 0
        noise[method] = 1.4826 * np.median(np.abs(fit.rate - truth)[good])
        score = score_hits(simulation, fit.read_dq)
        if method == "gls":
            assert noise[method] / np.median(fit.err[good]) == pytest.approx(1, abs=0.03)
            assert score.completeness > 0.998
            assert score.false_fraction < 5e-4
    assert noise["gls"] < 0.95 * noise["calwf3"]


def test_reads_left_out_have_no_influence_and_nothing_is_differenced_across_them(ramp: Ramp) -> None:
    left_out = [0, 4, 5, 11]
    spoilt = ramp.sci.copy()
    spoilt[left_out] = 1e6
    dq = ramp.dq.copy()
    dq[left_out] |= 16
    fits_ = [
        fit_ramp(ramp, method="gls", exclude=left_out),
        fit_ramp(ramp.with_(sci=spoilt, dq=dq), method="gls", exclude=left_out),
    ]
    for name in ("rate", "err", "dq", "samp", "time"):
        np.testing.assert_array_equal(getattr(fits_[0], name), getattr(fits_[1], name))
    used = [i for i in range(15) if i not in left_out and i + 1 not in left_out]
    expected = np.diff(ramp.times)[used].sum()
    assert fits_[0].exptime == pytest.approx(expected)
    assert np.median(fits_[0].time) == pytest.approx(expected)
    assert np.median(fits_[0].samp) == 16 - len(left_out)
    # A step inside the gap, between reads 3 and 6, is neither seen nor found.
    stepped = ramp.sci * ramp.time[:, None, None]
    stepped[5:] += 1000
    stepped[1:] /= ramp.time[1:, None, None]
    across = fit_ramp(ramp.with_(sci=stepped), method="gls", exclude=left_out)
    good = (ramp.dq[:, *INSIDE] == 0).all(axis=0)  # of others ERR tells the noise
    np.testing.assert_allclose(across.rate[good], fits_[0].rate[good], atol=1e-3)
    assert not ((across.read_dq ^ fits_[0].read_dq)[:, *INSIDE] & 8192)[:, good].any()


def test_no_two_reads_in_succession_are_refused(ramp: Ramp) -> None:
    with pytest.raises(ValueError, match="no two reads in succession"):
        fit_ramp(ramp, method="gls", exclude=range(0, 16, 2))


def clean_pixel(ramp: Ramp, which: int = 0) -> tuple[int, int]:
    y, x = np.argwhere((ramp.dq[:, *INSIDE] == 0).all(axis=0))[which]
    return int(y), int(x)


def changed_dq(ramp: Ramp, pixel: tuple[int, int], reads: slice | int, flags: int) -> Ramp:
    dq = ramp.dq.copy()
    dq[reads, pixel[0] + 5, pixel[1] + 5] |= flags
    return ramp.with_(dq=dq)


def test_saturated_reads_and_all_after_them_are_not_used(ramp: Ramp) -> None:
    at = clean_pixel(ramp)
    fit = fit_ramp(changed_dq(ramp, at, 9, 256), method="gls")
    assert fit.samp[at] == 9
    assert fit.time[at] == pytest.approx(ramp.times[8])
    assert fit.dq[at] == 0
    assert fit.read_dq[:, at[0] + 5, at[1] + 5].tolist() == [0] * 9 + [256] + [0] * 6


def test_every_pixel_has_an_answer_and_a_flag_if_there_is_none(ramp: Ramp) -> None:
    saturated, isolated, first, broken = (clean_pixel(ramp, k) for k in range(4))
    made = changed_dq(ramp, saturated, 0, 256)
    made = changed_dq(made, isolated, slice(0, None, 2), 16)  # every other read has a flag
    made = changed_dq(made, first, slice(1, None), 256)
    sci = made.sci.copy()
    sci[:, broken[0] + 5, broken[1] + 5] = np.nan
    sci[0, first[0] + 5, first[1] + 5] = 123.0
    fit = fit_ramp(made.with_(sci=sci), method="gls")
    for at, flag in ((saturated, 256), (isolated, 4), (broken, 4)):
        assert (fit.rate[at], fit.err[at], fit.samp[at], fit.time[at]) == (0, 1e5, 0, 0)
        assert fit.dq[at] & flag
    # Saturated in the first read: the zeroth, as calwf3 has it.
    for fitted in (fit, fit_ramp(made.with_(sci=sci))):
        assert (fitted.rate[first], fitted.samp[first]) == (123.0, 1)
        assert fitted.time[first] == pytest.approx(ramp.times[1] - 0.020535)
    assert np.isfinite(fit.rate).all()
    assert np.isfinite(fit.err).all()


def test_permanent_flags_and_those_of_earlier_fits(ramp: Ramp) -> None:
    hot, smeared, marked = (clean_pixel(ramp, k) for k in range(3))
    before = fit_ramp(ramp, method="gls")
    made = changed_dq(ramp, hot, slice(None), 16)
    made = changed_dq(made, smeared, slice(5, None), 8192 | 32)
    made = changed_dq(made, marked, 7, 1024)
    fit = fit_ramp(made, method="gls")
    assert fit.rate[hot] == before.rate[hot]
    assert fit.dq[hot] == 16
    assert fit.rate[smeared] == before.rate[smeared]
    assert fit.dq[smeared] == before.dq[smeared] == 0
    assert fit.dq[marked] == 0
    assert fit.samp[marked] == before.samp[marked] - 1


def test_a_zeroth_read_with_signal_is_used_only_where_it_makes_the_only_difference(ramp: Ramp) -> None:
    flagged, short = clean_pixel(ramp), clean_pixel(ramp, 1)
    made = changed_dq(ramp, flagged, slice(None), 2048)
    made = changed_dq(made, short, slice(None), 2048)
    made = changed_dq(made, short, slice(2, None), 256)
    fit = fit_ramp(made, method="gls")
    assert fit.time[flagged] == pytest.approx(ramp.times[-1] - ramp.times[1])
    assert fit.samp[flagged] == 15
    assert fit.time[short] == pytest.approx(ramp.times[1])
    assert fit.rate[short] == pytest.approx(ramp.sci[1, short[0] + 5, short[1] + 5], rel=1e-5)
    assert fit.dq[flagged] == fit.dq[short] == 0


def test_units_agree(quiet: Simulation, ramp: Ramp, tmp_path: Path) -> None:
    """Counts as rates times exposure time; electrons as DN times gain over flat."""
    amps = amplifiers(ramp, Refs())
    rate = fit_ramp(ramp, method="gls")
    span = np.where(ramp.times > 0, ramp.times, 1.0).astype(np.float32)[:, None, None]
    counts = fit_ramp(ramp.with_(sci=ramp.sci * span, err=ramp.err * span, unit="COUNTS"), method="gls")
    np.testing.assert_allclose(counts.rate / counts.time, rate.rate, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(counts.err / counts.time, rate.err, rtol=1e-5)
    factor = (float(amps.mean_gain) / quiet.flat).astype(np.float32)
    primary = ramp.primary.copy()
    primary["FLATCORR"] = "COMPLETE"
    electrons = ramp.with_(sci=ramp.sci * factor, err=ramp.err * factor, unit="ELECTRONS/S", primary=primary)
    found = fit_ramp(electrons, method="gls", refs=Refs(tmp_path))
    np.testing.assert_allclose(found.rate / factor[INSIDE], rate.rate, rtol=1e-4, atol=1e-5)
    flat_error = found.rate * 0.001
    err = np.sqrt(np.maximum(found.err.astype(float) ** 2 - flat_error.astype(float) ** 2, 0))
    np.testing.assert_allclose(err / factor[INSIDE], rate.err, rtol=1e-4)
    assert np.array_equal(found.read_dq, rate.read_dq)


def test_times_per_pixel_are_the_same(ramp: Ramp) -> None:
    cube = np.broadcast_to(ramp.time[:, None, None], ramp.sci.shape).copy()
    one, each = fit_ramp(ramp, method="gls"), fit_ramp(ramp.with_(time=cube), method="gls")
    np.testing.assert_allclose(each.rate, one.rate, rtol=1e-5, atol=1e-6)
    assert np.array_equal(one.read_dq, each.read_dq)


def test_dark_current_is_that_of_the_reference_or_nominal(ramp: Ramp) -> None:
    amps = amplifiers(ramp, Refs())
    assert dark_rate(ramp, amps) == NOMINAL_DARK
    header = ramp.header("SCI", 15).copy()
    header["MEANDARK"] = 10.0
    told = ramp.with_(headers={**ramp.headers, ("SCI", 1): header})
    assert dark_rate(told, amps) == pytest.approx(10 * float(amps.mean_gain) / ramp.times[-1])


def test_only_calwf3_can_be_as_calwf3(ramp: Ramp) -> None:
    with pytest.raises(ValueError, match="method is 'gls' and parity True"):
        fit_ramp(ramp, method="gls", parity=True)
    with pytest.raises(ValueError, match="method is 'ols', expected one of calwf3, gls"):
        fit_ramp(ramp, method="ols")


@pytest.mark.parametrize("command", [["cal", "--only", "CRCORR"], ["fix"]])
def test_the_command_line_says_which_fit(ima: Path, tmp_path: Path, command: list[str]) -> None:
    assert main([*command, str(ima), "--fit", "gls", "-o", str(tmp_path)]) == 0
    with fits.open(tmp_path / "helium01q_flt.fits") as flt:
        told = " ".join(map(str, flt[0].header["HISTORY"]))
        assert "generalised least squares on differences, hits at 4.5 sigma" in told
        assert np.isfinite(flt["SCI"].data).all()


# The function on arrays -------------------------------------------------------------------------------------------


def ramps_of(rng: np.random.Generator, shape: tuple[int, ...] = (8, 3, 5)) -> NDArray[np.float32]:
    return np.cumsum(rng.poisson(300, shape), axis=0).astype(np.float32) + 5 * rng.standard_normal(
        shape, np.float32
    )


def test_arrays_of_any_layout_give_the_same() -> None:
    cube = ramps_of(np.random.default_rng(1))
    times = np.arange(8) * 10.0
    plain = fit_gls(cube, times, 5.0)
    for other in (np.asfortranarray(cube), cube.astype(">f4"), cube[:, :, ::-1][:, :, ::-1]):
        np.testing.assert_array_equal(fit_gls(other, times, np.full((3, 5), 5.0)).rate, plain.rate)
    part = fit_gls(cube, times, 5.0, region=np.s_[1:3, 2:5], details=False)
    np.testing.assert_array_equal(part.rate, plain.rate[1:3, 2:5])
    assert part.chi2 is part.dof is part.jumps is part.sizes is part.dq is None


def test_rates_and_scale() -> None:
    cube, times = ramps_of(np.random.default_rng(2)), np.arange(8) * 10.0
    cube -= cube[0]
    rates = cube.copy()
    rates[1:] /= times[1:, None, None].astype(np.float32)
    rates[0] = np.nan  # of no matter: the zeroth read is zero
    np.testing.assert_allclose(
        fit_gls(rates, times, 5.0, scale=times).rate, fit_gls(cube, times, 5.0).rate, rtol=1e-6
    )


def test_averaged_reads_lose_both_differences_of_a_hit_within() -> None:
    """A hit between the reads of a mean: two neighbours go together."""
    reads = np.arange(1, 33).reshape(8, 4) * 3.0
    counts = 10 * reads + np.where(reads > reads[3, 1], 400.0, 0.0)
    cube = counts.mean(axis=1).astype(np.float32)[:, None, None]
    fit = fit_gls(cube, reads, 8.0, sizes=True)
    assert fit.jumps is not None
    assert fit.jumps[:, 0, 0].nonzero()[0].tolist() == [2, 3]
    assert fit.rate[0, 0] == pytest.approx(10, rel=1e-5)
    assert fit.sizes is not None
    assert fit.sizes.sum() == pytest.approx(400, rel=0.01)


def test_early_saturation_makes_no_false_hits() -> None:
    """Peers take the median of all differences for the noise, those after saturation too."""
    rng = np.random.default_rng(3)
    cube = np.minimum(ramps_of(rng, (16, 40, 50)), 1600.0)
    dq = np.where(cube >= 1600, 256, 0).astype(np.uint16)
    fit = fit_gls(cube, np.arange(16) * 10.0, 5.0, dq=dq)
    assert fit.jumps is not None
    assert fit.dof is not None
    assert np.median(fit.dof) == 4 - 1
    assert fit.jumps.mean() < 1e-3
    assert np.mean((fit.rate - 30) / fit.err) == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"cube": np.zeros((4, 3))}, ValueError, "cube has shape"),
        ({"times": [0.0, 1.0]}, ValueError, "times has length 2, expected 4"),
        ({"times": 3.0}, TypeError, "times is 3.0"),
        ({"times": [0.0, 2.0, 2.0, 3.0]}, ValueError, "times is .*, expected finite numbers that increase"),
        ({"times": [[0.0], [], [2.0], [3.0]]}, ValueError, r"times\[1\] has shape"),
        ({"times": [[0.0], [2.0, 1.0], [3.0], [4.0]]}, ValueError, r"times\[1\] is"),
        ({"read_noise": -1.0}, ValueError, "read_noise is -1, expected a finite number"),
        ({"gain": np.ones(3)}, ValueError, "gain has shape"),
        ({"mask": np.zeros((4, 2, 2), bool)}, ValueError, "mask has shape"),
        ({"dq": np.zeros((3, 2, 2), np.uint16)}, ValueError, "dq has shape"),
        ({"sigma": 0.0}, ValueError, "sigma is 0.0"),
        ({"fewest": 1}, ValueError, "fewest is 1, expected 2 or more"),
        ({"sigma": (1.0, -1.0)}, ValueError, "thresholds is"),
        ({"flags": True}, ValueError, "dq is missing"),
        ({"threads": 0}, ValueError, "threads is 0"),
        ({"cube": np.zeros((1, 2, 2)), "times": [0.0]}, ValueError, "nread is 1, expected at least 2"),
    ],
)
def test_bad_arguments_are_named(change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"cube": np.zeros((4, 2, 2)), "times": np.arange(4.0), "read_noise": 1.0}
    arguments |= change
    with pytest.raises(error, match=message):
        fit_gls(**arguments)


def test_whatever_comes_in_each_ramp_has_an_answer_or_says_that_it_has_none() -> None:
    """A hundred thousand ramps with values that nobody should have, up to 110 samples."""
    rng = np.random.default_rng(0)
    samples = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-38, 0, 1e6, -1e6], np.float32)
    extremes = np.array([np.nan, np.inf, -1, 0, 1e-30, 1e18], np.float32)
    flags = np.array([1, 256, 65535], np.uint16)
    count = 0
    while count < 100_000:
        nread = 110 if count == 0 else int(rng.integers(2, 12))
        shape = (nread, int(rng.integers(1, 9)), int(rng.integers(1, 150)))
        image = shape[1:]
        counts = np.cumsum(rng.poisson(10 ** rng.uniform(-1, 5), shape), axis=0).astype(np.float32)
        cube = np.where(rng.random(shape) < 0.1, rng.choice(samples, shape), counts)
        clock = np.cumsum(rng.uniform(1e-3, 100, nread))
        times = [t + np.linspace(0, 5e-4, int(rng.integers(1, 5))) for t in clock]
        gain, noise, dark = (
            np.where(rng.random(image) < 0.1, rng.choice(extremes, image), usual)
            for usual in (2.0, 10.0, 0.1)
        )
        fit = fit_gls(
            cube,
            times,
            noise,
            gain=gain,
            dark=dark,
            dq=rng.choice(flags, shape) * (rng.random(shape) < 0.1).astype(np.uint16),
            untouched=cube + rng.normal(0, 100, shape).astype(np.float32) if rng.random() < 0.3 else None,
            fewest=int(rng.integers(2, 4)),
        )
        assert fit.dof is not None
        none = fit.dof < 0
        for plane in (fit.rate, fit.err):
            assert np.array_equal(np.isnan(plane), none)
        assert (fit.err[~none] >= 0).all()
        count += none.size


def test_flags_by_default_and_by_rule() -> None:
    cube, times = ramps_of(np.random.default_rng(4), (6, 1, 1)), np.arange(6) * 10.0
    dq = np.zeros(cube.shape, np.uint16)
    dq[2] = 1
    dq[4] = 2
    strict = fit_gls(cube, times, 5.0, dq=dq)
    assert strict.dof is not None
    assert strict.dof[0, 0] == 0  # only the first difference
    some = fit_gls(cube, times, 5.0, dq=dq, rule=DqRule(bad=2))
    assert some.dof is not None
    assert some.dof[0, 0] == 2


def test_thresholds_are_as_unlikely_as_the_deviation() -> None:
    one, two = thresholds(4.5) or (0, 0)
    assert (one, round(two, 2)) == (20.25, 23.8)
    far, further = thresholds(40.0) or (0, 0)
    near = thresholds(37.0) or (0, 0)
    assert far == 1600
    assert far < further < far + (near[1] - near[0]) + 1
