"""Brandt's fitramp and ours on the same differences. It is one file, github.com/t-brandt/fitramp, on no index."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import upramp
from upramp.compat import fitramp as ours

TIMES: list[Any] = [3, [4, 5], [6, 7, 8], [9, 10, 12], [14, 17], [20, 21], 22, [24, 25], 26, 27]
ATTRIBUTES = ("countrate", "chisq", "uncert", "weights")
TABLES = (
    *(f"{name}_{kind}omit" for kind in ("one", "two") for name in ("countrate", "chisq", "uncert")),
    *("jumpval_oneomit", "jumpsig_oneomit"),
)


def ramps(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Differences of a hit ramp in two, and the read noise."""
    rng = np.random.default_rng(seed)
    reads = rng.poisson(20, (28, n)).cumsum(axis=0)
    reads = reads + np.where(rng.random(n) < 0.5, 1, 0) * 800 * (
        np.arange(28)[:, None] > rng.integers(3, 27, n)
    )
    noise = rng.uniform(10, 20, n)
    samples = [
        reads[np.atleast_1d(t)].mean(axis=0) + rng.normal(0, noise / np.sqrt(np.size(t))) for t in TIMES
    ]
    cov = ours.Covar(TIMES)
    return np.diff(np.array(samples), axis=0) / cov.delta_t[:, None], noise


@pytest.fixture
def theirs() -> Any:
    return pytest.importorskip("fitramp", reason="fitramp is not installed")


@pytest.mark.parametrize("seed", range(4))
def test_side_by_side(theirs: Any, seed: int) -> None:
    diffs, noise = ramps(seed)
    used = (np.random.default_rng(seed).random(diffs.shape) < 0.95).astype(np.uint8)
    one, two = theirs.Covar(TIMES), ours.Covar(TIMES)
    for name in vars(one):
        np.testing.assert_allclose(getattr(two, name), getattr(one, name), rtol=1e-12, atol=1e-15)
    for options in ({}, {"diffs2use": used}, {"countrateguess": np.full(diffs.shape[1], 20.0)}):
        a = theirs.fit_ramps(diffs, one, noise, detect_jumps=True, **options)
        b = ours.fit_ramps(diffs, two, noise, detect_jumps=True, **options)
        for name in ATTRIBUTES + TABLES:
            x, y = getattr(a, name), getattr(b, name)
            fine = np.isfinite(x)
            np.testing.assert_allclose(y[fine], x[fine], rtol=1e-7, atol=1e-6, err_msg=name)
    same = np.isclose(theirs.mask_jumps(diffs, one, noise)[1], ours.mask_jumps(diffs, two, noise)[1])
    np.testing.assert_array_equal(
        theirs.mask_jumps(diffs, one, noise)[0][:, same], ours.mask_jumps(diffs, two, noise)[0][:, same]
    )
    assert same.mean() > 0.98


@pytest.mark.parametrize("prior", [{}, {"resetval": 50.0, "resetsig": 12.0}])
def test_pedestals_side_by_side(theirs: Any, prior: dict[str, float]) -> None:
    diffs, noise = ramps(7)
    first = np.random.default_rng(1).normal(80, 20, (1, diffs.shape[1])) / 3
    diffs = np.concatenate([first, diffs])
    used = np.ones(diffs.shape, np.uint8)
    used[4, ::3] = 0
    # By default the peer scales the covariance but not the prior, which then counts for too much or too little.
    options = prior | {"rescale": not prior}
    a = theirs.fit_ramps(diffs, theirs.Covar(TIMES, pedestal=True), noise, diffs2use=used, **options)
    b = ours.fit_ramps(diffs, ours.Covar(TIMES, pedestal=True), noise, diffs2use=used, **prior)
    names = ("countrate", "uncert", "pedestal", "uncert_pedestal", "covar_countrate_pedestal", "chisq")
    for name in names:
        np.testing.assert_allclose(getattr(b, name), getattr(a, name), rtol=1e-8, atol=1e-9, err_msg=name)
    assert b.weights is None


def test_accelerate_swaps_the_functions(theirs: Any) -> None:
    diffs, noise = ramps(3)
    with upramp.accelerate("fitramp"):
        # With a Covar of theirs.
        made = theirs.fit_ramps(diffs, theirs.Covar(TIMES), noise)
        assert isinstance(made, ours.Ramp_Result)
    assert not isinstance(theirs.fit_ramps(diffs, theirs.Covar(TIMES), noise), ours.Ramp_Result)


def test_masks_change_in_place_and_hits_are_found() -> None:
    diffs, noise = ramps(5)
    mask = np.ones(diffs.shape)
    left, rate = ours.mask_jumps(diffs, ours.Covar(TIMES), noise, diffs2use=mask)
    assert left is mask
    assert (mask.min(axis=0) == 0).mean() == pytest.approx(0.47, abs=0.1)
    assert rate.mean() == pytest.approx(20, abs=0.5)
    assert ours.mask_jumps(diffs, ours.Covar(TIMES), 12.0)[0].dtype == np.uint8


def test_what_cannot_be_is_refused() -> None:
    diffs, noise = ramps(6, 5)
    cov = ours.Covar(TIMES, pedestal=True)
    with pytest.raises(ValueError, match="detect_jumps"):
        ours.fit_ramps(np.zeros((10, 5)), cov, noise, detect_jumps=True)
    with pytest.raises(ValueError, match="without for the search"):
        ours.mask_jumps(np.zeros((10, 5)), cov, noise)
    with pytest.raises(ValueError, match=r"sig has shape \(3,\)"):
        ours.fit_ramps(diffs, ours.Covar(TIMES), noise[:3])
    with pytest.raises(ValueError, match="diffs has shape"):
        ours.fit_ramps(diffs[0], ours.Covar(TIMES), 1.0)
    with pytest.raises(ValueError, match="a time after 0 for a pedestal"):
        ours.Covar([0.0, 1.0], pedestal=True)
    bias = ours.Covar(TIMES).calc_bias(np.array([0.1, 1.0, 10.0]), 12.0, np.ones(9))
    assert (bias > 0).all()
