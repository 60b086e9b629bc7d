"""Figures of sky values and of overlaps, and the command that writes them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from upramp.cli import main
from upramp.plot import plot_sky_graph, plot_sky_values
from upramp.sky import SkyResult, match_sky, read_images

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

SKIES = [3.0, 1.0, 2.0, 5.0]
PLACES = [(0, 0), (20, 2), (22, 1), (300, 0)]
"""Two dithers of a field beside the first, and one far away."""


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = []
    for number, (sky, (right, up)) in enumerate(zip(SKIES, PLACES, strict=True)):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [10 - right / 3600, up / 3600]
        wcs.wcs.crpix, wcs.wcs.cdelt = [20.5, 20.5], [-1 / 3600, 1 / 3600]
        primary = fits.PrimaryHDU()
        primary.header.update({"ROOTNAME": f"x{number}q", "EXPTIME": 10.0})
        science = fits.ImageHDU(np.full((40, 40), sky * (10 if number == 2 else 1), np.float32), name="SCI")
        science.header.update(wcs.to_header())
        science.header.update({"BUNIT": "ELECTRONS" if number == 2 else "ELECTRONS/S", "KEPT": 0.5})
        quality = fits.ImageHDU(np.zeros((40, 40), np.int16), name="DQ")
        found.append(tmp_path / f"x{number}_flt.fits")
        fits.HDUList([primary, science, quality]).writeto(found[-1])
    return found


@pytest.fixture
def result(paths: list[Path]) -> SkyResult:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="overlaps leave 2 groups")
        return match_sky(read_images(paths), "all")


def test_values_of_all_methods_per_second(result: SkyResult) -> None:
    axes = plot_sky_values(result)
    drawn = {container.get_label(): container.lines[0].get_ydata() for container in axes.containers}
    assert list(drawn) == ["localmin", "globalmin", "match", "globalmin+match"]
    assert drawn["localmin"] == pytest.approx(SKIES)
    assert drawn["match"] == pytest.approx([2, 0, 1, 0], abs=1e-6)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["x0q", "x1q", "x2q", "x3q"]
    assert "s$^{-1}$" in axes.get_ylabel()
    alone = plot_sky_values(result, methods=["match"], axes=axes.figure.add_subplot())
    assert len(alone.containers) == 1
    with pytest.raises(ValueError, match="'user', expected of those"):
        plot_sky_values(result, methods=["user"])
    matplotlib.pyplot.close("all")


def test_graph_before_and_after(result: SkyResult, paths: list[Path]) -> None:
    figure = plot_sky_graph(result)
    before, after = figure.axes[:2]
    for axes, column in ((before, "difference"), (after, "residual")):
        (lines,) = (found for found in axes.collections if found.get_array() is not None)
        drawn = sorted(np.asarray(lines.get_array()).tolist())
        assert drawn == pytest.approx(sorted(result.residuals[column]), abs=1e-6)
        # Exposures stand where they point, 20 arcsec apart, east to the left.
        lengths = [np.hypot(*np.diff(one, axis=0)[0]) * 60 for one in lines.get_segments()]
        assert sorted(lengths) == pytest.approx(sorted([5**0.5, 404**0.5, 485**0.5]), rel=1e-3)
        assert axes.xaxis_inverted()
        assert [text.get_text() for text in axes.texts] == ["0", "1, 2", "3"]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [
            "group 1: 3 exposures",
            "group 2: no overlap",
        ]
    assert "rms" in after.get_title()
    with pytest.raises(ValueError, match="expected one that matches"):
        plot_sky_graph(match_sky(read_images(paths)))
    matplotlib.pyplot.close("all")


def test_command_with_lists_masks_and_figures(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    mask = np.zeros((40, 40), np.uint8)
    mask[:, 30:] = 1
    fits.PrimaryHDU(mask).writeto("m.fits")
    Path("images").write_text("x0_flt.fits\nx1_flt.fits[1]\n")
    Path("masks").write_text("x0_flt.fits,m.fits\nx9_flt.fits,m.fits\n")
    Path("x9_flt.fits").write_bytes(paths[0].read_bytes())
    figures = ["--png", "v.png", "--graph", "g.pdf"]
    assert main(["sky", "@images", "--method", "all", "--mask", "masks", *figures, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["file"], row["npix"]) for row in rows] == [("x0_flt.fits", 400), ("x1_flt.fits", 1600)]
    assert Path("v.png").read_bytes()[:4] == b"\x89PNG"
    assert Path("g.pdf").read_bytes()[:4] == b"%PDF"
    assert main(["sky", "x[01]_flt.fits", "--png", "v.png"]) == 2  # there already
    assert main(["sky", "x0_flt.fits", "--graph", "new.png"]) == 2
    assert main(["sky", "x0_flt.fits", "--user", "masks", "--user-keyword", "KEPT"]) == 2
    assert main(["sky", "x0_flt.fits", "--invsens", "PHOTFLAM"]) == 3
    capsys.readouterr()
    assert main(["sky", "x0_flt.fits", "--user-keyword", "KEPT", "--write-header", "--quiet"]) == 0
    assert fits.getval("x0_flt.fits", "MDRIZSKY", "SCI") == 0.5
    assert fits.getval("x0_flt.fits", "SKYSUBD", "SCI")
