"""RAW to IMA and FLT against calwf3's own outputs, every pixel of every plane and every card it sets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import upramp
from planes import differences
from upramp.wfc3ir.references import Refs

NAMES = (
    *("all_omit", "allcr", "allflat_na", "asn", "aux_err", "aux_err1", "bad_switch", "badread256_nozsig"),
    *(f"badread_{which}" for which in ("256", "4", "8192", "all", "but1", "first", "last", "mid", "zero")),
    *("badreads", "blev_omit", "bright", "bunit", "crcorr_omit", "dark_omit", "dark_seq", "dark_time"),
    *("detector_uvis", "dqi_omit", "filter_mismatch", "flat_omit", "helium", "helium10", "limb5"),
    *("missing_dark", "missing_dark_darkomit", "nlin_omit", "nominal", "nopixvalue", "nsamp1", "nsamp2"),
    *("nsamp3", "nsamp_big", "nsamp_small", "only_crcorr", "phot_omit", "rapid", "rerun_exists", "saturated"),
    *("saturated_nozsig", "spars10", "spars100", "time_array", "trail", "unit_cr_omit", "unit_flat_omit"),
    *("unit_omit", "zero", "zoff_omit", "zsig_omit"),
)
REFUSED = {
    "all_omit": (upramp.InputError, "nothing to do"),
    "allflat_na": (upramp.ReferenceFileError, "no flat is named"),
    "bad_switch": (upramp.InputError, "CRCORR is 'YES'"),
    "bunit": (upramp.InputError, "BUNIT is 'DN'"),
    "dark_seq": (upramp.ReferenceFileError, "SAMP_SEQ is"),
    "dark_time": (upramp.ReferenceFileError, "no dark of"),
    "detector_uvis": (upramp.InputError, "DETECTOR is UVIS"),
    "filter_mismatch": (upramp.ReferenceFileError, "FILTER is"),
    "missing_dark": (upramp.ReferenceFileError, "DARKFILE"),
    "nopixvalue": (upramp.InputError, "PIXVALUE"),
    "nsamp1": (upramp.InputError, "NSAMP is 1"),
    "nsamp_big": (upramp.InputError, "NSAMP is 17"),
    "nsamp_small": (upramp.ReferenceFileError, "no dark of"),
}
"""Where calwf3 refuses or crashes, a message that says why."""
SOUND = ("badread_8192", "missing_dark_darkomit")
"""Where calwf3 crashes or refuses without need, a result."""
DONE = [name for name in NAMES if name not in REFUSED and name not in SOUND]

OURS = {"FILENAME", "CAL_VER", "ORIGIN", "DATE", "UPRVERS", "BITPIX", "NPIX1", "NPIX2"}
"""Cards that tell who wrote the file, and how."""


def raws(folder: Path) -> list[Path]:
    return sorted(folder.glob("*_raw.fits.gz"))


def test_all_cases_are_listed(shared: Path) -> None:
    folders = (path.parent.name for path in (shared / "golden" / "wf3ir").glob("s64_*/manifest.json"))
    assert {name for name in folders if "reentry" not in name} <= {f"s64_{name}" for name in NAMES}


@pytest.mark.parametrize("name", DONE)
def test_every_pixel_is_identical_and_every_card_equal(shared: Path, tmp_path: Path, name: str) -> None:
    folder = shared / "golden" / "wf3ir" / f"s64_{name}"
    refs = Refs(shared / "golden" / "wf3ir" / "refs_s64")
    for threads, raw in enumerate(raws(folder), start=1):
        done = upramp.calibrate_file(raw, tmp_path, refs=refs, parity=True, threads=threads)
        # The reference program writes a constant TIME with 8 digits.
        assert differences(done.ima, folder / f"{done.ima.name}.gz", {"TIME": 1}) == {}
        assert differences(done.flt, folder / f"{done.flt.name}.gz", {"TIME": 1}) == {}
        for path in (done.ima, done.flt):
            compare_headers(path, folder / f"{path.name}.gz")


def compare_headers(ours: Path, theirs: Path) -> None:
    with fits.open(ours) as a, fits.open(theirs) as b:
        assert [(hdu.name, hdu.ver) for hdu in a] == [(hdu.name, hdu.ver) for hdu in b]
        for one, two in zip(a, b, strict=True):
            label = f"{ours.name}[{two.name},{two.ver}]"
            for keyword, value in two.header.items():
                if keyword in OURS or keyword in ("HISTORY", "COMMENT", ""):
                    continue
                if keyword in ("NAXIS", "NAXIS1", "NAXIS2", "PIXVALUE") and (
                    one.data is None or two.data is None
                ):
                    continue  # a constant plane may be null here and an image there
                got = one.header.get(keyword)
                if isinstance(value, float):
                    # Means of a signal-to-noise ratio around zero: the last digits depend on how it is summed.
                    near = 1e-9 if (two.name, keyword) == ("ERR", "GOODMEAN") else 0
                    assert got == pytest.approx(value, rel=1.2e-7, abs=near), f"{label} {keyword}"
                else:
                    assert got == value, f"{label} {keyword}"
        told = [line for line in a[0].header.get("HISTORY", []) if not line.startswith("upramp")]
        expected = list(b[0].header.get("HISTORY", []))
        if expected.count("UNITCORR complete.") == 2:
            # The FLT is told twice. Q21.
            expected.reverse()
            expected.remove("UNITCORR complete.")
            expected.reverse()
        assert [line for line in told if not line.startswith("  noise from")] == expected


@pytest.mark.filterwarnings("ignore:.*NSAMP is 12 but:UserWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_and_nothing_written(shared: Path, tmp_path: Path, name: str) -> None:
    folder = shared / "golden" / "wf3ir" / f"s64_{name}"
    kind, message = REFUSED[name]
    refs = Refs(shared / "golden" / "wf3ir" / "refs_s64")
    for parity in (False, True):
        with pytest.raises(kind, match=message):
            upramp.calibrate_file(raws(folder)[0], tmp_path, refs=refs, parity=parity)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_result_where_calwf3_has_none(shared: Path, tmp_path: Path, name: str) -> None:
    folder = shared / "golden" / "wf3ir" / f"s64_{name}"
    assert json.loads((folder / "manifest.json").read_text())["rc"] != [0]
    done = upramp.calibrate_file(
        raws(folder)[0], tmp_path, refs=Refs(shared / "golden" / "wf3ir" / "refs_s64")
    )
    with (
        fits.open(done.flt) as flt,
        fits.open(folder.parent / "s64_nominal" / "isim01aaq_flt.fits.gz") as good,
    ):
        fitted = good["ERR"].data > 0
        off = (flt["SCI"].data - good["SCI"].data)[fitted] / good["ERR"].data[fitted]
        # Without the dark all pixels are brighter by it, a good part of their error.
        assert np.median(np.abs(off)) < (0.05 if name == "badread_8192" else 1.0)
