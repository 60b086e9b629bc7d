"""The search for cosmic rays: bad input, threads, and what find_cosmics does better."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import upramp
from upramp.bench.cosmics import main as bench
from upramp.bench.cosmics import score, simulator
from upramp.ccd import detect_cosmics, find_cosmics, psf_kernel

BOTH = pytest.mark.parametrize("search", [detect_cosmics, find_cosmics])


def sky(shape: tuple[int, int] = (120, 133), seed: int = 1, hits: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Noise about a sky with hits of one to three pixels, and where they are."""
    random = np.random.default_rng(seed)
    image = random.normal(300, 17, shape).astype(np.float32)
    truth = np.zeros(shape, bool)
    y, x = random.integers(0, shape[0], hits), random.integers(0, shape[1] - 2, hits)
    for length in range(3):
        chosen = np.arange(hits) % 3 >= length
        truth[y[chosen], x[chosen] + length] = True
    image[truth] += 1500
    return image, truth


# --- what comes in -----------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "kind", ["float64", "big", "uint16", "int32", "strided", "fortran", "read-only", "memmap"]
)
def test_any_type_and_layout_gives_the_same(search: Any, kind: str, tmp_path: Path) -> None:
    image = np.round(sky()[0])
    expected = search(image)
    given = image.copy()
    if kind in ("float64", "uint16", "int32"):
        given = image.astype(kind)
    elif kind == "big":
        given = image.astype(">i2")
    elif kind == "strided":
        given = np.repeat(image, 2, axis=1)[:, ::2]
    elif kind == "fortran":
        given = np.asfortranarray(image)
    elif kind == "read-only":
        given.setflags(write=False)
    elif kind == "memmap":
        given = np.memmap(tmp_path / "image", ">f4", "w+", shape=image.shape)
        given[:] = image
        given.flush()
    before = np.array(given)
    found = search(given)
    assert expected.mask.any()
    assert np.array_equal(found.mask, expected.mask)
    assert np.array_equal(found.clean, expected.clean)
    assert np.array_equal(given, before)
    assert (found.mask.dtype, found.clean.dtype) == (np.bool_, np.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"indat": np.zeros(50)}, ValueError, r"indat has shape \(50,\), expected \(ny, nx\)"),
        ({"indat": np.zeros((3, 20, 20))}, ValueError, r"indat has shape \(3, 20, 20\)"),
        ({"indat": np.zeros((0, 20))}, ValueError, "at least one pixel"),
        ({"indat": np.zeros((9, 9), complex)}, TypeError, "indat has dtype complex128"),
        ({"indat": [["a"]]}, TypeError, "indat has dtype"),
        ({"inmask": np.zeros((20, 19))}, ValueError, r"inmask has shape \(20, 19\), expected \(20, 20\)"),
        ({"inbkg": np.zeros(20)}, ValueError, r"inbkg has shape \(20,\), expected \(ny, nx\)"),
        ({"invar": np.zeros((21, 20))}, ValueError, "invar has shape"),
        ({"inbkg": 5.0}, TypeError, "inbkg is 5.0, expected an image"),
        ({"gain": 0}, ValueError, "gain is 0, expected a positive number"),
        ({"gain": float("nan")}, ValueError, "gain is NaN"),
        ({"readnoise": -1}, ValueError, "readnoise is -1, expected 0 or more"),
        ({"sigclip": float("nan")}, ValueError, "sigclip is NaN"),
        ({"niter": -1}, ValueError, "niter is -1"),
        ({"cleantype": "mean"}, ValueError, "cleantype is 'mean', expected one of median"),
        ({"fsmode": "fft"}, ValueError, "fsmode is 'fft'"),
        ({"fsmode": "convolve", "psfmodel": "airy"}, ValueError, "psfmodel is 'airy'"),
        ({"fsmode": "convolve", "psfsize": 6}, ValueError, "psfsize is 6, expected an odd number"),
        ({"fsmode": "convolve", "psfk": np.zeros(5)}, ValueError, r"psfk has shape \(5,\)"),
        ({"threads": 0}, ValueError, "threads is 0"),
    ],
)
def test_bad_arguments_are_named(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        detect_cosmics(**({"indat": np.ones((20, 20))} | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": np.zeros(5)}, r"data has shape \(5,\)"),
        ({"mask": np.zeros((3, 4))}, r"mask has shape \(3, 4\)"),
        ({"variance": np.zeros((3, 4))}, r"variance has shape \(3, 4\)"),
        ({"grow": 0}, "grow is 0, expected a positive number"),
        ({"sigma": float("inf")}, "sigma is inf"),
    ],
)
def test_bad_arguments_of_find_cosmics_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_cosmics(**({"data": np.ones((20, 20))} | change))


@BOTH
@pytest.mark.parametrize(
    "shape", [(y, x) for y in range(1, 6) for x in range(1, 6)] + [(1, 97), (89, 2), (31, 37)]
)
def test_images_of_any_size(search: Any, shape: tuple[int, int]) -> None:
    image = np.full(shape, 100, np.float32)
    found = search(image)
    assert not found.mask.any()
    assert np.array_equal(found.clean, image)
    image[shape[0] // 2, shape[1] // 2] = 5000
    found = search(image)
    assert found.clean.shape == shape
    assert np.array_equal(found.clean[~found.mask], image[~found.mask])
    if search is find_cosmics and min(shape) > 2:
        assert found.mask.sum() == 1
        assert (found.clean == 100).all()


@BOTH
def test_hopeless_images(search: Any) -> None:
    nothing = np.full((40, 50), np.nan)
    for image in (
        nothing,
        np.zeros((40, 50)),
        np.full((40, 50), -7.0),
        np.full((40, 50), np.inf),
        np.full((9, 9), 1e38),
    ):
        found = search(image)
        assert not found.mask.any()
        np.testing.assert_array_equal(found.clean, image.astype(np.float32))
    image = sky()[0]
    assert not search(
        image, **{"inmask" if search is detect_cosmics else "mask": np.ones(image.shape)}
    ).mask.any()


@BOTH
def test_values_that_are_none_stay_and_spoil_nothing(search: Any) -> None:
    image, truth = sky()
    holes = np.zeros(image.shape, bool)
    holes[::17, ::13] = True
    holes[60:80, 90:99] = True
    spoiled = image.copy()
    spoiled[holes] = np.nan
    spoiled[0, 0], spoiled[17, 13], spoiled[34, 26] = np.inf, -np.inf, 3e38
    found = search(spoiled)
    np.testing.assert_array_equal(found.clean[holes], spoiled[holes])
    assert not found.mask[holes].any()
    assert np.isfinite(found.clean[~holes]).all()
    inner = np.s_[5:-5, 5:-5]
    usable = truth[inner] & ~holes[inner]
    assert found.mask[inner][usable].mean() > 0.95
    assert (found.mask & ~truth).sum() < 20


def test_unknown_sky_and_variance_are_bad_pixels() -> None:
    image, truth = sky()
    y, x = np.argwhere(truth)[7]
    for name in ("inbkg", "invar"):
        plane = np.full(image.shape, 250.0)
        assert detect_cosmics(image, **{name: plane}).mask[y, x]
        plane[y, x] = np.nan
        found = detect_cosmics(image, **{name: plane})
        assert not found.mask[y, x]
        assert found.mask.sum() > 50
        assert np.isfinite(found.clean).all()


@BOTH
def test_masked_arrays_and_flags_of_any_bit(search: Any) -> None:
    image, truth = sky()
    masked = np.ma.MaskedArray(image, truth & (np.arange(image.shape[1]) < 60))
    left = search(masked).mask
    assert not left[:, :58].any()
    flags = np.where(masked.mask, 256, 0).astype(np.int16)
    name = "inmask" if search is detect_cosmics else "mask"
    by_flag = search(image, **{name: flags})
    assert np.array_equal(by_flag.mask, left)
    # What was masked comes back as it came.
    assert np.array_equal(by_flag.clean[masked.mask], image[masked.mask])


# --- threads -----------------------------------------------------------------------------------------------------


@given(
    shape=st.tuples(st.integers(5, 150), st.integers(5, 150)),
    seed=st.integers(0, 99),
    sepmed=st.booleans(),
    cleantype=st.sampled_from(["median", "medmask", "meanmask", "idw"]),
    fsmode=st.sampled_from(["median", "convolve"]),
)
@settings(max_examples=25, deadline=None)
def test_threads_never_change_an_answer(shape: Any, seed: int, **keywords: Any) -> None:
    image, _ = sky(shape, seed, hits=1 + shape[0] * shape[1] // 300)
    one = detect_cosmics(image, threads=1, objlim=1.5, **keywords)
    for threads in (2, 5):
        many = detect_cosmics(image, threads=threads, objlim=1.5, **keywords)
        assert np.array_equal(one.mask, many.mask)
        assert np.array_equal(one.clean, many.clean)
    better = [find_cosmics(image, threads=threads) for threads in (1, 3)]
    assert np.array_equal(better[0].mask, better[1].mask)
    assert np.array_equal(better[0].clean, better[1].clean)


def test_calls_at_the_same_time_share_nothing() -> None:
    images = [sky(seed=seed)[0] for seed in range(8)]
    expected = [detect_cosmics(image, threads=1) for image in images]
    barrier = threading.Barrier(8)

    def work(image: np.ndarray) -> Any:
        barrier.wait(30)
        return [detect_cosmics(image, threads=2) for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        for found, right in zip(pool.map(work, images), expected, strict=True):
            for one in found:
                assert np.array_equal(one.mask, right.mask)
                assert np.array_equal(one.clean, right.clean)


def test_rounds_are_logged(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    image, _ = sky()
    with caplog.at_level(logging.INFO, "upramp"):
        detect_cosmics(image)
        assert not caplog.messages
        mask, _ = detect_cosmics(image, niter=1, verbose=True)
    assert caplog.messages == [f"round 1: {mask.sum()} cosmic-ray pixels"]
    assert capsys.readouterr().out == ""


# --- parameters --------------------------------------------------------------------------------------------------


def test_every_parameter_changes_the_outcome() -> None:
    random = np.random.default_rng(3)
    image, _ = sky(hits=400)
    image += np.float32(3000) * np.exp(-0.5 * ((np.indices(image.shape) - 60) ** 2).sum(0) / 2.5).astype(
        np.float32
    )
    image += random.exponential(60, image.shape).astype(np.float32)
    base = detect_cosmics(image)
    variance, background = image * 0.7 + 20, np.full(image.shape, 200.0)
    mask = random.random(image.shape) < 0.1
    changes: list[dict[str, Any]] = [{"sigclip": 8}, {"sigfrac": 0.9}, {"objlim": 0.2}, {"gain": 2.0}]
    changes += [{"readnoise": 60}, {"satlevel": 2000}, {"niter": 1}, {"sepmed": False}, {"cleantype": "idw"}]
    changes += [{"fsmode": "convolve"}, {"inmask": mask}, {"invar": variance}, {"inbkg": background}]
    for change in changes:
        found = detect_cosmics(image, **change)
        assert not np.array_equal(found.clean, base.clean), change
    convolved = detect_cosmics(image, fsmode="convolve")
    for change in ({"psfmodel": "moffat"}, {"psffwhm": 4.0}, {"psfsize": 3}, {"psfk": np.ones((3, 5))}):
        assert not np.array_equal(
            detect_cosmics(image, fsmode="convolve", **change).clean, convolved.clean
        ), change
    moffat = detect_cosmics(image, fsmode="convolve", psfmodel="moffat")
    assert not np.array_equal(
        detect_cosmics(image, fsmode="convolve", psfmodel="moffat", psfbeta=1.5).clean, moffat.clean
    )


def test_no_rounds_find_nothing() -> None:
    image, _ = sky()
    found = detect_cosmics(image, niter=0, gain=1.3)
    assert not found.mask.any()
    np.testing.assert_allclose(found.clean, image, rtol=2e-7)


def test_the_plain_median_fills_with_the_median() -> None:
    # astroscrappy's reads memory that it has not set.
    image = np.full((40, 40), 50.0)
    image[20, 20] = 4000
    image[19, 18:23] = 52
    mask, clean = detect_cosmics(image, cleantype="median")
    assert np.argwhere(mask).tolist() == [[20, 20]]
    assert clean[20, 20] == 50


def test_kernels_are_normalised_and_round() -> None:
    for model in ("gauss", "moffat"):
        kernel = psf_kernel(model, 3.0, 9)
        assert abs(float(kernel.sum()) - 1) < 1e-6
        assert np.array_equal(kernel, kernel.T)
        assert kernel[4, 4] == kernel.max()
    np.testing.assert_allclose(psf_kernel("gaussx"), psf_kernel("gaussy").T, rtol=1e-6)


# --- find_cosmics ------------------------------------------------------------------------------------------------


def test_hits_on_the_border_are_found_and_stars_there_are_spared() -> None:
    random = np.random.default_rng(6)
    image = random.normal(300, 17, (90, 200)).astype(np.float32)
    y, x = np.indices(image.shape)
    stars = np.full(image.shape, 300.0)
    for i, column in enumerate(range(10, 190, 12)):
        stars += 6000 * np.exp(-0.5 * ((y - (0, 3, 4, 5)[i % 4]) ** 2 + (x - column) ** 2) / 1.5**2)
    stars = random.poisson(stars)
    assert find_cosmics(stars).mask.sum() < 5
    assert detect_cosmics(stars).mask.sum() > 50
    edge = [(0, 0), (0, 50), (1, 90), (2, 120), (40, 0), (50, 1), (89, 199), (88, 70), (30, 199), (89, 20)]
    for place in edge:
        image[place] += 2000
    assert sorted(map(tuple, np.argwhere(find_cosmics(image).mask).tolist())) == sorted(edge)
    assert not detect_cosmics(image).mask.any()


def test_wings_are_found() -> None:
    random = np.random.default_rng(2)
    image = random.normal(300, 17, (300, 300)).astype(np.float32)
    wings = np.zeros(image.shape, bool)
    for y in range(10, 290, 10):
        for x in range(10, 290, 14):
            image[y, x : x + 6] += [900, 4000, 900, 250, 110, 70]
            wings[y, x + 4] = True
    plain, better = detect_cosmics(image), find_cosmics(image)
    assert plain.mask[wings].mean() < 0.85
    assert better.mask[wings].mean() > 0.9
    assert better.mask.sum() < 6.5 * wings.sum()
    assert abs(float(better.clean[wings].mean()) - 300) < 5


def test_bad_pixels_stay_out_of_medians() -> None:
    image, truth = sky(hits=60)
    bad = np.zeros(image.shape, bool)
    bad[:, 50:52] = True
    spoiled = np.where(bad, np.float32(60000), image)
    inner = np.s_[:, 44:58]
    assert np.array_equal(find_cosmics(spoiled, mask=bad).mask, find_cosmics(image, mask=bad).mask)
    assert find_cosmics(spoiled, mask=bad).mask[inner][truth[inner] & ~bad[inner]].all()


@pytest.mark.parametrize("preset", ["ground", "space", "crowded", "deepdep"])
def test_it_beats_the_best_rules_of_lacosmic(shared: Path, preset: str) -> None:
    frame = simulator(shared / "tools" / "sim_ccd.py").simulate(preset, 400, seed=77)
    known = {"gain": frame.cfg.gain, "readnoise": frame.cfg.readnoise, "satlevel": frame.meta["satlevel_e"]}
    best = detect_cosmics(frame.raw, sepmed=False, objlim=2, cleantype="medmask", **known)
    ours = score(frame, find_cosmics(frame.raw, **known).mask)
    assert ours[0] > score(frame, best.mask)[0] + 0.01
    assert ours[1] > 0.9


def test_the_bench_prints_its_table(
    shared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--quality", "--seeds", "5", "--size", "150"])
    bench()
    out = capsys.readouterr().out
    assert "| find_cosmics | " in out
    assert upramp.detect_cosmics is detect_cosmics
