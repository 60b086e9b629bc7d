"""Skies matched by differences of pixels, against the truth of simulated mosaics."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from upramp.bench.sky_quality import errors
from upramp.cli import main
from upramp.io import fits
from upramp.simulate.mosaic import Mosaic, SkyTruth, simulate_mosaic
from upramp.sky import (
    Cells,
    match_sky,
    measure_differences,
    read_images,
    solve_differences,
    subtract_sky,
    views,
    write_headers,
)
from upramp.sky.surface_fit import most_likely_width

SMALL = Mosaic(shape=(120, 150), stars=30)


@pytest.fixture(scope="module")
def nebula(tmp_path_factory: pytest.TempPathFactory) -> SkyTruth:
    """Rates and counts, a nebula all over."""
    what = replace(SMALL, nebula=0.5, mixed=True)
    return simulate_mosaic(tmp_path_factory.mktemp("nebula"), what)


@pytest.mark.parametrize(
    "what",
    [
        replace(SMALL, seed=2),
        replace(SMALL, nebula=0.5, mixed=True, seed=3),
        replace(SMALL, shape=(80, 150), chips=2, seed=4),
        replace(SMALL, nebula=0.5, gradient=0.2, tiles=(2, 3), seed=5),
    ],
    ids=["blank", "nebula", "chips", "gradient"],
)
def test_truth_is_within_the_uncertainties(tmp_path: Path, what: Mosaic) -> None:
    truth = simulate_mosaic(tmp_path, what)
    order = 1 if what.gradient else 0
    found = errors(match_sky(read_images(truth.paths), "match", order=order), truth)
    pull = found.level / found.sigma
    assert np.abs(pull).max() < 3.5
    assert found.sigma.max() < 0.006
    # An uncertainty that is right on average, too: nothing is hidden behind large ones.
    assert np.sqrt(np.mean(pull**2)) > 0.3
    assert np.sqrt(np.mean(found.field**2)) < 0.012 if order else 0.002


def test_a_nebula_is_no_sky(nebula: SkyTruth) -> None:
    """Levels agree better with the truth than by statistics of overlaps."""
    images = read_images(nebula.paths)
    ours, other = (
        np.sqrt(np.mean(errors(match_sky(images, "match", engine=engine), nebula).level ** 2))
        for engine in ("robust", "compat")
    )
    assert ours < 0.5 * other


@pytest.mark.parametrize("stride", [2, 3])
def test_fewer_pixels_give_the_same_within_larger_uncertainties(nebula: SkyTruth, stride: int) -> None:
    images = read_images(nebula.paths)
    chips = views(images)
    full, few = (
        solve_differences(measure_differences(images, chips, stride=s), chips, len(images)).solution
        for s in (1, stride)
    )
    assert (few.sigma > full.sigma).all()
    assert (few.sigma < 1.3 * stride * full.sigma).all()
    assert np.abs((few.raw - full.raw) / few.sigma).max() < 4


def test_memory_and_threads_change_nothing(nebula: SkyTruth) -> None:
    """With room for two images at a time some are read again."""
    images = read_images(nebula.paths)
    chips = views(images)
    whole = measure_differences(images, chips, threads=1)
    for other in (
        measure_differences(images, chips, threads=3),
        measure_differences(images, chips, memory=2 * 4 * 120 * 150, threads=1),
        measure_differences(images, chips, memory=0, threads=2),
    ):
        for name in Cells.__slots__:
            np.testing.assert_array_equal(getattr(other, name), getattr(whole, name))


def test_order_of_the_exposures_changes_nothing(nebula: SkyTruth) -> None:
    back = match_sky(read_images(nebula.paths[::-1]), "match").values[::-1]
    found = match_sky(read_images(nebula.paths), "match").values
    np.testing.assert_allclose(back, found, rtol=0, atol=1e-9)


def test_planes_that_nobody_needs_cost_nothing(nebula: SkyTruth) -> None:
    images = read_images(nebula.paths)
    flat = match_sky(images, "match")
    for order in (1, 2):
        found = match_sky(images, "match", order=order)
        assert found.matched is not None
        assert found.matched.robust is not None
        surfaces = found.matched.robust.surfaces
        assert surfaces is not None
        assert surfaces.widths == (0.0,) * order
        assert np.allclose(found.values, flat.values, rtol=0, atol=1e-9)
        assert not found.surface(0, 0).any()  # type: ignore[union-attr]


def test_a_disturbed_exposure_is_told(nebula: SkyTruth, tmp_path: Path) -> None:
    """Light on part of one exposure: its pairs disagree, and all others stay what they are."""
    paths = [tmp_path / path.name for path in nebula.paths]
    for source, target in zip(nebula.paths, paths, strict=True):
        with fits.open(source) as units:
            if source is nebula.paths[0]:
                units["SCI"].data[:, 110:] += 0.3
            units.writeto(target)
    clean = match_sky(read_images(nebula.paths), "match", anchor="mean").matched
    found = match_sky(read_images(paths), "match", anchor="mean").matched
    assert clean is not None
    assert found is not None
    assert clean.robust
    assert found.robust
    assert not any(pair.outlier for pair in clean.robust.differences)
    assert clean.robust.floor == 0
    worst = max(found.robust.differences, key=lambda pair: abs(pair.residual))
    assert worst.i == 0
    assert found.robust.floor > 0
    assert (found.solution.sigma > 2 * clean.solution.sigma).all()
    assert set(found.residuals.colnames) >= {"sigma", "chi2", "outlier"}


def test_groups_and_exposures_alone(nebula: SkyTruth, tmp_path: Path) -> None:
    paths = [tmp_path / path.name for path in nebula.paths[:5]]
    for number, (source, target) in enumerate(zip(nebula.paths[:5], paths, strict=True)):
        with fits.open(source) as units:
            units["SCI"].header["CRVAL2"] += (0, 0, 1, 1, 2)[number]
            units.writeto(target)
    with pytest.warns(UserWarning, match="3 groups"):
        found = match_sky(read_images(paths), "match")
    assert found.matched is not None
    assert found.matched.groups == ((0, 1), (2, 3), (4,))
    sigma = np.array(found.sigma)[:, 0]
    assert np.isfinite(sigma[:4]).all()
    assert np.isnan(sigma[4])
    assert found.values[4] == (0.0,)
    write_headers(found)
    headers = [fits.getheader(path, "SCI") for path in paths]
    assert [header["SKYMGRP"] for header in headers] == [1, 1, 2, 2, 3]
    assert "SKYMERR" not in headers[4]
    assert headers[0]["SKYMERR"] == pytest.approx(sigma[0])
    assert headers[0]["SKYMVER"].startswith("robust ")
    zero = next(
        image.rootname for image, value in zip(found.images, found.values, strict=True) if value == (0.0,)
    )
    assert headers[0]["SKYMREF"] == zero
    # Another method leaves none of it behind.
    write_headers(match_sky(read_images(paths), "localmin"))
    assert not {"SKYMERR", "SKYMGRP", "SKYMREF", "SKYMVER"} & set(fits.getheader(paths[0], "SCI"))


def test_without_any_overlap_there_is_nothing_to_match(nebula: SkyTruth) -> None:
    images = read_images(nebula.paths[:1])
    for order in (0, 1):
        found = match_sky(images, "match", order=order)
        assert found.values == ((0.0,),)
        assert found.matched is not None
        assert not found.matched.pairs


def test_planes_are_subtracted(tmp_path: Path) -> None:
    """Copies agree where they overlap, though their skies had slopes; MDRIZSKY is the mean level."""
    what = replace(SMALL, tiles=(1, 2), gradient=0.4, stars=0, seed=9)
    truth = simulate_mosaic(tmp_path / "in", what)
    (tmp_path / "out").mkdir()
    arguments = ["sky", *map(str, truth.paths), "--method", "match", "--order", "1", "--subtract", "--quiet"]
    assert main([*arguments, "-o", str(tmp_path / "out"), "--jobs", "1"]) == 0
    copies = [tmp_path / "out" / path.name for path in truth.paths]
    left = match_sky(read_images(copies), "match", order=1).matched
    before = match_sky(read_images(truth.paths), "match", order=1)
    assert left is not None
    assert left.robust is not None
    assert left.robust.surfaces is not None
    assert before.matched is not None
    assert before.matched.robust is not None
    planes = before.matched.robust.surfaces
    assert planes is not None
    assert planes.widths[0] * truth.pixel_area > 0.03
    remains = np.abs(left.robust.surfaces.coefficients).max()
    assert remains < 0.2 * np.abs(planes.coefficients).max()
    header = fits.getheader(copies[1], "SCI")
    assert header["MDRIZSKY"] == pytest.approx(before.values[1][0])
    with fits.open(truth.paths[1]) as old, fits.open(copies[1]) as new:
        taken = old["SCI"].data - new["SCI"].data
    surface = before.surface(1, 0)
    assert surface is not None
    np.testing.assert_allclose(taken, before.values[1][0] + surface, atol=1e-6)
    assert abs(surface.mean()) < 1e-3 * np.abs(surface).max()
    subtract_sky(before, tmp_path / "out", overwrite=True)


def test_what_is_refused(nebula: SkyTruth) -> None:
    images = read_images(nebula.paths[:2])
    with pytest.raises(ValueError, match="order is 3"):
        match_sky(images, "match", order=3)
    with pytest.raises(ValueError, match="order is 1"):
        match_sky(images, "match", order=1, engine="compat")
    with pytest.raises(ValueError, match="stride is 0"):
        measure_differences(images, stride=0)
    with pytest.raises(ValueError, match="clip is -1"):
        measure_differences(images, clip=-1.0)


def test_width_of_the_prior_is_that_of_the_coefficients() -> None:
    rng = np.random.default_rng(1)
    information = rng.uniform(10, 1e4, 4000)
    for width in (0.0, 0.05, 2.0):
        estimate = width * rng.standard_normal(4000) + rng.standard_normal(4000) / np.sqrt(information)
        found = most_likely_width(information, information * estimate)
        assert found == pytest.approx(width, rel=0.05, abs=1e-3)
    assert most_likely_width(np.zeros(3), np.zeros(3)) == 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert most_likely_width(np.array([5.0]), np.array([0.0])) == 0.0
