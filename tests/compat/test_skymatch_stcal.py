"""stcal.skymatch beside the drop-in, and its own tests on ours, where they are installed; groups by hand."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from upramp.compat import skymatch_stcal as ours

NO_STCAL = "stcal is not installed"
POLYGONS_FAIL = "test_image_intersection_malformed_polygon_logged"
"""What stcal does when its polygon package fails: ours has none that could."""


def has_stcal() -> bool:
    return find_spec("stcal") is not None and find_spec("gwcs") is not None


def plane(x0: float, y0: float) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Pixels of an arcsecond, the first at (x0, y0) arcsec beside (1, 1) degrees."""

    def forward(x: Any, y: Any, with_bounding_box: bool) -> tuple[Any, Any]:
        return 1 + (x0 + x) / 3600, 1 + (y0 + y) / 3600

    def inverse(ra: Any, dec: Any, with_bounding_box: bool) -> tuple[Any, Any]:
        return (ra - 1) * 3600 - x0, (dec - 1) * 3600 - y0

    return forward, inverse


def flat(level: float, x0: float, y0: float, shape: tuple[int, int] = (10, 12), **options: Any) -> Any:
    image = np.full(shape, level, np.float32)
    statistic = options.pop("skystat", ours.SkyStats("median"))
    return ours.SkyImage(image, np.ones(shape, bool), *plane(x0, y0), statistic, **options)


@pytest.mark.parametrize(
    ("method", "down", "skies"),
    [
        ("local", True, [3.0, 1.0, 5.0]),
        ("global", True, [1.0, 1.0, 1.0]),
        ("match", True, [2.0, 0.0, 4.0]),
        ("match", False, [-2.0, -4.0, 0.0]),
        ("global+match", True, [3.0, 1.0, 5.0]),
    ],
)
@pytest.mark.parametrize("subtract", [False, True])
def test_group_has_one_sky(method: str, down: bool, skies: list[float], subtract: bool) -> None:
    # The chips of the group share an offset of 1; the second, a field of its own, is 7 brighter.
    images = [flat(3, 0, 0), ours.SkyGroup([flat(1, 6, 0), flat(8, 40, 0)]), flat(5, 11, 3)]
    ours.skymatch(images, method, down, subtract)
    assert [image.sky for image in images] == pytest.approx(skies, abs=1e-6)
    assert [chip.sky for chip in images[1]] == [images[1].sky] * 2
    assert all(chip.is_sky_valid for chip in (images[0], *images[1], images[2]))
    left = [float(chip.image[0, 0]) for chip in (images[0], *images[1])]
    wanted = np.array([3, 1, 8]) - (np.array(skies)[[0, 1, 1]] if subtract else 0)
    assert left == pytest.approx(wanted.tolist(), abs=1e-6)


def test_overlap_with_several_of_a_group_is_measured_once() -> None:
    one = flat(3, 0, 0)
    one.image[:, 6:] = 5
    group = ours.SkyGroup([flat(1, 7, 0), flat(1, 6, 0)])
    level, npix, area = one.calc_sky(overlap=group)
    # From column 6, the half pixel before it rounded outwards, to the last.
    assert (level, npix) == (5.0, 10 * 6)
    assert area == pytest.approx((5 + 6) * 10 * np.radians(1 / 3600) ** 2, rel=1e-3)
    assert one.intersection(group).area() == pytest.approx(area)
    assert len(list(one.intersection(group).to_radec())) == 2
    assert one.calc_sky(overlap=flat(1, 50, 0)) == (None, 0, 0.0)


def test_what_cannot_be_measured(caplog: pytest.LogCaptureFixture) -> None:
    empty = flat(2, 3, 0)
    empty.mask[:] = False
    images = [flat(3, 0, 0), empty, flat(4, 5, 0, skystat=lambda data: (data.mean(), data.size))]
    images[0].image[4, 11] = np.nan
    with pytest.warns(UserWarning, match="2 groups"):
        ours.skymatch(images, "match")
    assert [image.sky for image in images] == [0.0, 0.0, 1.0]
    assert [image.is_sky_valid for image in images] == [True, False, True]
    assert "Unable to compute sky value" in caplog.text
    ours.skymatch([empty, flat(4, 5, 0)], "global")
    assert empty.sky == 4.0
    with pytest.raises(ValueError, match="Unsupported 'skymethod'"):
        ours.skymatch(images, "best")
    with pytest.raises(ValueError, match="same shape"):
        ours.SkyImage(images[0].image, np.ones((2, 2), bool), None, None, None)


