"""Frames combined, against plain NumPy and astropy's clipping."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty, VarianceUncertainty
from astropy.stats import sigma_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from upramp.ccd import combine
from upramp.exceptions import InputError
from upramp.io import ImageFile

RNG = np.random.default_rng(5)


def stack(n: int, shape: tuple[int, int] = (7, 75), dtype: Any = np.float32) -> Any:
    return RNG.normal(1000, 30, (n, *shape)).astype(dtype)


def same(got: Any, expected: Any) -> None:
    np.testing.assert_array_equal(got, np.asarray(expected).astype(np.float32))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 16, 20, 31, 65, 130])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_median_is_numpys(n: int, dtype: Any) -> None:
    cube = stack(n, dtype=dtype)
    if dtype == np.uint16:
        cube[0, 0, :2] = 0, 65535
    found = combine(cube)
    same(found.data, np.median(cube.astype(np.float64), axis=0))
    assert (found.count == n).all()
    assert not found.mask.any()
    if n > 1:
        factor = 1.0 if n == 2 else np.sqrt(np.pi / 2)
        expected = factor * cube.std(axis=0, ddof=1, dtype=np.float64) / np.sqrt(n)
        np.testing.assert_allclose(found.uncertainty, expected, rtol=1e-6)
    else:
        assert np.isnan(found.uncertainty).all()


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=9),
        elements=st.sampled_from([0.0, -0.0, 1.5, -2.0, 1e30, -1e30, 3e-39, np.nan, np.inf, -np.inf]),
    ),
    st.sampled_from(["median", "mean"]),
)
@settings(max_examples=60, deadline=None)
def test_what_is_not_finite_is_left_out(cube: Any, method: str) -> None:
    found = combine(cube, method)  # type: ignore[arg-type]
    good = np.isfinite(cube)
    np.testing.assert_array_equal(found.count, good.sum(axis=0))
    np.testing.assert_array_equal(found.mask, ~good.any(axis=0))
    held = np.ma.masked_array(cube.astype(np.float64), ~good)
    expected = np.ma.filled(getattr(np.ma, method)(held, axis=0), np.nan)
    np.testing.assert_allclose(found.data, expected, rtol=1e-6, atol=1e23 if method == "mean" else 0)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_masked_pixels_are_left_out(dtype: Any) -> None:
    cube, masks = stack(9, dtype=dtype), RNG.random((9, 7, 75)) < 0.4
    masks[:, 2, 3] = True
    found = combine(cube, masks=list(masks))
    held = np.ma.masked_array(cube.astype(np.float64), masks)
    same(found.data, np.ma.filled(np.ma.median(held, axis=0), np.nan))
    assert found.mask[2, 3]
    assert np.isnan(found.data[2, 3])
    assert found.mask.sum() == 1
    np.testing.assert_array_equal(found.count, 9 - masks.sum(axis=0))
    # The same as masked arrays, and a mask for some frames only.
    again = combine([np.ma.masked_array(image, mask) for image, mask in zip(cube, masks, strict=True)])
    same(again.data, found.data)
    some = combine(cube, masks=[masks[0], *[None] * 8])
    held = np.ma.masked_array(
        cube.astype(np.float64), np.concatenate([masks[:1], np.zeros((8, 7, 75), bool)])
    )
    same(some.data, np.ma.median(held, axis=0))


def plain_clip(column: Any, lower: float, upper: float, rounds: int, centre: str, deviation: str) -> Any:
    kept = np.sort(column[np.isfinite(column)].astype(np.float64))
    for _ in range(rounds):
        middle = np.median(kept)
        mad = 1.482602218505602 * np.median(np.abs(kept - middle))
        width = np.std(kept) if deviation == "std" else mad
        about = middle if centre == "median" else np.mean(kept)
        left = kept[(kept >= about - lower * width) & (kept <= about + upper * width)]
        if len(left) in (0, len(kept)):
            return left
        kept = left
    return kept


def hit_stack(n: int) -> Any:
    cube = stack(n, (11, 70))
    hits = RNG.random(cube.shape) < 0.06
    cube[hits] += RNG.choice([-1, 1], hits.sum()) * 10 ** RNG.uniform(2, 4, hits.sum()).astype(np.float32)
    cube[(RNG.random(cube.shape) < 0.02) & (np.arange(n) > 1)[:, None, None]] = np.nan
    return cube


@pytest.mark.parametrize("deviation", ["std", "mad"])
@pytest.mark.parametrize("centre", ["median", "mean"])
@pytest.mark.parametrize("rounds", [1, 5])
@pytest.mark.parametrize("n", [3, 10, 21])
def test_clipping_is_the_plain_loop(n: int, centre: Any, deviation: Any, rounds: int) -> None:
    cube = hit_stack(n)
    for method in ("mean", "median"):
        found = combine(
            cube,
            method,  # type: ignore[arg-type]
            sigma_clip=(2.0, 2.5),
            max_iter=rounds,
            centre=centre,
            deviation=deviation,
        )
        for y, x in np.ndindex(cube.shape[1:]):
            kept = plain_clip(cube[:, y, x], 2.0, 2.5, rounds, centre, deviation)
            assert found.count[y, x] == len(kept)
            if len(kept):
                assert found.data[y, x] == pytest.approx(getattr(np, method)(kept), rel=2e-7)
            if len(kept) > 1:
                factor = np.sqrt(np.pi / 2) if method == "median" and len(kept) > 2 else 1.0
                expected = factor * np.std(kept, ddof=1) / np.sqrt(len(kept))
                assert found.uncertainty[y, x] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("centre", ["median", "mean"])
def test_clipping_is_astropys(centre: Any) -> None:
    cube = hit_stack(12)
    found = combine(cube, "mean", sigma_clip=2.5, centre=centre)
    held = sigma_clip(np.ma.masked_invalid(cube.astype(np.float64)), 2.5, maxiters=5, cenfunc=centre, axis=0)
    np.testing.assert_array_equal(found.count, held.count(axis=0))
    np.testing.assert_allclose(found.data, held.mean(axis=0), rtol=2e-7)


def test_clipping_sees_scaled_values() -> None:
    # Seven flats of levels 1 to 7, one hit on the faintest: nearly twice its level, but below the others'.
    levels = np.arange(1, 8) * 1000.0
    cube = (levels[:, None, None] * RNG.normal(1, 0.01, (7, 8, 9))).astype(np.float32)
    cube[0, 4, 4] *= 1.9
    found = combine(cube, "mean", scale=1 / levels, sigma_clip=3, deviation="mad")
    assert found.count[4, 4] < 7
    assert found.data[4, 4] == pytest.approx(1, abs=0.02)
    by_call = combine(cube, "mean", scale=lambda image: 1 / np.median(image), sigma_clip=3, deviation="mad")
    np.testing.assert_allclose(by_call.data, found.data, rtol=0.01)


def test_levels_are_subtracted_before_scaling() -> None:
    cube = stack(5)
    zero, scale = np.arange(5.0), np.linspace(0.5, 2, 5)
    expected = np.median((cube - zero[:, None, None]) * scale[:, None, None], axis=0)
    np.testing.assert_allclose(combine(cube, zero=zero, scale=scale).data, expected, rtol=1e-6)
    by_call = combine(cube, zero=np.median, scale=lambda image: 1 + abs(float(np.median(image))))
    same(by_call.data, np.median(cube - np.median(cube, axis=(1, 2))[:, None, None], axis=0))


@pytest.mark.parametrize("minmax", [1, (0, 3), (2, 1)])
@pytest.mark.parametrize("method", ["mean", "median"])
def test_extremes_are_left_out(minmax: Any, method: str) -> None:
    cube = stack(8)
    cube[:3, 0, 0] = cube[3, 0, 0]  # ties
    low, high = (minmax, minmax) if isinstance(minmax, int) else minmax
    kept = np.sort(cube.astype(np.float64), axis=0)[low : 8 - high]
    found = combine(cube, method, minmax=minmax)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.data, getattr(np, method)(kept, axis=0), rtol=1e-7)
    assert (found.count == 8 - low - high).all()
    # Where too few are good, nothing is left.
    cube[2:, 1, 1] = np.nan
    few = combine(cube, method, minmax=minmax)  # type: ignore[arg-type]
    assert few.count[1, 1] == max(2 - low - high, 0)
    assert few.mask[1, 1] == (low + high >= 2)


@pytest.mark.parametrize("options", [{}, {"method": "mean"}, {"minmax": 1}, {"sigma_clip": 2.0}])
def test_uncertainties_of_the_frames_are_used(options: Any) -> None:
    cube, errors = stack(6), RNG.uniform(1, 9, (6, 7, 75)).astype(np.float32)
    scale = np.array([1, 2, 0.5, 1, 1, 1])
    cube /= scale[:, None, None].astype(np.float32)
    cube[1, 3, 3] = np.nan
    cube[2, 4, 4] *= 3
    found = combine(cube, uncertainties=list(errors), scale=scale, **options)
    values = np.ma.masked_invalid(cube.astype(np.float32) * scale[:, None, None].astype(np.float32))
    if "minmax" in options:
        order = np.ma.argsort(np.ma.argsort(values, axis=0), axis=0)
        values = np.ma.masked_where((order < 1) | (order >= values.count(axis=0) - 1), values)
    elif "sigma_clip" in options:
        values = sigma_clip(values, sigma=2.0, axis=0, maxiters=5)
    count = values.count(axis=0)
    variances = np.ma.masked_array((errors * scale[:, None, None]) ** 2, np.ma.getmaskarray(values))
    factor = 1.0 if options.get("method") == "mean" else np.where(count > 2, np.sqrt(np.pi / 2), 1)
    np.testing.assert_array_equal(found.count, count)
    np.testing.assert_allclose(found.uncertainty, factor * np.sqrt(variances.mean(axis=0) / count), rtol=1e-5)


def test_uncertainties_are_honest() -> None:
    # 400 medians, and means, of 11 frames: their scatter is what they say.
    cube = RNG.normal(0, 10, (11, 150, 150)).astype(np.float32)
    for options in ({}, {"method": "mean"}):
        found = combine(cube, **options)  # type: ignore[arg-type]
        told = float(np.sqrt(np.mean(found.uncertainty.astype(float) ** 2)))
        assert np.std(found.data) == pytest.approx(told, rel=0.05)


@pytest.mark.parametrize("dtype", [">u2", ">f4", "<f8", ">f8", "i4", "u1", "i2", "u4"])
def test_any_type_and_order(dtype: str) -> None:
    cube = np.clip(stack(5) - 900, 0, 255).astype(np.uint8).astype(dtype)
    same(combine(cube).data, np.median(cube, axis=0))


def test_any_layout() -> None:
    cube = stack(5, (40, 30))
    expected = np.median(cube, axis=0)
    cube.flags.writeable = False
    same(combine(cube).data, expected)
    same(combine(np.asfortranarray(cube)).data, expected)
    same(combine(list(cube[:, ::-1])).data, expected[::-1])
    same(combine(cube[:, :, 3:9]).data, expected[:, 3:9])
    mixed = combine([cube[0].astype(np.uint16), *cube[1:]])
    same(mixed.data, np.median([np.trunc(cube[0]), *cube[1:]], axis=0))


@pytest.mark.parametrize("options", [{}, {"sigma_clip": 2.5, "method": "mean"}, {"minmax": 1}])
def test_threads_do_not_change_a_bit(options: Any) -> None:
    cube = stack(9, (211, 97))
    cube[RNG.random(cube.shape) < 0.01] = np.nan
    one = combine(cube, threads=1, **options)
    for threads in (2, 5):
        more = combine(cube, threads=threads, **options)
        for name in ("data", "uncertainty", "count", "mask"):
            assert getattr(one, name).tobytes() == getattr(more, name).tobytes()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (3, 1), (2, 64), (1, 8193), (13, 631)])
def test_any_size(shape: tuple[int, int]) -> None:
    cube = stack(4, shape)
    same(combine(cube).data, np.median(cube.astype(np.float64), axis=0))
    assert combine(np.full((3, *shape), np.nan)).mask.all()


def test_no_pixels() -> None:
    found = combine(np.zeros((3, 0, 4), np.float32))
    assert found.data.shape == (0, 4)


def test_refused() -> None:
    cube = stack(4)
    for options, message in (
        ({"method": "mode"}, "method is 'mode'"),
        ({"sigma_clip": -1.0}, "sigma_clip is -1.0"),
        ({"sigma_clip": 2.0, "minmax": 1}, "both given"),
        ({"minmax": 2}, "leave at least one of 4"),
        ({"max_iter": -1}, "max_iter is -1"),
        ({"scale": [1.0]}, "scale has 1 entries, expected 4"),
        ({"scale": [1, 1, np.nan, 1]}, r"scale of frames\[2\] is nan"),
        ({"masks": [None]}, "masks has 1 entries"),
        ({"masks": [np.zeros(3, bool), None, None, None]}, r"mask of frames\[0\] has shape \(3,\)"),
        ({"memory_limit": 0}, "memory_limit is 0"),
        ({"threads": 0}, "threads is 0"),
    ):
        with pytest.raises(ValueError, match=message):
            combine(cube, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="frames is empty"):
        combine([])
    with pytest.raises(ValueError, match=r"frames\[1\] has shape \(7, 74\), expected \(7, 75\)"):
        combine([cube[0], cube[1][:, 1:]])
    with pytest.raises(ValueError, match=r"frames\[0\] has shape \(7,\)"):
        combine([np.zeros(7)])
    with pytest.raises(TypeError, match="dtype complex"):
        combine([np.zeros((2, 2), complex)])


def test_ccddata_in_and_out() -> None:
    cube, mask = stack(3), np.zeros((7, 75), bool)
    mask[1, 1] = True
    frames = [
        CCDData(image, unit="adu", mask=mask, uncertainty=VarianceUncertainty(np.full_like(image, 16.0)))
        for image in cube
    ]
    found = combine(frames, "mean")
    assert found.mask.sum() == 1
    np.testing.assert_allclose(found.uncertainty[~mask], 4 / np.sqrt(3), rtol=1e-6)
    ccd = found.to_ccddata("adu", {"OBJECT": "x"})
    assert isinstance(ccd, CCDData)
    assert isinstance(ccd.uncertainty, StdDevUncertainty)
    assert ccd.mask.sum() == 1
    assert ccd.meta["OBJECT"] == "x"


# Files


def write(folder: Path, cube: Any, suffix: str = ".fits") -> list[Path]:
    paths = []
    for k, image in enumerate(cube):
        path = folder / f"f{k:04d}.fits"
        fits.PrimaryHDU(image).writeto(path)
        if suffix == ".fits.gz":
            (folder / (path.name + ".gz")).write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
            path = folder / (path.name + ".gz")
        paths.append(path)
    return paths


@pytest.mark.parametrize("suffix", [".fits", ".fits.gz"])
@pytest.mark.parametrize("dtype", ["u2", "i2", "i4", "f4", "f8", "u1", "u4"])
@pytest.mark.parametrize("limit", [1 << 30, 2000])
def test_files(tmp_path: Path, dtype: str, suffix: str, limit: int) -> None:
    cube = np.clip(stack(3, (20, 30)) - 900, 0, 250).astype(dtype)
    if dtype == "u2":
        cube[1] += 40000
    paths = write(tmp_path, cube, suffix)
    before = [path.read_bytes() for path in paths]
    same(combine(paths, memory_limit=limit).data, np.median(cube, axis=0))
    assert [path.read_bytes() for path in paths] == before


def test_fpacked_blank_and_scaled_files(tmp_path: Path) -> None:
    image = stack(1, (20, 30), np.int16)[0]
    header = fits.Header([("BLANK", int(image[3, 4]))])
    fits.PrimaryHDU(image, header).writeto(tmp_path / "blank.fits")
    assert np.isnan(combine([tmp_path / "blank.fits"]).data[3, 4])
    packed = tmp_path / "x.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(image.astype(np.uint16))]).writeto(packed)
    same(combine([packed]).data, image)
    hdu = fits.PrimaryHDU(image)
    hdu.scale("int16", bscale=2.0, bzero=100.0)
    hdu.writeto(tmp_path / "scaled.fits")
    expected = fits.getdata(tmp_path / "scaled.fits")
    same(combine([tmp_path / "scaled.fits"]).data, expected)


@pytest.mark.parametrize("suffix", [".fits", ".fits.gz"])
def test_masks_and_uncertainties_of_files(tmp_path: Path, suffix: str) -> None:
    cube, paths = stack(3, (20, 30)), []
    masks = RNG.integers(0, 3, cube.shape).astype(np.uint8)
    for k in range(3):
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(cube[k], name="SCI")]
        hdus += [
            fits.ImageHDU(np.full((20, 30), k + 1.0), name="UNCERT"),
            fits.ImageHDU(masks[k], name="MASK"),
        ]
        paths.append(tmp_path / f"f{k}{suffix}")
        fits.HDUList(hdus).writeto(paths[-1])
    found = combine(paths, "mean")
    held = np.ma.masked_array(cube.astype(float), masks != 0)
    np.testing.assert_allclose(found.data, np.ma.filled(held.mean(axis=0), np.nan), rtol=1e-6)
    variance = np.ma.masked_array(np.ones_like(held) * np.array([1, 4, 9])[:, None, None], masks != 0)
    expected = np.ma.filled(np.sqrt(variance.sum(axis=0)) / held.count(axis=0), np.nan)
    np.testing.assert_allclose(found.uncertainty, expected, rtol=1e-6)
    # The caller's masks are added, and other extensions can be named.
    more = np.zeros((20, 30), bool)
    more[5] = True
    assert (combine(paths, masks=[more, None, more]).count[5] <= 1).all()
    for ext in ("uncert", 2):
        expected = np.ma.filled((variance**0.5).mean(axis=0), np.nan)
        np.testing.assert_array_equal(combine(paths, "mean", ext=ext, uncertainty=False).data, expected)


COUNT_OPENS = """
import sys, collections
import numpy as np
from upramp.ccd import combine
opened = collections.Counter()
sys.addaudithook(lambda event, args: event == "open" and opened.update([str(args[0])]))
limit = int(sys.argv[1])
if limit:
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
names = sys.argv[2:]
found = combine(names, memory_limit=80_000, uncertainty=False)
assert all(opened[name] == 1 for name in names), opened.most_common(3)
np.save(sys.stdout.buffer, found.data)
"""


@pytest.mark.parametrize(("suffix", "limit"), [(".fits", 0), (".fits.gz", 0), (".fits", 200)])
def test_each_file_is_opened_once(tmp_path: Path, suffix: str, limit: int) -> None:
    if limit and sys.platform == "win32":
        pytest.skip("no limit to set")
    # Far below the limit of memory in all, and beyond the number of files that may be open.
    count = 600 if limit else 30
    cube = stack(count, (9, 30), np.uint16)
    names = [str(path) for path in write(tmp_path, cube, suffix)]
    command = [sys.executable, "-c", COUNT_OPENS, str(limit), *names]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr.decode()
    (tmp_path / "out.npy").write_bytes(done.stdout)
    same(np.load(tmp_path / "out.npy"), np.median(cube, axis=0))


@pytest.mark.parametrize("suffix", [".fits", ".fits.gz"])
def test_scratch_is_within_its_limit(tmp_path: Path, suffix: str) -> None:
    cube = stack(40, (256, 256), np.uint16)
    paths = write(tmp_path, cube, suffix)
    combine(paths[:2])  # what is imported at first use does not count
    for limit in (300_000, 1_000_000):
        tracemalloc.start()
        found = combine(paths, memory_limit=limit, threads=1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        result = found.data.nbytes + found.uncertainty.nbytes + found.count.nbytes + found.mask.nbytes
        headers = 40 * 60_000  # of forty open files
        assert peak - result < limit + headers
        same(found.data, np.median(cube, axis=0))
    with pytest.raises(ValueError, match="memory_limit is 1000 bytes, expected at least 20480"):
        combine(paths, memory_limit=1000)


def test_bad_files_are_named(tmp_path: Path) -> None:
    (good,) = write(tmp_path, stack(1))
    (tmp_path / "text.fits").write_text("hello")
    (tmp_path / "cut.fits").write_bytes(good.read_bytes()[:3000])
    (tmp_path / "cut.fits.gz").write_bytes(gzip.compress(good.read_bytes())[:1500])
    (tmp_path / "half.fits").write_bytes(good.read_bytes()[:200])
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    fits.PrimaryHDU(np.zeros((2, 3, 4), np.float32)).writeto(tmp_path / "cube.fits")
    for name, reason in (
        ("none.fits", "No such file"),
        ("text.fits", "not a FITS file"),
        ("cut.fits", "truncated"),
        ("cut.fits.gz", "cannot be read|truncated"),
        ("half.fits", "no END"),
        ("empty.fits", "holds no image"),
        ("cube.fits", r"has shape \(2, 3, 4\)"),
    ):
        with pytest.raises(InputError, match=rf"{name}.*({reason})"):
            combine([good, tmp_path / name])
    with pytest.raises(InputError, match="holds no image in extension 'SCI'"):
        combine([good], ext="SCI")
    fits.PrimaryHDU(np.zeros((3, 4))).writeto(tmp_path / "cube2.fits")
    with pytest.raises(ValueError, match=r"cube2\.fits has shape \(3, 4\), expected \(7, 75\)"):
        combine([good, tmp_path / "cube2.fits"])


def test_masks_of_another_shape_are_refused(tmp_path: Path) -> None:
    hdus = [fits.PrimaryHDU(stack(1)[0]), fits.ImageHDU(np.zeros((3, 4), np.uint8), name="MASK")]
    fits.HDUList(hdus).writeto(tmp_path / "x.fits")
    with pytest.raises(InputError, match=r"x\.fits\[MASK,1\]: has shape \(3, 4\), expected \(7, 75\)"):
        combine([tmp_path / "x.fits"])


def test_a_file_left_out_takes_its_scale_with_it(tmp_path: Path) -> None:
    cube = stack(3)
    paths = write(tmp_path, cube)
    notes: list[InputError] = []
    names = [paths[0], tmp_path / "none.fits", *paths[1:]]
    found = combine(names, "mean", scale=[1.0, 1e9, 2.0, 3.0], on_error=notes.append)
    np.testing.assert_allclose(found.data, (cube[0] + 2 * cube[1] + 3 * cube[2]) / 3, rtol=1e-6)
    assert len(notes) == 1
    with pytest.raises(InputError, match="no frame can be used"):
        combine([tmp_path / "none.fits"], on_error=notes.append)


def test_headers_are_joined(tmp_path: Path) -> None:
    primary = fits.PrimaryHDU()
    primary.header["EXPTIME"] = 3.0
    fits.HDUList([primary, fits.ImageHDU(stack(1)[0])]).writeto(tmp_path / "x.fits")
    file = ImageFile(tmp_path / "x.fits")
    assert file.header["EXPTIME"] == 3.0
    assert file.header["NAXIS"] == 2
    file.close()
