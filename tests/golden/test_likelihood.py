"""Generalised least squares against the outputs of fitramp and of stcal's LIKELY, and the truth where they err."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ramp_sets import PATTERNS, load
from upramp.ramps import GlsFit, fit_gls

UNFLAGGED = {("jwst_deep8_5", "fitramp"): [124, 169], ("jwst_deep8_5", "stcal"): [8, 19]}
"""Symmetric ramps of four differences without signal, in which the peer overlooks a hit (0 / 0)."""


def expect_same_masks(
    name: tuple[str, str], ours: GlsFit, theirs: NDArray[np.bool_], usable: NDArray[np.bool_], hit: Any
) -> NDArray[np.bool_]:
    """Masks agree but for the peers' faults; returns the pixels in which they do."""
    assert ours.jumps is not None
    found = ours.jumps[:, 0]
    differ = (found != theirs).any(axis=0)
    left = usable.sum(axis=0)
    # A ramp of three differences is searched by the peers; one that saturates before half its time gives them
    # nearly no photon noise, and false hits. The truth decides: ours has no more wrong flags.
    known = (left <= 3) | (left < len(usable) / 2)
    assert np.count_nonzero((found & ~hit)[:, known]) <= np.count_nonzero((theirs & ~hit)[:, known])
    overlooked = UNFLAGGED.get(name, [])
    assert sorted(np.flatnonzero(differ & ~known)) == overlooked
    for pixel in overlooked:
        assert not theirs[:, pixel].any()
        assert hit[:, pixel].any()
        assert found[hit[:, pixel], pixel].all()
    return ~differ


@pytest.mark.parametrize("pattern", PATTERNS)
def test_masks_rates_errors_and_chi_square_are_fitramps(shared: Path, pattern: str) -> None:
    ramps = load(shared, pattern)
    with np.load(shared / "golden" / "ramp" / f"{pattern}_fitramp.npz") as file:
        z = dict(file)
    size = ramps.data.shape[-1]
    usable = np.unpackbits(z["mask_in"], axis=1)[:, :size] > 0
    kept = np.unpackbits(z["mask_out"], axis=1)[:, :size] > 0
    fit = fit_gls(
        ramps.data,
        ramps.times,
        z["sig"].reshape(1, -1),
        gain=ramps.gain,
        mask=~usable[:, None],
        sigma=(20.25, 23.8),
    )
    same = expect_same_masks((pattern, "fitramp"), fit, usable & ~kept, usable, ramps.hit)
    # Where something was unusable from the start, our first guess is another.
    fair = same & usable.all(axis=0)
    assert fair.mean() > 0.7
    assert fit.chi2 is not None
    rate, err, chi2 = fit.rate[0] * ramps.gain[0], fit.err[0] * ramps.gain[0], fit.chi2[0]
    # A few ramps with several hits differ by rounding of the peer's running rate; the others by float32 output.
    off = np.abs(rate - z["countrate"])[fair] / z["uncert"][fair]
    assert off.max() < 4e-4
    assert np.mean(off < 1e-4) > 0.99
    np.testing.assert_allclose(err[fair], z["uncert"][fair], rtol=2e-5)
    # float32 samples: chi square of bright ramps is a small difference of large numbers.
    np.testing.assert_allclose(chi2[fair], z["chisq"][fair], rtol=5e-4, atol=1e-4)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_masks_and_rates_are_stcals(shared: Path, pattern: str) -> None:
    with np.load(shared / "golden" / "ramp" / f"{pattern}_likely.npz") as file:
        z = dict(file)
    for k, groupdq in enumerate(z["groupdq_out"]):
        ramps = load(shared, pattern, k)
        good = ramps.good
        fit = fit_gls(
            ramps.data,
            ramps.times,
            ramps.noise,
            gain=ramps.gain,
            dq=ramps.dq.astype(np.uint16),
            dark=ramps.dark,
        )
        usable = (ramps.dq[1:, 0] == 0) & (ramps.dq[:-1, 0] == 0)
        theirs = (groupdq.reshape(*ramps.dq.shape)[1:, 0] & 4 > 0) & (ramps.dq[1:, 0] & 4 == 0)
        same = good.copy()
        assert fit.jumps is not None
        same[good] = expect_same_masks(
            (pattern, "stcal"),
            fit._replace(jumps=fit.jumps[:, :, good]),
            theirs[:, good],
            usable[:, good],
            ramps.hit[:, good],
        )
        if len(z["groupdq_out"]) > 1:
            continue  # only the mean of the integrations is stored
        slope, err = z["rate_slope"].ravel(), z["rate_err"].ravel()
        fair = same & usable.all(axis=0) & np.isfinite(slope)
        assert fair.mean() > 0.7
        # stcal's search does without the dark current that its final fit has.
        np.testing.assert_array_less(np.abs(fit.rate[0] - slope)[fair], 0.01 * err[fair])
        np.testing.assert_allclose(np.median(fit.err[0][fair] / err[fair]), 1, atol=1e-5)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_hits_of_the_truth_are_found_and_nothing_else(shared: Path, pattern: str) -> None:
    """On clean ramps: no more false flags than one in ten thousand differences (two averaged ones go together)."""
    ramps = load(shared, pattern)
    fit = fit_gls(ramps.data, ramps.times, ramps.noise, gain=ramps.gain, dq=ramps.dq.astype(np.uint16))
    assert fit.jumps is not None
    clean = ~ramps.hit.any(axis=0) & ramps.good
    assert fit.jumps[:, 0, clean].mean() < 1e-4