def read(tiles: Path, module: Any, statistic: str, step: int | None) -> list[Any]:
    """The tiles in rates, the last two as a group."""
    images = []
    for path in sorted(tiles.glob("*_flt.fits")):
        with fits.open(path) as file:
            header, counts = file["SCI", 1].header, file["SCI", 1].header["BUNIT"] == "ELECTRONS"
            data = file["SCI", 1].data.astype(np.float32) / (file[0].header["EXPTIME"] if counts else 1)
            mask = file["DQ", 1].data == 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wcs = WCS(header)

        def forward(x: Any, y: Any, with_bounding_box: bool, wcs: WCS = wcs) -> Any:
            return wcs.all_pix2world(x, y, 0)

        def inverse(ra: Any, dec: Any, with_bounding_box: bool, wcs: WCS = wcs) -> Any:
            # Corners lie halfway between pixels: noise must not decide which way they are rounded.
            return [np.round(place, 6) for place in wcs.all_world2pix(ra, dec, 0)]

        how = module.SkyStats(statistic, nclip=3)
        images.append(module.SkyImage(data.astype(np.float32), mask, forward, inverse, how, stepsize=step))
    return [*images[:3], module.SkyGroup(images[3:])]


@pytest.mark.skipif(not has_stcal(), reason=NO_STCAL)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["local", "global", "match", "global+match"])
@pytest.mark.parametrize(
    ("statistic", "step", "down", "subtract"),
    [("median", None, True, False), ("mode", 30, False, False), ("mean", None, True, True)],
)
def test_same_as_stcal(
    tiles: Path, method: str, statistic: str, step: int | None, down: bool, subtract: bool
) -> None:
    from stcal import skymatch as theirs

    found = []
    for module in (ours, theirs):
        images = read(tiles, module, statistic, step)
        module.skymatch(images, method, down, subtract)
        found.append(images)
    # Means of levels over chips have 32 bits there. With vertices along the sides, whether an overlap is convex is
    # noise: it may be filled in pieces, both ends of whose rows count.
    accuracy = 2e-6 if step is None else 0.01
    skies = [[image.sky for image in images] for images in found]
    assert skies[0] == pytest.approx(skies[1], abs=accuracy)
    chips = [[*images[:3], *images[3]] for images in found]
    for one, other in zip(*chips, strict=True):
        assert one.image == pytest.approx(other.image, abs=max(accuracy, 1e-5))
        assert one.is_sky_valid is other.is_sky_valid
    for one, other in pairwise(range(4)):
        level, wanted = (images[one].calc_sky(overlap=images[other]) for images in found)
        assert level[0] == pytest.approx(wanted[0], abs=accuracy)
        assert level[1] == pytest.approx(wanted[1], rel=0 if step is None else 0.01)
        assert level[2] == pytest.approx(wanted[2], rel=1e-6)


@pytest.mark.skipif(not has_stcal(), reason=NO_STCAL)
def test_own_tests_of_stcal(tmp_path: Path) -> None:
    """With UPRAMP_PEER_TESTS, a directory in which source distributions are unpacked (wheels carry no tests)."""
    place = os.environ.get("UPRAMP_PEER_TESTS")
    folders = sorted(Path(place).glob("stcal*/tests/skymatch")) if place else []
    if not folders:
        pytest.skip("UPRAMP_PEER_TESTS names no directory with stcal-*/tests/skymatch")
    # Entered before the tests import what they test.
    (tmp_path / "on_ours.py").write_text(
        "import stcal.skymatch, upramp\nswap = upramp.accelerate('stcal')\nswap.__enter__()\n"
        "assert stcal.skymatch.SkyImage.__module__.startswith('upramp')\n"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "on_ours",
        "-p",
        "no:cacheprovider",
        str(folders[-1]),
    ]
    command += ["--rootdir", str(folders[-1].parent), "-c", os.devnull, "--deselect", POLYGONS_FAIL]
    command += ["-k", f"not {POLYGONS_FAIL}"]
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": paths}
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert "passed" in done.stdout
