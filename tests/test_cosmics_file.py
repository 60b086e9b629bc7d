"""Cosmic rays out of FITS files, in Python and by ``upramp cosmics``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from upramp.ccd import clean_file, detect_cosmics, find_cosmics
from upramp.cli import main
from upramp.exceptions import InputError, OutputError


@pytest.fixture
def image() -> np.ndarray:
    random = np.random.default_rng(9)
    data = random.normal(500, 21, (60, 70))
    data[random.integers(5, 55, 12), random.integers(5, 65, 12)] += 3000
    return np.round(data).astype(np.uint16)


@pytest.fixture
def frame(image: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "night.fits"
    unit = fits.PrimaryHDU(image)
    unit.header["GAIN"], unit.header["RDNOISE"], unit.header["OBJECT"] = 1.4, 5.5, "M 1"
    unit.writeto(path)
    return path


def test_a_copy_with_its_mask(frame: Path, image: np.ndarray, tmp_path: Path) -> None:
    before = frame.read_bytes()
    done = clean_file(frame, tmp_path, gain="GAIN", readnoise=5.5, sigclip=5.0)
    expected = detect_cosmics(image, gain=1.4, readnoise=5.5, sigclip=5.0)
    assert done.path == tmp_path / "night_clean.fits"
    assert done.pixels == expected.mask.sum() > 5
    with fits.open(done.path) as file:
        assert [unit.name for unit in file] == ["PRIMARY", "CRMASK"]
        assert np.array_equal(file[0].data, expected.clean)
        assert np.array_equal(file[1].data, expected.mask)
        header = file[0].header
        assert (header["OBJECT"], header["NCOSMIC"], header["BITPIX"]) == ("M 1", done.pixels, -32)
        assert "BZERO" not in header
        said = "".join(map(str, header["HISTORY"]))
        assert "mode astroscrappy" in said
        assert "gain=1.4" in said
        assert "sigclip=5.0" in said
    assert frame.read_bytes() == before


def test_every_sci_extension_and_nothing_else(image: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "two_flc.fits.gz"
    units = [fits.PrimaryHDU()]
    for version in (1, 2):
        units.append(fits.ImageHDU(np.roll(image, version).astype(np.float32), name="SCI", ver=version))
        units.append(fits.ImageHDU(image.astype(np.int16), name="DQ", ver=version))
    units.append(fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2])], name="TAB"))
    fits.HDUList(units).writeto(path)
    done = clean_file(path, tmp_path, mode="robust")
    assert done.images == 2
    assert done.path.name == "two_flc_clean.fits"
    with fits.open(done.path) as file:
        for version in (1, 2):
            expected = find_cosmics(np.roll(image, version))
            assert np.array_equal(file["SCI", version].data, expected.clean)
            assert np.array_equal(file["CRMASK", version].data, expected.mask)
            assert np.array_equal(file["DQ", version].data, image)
        assert file["TAB"].data["a"].tolist() == [1, 2]


def test_compressed_images_lose_nothing(frame: Path, image: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "packed.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(image, name="SCI")]).writeto(path)
    done = clean_file(path, tmp_path)
    with fits.open(done.path) as file:
        assert isinstance(file["SCI"], fits.ImageHDU)
        assert not isinstance(file["SCI"], fits.CompImageHDU)
        assert np.array_equal(file["SCI"].data, detect_cosmics(image).clean)


def test_failures_are_named(frame: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="header has no number NOSUCH"):
        clean_file(frame, tmp_path, gain="NOSUCH")
    with pytest.raises(ValueError, match="mode is 'best'"):
        clean_file(frame, tmp_path, mode="best")
    text = tmp_path / "text.fits"
    text.write_text("no FITS")
    with pytest.raises(InputError, match=r"text\.fits: cannot be read as FITS"):
        clean_file(text, tmp_path)
    empty = tmp_path / "empty.fits"
    fits.PrimaryHDU().writeto(empty)
    with pytest.raises(InputError, match="has no image"):
        clean_file(empty, tmp_path)
    clean_file(frame, tmp_path)
    with pytest.raises(OutputError, match="exists already"):
        clean_file(frame, tmp_path)
    clean_file(frame, tmp_path, overwrite=True)


def test_the_command(
    frame: Path, image: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    options = [
        "--gain",
        "GAIN",
        "--readnoise",
        "RDNOISE",
        "--objlim",
        "2",
        "--true-median",
        "--cleantype",
        "idw",
    ]
    assert main(["cosmics", str(frame), "-o", str(out), *options]) == 0
    assert capsys.readouterr().out.startswith("night.fits -> ")
    expected = detect_cosmics(image, gain=1.4, readnoise=5.5, objlim=2, sepmed=False, cleantype="idw")
    assert np.array_equal(fits.getdata(out / "night_clean.fits"), expected.clean)
    options = [
        "--mode",
        "robust",
        "--sigclip",
        "6",
        "--sigfrac",
        "0.4",
        "--grow",
        "3",
        "--overwrite",
        "--json",
    ]
    assert main(["cosmics", str(frame), "-o", str(out), *options]) == 0
    record = json.loads(capsys.readouterr().out)
    better = find_cosmics(image, sigma=6, neighbour=0.4 * 6, grow=3)
    assert (record["status"], record["pixels"]) == ("ok", better.mask.sum())
    assert np.array_equal(fits.getdata(out / "night_clean.fits"), better.clean)


def test_several_files_go_past_a_bad_one(
    frame: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    bad = tmp_path / "bad.fits"
    bad.write_text("no FITS")
    assert main(["cosmics", str(bad), str(frame), "-o", str(out), "--jobs", "2"]) == 6
    said = capsys.readouterr()
    assert "bad.fits: cannot be read" in said.err
    assert "night.fits -> " in said.out
    assert [path.name for path in out.iterdir()] == ["night_clean.fits"]
    assert main(["cosmics", str(bad), "-o", str(out)]) == 3


def test_options_that_make_no_sense(frame: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*options: str) -> str:
        assert main(["cosmics", *options, "-o", str(tmp_path)]) == 2
        return capsys.readouterr().err

    assert "--grow belongs to --mode robust" in run(str(frame), "--grow", "2")
    assert "belong to --mode astroscrappy" in run(str(frame), "--mode", "robust", "--true-median")
    assert "--jobs is 0" in run(str(frame), "--jobs", "0")
    assert "would both be written to" in run(str(frame), str(frame.with_name("night.fits.gz")))
    clean = frame.with_name("night_clean.fits")
    clean.write_bytes(frame.read_bytes())
    assert "over an input" in run(str(frame), str(clean), "--overwrite")


@pytest.mark.parametrize("mode", ["astroscrappy", "robust"])
def test_pixels_known_to_be_bad_are_left_alone(mode: str, image: np.ndarray, tmp_path: Path) -> None:
    """A MASK is used if it is there, another extension when it is named, none when asked."""
    bad = np.zeros(image.shape, np.uint8)
    bad[find_cosmics(image).mask] = 1
    assert bad.sum() > 5
    path = tmp_path / "red.fits"
    planes = [fits.ImageHDU(bad, name="MASK"), fits.ImageHDU(4 * bad.astype(np.int16), name="DQ")]
    fits.HDUList([fits.PrimaryHDU(image), *planes]).writeto(path)
    for options in (["--mask", "none"], [], ["--mask", "dq"], ["--mask", "MASK"]):
        command = ["cosmics", str(path), "--mode", mode, "-o", str(tmp_path), "--overwrite", "--quiet"]
        assert main([*command, *options]) == 0
        with fits.open(tmp_path / "red_clean.fits") as file:
            found = file["CRMASK"].data != 0
            assert (found & (bad != 0)).any() == (options == ["--mask", "none"])
            said = "".join(map(str, file[0].header["HISTORY"]))
        assert ("mask=" in said) == (options != ["--mask", "none"])


def test_a_mask_that_is_named_must_be_there(frame: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"night.fits: no extension DQ,1 of shape \(60, 70\)"):
        clean_file(frame, tmp_path, mask="DQ")
