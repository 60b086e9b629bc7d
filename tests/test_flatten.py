"""Flattening: medians flat to rounding, level kept, cosmic rays still found."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import sigma_clipped_stats

import upramp
from upramp.ramps import read_stats
from upramp.simulate import Exposure, Scene, Simulation, simulate
from upramp.simulate.score import score_hits
from upramp.tvb.corrected import SKY_BAD_DQ
from upramp.wfc3ir.tables import interval_medians


def medians(ramp: upramp.Ramp) -> np.ndarray:
    y, x = ramp.border
    good = (ramp.dq[:, y, x] & SKY_BAD_DQ) == 0
    return np.array([np.median(plane[ok]) for plane, ok in zip(ramp.rate[:, y, x], good, strict=True)])


def test_medians_become_flat_and_the_level_stays(ima: Path) -> None:
    ramp = upramp.read_ramp(ima)
    before = medians(ramp)
    flattened = upramp.flatten_ramp(ramp)
    after = medians(flattened.ramp)
    np.testing.assert_allclose(after[1:], before[-1], rtol=3e-7, atol=3e-7)
    np.testing.assert_allclose(flattened.removed[1:], before[1:] - before[-1], atol=1e-6)
    np.testing.assert_allclose(flattened.level[1:], interval_medians(ramp), rtol=1e-5)
    assert np.array_equal(flattened.ramp.sci[-1], ramp.sci[-1])
    assert np.array_equal(flattened.ramp.sci[0], ramp.sci[0])
    assert flattened.ramp.err is ramp.err


def test_border_and_input_are_untouched(ima: Path) -> None:
    ramp = upramp.read_ramp(ima)
    copy = ramp.sci.copy()
    made = upramp.flatten_ramp(ramp).ramp
    assert np.array_equal(ramp.sci, copy)
    outside = np.ones(ramp.sci.shape[1:], bool)
    outside[ramp.border] = False
    assert np.array_equal(made.sci[:, outside], ramp.sci[:, outside])


def test_counts_are_flattened_as_rates_are(ima: Path) -> None:
    ramp = upramp.read_ramp(ima)
    counts = upramp.flatten_ramp(ramp.with_(sci=ramp.counts, unit="ELECTRONS")).ramp
    rates = upramp.flatten_ramp(ramp).ramp
    y, x = ramp.border
    np.testing.assert_allclose(counts.rate[1:, y, x], rates.sci[1:, y, x], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("helium", [1.0, 4.0])
def test_cosmic_rays_are_found_and_clean_pixels_left_alone(helium: float, tmp_path: Path) -> None:
    simulation = simulate(Exposure(size=256, seed=11), Scene(helium=helium))
    source = simulation.write(tmp_path)["ima"]
    (tmp_path / "out").mkdir()
    done = upramp.fix_file(source, tmp_path / "out")
    score = score_hits(simulation, upramp.read_ramp(done.ima).dq)
    assert score.total > 1000
    assert score.completeness > 0.97
    assert score.false_fraction < 0.002
    spoiled = upramp.fit_ramp(upramp.read_ramp(source))
    assert score_hits(simulation, spoiled.read_dq).false_fraction > 5 * score.false_fraction


def test_the_level_is_the_mean_over_the_exposure(tmp_path: Path) -> None:
    simulation = simulate(Exposure(size=256, seed=5), Scene(helium=3.0, cosmic_rays=0.0))
    source = simulation.write(tmp_path)["ima"]
    flattened = upramp.flatten_ramp(upramp.read_ramp(source))
    fit = upramp.fit_ramp(flattened.ramp, untouched=upramp.read_ramp(source))
    steps = np.diff(simulation.times, prepend=0.0)
    y, x = flattened.ramp.border
    truth = np.median(simulation.rate[y, x]) + (simulation.background * steps).sum() / steps.sum()
    assert np.median(fit.rate[fit.dq == 0]) == pytest.approx(truth, rel=0.01)


def test_errors_are_honest(tmp_path: Path) -> None:
    """Scatter of sky pixels about the truth against the errors that the product states."""
    scene = Scene(helium=2.0, n_sources=0, cosmic_rays=0.0)
    simulation = simulate(Exposure(size=256, seed=8), scene)
    source = simulation.write(tmp_path)["ima"]
    ramp = upramp.read_ramp(source)
    flat = upramp.flatten_ramp(ramp).ramp
    fit = upramp.fit_ramp(flat, untouched=ramp)
    good = fit.dq == 0
    pull = (fit.rate[good] - np.median(fit.rate[good])) / fit.err[good]
    scatter = 1.4826 * np.median(np.abs(pull))
    assert 0.8 < scatter < 1.2
    parity = upramp.fit_ramp(flat, parity=True)
    assert np.median(parity.err[good] / fit.err[good]) < 0.7


def test_real_exposure(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "wfc3ir" / "ibxy01z8q_ima.fits.gz"
    done = upramp.fix_file(source, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for product in (done.ima, done.flt):
            with fits.open(product) as hdus:
                hdus.verify("exception")
                for hdu in hdus:
                    assert hdu.header is not None
                    assert hdu.data is None or hdu.data.size
    ramp = upramp.read_ramp(done.ima)
    after = medians(ramp)
    np.testing.assert_allclose(after[1:], after[-1], rtol=3e-7, atol=1e-6)
    reads = fits.getdata(done.flt, "READS")
    assert reads["SAMPNUM"].tolist() == [0, 1, 2, 3]
    assert reads["IMSET"].tolist() == [4, 3, 2, 1]
    assert np.isnan(reads["MEDIAN"][0])
    for column in ("MEDIAN", "LEFT", "RIGHT"):
        assert np.isfinite(reads[column][1:]).all()
    header = fits.getheader(done.flt)
    assert header["TVBMETH"] == "flatten"
    assert header["NPOP"] == 0
    assert header["CRCORR"] == "COMPLETE"


def test_grism_is_refused_unless_forced(shared: Path) -> None:
    ramp = upramp.read_ramp(shared / "data" / "wfc3ir" / "ibh726meq_ima.fits.gz")
    with pytest.raises(ValueError, match="G141 is a grism"):
        upramp.flatten_ramp(ramp)
    made = upramp.flatten_ramp(ramp, force=True).ramp
    after = medians(made)
    np.testing.assert_allclose(after[1:], after[-1], rtol=1e-5)


def test_before_the_flat_field_what_is_taken_has_its_pattern(tmp_path: Path) -> None:
    simulation = simulate(Exposure(size=64, flat_fielded=False), Scene(helium=2.0))
    ramp = upramp.read_ramp(simulation.write(tmp_path)["ima"])
    made = upramp.flatten_ramp(ramp, flat=simulation.flat).ramp
    y, x = ramp.border
    taken, flat = (ramp.sci - made.sci)[5, y, x], simulation.flat[y, x]
    np.testing.assert_allclose(taken / np.median(taken), flat / np.median(flat), rtol=1e-3)


@pytest.mark.parametrize("clip", [None, 3.0, (2.0, 4.0)])
def test_statistics_agree_with_astropy(clip: float | tuple[float, float] | None) -> None:
    random = np.random.default_rng(4)
    cube = random.normal(1.0, 0.1, (4, 60, 70)).astype(np.float32)
    cube[random.random(cube.shape) < 0.05] += 3
    dq = (random.random(cube.shape) < 0.1).astype(np.uint16) * 4
    mask = random.random(cube.shape[1:]) < 0.1
    found = read_stats(cube, dq, mask=mask, region=np.s_[3:50, 5:60], clip=clip)
    lower, upper = clip if isinstance(clip, tuple) else (clip, clip)
    for r in range(4):
        good = (dq[r] == 0) & ~mask
        values = cube[r][3:50, 5:60][good[3:50, 5:60]].astype(float)
        if clip is None:
            mean, median, std = values.mean(), np.median(values), values.std()
        else:
            mean, median, std = sigma_clipped_stats(values, sigma_lower=lower, sigma_upper=upper, maxiters=5)
        assert found.median[r] == pytest.approx(median, rel=1e-12)
        assert found.mean[r] == pytest.approx(mean, rel=1e-9)
        assert found.std[r] == pytest.approx(std, rel=1e-7)


def test_no_pixel_left(ima: Path, helium: Simulation) -> None:
    ramp = upramp.read_ramp(ima)
    with pytest.raises(ValueError, match="no pixel"):
        upramp.flatten_ramp(ramp, mask=np.ones(ramp.sci.shape[1:], bool))


def test_a_spoiled_archive_fit_is_undone(
    shared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """calwf3's own IMA of a strongly bent ramp: 74 % of the pixels flagged as hit, 3 % as unstable."""
    golden = shared / "golden" / "wf3ir"
    source = golden / "s64_helium10" / "isim01aaq_ima.fits.gz"
    done = upramp.fix_file(source, tmp_path)
    assert "--clear-dq 32" in caplog.text
    assert done.hit_fraction < 0.02
    (tmp_path / "again").mkdir()
    again = upramp.fix_file(source, tmp_path / "again", clear_dq=32)
    with fits.open(done.flt) as kept, fits.open(again.flt) as cleared:
        assert np.mean(kept["DQ"].data & 32 != 0) > 0.03
        assert np.mean(cleared["DQ"].data & 32 != 0) < 0.01
    # What is left is the noise of photons that the helium brought.
    with fits.open(golden / "s64_nominal" / "isim01aaq_flt.fits.gz") as nominal, fits.open(again.flt) as flt:
        good = (nominal["DQ"].data == 0) & (flt["DQ"].data == 0)
        excess = (flt["SCI"].data - nominal["SCI"].data)[good]
        assert 1.4826 * np.median(np.abs(excess - np.median(excess))) < 2 * np.median(flt["ERR"].data[good])
