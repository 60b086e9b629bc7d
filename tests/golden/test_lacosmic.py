"""Masks and cleaned images of astroscrappy 1.3.0, to the bit, on simulated and real frames."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from upramp.ccd import LacosmicParams, as_kernel, detect_cosmics, psf_kernel
from upramp.ccd.cosmics import find_hits
from upramp.compat import astroscrappy

EXACT = platform.machine() in ("x86_64", "AMD64")
"""The wheel whose results are stored rounds as compiled for this processor; others keep to 1e-6."""
IMAGES = (
    "ground512",
    "space512",
    "deepdep512",
    "ground1024",
    "edge",
    "negative",
    "hugehit",
    "tiny",
    "gmos",
    "a828",
)


@cache
def manifest(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "manifest.json").read_text())["results"]


def unpack(stored: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    return np.unpackbits(stored, count=shape[0] * shape[1]).reshape(shape).astype(bool)


def arguments(folder: Path, case: dict[str, Any], shape: tuple[int, int]) -> tuple[Any, dict[str, Any]]:
    """Data and keyword arguments of a case."""
    keywords = dict(case["params"])
    if case["image"] in ("gmos", "a8280271"):
        with fits.open(folder / f"{case['image']}.fits", memmap=False) as file:
            planes = {"inbkg": "SKYFIT", "invar": "VAR"}
            keywords |= {name: file[planes[name]].data for name in case["arrays"]}
            return (file["SCI"] if case["image"] == "gmos" else file[0]).data, keywords
    stored = np.load(folder / f"{case['image']}__input.npz")
    for name in case["arrays"]:
        keywords[name] = unpack(stored[name], shape) if name == "inmask" else stored[name]
    return stored["raw"].astype(np.float32), keywords


@pytest.mark.parametrize("image", IMAGES)
def test_masks_and_images_are_astroscrappys(shared: Path, image: str) -> None:
    folder = shared / "golden" / "lacosmic"
    cases = [case for case in manifest(folder) if case["image"].startswith(image)]
    assert cases
    for case in cases:
        stored = np.load(folder / case["file"])
        shape = tuple(stored["shape"])
        data, keywords = arguments(folder, case, shape)
        expected = unpack(stored["mask"], shape)
        mask, clean = detect_cosmics(data, **keywords, threads=2)
        assert np.array_equal(mask, expected), case["file"]
        digest = hashlib.sha256(clean.astype("<f4").tobytes()).hexdigest()
        if EXACT:
            assert digest == case["clean_sha256"], case["file"]
        elif "clean" in stored:
            np.testing.assert_allclose(clean, stored["clean"], rtol=1e-6)
        else:
            np.testing.assert_allclose(clean[mask], stored["clean_at_mask"], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["u2", "i4", "f8", ">f4", ">u2", ">f8", ">i4", "i8", "u4"])
def test_the_type_of_the_data_does_not_matter(shared: Path, dtype: str) -> None:
    folder = shared / "golden" / "lacosmic"
    case = next(case for case in manifest(folder) if case["file"] == "ground512__p01_default.npz")
    data, keywords = arguments(folder, case, (512, 512))
    mask, clean = detect_cosmics(data.astype(dtype), **keywords)
    # 1.5 x counts is exact in both precisions.
    expected = detect_cosmics(data, **keywords)
    assert np.array_equal(mask, expected.mask)
    assert np.array_equal(clean, expected.clean)


def test_counts_of_every_round_and_verbose_words(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shared / "golden" / "lacosmic"
    for name in ("ground512__p14_aggressive.npz", "hugehit__medmask.npz", "tiny_13x9__sepmed1.npz"):
        case = next(case for case in manifest(folder) if case["file"] == name)
        data, keywords = arguments(folder, case, np.load(folder / name)["shape"])
        counts = find_hits(data, None, None, None, LacosmicParams(**keywords), None, 1)[1]
        assert counts == case["per_iteration"]
        astroscrappy.detect_cosmics(data, **keywords, verbose=True)
        said = capsys.readouterr().out
        assert said.startswith(f"Starting {keywords.get('niter', 4)} L.A.Cosmic iterations\nIteration 1:\n")
        assert [int(n) for n in re.findall(r"(\d+) cosmic pixels this iteration", said)] == counts


def test_a_kernel_passed_is_the_kernel_named(shared: Path) -> None:
    folder = shared / "golden" / "lacosmic"
    case = next(case for case in manifest(folder) if "p07_conv_moffat_true" in case["file"])
    data, keywords = arguments(folder, case, (512, 512))
    kernel = psf_kernel("moffat", keywords["psffwhm"], keywords["psfsize"], keywords["psfbeta"])
    named = detect_cosmics(data, **keywords)
    passed = detect_cosmics(data, **keywords, psfk=kernel[::-1, ::-1])
    assert np.array_equal(named.mask, passed.mask)
    # Of an even kernel the last row and column are not used.
    assert as_kernel(np.ones((4, 6))).shape == (3, 5)


def test_stored_results_of_a_real_hst_frame(shared: Path) -> None:
    folder = shared / "data" / "ccd" / "hst"

    def read(name: str) -> Any:
        with fits.open(folder / name, memmap=False) as file:
            return next(unit.data for unit in file if unit.data is not None)

    data = read("ibo821kvq_Pluto1_flc513.fits.gz")
    keywords: dict[str, Any] = {"satlevel": np.inf, "gain": 1.0}
    la = {"sepmed": False, "cleantype": "medmask", "readnoise": 5.0, "objlim": 4.0}
    for name, count, more in (("LA", 4891, la), ("cr", 5359, {"readnoise": 0.0})):
        truth = read(f"truth_{name}_ibo821kvq.fits.gz")
        mask, clean = detect_cosmics(data, **keywords, **more)
        assert int(mask.sum()) == count
        assert np.array_equal(mask, truth != data)
        if EXACT:
            assert np.array_equal(clean, truth)
        else:
            np.testing.assert_allclose(clean, truth, rtol=1e-6)
