"""Association tables: kinds, members, and the exposures beside them."""

from __future__ import annotations

import gzip
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from upramp.exceptions import InputError
from upramp.wfc3ir.association import Member, calibration_inputs, exposures, read_association

DITHER = (("AAA01AAQ", "EXP-DTH", True), ("AAA01ABQ", "EXP-DTH", True), ("AAA01010", "PROD-DTH", False))
REPEAT = (("AAA01AAQ", "EXP-RPT", True), ("AAA01ABQ", "EXP-RPT", True), ("AAA01010", "PROD-RPT", False))


def write_asn(path: Path, rows: tuple[tuple[str, str, bool], ...], drop: str = "") -> Path:
    names, types, present = zip(*rows, strict=True)
    columns = [
        fits.Column("MEMNAME", "14A", array=np.array(names)),
        fits.Column("MEMTYPE", "14A", array=np.array(types)),
        fits.Column("MEMPRSNT", "L", array=np.array(present)),
    ]
    kept = [column for column in columns if column.name != drop]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(kept, name="ASN")]).writeto(path)
    return path


def write_exposure(path: Path, **cards: str) -> Path:
    fits.PrimaryHDU(header=fits.Header(cards)).writeto(path)
    return path


def test_a_real_layout_is_read(shared: Path) -> None:
    folder = shared / "golden/wf3ir/s64_asn"
    found = read_association(folder / "isim02010_asn.fits.gz")
    assert found.kind == "dither"
    assert found.members == (Member("isim02aaq", "exp-dth", True), Member("isim02abq", "exp-dth", True))
    assert found.products == (Member("isim02010", "prod-dth", True),)
    names = ["isim02aaq_raw.fits.gz", "isim02abq_raw.fits.gz"]
    assert [path.name for path in exposures(found)] == names
    assert calibration_inputs(found.path) == exposures(found)


@pytest.mark.parametrize(
    ("types", "kind"),
    [
        (("EXP-DTH", "EXP-DTH", "PROD-DTH"), "dither"),
        (("EXP-RPT", "EXP-RPT", "PROD-RPT"), "repeat"),
        (("EXP-RP1", "EXP-RP1", "PROD-RP1"), "repeat"),
        (("EXP-CRJ", "EXP-CRJ", "PROD-CRJ"), "crsplit"),
        (("EXP-CR1", "EXP-RP1", "PROD-DTH"), "crsplit"),
        (("EXP-RPT", "PROD-RPT"), "single"),
    ],
)
def test_kind_follows_from_the_types(tmp_path: Path, types: tuple[str, ...], kind: str) -> None:
    rows = tuple((f"AAA{i:02d}010", name, True) for i, name in enumerate(types))
    assert read_association(write_asn(tmp_path / "x_asn.fits", rows)).kind == kind


def test_underscores_become_hyphens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_asn(
        tmp_path / "x_asn.fits", (("A", "EXP_DTH", True), ("P", "prod_dth", True), ("S", "SPT", True))
    )
    with caplog.at_level(logging.WARNING):
        found = read_association(path)
    assert found.members[0].type == "exp-dth"
    assert found.products[0].type == "prod-dth"
    assert "read with '-'" in caplog.text
    assert "MEMTYPE of s is 'spt'" in caplog.text


def test_missing_and_absent_exposures_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = (*DITHER, ("AAA01ACQ", "EXP-DTH", False), ("AAA01ADQ", "EXP-DTH", True))
    path = write_asn(tmp_path / "aaa01010_asn.fits", rows)
    association = read_association(path)
    with pytest.raises(InputError, match=r"no exposure to calibrate in .*aaa01aaq_raw\.fits"):
        exposures(association)
    write_exposure(tmp_path / "aaa01abq_ima.fits")
    write_exposure(tmp_path / "aaa01acq_raw.fits")
    with gzip.open(tmp_path / "aaa01adq_raw.fits.gz", "wb") as packed:
        packed.write((tmp_path / "aaa01acq_raw.fits").read_bytes())
    with caplog.at_level(logging.WARNING):
        found = [path.name for path in exposures(association)]
    assert found == ["aaa01abq_ima.fits", "aaa01adq_raw.fits.gz"]
    assert "neither RAW nor IMA of aaa01aaq" in caplog.text
    assert "aaa01acq is marked as absent" in caplog.text
    write_exposure(tmp_path / "aaa01abq_raw.fits")
    assert exposures(association)[0].name == "aaa01abq_raw.fits"


def test_exposures_may_be_elsewhere(tmp_path: Path) -> None:
    path = write_asn(tmp_path / "aaa01010_asn.fits", DITHER)
    (tmp_path / "raw").mkdir()
    write_exposure(tmp_path / "raw" / "aaa01aaq_raw.fits")
    write_exposure(tmp_path / "raw" / "aaa01abq_raw.fits")
    assert [name.parent.name for name in exposures(read_association(path), tmp_path / "raw")] == [
        "raw",
        "raw",
    ]


@pytest.mark.parametrize(("switch", "refused"), [("PERFORM", True), ("OMIT", False)])
def test_a_combination_is_refused_by_name(tmp_path: Path, switch: str, refused: bool) -> None:
    path = write_asn(tmp_path / "aaa01010_asn.fits", REPEAT)
    first = write_exposure(tmp_path / "aaa01aaq_raw.fits", RPTCORR=switch)
    second = write_exposure(tmp_path / "aaa01abq_raw.fits", RPTCORR="PERFORM")
    if refused:
        with pytest.raises(InputError, match=r"RPTCORR is PERFORM in aaa01aaq_raw\.fits.*OMIT"):
            calibration_inputs(path)
        second.unlink()
        # Nothing can be combined with a single exposure.
        assert calibration_inputs(path) == [first]
    else:
        assert calibration_inputs(path) == [first, second]


def test_a_dither_asks_for_no_combination(tmp_path: Path) -> None:
    path = write_asn(tmp_path / "aaa01010_asn.fits", DITHER)
    for name in ("aaa01aaq", "aaa01abq"):
        write_exposure(tmp_path / f"{name}_raw.fits", RPTCORR="PERFORM")
    assert len(calibration_inputs(path)) == 2


def test_what_is_no_association_is_refused(tmp_path: Path, shared: Path) -> None:
    with pytest.raises(InputError, match="holds no binary table"):
        read_association(write_exposure(tmp_path / "a_raw.fits"))
    with pytest.raises(InputError, match="column MEMPRSNT is missing"):
        read_association(write_asn(tmp_path / "b_asn.fits", DITHER, drop="MEMPRSNT"))
    with pytest.raises(InputError, match="lists no exposure"):
        read_association(write_asn(tmp_path / "c_asn.fits", (("P", "PROD-DTH", True),)))
    with pytest.raises(InputError, match=r"none_asn\.fits: cannot be read"):
        read_association(tmp_path / "none_asn.fits")
    packed = shutil.copy(shared / "golden/wf3ir/s64_asn/isim02010_asn.fits.gz", tmp_path)
    Path(packed).write_bytes(Path(packed).read_bytes()[:200])
    with pytest.raises(InputError):
        read_association(packed)
