"""MDRIZSKY in headers, skies out of pixels, and the command that does both."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from upramp.cli import main
from upramp.exceptions import InputError, OutputError
from upramp.sky import match_sky, read_images, subtract_sky, write_headers

SHAPE = (40, 50)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two exposures of two chips, electrons."""
    rng = np.random.default_rng(8)
    folder = tmp_path / "in"
    folder.mkdir()
    paths = []
    for name, sky in (("a", 30.0), ("b", 20.0)):
        hdus: list[Any] = [fits.PrimaryHDU()]
        hdus[0].header["EXPTIME"], hdus[0].header["ROOTNAME"] = 100.0, f"{name}root"
        for version in (1, 2):
            pixels = rng.normal(sky + version, 1, SHAPE).astype(np.float32)
            pixels[3, 4] = np.nan
            science = fits.ImageHDU(pixels, name="SCI", ver=version)
            science.header["BUNIT"] = "ELECTRONS"
            science.header["MDRIZSKY"] = 1e9
            hdus += [science, fits.ImageHDU(np.zeros(SHAPE, np.int16), name="DQ", ver=version)]
        path = folder / f"{name}_flt.fits"
        fits.HDUList(hdus).writeto(path, checksum=True)
        paths.append(path)
    return paths


def raw_data(path: Path) -> list[bytes]:
    # With warnings as errors, sums that do not fit fail here.
    with fits.open(path, checksum=True) as file:
        return [b"" if hdu.data is None else hdu.data.tobytes() for hdu in file]


def test_headers_change_and_pixels_do_not(files: list[Path]) -> None:
    files[0].chmod(0o640)
    before = [raw_data(path) for path in files]
    found = match_sky(read_images(files))
    assert write_headers(found) == files
    assert [raw_data(path) for path in files] == before
    assert files[0].stat().st_mode & 0o777 == 0o640
    for path, values in zip(files, found.values, strict=True):
        assert sorted(other.name for other in path.parent.iterdir()) == ["a_flt.fits", "b_flt.fits"]
        with fits.open(path) as file:
            for version, value in enumerate(values, 1):
                header = file["SCI", version].header
                assert header["MDRIZSKY"] == value
                assert (header["SKYMETH"], header["SKYSTAT"], header["SKYSUBD"]) == (
                    *("localmin", "median"),
                    False,
                )
            history = "".join(file[0].header["HISTORY"])
            assert "localmin: median, nclip 5" in history
    # Again: the same values, and no card twice.
    again = match_sky(read_images(files))
    assert again.values == found.values
    write_headers(again)
    assert fits.getheader(files[0], "SCI").count("MDRIZSKY") == 1


def test_copies_lose_their_sky_and_nothing_else(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    before = [path.read_bytes() for path in files]
    found = match_sky(read_images(files), "globalmin")
    written = subtract_sky(found, out)
    assert [path.read_bytes() for path in files] == before
    for path, copy, values in zip(files, written, found.values, strict=True):
        with fits.open(path) as old, fits.open(copy, checksum=True) as new:
            for version, value in enumerate(values, 1):
                expected = old["SCI", version].data - np.float32(value)
                np.testing.assert_array_equal(new["SCI", version].data, expected)
                assert new["SCI", version].header["MDRIZSKY"] == value
                np.testing.assert_array_equal(new["DQ", version].data, old["DQ", version].data)
    with pytest.raises(OutputError, match="exists already"):
        subtract_sky(found, out)
    with pytest.raises(ValueError, match="is an input"):
        subtract_sky(found, files[0].parent, overwrite=True)
    # A second subtraction takes away what is left, and keeps the total.
    twice = tmp_path / "twice"
    twice.mkdir()
    left = match_sky(read_images(written))
    for copy, first, second in zip(subtract_sky(left, twice), found.values, left.values, strict=True):
        assert fits.getval(copy, "MDRIZSKY", "SCI") == pytest.approx(first[0] + second[0])
    with pytest.raises(InputError, match="has been subtracted"):
        write_headers(left)


def test_gzipped_files_stay_so(files: list[Path], tmp_path: Path) -> None:
    packed = tmp_path / "c_flt.fits.gz"
    packed.write_bytes(gzip.compress(files[0].read_bytes()))
    found = match_sky(read_images([packed]))
    write_headers(found)
    assert packed.read_bytes()[:2] == b"\x1f\x8b"
    assert raw_data(packed) == raw_data(files[0])
    assert fits.getval(packed, "MDRIZSKY", "SCI") == found.values[0][0]


def test_integer_pixels_are_refused_before_anything_is_written(files: list[Path], tmp_path: Path) -> None:
    with fits.open(files[1], mode="update") as file:
        file["SCI", 1].data = np.full(SHAPE, 20, np.int16)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InputError, match=r"b_flt\.fits\[SCI,1\]: pixels are integers"):
        subtract_sky(match_sky(read_images(files)), out)
    assert not list(out.iterdir())


@pytest.mark.parametrize("suffix", ["csv", "ecsv"])
def test_command(files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    table, out = tmp_path / f"sky.{suffix}", tmp_path / "out"
    out.mkdir()
    names = [str(path) for path in files]
    options = ["--method", "globalmin", "--stat", "mean", "--table", str(table), "--json", "--jobs", "1"]
    assert main(["sky", *names, *options, "--write-header", "--subtract", "-o", str(out)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["file"], row["extver"]) for row in rows] == [
        (path.name, version) for path in files for version in (1, 2)
    ]
    assert rows[0]["globalmin"] == rows[3]["localmin"] == pytest.approx(21.0, abs=0.1)
    assert rows[0]["localmin"] == pytest.approx(31.0, abs=0.1)
    assert fits.getval(files[0], "MDRIZSKY", "SCI") == rows[0]["globalmin"]
    with fits.open(files[0]) as old, fits.open(out / "a_flt.fits") as new:
        difference = old["SCI"].data - new["SCI"].data
        assert np.nanmedian(difference) == pytest.approx(rows[0]["globalmin"], rel=1e-6)
    lines = [line for line in table.read_text().splitlines() if not line.startswith("#")]
    written = list(csv.DictReader(lines, delimiter="," if suffix == "csv" else " "))
    assert [float(row["globalmin"]) for row in written] == [row["globalmin"] for row in rows]


def test_command_takes_values_of_the_user(files: list[Path], tmp_path: Path) -> None:
    listed = tmp_path / "sky.txt"
    listed.write_text("a_flt.fits 1.5\nb_flt.fits 2.5 3.5\n")
    names = [str(path) for path in files]
    assert main(["sky", *names, "--user", str(listed), "--write-header", "--quiet"]) == 0
    with fits.open(files[1]) as file:
        assert [file["SCI", version].header["MDRIZSKY"] for version in (1, 2)] == [2.5, 3.5]


def test_command_refuses(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sky", str(files[0]), "--subtract"]) == 2
    assert "belong together" in capsys.readouterr().err
    assert main(["sky", str(files[0]), "--bits", "many"]) == 2
    assert "bits is 'many'" in capsys.readouterr().err
    assert main(["sky", str(files[0]), str(files[0])]) == 2
    with pytest.raises(SystemExit):
        main(["sky", str(files[0]), "--method", "lowest"])
