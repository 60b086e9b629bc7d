"""stsci.skypac, where installed (with spherical_geometry < 1.4), beside the drop-in: values, cards, pixels."""

from __future__ import annotations

import gc
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

import upramp
from upramp.compat import skypac

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    theirs = pytest.importorskip("stsci.skypac.skymatch", reason="stsci.skypac is not installed")
    polygon = pytest.importorskip("spherical_geometry.polygon")
    from stsci.skypac import parseat, skyline, skystatistics

if not hasattr(polygon.SphericalPolygon, "iter_polygons_flat"):
    pytest.skip("skypac cannot match with spherical_geometry 1.4 and later", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def mended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Good pixels where skypac 1.0.11 and later have the bad ones, and corners of pixels for footprints."""
    inverted = skyline.bitfield_to_boolean_mask

    def good(*args: Any, **options: Any) -> Any:
        return inverted(*args, **(options | {"good_mask_value": True}))

    def corners(wcs: Any, steps: int = 1) -> Any:
        # spherical_geometry 1.3.3 has centres of pixels, 1.3.5 the corners, of nx by ny pixels swapped.
        nx, ny = wcs.pixel_shape
        x, y = [-0.5, nx - 0.5, nx - 0.5, -0.5, -0.5], [-0.5, -0.5, ny - 0.5, ny - 0.5, -0.5]
        return polygon.SphericalPolygon.from_lonlat(*wcs.all_pix2world(x, y, 0))

    monkeypatch.setattr(skyline, "bitfield_to_boolean_mask", good)
    monkeypatch.setattr(polygon.SphericalPolygon, "from_wcs", corners)


@pytest.fixture
def folders(tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """Two copies of the tiles, for skypac and for us."""
    places = tmp_path / "theirs", tmp_path / "ours"
    for place in places:
        shutil.copytree(tiles, place)
    monkeypatch.chdir(tmp_path)
    yield places
    # Files that skypac leaves open warn when they are collected: here, where warnings are ignored.
    gc.collect()


def run(places: tuple[Path, Path], **options: Any) -> None:
    for place, function in zip(places, (theirs.skymatch, skypac.skymatch), strict=True):
        function(f"{place}/*_flt.fits", verbose=False, flog=None, **options)


def cards(place: Path, keyword: str) -> list[tuple[float, str]]:
    found = []
    for path in sorted(place.glob("*_flt.fits")):
        with fits.open(path) as file:
            header = file["SCI", 1].header
            found.append((header[keyword], header.comments[keyword]))
    return found


@pytest.mark.usefixtures("mended")
@pytest.mark.parametrize("method", ["localmin", "globalmin", "match", "globalmin+match"])
@pytest.mark.parametrize(
    "options",
    [
        {"skystat": "median", "dq_bits": 0},
        {"dq_bits": "~4096,4", "nclip": 3, "lsigma": 3.0, "binwidth": 0.2, "match_down": False},
        {
            "skystat": "mean",
            "lower": -5.0,
            "upper": 6000.0,
            "invsens_kwd": "PHOTFLAM",
            "skyuser_kwd": "MYSKY",
        },
    ],
)
def test_values_and_comments(folders: Any, method: str, options: dict[str, Any]) -> None:
    run(folders, skymethod=method, readonly=False, **options)
    ours, wanted = (cards(place, options.get("skyuser_kwd", "SKYUSER")) for place in folders[::-1])
    assert [comment for _, comment in ours] == [comment for _, comment in wanted]
    # Levels of whole images have 32 bits there.
    accuracy = {"rel": 1e-6} if method != "match" else {"abs": 1e-9}
    assert [value for value, _ in ours] == pytest.approx([value for value, _ in wanted], **accuracy)


@pytest.mark.usefixtures("mended")
def test_subtracted_pixels_and_totals(folders: Any) -> None:
    options = {
        "skymethod": "match",
        "skystat": "median",
        "dq_bits": 0,
        "readonly": False,
        "subtractsky": True,
    }
    run(folders, **options)
    run(folders, **options)
    for path in sorted(folders[0].glob("*_flt.fits")):
        with fits.open(path) as wanted, fits.open(folders[1] / path.name) as ours:
            one, other = ours["SCI", 1], wanted["SCI", 1]
            assert one.data == pytest.approx(other.data, rel=1e-6, abs=1e-6)
            # What the first run leaves is rounding, in 32 bits.
            assert one.header["SKYUSER"] == pytest.approx(other.header["SKYUSER"], abs=2e-4)
            assert one.header.comments["SKYUSER"] == other.header.comments["SKYUSER"]
            lines = [[str(line)[:8] for line in file["SCI", 1].header["HISTORY"]] for file in (ours, wanted)]
            assert lines[0] == lines[1] == ["SKYUSER "] * 2
            assert len(ours[0].header["HISTORY"]) >= 2
            assert np.array_equal(ours["DQ", 1].data, wanted["DQ", 1].data)


@pytest.mark.usefixtures("mended")
def test_lists_with_masks(folders: Any) -> None:
    rng = np.random.default_rng(1)
    for place in folders:
        names = sorted(place.glob("*_flt.fits"))
        lines = []
        for number, path in enumerate(names):
            mask = place / f"mask{number}.fits"
            shape = fits.getdata(path).shape
            fits.PrimaryHDU((rng.random(shape) < 0.5).astype(np.uint8)).writeto(mask)
            lines.append(f"{path}{{('sci',*)}},{mask if number else ''}")
        (place / "list").write_text("# masks\n" + "\n".join(lines) + "\n")
        rng = np.random.default_rng(1)
    for place, function in zip(folders, (theirs.skymatch, skypac.skymatch), strict=True):
        function(f"@{place}/list", "match", skystat="median", readonly=False, verbose=False, flog=None)
    ours, wanted = (cards(place, "SKYUSER") for place in folders[::-1])
    assert [value for value, _ in ours] == pytest.approx([value for value, _ in wanted], abs=1e-9)


@pytest.mark.usefixtures("mended")
def test_as_astrodrizzle_calls_it(folders: Any) -> None:
    """With open files and masks in files: the headers of the open files are those that change."""
    found = []
    for place, function in zip(folders, (theirs.skymatch, skypac.skymatch), strict=True):
        infos = []
        for path in sorted(place.glob("*_flt.fits")):
            mask = path.with_suffix(".mask.fits")
            with fits.open(path) as file:
                fits.PrimaryHDU((file["DQ", 1].data == 0).astype(np.uint8)).writeto(mask)
            info = parseat.FileExtMaskInfo(default_ext=("SCI", "*"), doNotOpenDQ=True, im_fmode="update")
            info.image = str(path)
            info.append_ext([("SCI", 1)])
            info.append_mask(str(mask), 0)
            info.finalize()
            infos.append(info)
        function(
            infos,
            skymethod="globalmin+match",
            skystat="median",
            skyuser_kwd="MDRIZSKY",
            readonly=False,
            optimize="balanced",
            clobber=True,
            verbose=False,
            flog=None,
            _taskname4history="AstroDrizzle",
        )
        found.append([info.image.hdu["SCI", 1].header["MDRIZSKY"] for info in infos])
        for info in infos:
            info.release_all_images()
        assert [value for value, _ in cards(place, "MDRIZSKY")] == found[-1]
    assert found[1] == pytest.approx(found[0], rel=1e-6)
    ours, wanted = (cards(place, "MDRIZSKY") for place in folders[::-1])
    assert [comment for _, comment in ours] == [comment for _, comment in wanted]
    assert ours[0][1] == "Sky value computed by AstroDrizzle"
    with fits.open(sorted(folders[1].glob("*_flt.fits"))[0]) as file:
        assert "HISTORY" not in file[0].header


@pytest.mark.parametrize("statistic", ["mean", "median", "mode", "midpt"])
def test_statistic_with_its_defaults(statistic: str) -> None:
    data = np.random.default_rng(2).gamma(2.0, 3.0, 4000).astype(np.float32)
    for options in ({}, {"nclip": 3, "lsig": 2.5}, {"lower": 1.0, "upper": 9.0, "nclip": 2, "binwidth": 0.3}):
        ours, wanted = (kind(statistic, **options) for kind in (skypac.SkyStats, skystatistics.SkyStats))
        assert ours.calc_sky(data) == pytest.approx(wanted.calc_sky(data), rel=1e-6)
        assert isinstance(ours.skyval, np.float32) == isinstance(wanted.skyval, np.float32)
        assert ours.npix == wanted.npix


def test_put_in_the_place_of_skypacs() -> None:
    before = theirs.skymatch, skystatistics.SkyStats
    with upramp.accelerate("skypac"):
        assert theirs.skymatch.__wrapped__ is skypac.skymatch
        assert issubclass(theirs.SkyStats, skypac.SkyStats)
        assert theirs.SkyStats("mean").calc_sky([1.0, 3.0]) == (2.0, 2)
    assert (theirs.skymatch, skystatistics.SkyStats) == before
