"""The corrections of the published notebooks, each as one command, on calwf3's cases and real files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

import upramp
from planes import differences, plane
from upramp.cli import main
from upramp.wfc3ir.references import Refs

BAD_READS = {
    "badreads": "imset:11-15",
    "badread_first": "imset:15",
    "badread_mid": "imset:8",
    "badread_last": "imset:1",
    "badread_zero": "imset:16",
}


@pytest.fixture
def golden(shared: Path) -> Path:
    return shared / "golden" / "wf3ir"


def unmarked(golden: Path, name: str, folder: Path) -> Path:
    """The RAW of a case before somebody marked its bad reads."""
    target = folder / "isim01aaq_raw.fits"
    with fits.open(golden / f"s64_{name}" / "isim01aaq_raw.fits.gz") as raw:
        for unit in raw:
            if unit.name == "DQ":
                unit.header["PIXVALUE"] = unit.header["PIXVALUE"] & ~1024
        raw.writeto(target)
    return target


def planes(path: Path) -> dict[str, np.ndarray]:
    with fits.open(path) as flt:
        return {name: plane(flt[name]).copy() for name in ("SCI", "ERR", "DQ", "SAMP", "TIME")}


def run(*arguments: str | Path) -> None:
    assert main([str(argument) for argument in arguments]) == 0


@pytest.mark.parametrize("name", BAD_READS)
def test_masked_reads_are_calwf3s_in_parity(golden: Path, name: str, tmp_path: Path) -> None:
    raw = unmarked(golden, name, tmp_path)
    (tmp_path / "out").mkdir()
    run(
        *("fix", raw, "--method", "mask-reads", "--reads", BAD_READS[name], "--parity"),
        *("--refs", golden / "refs_s64", "-o", tmp_path / "out"),
    )
    for kind in ("ima", "flt"):
        product = f"isim01aaq_{kind}.fits"
        assert (
            differences(tmp_path / "out" / product, golden / f"s64_{name}" / f"{product}.gz", {"TIME": 1})
            == {}
        )


@pytest.mark.parametrize("fit", ["calwf3", "gls"])
@pytest.mark.parametrize("name", ["badreads", "badread_mid", "badread_last"])
def test_masked_reads_are_used_by_no_pixel(golden: Path, name: str, fit: str, tmp_path: Path) -> None:
    raw = unmarked(golden, name, tmp_path)
    spoilt = tmp_path / "spoilt_raw.fits"
    with fits.open(raw) as hdus:
        nread = hdus[0].header["NSAMP"]
        first, _, last = BAD_READS[name].removeprefix("imset:").partition("-")
        for version in range(int(first), int(last or first) + 1):
            if version < nread - 1:  # the first read also tells what the zeroth held (ZSIGCORR)
                hdus["SCI", version].data = (hdus["SCI", version].data + 700).astype(np.int16)
        hdus.writeto(spoilt)
    made = []
    for source in (raw, spoilt):
        folder = tmp_path / f"of_{source.stem}"
        folder.mkdir()
        done = upramp.fix_file(
            source,
            folder,
            method="mask-reads",
            reads=BAD_READS[name],
            fit_method=fit,
            refs=Refs(golden / "refs_s64"),
        )
        made.append(planes(done.flt))
    # Pixels with a permanent flag included.
    assert (made[0]["DQ"] != 0).sum() > 20
    for name in made[0]:
        np.testing.assert_array_equal(made[0][name], made[1][name], err_msg=name)
    assert not (made[0]["DQ"] & 1024).any()
    header = fits.getheader(done.flt)
    assert np.median(made[0]["TIME"]) == pytest.approx(header["EXPTIME"], rel=1e-6)


def test_scattered_light_at_the_start_is_masked(golden: Path, tmp_path: Path) -> None:
    raw = unmarked(golden, "badreads", tmp_path)
    (tmp_path / "out").mkdir()
    reads = tmp_path / "reads.ecsv"
    run("cal", raw, "--omit", "CRCORR", "--refs", golden / "refs_s64", "-o", tmp_path)
    run("flag", tmp_path / "isim01aaq_ima.fits", "-o", reads)
    run(
        *("fix", raw, "--method", "mask-reads", "--reads", reads),
        *("--refs", golden / "refs_s64", "-o", tmp_path / "out"),
    )
    header = fits.getheader(tmp_path / "out" / "isim01aaq_flt.fits")
    dropped = [int(read) for read in header["POPREADS"].split()]
    # The first interval of a small field is too short to tell.
    assert set(range(2, 6)) <= set(dropped)
    assert not set(dropped) & {13, 14, 15}
    truth = np.load(golden / "s64_badreads" / "isim01aaq_truth.npz")
    # calwf3 takes the noise of few reads for too large.
    check_sky(planes(tmp_path / "out" / "isim01aaq_flt.fits"), truth, 0.06, 0.65)


def check_sky(made: dict[str, np.ndarray], truth: Any, tolerance: float, least: float = 0.9) -> None:
    """Level of the left half is that of the right half; normalised residuals as they should be."""
    rate = (truth["scene"] + truth["sky"])[5:-5, 5:-5]
    good = made["DQ"] == 0
    off = np.where(good, made["SCI"] - rate, np.nan)
    assert np.nanmedian(off[:, :20]) - np.nanmedian(off[:, -20:]) == pytest.approx(0.0, abs=tolerance)
    normalised = (off[good] - np.median(off[good])) / made["ERR"][good]
    assert least < 1.4826 * np.median(np.abs(normalised)) < 1.1


@pytest.mark.parametrize(
    ("name", "method", "reads"),
    [("trail", "subtract-reads", True), ("helium10", "flatten", False), ("limb5", "column", False)],
)
def test_corrections_from_the_raw(golden: Path, name: str, method: str, reads: bool, tmp_path: Path) -> None:
    manifest = json.loads((golden / f"s64_{name}" / "manifest.json").read_text())
    truth = np.load(golden / f"s64_{name}" / "isim01aaq_truth.npz")
    raw = golden / f"s64_{name}" / "isim01aaq_raw.fits.gz"
    options: tuple[str | Path, ...] = ("--refs", golden / "refs_s64", "-o", tmp_path)
    if reads:
        options += ("--reads", str(trail_read(manifest, truth)))
    run("fix", raw, "--method", method, *options)
    made = planes(tmp_path / "isim01aaq_flt.fits")
    check_sky(made, truth, 0.1)
    theirs = planes(golden / f"s64_{name}" / "isim01aaq_flt.fits.gz")
    # Far fewer pixels are called hit or unstable.
    assert ((made["DQ"] & (32 | 8192)) != 0).mean() <= ((theirs["DQ"] & (32 | 8192)) != 0).mean()
    header = fits.getheader(tmp_path / "isim01aaq_flt.fits")
    assert header["TVBMETH"] == method
    assert header["CRCORR"] == header["FLATCORR"] == "COMPLETE"


def trail_read(manifest: dict[str, Any], truth: Any) -> int:
    return int(manifest["params"]["trail_read"])


def test_last_minus_first_is_calwf3s_product_without_a_fit(golden: Path, tmp_path: Path) -> None:
    raw = golden / "s64_nominal" / "isim01aaq_raw.fits.gz"
    run("fix", raw, "--method", "last-first", "--refs", golden / "refs_s64", "-o", tmp_path)
    made = planes(tmp_path / "isim01aaq_flt.fits")
    theirs = planes(golden / "s64_crcorr_omit" / "isim01aaq_flt.fits.gz")
    np.testing.assert_allclose(made["SCI"], theirs["SCI"], rtol=1e-5, atol=1e-5)
    good = theirs["DQ"] == 0
    np.testing.assert_allclose(made["ERR"][good], theirs["ERR"][good], rtol=0.08)
    np.testing.assert_array_equal(made["TIME"], theirs["TIME"])


@pytest.mark.parametrize("method", ["flatten", "last-first", "subtract-reads", "mask-reads"])
def test_real_exposures(shared: Path, method: str, tmp_path: Path) -> None:
    for root in ("ibxy01z8q", "ibxy07p9q"):
        (source,) = (shared / "data" / "wfc3ir").glob(f"{root}_ima.fits*")
        options: dict[str, Any] = {"reads": [2]} if method.endswith("reads") else {}
        done = upramp.fix_file(source, tmp_path, method=method, **options)
        with fits.open(done.flt) as flt:
            flt.verify("exception")
            good = flt["DQ"].data == 0
            assert good.mean() > 0.8
            assert np.isfinite(flt["SCI"].data[good]).all()
            assert (flt["ERR"].data[good] > 0).all()
            assert flt[0].header["TVBMETH"] == method
