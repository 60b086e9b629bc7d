"""Every correction from file to file: what the products hold and tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

import upramp
from upramp.cli import main
from upramp.simulate import Exposure, Scene, Simulation, simulate
from upramp.simulate.score import score_hits
from upramp.tvb.surface import fit_robustly, spline_basis


def make(folder: Path, scene: Scene, **exposure: Any) -> tuple[Simulation, Path]:
    """A simulated exposure, written."""
    folder.mkdir(exist_ok=True)
    simulation = simulate(Exposure(**{"size": 128, "seed": 3, **exposure}), scene)
    return simulation, simulation.write(folder)["ima"]


def fixed(source: Path, folder: Path, **options: Any) -> tuple[upramp.Outcome, fits.HDUList]:
    """Corrected, and the FLT, read."""
    folder.mkdir()
    outcome = upramp.fix_file(source, folder, **options)
    with fits.open(outcome.flt, memmap=False) as flt:
        for unit in flt:
            _ = unit.data
    return outcome, flt


def sky(simulation: Simulation, flt: fits.HDUList) -> np.ndarray:
    """Deviation from the truth of pixels without a flag or source; NaN elsewhere."""
    truth = simulation.rate[5:-5, 5:-5]
    good = ((flt["DQ"].data.astype(np.uint16) & 0xDFFF) == 0) & (truth < 1.05 * simulation.scene.sky)
    return np.where(good, flt["SCI"].data - truth, np.nan)


def robust(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def test_scattered_light_is_taken_off_by_columns(tmp_path: Path) -> None:
    scene = Scene(earth_limb=3.0)
    simulation, source = make(tmp_path / "in", scene, size=256)
    outcome, flt = fixed(source, tmp_path / "out", method="column")
    _, clean = make(tmp_path / "clean", replace(scene, earth_limb=0.0), size=256)
    _, undisturbed = fixed(clean, tmp_path / "ref", method="mask-reads", reads=[1], fit_method="gls")
    left_over = sky(simulation, flt)
    profile = np.nanmedian(left_over, axis=0)
    assert np.abs(profile - np.median(profile)).max() < 0.02
    assert abs(np.nanmedian(left_over)) < 0.01
    # Photons of the light that was taken off: its mean is 3 x 0.2 x 0.28 or so at a time.
    extra = (simulation.background[1:] * np.diff(simulation.times)).sum() / simulation.times[-1] ** 2
    allowed = np.hypot(robust(sky(simulation, undisturbed)), np.sqrt(extra))
    assert robust(left_over) < 1.05 * allowed
    normalised = left_over / flt["ERR"].data
    assert 0.93 < robust(normalised) < 1.07
    score = score_hits(simulation, upramp.read_ramp(outcome.ima).dq)
    assert score.completeness > 0.995
    assert score.false_fraction < 1e-3
    assert flt[0].header["TVBMETH"] == "column"
    assert flt[0].header["TVBRMAX"] > 1.5
    reads = Table.read(outcome.flt, hdu="READS")
    assert reads["REMOVED"][1] > 0.2 > reads["REMOVED"][-1] > 0
    # The reads in the IMA lie on the sky, not on a pedestal.
    ima = upramp.read_ramp(outcome.ima)
    medians = np.median(ima.rate[1:, 5:-5, 5:-5], axis=(1, 2))
    assert np.abs(medians - np.nanmedian(flt["SCI"].data)).max() < 0.2


def test_a_plane_is_taken_off(tmp_path: Path) -> None:
    simulation, source = make(tmp_path / "in", Scene(cosmic_rays=0.0, n_sources=0))
    ramp = upramp.read_ramp(source)
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    tilted = ramp.with_(sci=ramp.sci.copy())
    strength = np.exp(-ramp.times / 300.0) * 4.0
    steps = np.diff(ramp.times, prepend=0.0)
    total = np.cumsum(strength * steps)
    for r in range(1, ramp.nread):
        tilted.sci[r, 5:-5, 5:-5] += (total[r] / ramp.times[r] * (1.0 - 0.6 * x + 0.3 * y)).astype(np.float32)
    corrected = upramp.remove_plane(tilted)
    for r in range(2, ramp.nread):
        off = (corrected.ramp.sci[r] - ramp.sci[r])[5:-5, 5:-5]
        assert np.abs(off - off.mean()).max() < 0.05
    fit = corrected.fit(untouched=tilted, method="gls")
    truth = simulation.rate[5:-5, 5:-5]
    good = fit.dq == 0
    assert np.median((fit.rate - truth)[good]) == pytest.approx(0.0, abs=0.03)
    assert corrected.removed[1] == pytest.approx(total[1] / ramp.times[1], rel=0.05)


def test_the_excess_of_a_crowded_field_knows_no_sources(tmp_path: Path) -> None:
    scene = Scene(helium=3.0, n_sources=400, cosmic_rays=0.0)
    simulation, source = make(tmp_path / "in", scene)
    ramp = upramp.read_ramp(source)
    excess = upramp.remove_excess(ramp)
    total = np.cumsum(simulation.background * np.diff(simulation.times, prepend=0.0))
    taken = excess.removed * ramp.times
    np.testing.assert_allclose(taken, total, atol=0.02 * total[-1])
    fit = excess.fit(untouched=ramp, method="gls")
    good = fit.dq == 0
    residual = (fit.rate - simulation.rate[5:-5, 5:-5])[good] / fit.err[good]
    assert robust(residual) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("method", ["mask-reads", "subtract-reads"])
@pytest.mark.parametrize("fit_method", ["gls", "calwf3"])
def test_a_satellite_leaves_no_trace(method: str, fit_method: str, tmp_path: Path) -> None:
    scene = Scene(trail_read=7, trail_electrons=3000.0)
    simulation, source = make(tmp_path / "in", scene)
    outcome, flt = fixed(source, tmp_path / "out", method=method, reads=[7], fit_method=fit_method)
    _, clean = make(tmp_path / "clean", replace(scene, trail_read=None))
    _, undisturbed = fixed(clean, tmp_path / "ref", method=method, reads=[7], fit_method=fit_method)
    same = np.nanmedian(sky(simulation, flt) - sky(simulation, undisturbed))
    assert abs(same) < 0.002
    assert robust(sky(simulation, flt)) < 1.05 * robust(sky(simulation, undisturbed))
    lost = simulation.times[8 if method == "mask-reads" else 7] - simulation.times[6]
    expected = simulation.times[-1] - lost
    assert flt[0].header["EXPTIME"] == pytest.approx(expected, abs=1e-3)
    assert flt["SCI"].header["SAMPTIME"] == pytest.approx(expected, abs=1e-3)
    assert np.median(flt["TIME"].data) == pytest.approx(expected, abs=1e-2)
    assert np.median(flt["SAMP"].data) == (15 if method == "mask-reads" else 16)
    assert (flt[0].header["NPOP"], flt[0].header["POPREADS"]) == (1, "7")
    assert not (flt["DQ"].data & 1024).any()
    assert outcome.dropped == 1
    assert list(np.flatnonzero(~Table.read(outcome.flt, hdu="READS")["USED"])) == [0, 7]


def test_last_minus_first_is_the_last_read_without_the_bad_ones(tmp_path: Path) -> None:
    simulation, source = make(tmp_path / "in", Scene(trail_read=7, cosmic_rays=0.0))
    ramp = upramp.read_ramp(source)
    _, plain = fixed(source, tmp_path / "plain", method="last-first")
    np.testing.assert_allclose(plain["SCI"].data, ramp.sci[-1, 5:-5, 5:-5], rtol=2e-6)
    assert plain[0].header["IMA2FLT"] == 1
    assert plain[0].header["CRCORR"] == "OMIT"
    outcome, flt = fixed(source, tmp_path / "out", method="last-first", reads=[7])
    counts = ramp.counts[:, 5:-5, 5:-5].astype(float)
    span = ramp.times[-1] - (ramp.times[7] - ramp.times[6])
    np.testing.assert_allclose(
        flt["SCI"].data, (counts[-1] - counts[7] + counts[6]) / span, atol=1e-4, rtol=1e-5
    )
    assert outcome.exptime[1] == pytest.approx(span)
    normalised = sky(simulation, flt) / flt["ERR"].data
    assert robust(normalised) == pytest.approx(1.0, abs=0.05)


def test_the_average_finds_cosmic_rays_and_knows_its_errors(tmp_path: Path) -> None:
    simulation, source = make(tmp_path / "in", Scene(helium=2.0), size=256)
    outcome, flt = fixed(source, tmp_path / "out", method="average")
    score = score_hits(simulation, upramp.read_ramp(outcome.ima).dq)
    assert score.completeness > 0.98
    assert score.false_fraction < 1e-3
    off = sky(simulation, flt)
    # The airglow's mean stays in it.
    assert robust((off - np.nanmedian(off)) / flt["ERR"].data) == pytest.approx(1.0, abs=0.03)
    assert flt[0].header["IMA2FLT"] == 1


def test_reads_come_from_an_edited_table(tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    simulation, source = make(tmp_path / "in", Scene(), rootname="isim77aaq")
    kept = simulation.times[-1] - simulation.times[5]
    _, other = make(tmp_path / "in", Scene(), rootname="isim78aaq")
    rows = [
        f"{root},{k},{16 - k},{not (root == 'isim77aaq' and 1 <= k <= 5)}"
        for root in ("isim77aaq", "isim78aaq")
        for k in range(16)
    ]
    table = tmp_path / "reads.csv"
    table.write_text("\n".join(["rootname,sampnum,imset,use", *rows]) + "\n")
    command = ["fix", str(source), str(other), "--method", "mask-reads", "--reads", str(table)]
    assert main([*command, "-o", str(tmp_path / "o")]) == 0
    assert fits.getval(tmp_path / "o" / "isim77aaq_flt.fits", "EXPTIME") == pytest.approx(kept, abs=1e-3)
    assert fits.getval(tmp_path / "o" / "isim77aaq_flt.fits", "POPREADS") == "1 2 3 4 5"
    assert fits.getval(tmp_path / "o" / "isim78aaq_flt.fits", "NPOP") == 0
    _, third = make(tmp_path / "in", Scene(), rootname="isim79aaq")
    assert main(["fix", str(third), *command[3:], "-o", str(tmp_path / "o")]) == 3


def test_the_exposure_time_left_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulation, source = make(tmp_path / "in", Scene())
    command = ["fix", str(source), "--method", "mask-reads", "--reads", "imset:11-15", "-o", str(tmp_path)]
    assert main(command) == 0
    before, after = simulation.times[-1], simulation.times[-1] - simulation.times[5]
    assert f"EXPTIME {before:.2f} -> {after:.2f} s (5 of 15 reads left out)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("scene", "method", "verdict"),
    [
        (Scene(), "none", "none"),
        (Scene(helium=4.0), "flatten", "helium"),
        (Scene(trail_read=6, trail_electrons=4000.0), "subtract-reads", "satellite"),
    ],
)
def test_auto_does_what_is_advised_and_says_why(
    scene: Scene, method: str, verdict: str, tmp_path: Path
) -> None:
    _, source = make(tmp_path / "in", scene, size=256)
    _, flt = fixed(source, tmp_path / "out", method="auto")
    assert (flt[0].header["TVBMETH"], flt[0].header["TVBFLAG"]) == (method, verdict)
    assert any(line.strip().startswith(f"{verdict}: ") for line in flt[0].header["HISTORY"])


def test_auto_masks_reads_as_mask_reads_does(tmp_path: Path) -> None:
    scene = Scene(earth_limb=5.0, earth_limb_fade=0.05)
    simulation, source = make(tmp_path / "in", scene, size=256)
    _, flt = fixed(source, tmp_path / "out", method="auto")
    assert flt[0].header["TVBMETH"] == "mask-reads"
    last = int(flt[0].header["POPREADS"].split()[-1])
    expected = simulation.times[-1] - simulation.times[last]
    assert flt[0].header["EXPTIME"] == pytest.approx(expected, abs=1e-3)
    assert np.median(flt["TIME"].data) == pytest.approx(expected, abs=1e-2)


def test_methods_refuse_what_they_cannot_use(tmp_path: Path) -> None:
    _, source = make(tmp_path / "in", Scene(), size=64)
    with pytest.raises(ValueError, match=r"reads .* are missing: method mask-reads"):
        upramp.fix_file(source, tmp_path, method="mask-reads")
    with pytest.raises(ValueError, match="method flatten has no use for them"):
        upramp.fix_file(source, tmp_path, reads=[1])
    with pytest.raises(ValueError, match="expected one of mask-reads"):
        upramp.fix_file(source, tmp_path, method="wish")
    with pytest.raises(ValueError, match="every read is named"):
        upramp.fix_file(source, tmp_path, method="mask-reads", reads="1-15")
    ramp = upramp.read_ramp(source)
    grism = ramp.with_(primary=ramp.primary.copy())
    grism.primary["FILTER"] = "G141"
    for correct in (upramp.remove_excess, upramp.remove_columns, upramp.remove_plane, upramp.flatten_ramp):
        with pytest.raises(ValueError, match="G141 is a grism"):
            correct(grism)
        correct(grism, force=True)


def test_splines_reproduce_cubics() -> None:
    basis = spline_basis(101, 4)
    np.testing.assert_allclose(basis.sum(axis=1), 1.0, rtol=1e-12)
    x = np.linspace(-1, 1, 101)
    cubic = 1 - 2 * x + 3 * x**3
    values = cubic.copy()
    values[30] += 50.0
    values[60] = np.nan
    found = basis @ fit_robustly(basis, values, np.full(101, 100))
    np.testing.assert_allclose(found, cubic, atol=1e-9)


def test_columns_may_change_from_row_to_row(tmp_path: Path) -> None:
    simulation, source = make(tmp_path / "in", Scene(), size=256)
    ramp = upramp.read_ramp(source)
    y, x = np.mgrid[-0.5:0.5:256j, 0:1:256j]
    shape = (np.exp(-3 * x) * (1 + 0.4 * y)).astype(np.float32)
    total = 6.0 * 250.0 * (1 - np.exp(-ramp.times / 250.0))
    lit = ramp.with_(sci=ramp.sci.copy())
    for r in range(1, ramp.nread):
        lit.sci[r, 5:-5, 5:-5] += np.float32(total[r] / ramp.times[r]) * shape
    fit = upramp.remove_columns(lit).fit(untouched=lit, method="gls")
    off = np.where(fit.dq == 0, fit.rate - simulation.rate[5:-5, 5:-5], np.nan)
    for axis in (0, 1):
        profile = np.nanmedian(off, axis=axis).reshape(16, 16).mean(axis=1)
        assert np.ptp(profile) < 0.02
    # The light that was put in has no photon noise; ERR knows nothing of that.
    assert 0.9 < robust((off - np.nanmedian(off)) / fit.err) < 1.02


@pytest.mark.parametrize("method", ["mask-reads", "subtract-reads", "last-first", "auto"])
def test_what_needs_no_sky_does_without(method: str, tmp_path: Path) -> None:
    _, source = make(tmp_path / "in", Scene(sky=2000.0), size=64)  # saturated from read 2 on
    options: dict[str, Any] = {"reads": [9]} if method.endswith("reads") else {}
    outcome, flt = fixed(source, tmp_path / "out", method=method, **options)
    assert "TVBRMAX" in flt[0].header
    assert np.isnan(outcome.level[-1])
    assert (flt["DQ"].data & 256).any() or np.median(flt["SAMP"].data) > 1
    for needy in ("excess", "column"):
        with pytest.raises(ValueError, match="no good pixel is left in read"):
            upramp.fix_file(source, tmp_path, method=needy)
