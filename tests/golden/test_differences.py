"""Fits of differences, with tables of omissions, against the outputs of fitramp."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ramp_sets import PATTERNS, load
from upramp.compat import fitramp

SYMMETRIC = {"jwst_deep8_5": [124, 169]}
"""Pixels in which fitramp's formula for two omissions is 0 / 0."""
DOUBLED = {"wfc3_spars50": 7}
"""Pixels to which fitramp gives twice the rate, after it left out neighbours."""
TABLES = {
    "one_countrate": "countrate_oneomit",
    "one_chisq": "chisq_oneomit",
    "one_uncert": "uncert_oneomit",
    "one_jumpval": "jumpval_oneomit",
    "one_jumpsig": "jumpsig_oneomit",
    "two_countrate": "countrate_twoomit",
    "two_chisq": "chisq_twoomit",
    "two_uncert": "uncert_twoomit",
    "all_countrate": "countrate",
    "all_chisq": "chisq",
}


def differences(shared: Path, pattern: str) -> tuple[fitramp.Covar, NDArray[np.float64], dict[str, Any]]:
    ramps = load(shared, pattern)
    with np.load(shared / "golden" / "ramp" / f"{pattern}_fitramp.npz") as file:
        z = dict(file)
    cov = fitramp.Covar(ramps.times)
    electrons = (ramps.data * ramps.gain)[:, 0].astype(np.float64)
    return cov, np.diff(electrons, axis=0) / cov.delta_t[:, None], z


@pytest.mark.parametrize("pattern", PATTERNS)
def test_masks_rates_and_weights_are_fitramps(shared: Path, pattern: str) -> None:
    cov, diffs, z = differences(shared, pattern)
    for name in ("alpha_ph", "alpha_rn", "beta_ph", "beta_rn"):
        ours = getattr(cov, name.replace("_ph", "_phnoise").replace("_rn", "_readnoise"))
        np.testing.assert_allclose(ours, z[name], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(cov.tau, z["tau"], rtol=1e-12)

    usable, kept = (np.unpackbits(z[name], axis=1)[:, : diffs.shape[1]] for name in ("mask_in", "mask_out"))
    mask = usable.copy()
    left, rate = fitramp.mask_jumps(diffs, cov, z["sig"], diffs2use=mask)
    assert left is mask
    # Where something was unusable from the start our first guess is another (test_likelihood.py).
    whole = usable.all(axis=0)
    whole[SYMMETRIC.get(pattern, [])] = False
    np.testing.assert_array_equal(left[:, whole], kept[:, whole])
    off = ~np.isclose(rate, z["cr_mask_jumps"], rtol=1e-7, atol=1e-9)
    assert np.count_nonzero(off[whole]) <= DOUBLED.get(pattern, 0)

    guess = np.maximum(z["cr_mask_jumps"], 0)
    fit = fitramp.fit_ramps(diffs, cov, z["sig"], countrateguess=guess, diffs2use=kept)
    # One pixel in all patterns has a rate of NaN in fitramp though a difference is left.
    known = np.isfinite(z["uncert"])
    assert np.count_nonzero(~known & np.isfinite(fit.uncert)) <= 1
    np.testing.assert_allclose(fit.countrate[known], z["countrate"][known], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(fit.uncert[known], z["uncert"][known], rtol=1e-9)
    np.testing.assert_allclose(fit.chisq[known], z["chisq"][known], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(fit.weights[:, :200], z["weights200"], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_single_and_double_omissions(shared: Path, pattern: str) -> None:
    cov, diffs, z = differences(shared, pattern)
    guess = np.maximum(np.median(diffs, axis=0), 0)
    some = slice(200)
    fit = fitramp.fit_ramps(
        diffs[:, some], cov, z["sig"][some], countrateguess=guess[some], detect_jumps=True
    )
    for theirs, ours in TABLES.items():
        mine = getattr(fit, ours)
        ok = np.isfinite(z[theirs])
        assert ok.mean() > 0.85
        # The peer's chi square is what is left of numbers as large as that of the whole ramp.
        scale = np.broadcast_to(z["all_chisq"], mine.shape)[ok] if "chisq" in theirs else 1
        off = np.abs(mine[ok] - z[theirs][ok]) / (np.abs(z[theirs][ok]) + scale)
        assert off.max() < 1e-5
        assert np.isfinite(mine).all()
