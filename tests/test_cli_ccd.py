"""``upramp ccd`` and ``upramp stack``: a small night from one command line, past bad files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from upramp import ccd
from upramp.cli import main

SHAPE = (64, 80)


def write(path: Path, level: float, rng: Any, **cards: Any) -> str:
    image = rng.normal(300 + level, np.hypot(3, np.sqrt(level)), SHAPE)
    hdu = fits.PrimaryHDU(np.clip(np.rint(image), 0, 65535).astype(np.uint16))
    hdu.header.update({"EXPTIME": 0.0, "FILTER": "V", "GAIN": 1.0, "RDNOISE": 3.0} | cards)
    hdu.writeto(path)
    return str(path)


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    rng = np.random.default_rng(4)
    (tmp_path / "raw").mkdir()
    (tmp_path / "red").mkdir()
    monkeypatch.chdir(tmp_path)
    raw = Path("raw")
    return {
        "bias": [write(raw / f"b{k}.fits", 0, rng) for k in range(5)],
        "dark": [write(raw / f"d{k}.fits", 100, rng, EXPTIME=200.0) for k in range(3)],
        "flat": [
            write(raw / f"f{name[0]}{k}.fits", 20000, rng, FILTER=name)
            for k in range(3)
            for name in ("V", "R band")
        ],
        "science": [write(raw / f"s{k}.fits", 500, rng, EXPTIME=60.0 * (k + 1)) for k in range(3)],
    }


def test_a_night(night: dict[str, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in Path("raw").iterdir()}
    assert main(["ccd", "bias", *night["bias"], "-o", ".", "--log", "log.txt"]) == 0
    assert "median of 5 frames" in Path("log.txt").read_text()
    assert "master_bias.fits: 5 frames" in capsys.readouterr().out
    assert main(["ccd", "dark", *night["dark"], "--bias", "master_bias.fits", "-o", "dark.fits"]) == 0
    assert fits.getdata("dark.fits").mean() == pytest.approx(0.5, abs=0.02)
    flat = ["ccd", "flat", *night["flat"], "--bias", "master_bias.fits", "--table", "flats.csv"]
    assert main([*flat, "--norm", "mean", "--mask-below", "0.8", "--sigma-clip", "3,4"]) == 0
    assert Path("flats.csv").read_text().count("\n") == 7
    out = capsys.readouterr().out
    assert "master_flat_V.fits: 3 frames" in out
    assert "master_flat_R_band.fits: 3 frames" in out
    reduce = ["ccd", "reduce", *night["science"], "--bias", "master_bias.fits", "--dark", "dark.fits"]
    reduce += ["--flat", "master_flat_V.fits", "master_flat_R_band.fits", "-o", "red", "--png", "png"]
    assert main([*reduce, "--jobs", "2", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(line["file"] for line in lines) == [f"raw/s{k}.fits" for k in range(3)]
    for line in lines:
        k = int(Path(line["file"]).stem[1:])
        assert line["median"] == pytest.approx(500 - 0.5 * 60 * (k + 1), abs=3)
    assert all(line["uncertainty"] == pytest.approx(line["noise"], rel=0.1) for line in lines)
    assert len(list(Path("png").glob("*_red.png"))) == 3
    assert main([*reduce, "--resume"]) == 0
    assert "3 skipped" in capsys.readouterr().out
    assert main(reduce) == 6  # products exist
    products = [f"red/s{k}_red.fits" for k in range(3)]
    assert main(["stack", *products, "-o", "stack.fits", "--sigma-clip", "3"]) == 0
    header = fits.getheader("stack.fits")
    assert header["NCOMBINE"] == 3
    assert "median of 3 frames, sigma clip 3.0" in "\n".join(header["HISTORY"])
    assert {path: path.read_bytes() for path in Path("raw").iterdir()} == before


def test_bad_files_are_left_out(night: dict[str, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.fits").write_text("hello")
    fits.PrimaryHDU(np.zeros((3, 4), np.uint16)).writeto("small.fits")
    bad = ["bad.fits", "small.fits"]
    assert main(["ccd", "bias", *night["bias"], *bad, "-o", "."]) == 6
    err = capsys.readouterr().err
    assert "left out: bad.fits: not a FITS file" in err
    assert "left out: small.fits has shape (3, 4)" in err
    np.testing.assert_array_equal(
        fits.getdata("master_bias.fits"), np.median([fits.getdata(path) for path in night["bias"]], axis=0)
    )
    assert main(["ccd", "dark", *night["dark"], *night["bias"][:1], "-o", "dark.fits"]) == 6
    assert "exposure time is 0.0 s" in capsys.readouterr().err
    assert main(["ccd", "flat", *night["flat"], *bad, "--bias", "master_bias.fits"]) == 6
    assert main(["ccd", "stats", *night["science"], *bad, "--csv", "stats.csv"]) == 6
    assert Path("stats.csv").read_text().count("\n") == 5
    assert main(["ccd", "reduce", *night["science"], *bad, "--bias", "master_bias.fits", "-o", "red"]) == 6
    assert len(list(Path("red").iterdir())) == 3
    assert main(["stack", *night["science"], *bad, "-o", "stack.fits"]) == 6
    assert fits.getheader("stack.fits")["NCOMBINE"] == 3
    # A single one ends the command with its own code.
    capsys.readouterr()
    assert main(["ccd", "bias", "bad.fits", "-o", "new.fits"]) == 3
    Path("other.fits").write_text("hello")
    assert main(["ccd", "bias", "bad.fits", "other.fits", "-o", "new.fits"]) == 3
    assert "no frame can be used" in capsys.readouterr().err


@pytest.mark.parametrize("scale", ["median", "mean", "exptime"])
@pytest.mark.parametrize("zero", ["none", "median"])
def test_stack_scales(night: dict[str, list[str]], scale: str, zero: str) -> None:
    names = night["science"]
    options = ["--scale", scale] + (["--zero", zero] if scale == "exptime" else [])
    assert main(["stack", *names, "-o", "x.fits", "--method", "mean", *options, "--memory-limit", "1M"]) == 0
    cube = np.array([fits.getdata(name).astype(float) for name in names])
    if scale == "exptime":
        if zero == "median":
            cube -= np.median(cube, axis=(1, 2), keepdims=True)
        cube /= np.array([60.0, 120.0, 180.0])[:, None, None]
    else:
        levels = getattr(np, scale)(cube, axis=(1, 2), keepdims=True)
        cube *= levels[0] / levels
    np.testing.assert_allclose(fits.getdata("x.fits"), cube.mean(axis=0), rtol=1e-5, atol=1e-4)


def test_stack_leaves_out_extremes_and_masked_pixels(tmp_path: Path) -> None:
    paths = []
    for k in range(5):
        image = ccd.CcdImage(
            np.full(SHAPE, float(k), np.float32), None, np.zeros(SHAPE, np.uint8), fits.Header(), "x"
        )
        image.dq[k] = 4
        paths.append(str(image.write(tmp_path / f"{k}.fits")))
    out = tmp_path / "out.fits"
    assert main(["stack", *paths, "-o", str(out), "--method", "mean", "--minmax", "0,1"]) == 0
    data = fits.getdata(out)
    assert (data[10] == 1.5).all()
    assert (data[0] == 2.0).all()
    assert (data[4] == 1.0).all()
    assert (fits.getdata(out, "COUNT")[:6, 0] == [3, 3, 3, 3, 3, 4]).all()


def test_refused(night: dict[str, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    bias = night["bias"]
    cases: list[tuple[list[str], int, str]] = [
        (["ccd", "bias", *bias, "-o", "none"], 2, "directory 'none' does not exist"),
        (["ccd", "bias", *bias, "-o", bias[0], "--overwrite"], 2, "is an input"),
        (["ccd", "bias", *bias, "--jobs", "0"], 2, "--jobs is 0"),
        (["ccd", "flat", *night["flat"], "-o", "flat.fits"], 2, "expected a directory"),
        (["ccd", "reduce", bias[0], "--flat", bias[0], bias[1]], 2, "both flats of filter 'V'"),
        (["ccd", "reduce", bias[0], "--gain", "-1"], 2, "gain is -1"),
        (["stack", *bias, "-o", bias[0], "--overwrite"], 2, "is an input"),
        (["stack", *bias, "-o", "x.fits", "--scale", "exptime"], 3, "its exptime is 0.0"),
        (["stack", *bias, "-o", "x.fits", "--memory-limit", "100"], 2, "expected at least 800"),
    ]
    for arguments, code, message in cases:
        assert main(arguments) == code, arguments
        assert message in capsys.readouterr().err
    for arguments in (
        ["ccd"],
        ["ccd", "bias", *bias, "--sigma-clip", "a"],
        ["stack", *bias, "-o", "x.fits", "--minmax", "1,2,3"],
        ["stack", *bias, "-o", "x.fits", "--memory-limit", "lots"],
    ):
        with pytest.raises(SystemExit):
            main(arguments)
    assert not [path for path in Path().iterdir() if path.suffix == ".fits"]
