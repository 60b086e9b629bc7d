"""The flat field, from files and from an exposure's own errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import upramp
from upramp.simulate import Exposure, Scene, simulate
from upramp.wfc3ir.flat import flat_from_errors, read_flat
from upramp.wfc3ir.references import Refs, amplifiers


@pytest.mark.parametrize("helium", [0.0, 3.0])
def test_the_flat_is_read_back_from_the_errors(tmp_path: Path, helium: float) -> None:
    simulation = simulate(Exposure(size=256), Scene(helium=helium))
    ramp = upramp.read_ramp(simulation.write(tmp_path)["ima"])
    found = flat_from_errors(ramp, amplifiers(ramp, Refs()))
    assert found is not None
    ratio = (found / simulation.flat)[ramp.border]
    assert abs(np.nanmedian(ratio) - 1) < 0.01
    assert np.nanstd(ratio) < 0.02


def test_reference_pipeline(shared: Path) -> None:
    golden = shared / "golden" / "wf3ir"
    ramp = upramp.read_ramp(golden / "s64_reentry_plain" / "isim01aaq_ima.fits.gz")
    flat = read_flat(ramp, Refs(golden / "refs_s64"))
    found = flat_from_errors(ramp, amplifiers(ramp, Refs()))
    assert flat is not None
    assert found is not None
    ratio = found[ramp.border] / flat.sci
    assert np.percentile(np.abs(ratio - 1), 99) < 0.01


def test_errors_that_tell_nothing_are_not_believed(ima: Path) -> None:
    ramp = upramp.read_ramp(ima)
    amps = amplifiers(ramp, Refs())
    assert flat_from_errors(ramp.with_(err=ramp.err * 3), amps) is None
    assert flat_from_errors(ramp.with_(err=np.zeros_like(ramp.err)), amps) is None
    # Without a reference flat the fit goes on with the gain alone.
    ramp.primary["PFLTFILE"] = "N/A"
    fit = upramp.fit_ramp(ramp.with_(err=ramp.err * 3))
    assert "taken as 1" in fit.notes[0]


def test_full_frame_flat_is_cut_to_the_subarray(ima: Path, tmp_path: Path) -> None:
    ramp = upramp.read_ramp(ima)
    corner = int(5 - ramp.header("SCI", 15)["LTV1"])
    frame = np.arange(1024 * 1024, dtype=np.float32).reshape(1024, 1024)
    path = tmp_path / "full_pfl.fits"
    primary = fits.PrimaryHDU()
    primary.header.update(DETECTOR="IR", FILTER=ramp.primary["FILTER"], PEDIGREE="GROUND")
    primary.header["FILETYPE"] = "PIXEL-TO-PIXEL FLAT"
    made = [primary]
    for name, data in (("SCI", frame), ("ERR", frame), ("DQ", frame.astype(np.int16))):
        hdu = fits.ImageHDU(data, name=name)
        hdu.header.update(LTV1=5.0, LTV2=5.0)
        made.append(hdu)
    fits.HDUList(made).writeto(path)
    flat = read_flat(ramp, Refs(override={"PFLTFILE": str(path)}))
    assert flat is not None
    ny, nx = (size - 10 for size in ramp.sci.shape[1:])
    assert np.array_equal(flat.sci, frame[corner + 5 : corner + 5 + ny, corner + 5 : corner + 5 + nx])


@pytest.mark.parametrize(("keyword", "value"), [("DETECTOR", "UVIS"), ("FILTER", "F999W")])
def test_a_flat_of_something_else_is_refused(ima: Path, keyword: str, value: str) -> None:
    flat = ima.parent / "helium01q_pfl.fits"
    fits.setval(flat, keyword, value=value)
    with pytest.raises(upramp.ReferenceFileError, match=f"{keyword} is '{value}'"):
        read_flat(upramp.read_ramp(ima), Refs())


def test_iref_is_honoured(ima: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = upramp.read_ramp(ima)
    ramp.primary["PFLTFILE"] = "iref$some_pfl.fits"
    (tmp_path / "some_pfl.fits").touch()
    assert Refs().find(ramp, "PFLTFILE") is None
    monkeypatch.setenv("iref", f"{tmp_path}/")
    assert Refs().find(ramp, "PFLTFILE") == tmp_path / "some_pfl.fits"
    assert Refs(tmp_path).find(ramp, "PFLTFILE") == tmp_path / "some_pfl.fits"
    with pytest.raises(upramp.ReferenceFileError, match=r"PFLTFILE = iref\$some_pfl.fits not found"):
        Refs(tmp_path / "in").find(ramp, "PFLTFILE")


def test_operational_parameters_are_those_of_the_real_table(shared: Path, ima: Path) -> None:
    from upramp.wfc3ir.references import OPERATIONAL_BADINPDQ, OPERATIONAL_CRSIGMA, rejection

    table = shared / "data" / "reference" / "u6a1748ri_crr.fits"
    found = rejection(upramp.read_ramp(ima), Refs(override={"CRREJTAB": str(table)}))
    assert found == (OPERATIONAL_CRSIGMA, OPERATIONAL_BADINPDQ)
