"""The search for gains: the least chi square for a rate and hits that are not negative, and its use."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from upramp.ramps import covariance_of, fit
from upramp.ramps.likelihood import thresholds

NOISE = 12.0
TIMES = [100.0 * sample + np.arange(1.0, 9.0) for sample in range(6)]
"""Means of eight reads, and a gap."""


def simulate(rate: float, n: int, seed: int) -> NDArray[np.float32]:
    """Ramps, (6, 1, n), electrons."""
    rng = np.random.default_rng(seed)
    reads = np.concatenate(TIMES)
    charge = rng.poisson(rate * np.diff(reads, prepend=0)[:, None], (reads.size, n)).cumsum(axis=0)
    noisy = charge + rng.normal(0, NOISE, charge.shape)
    cube: NDArray[np.float32] = noisy.reshape(6, 8, n).mean(axis=1).astype(np.float32)[:, None]
    return cube


def matrix(rate: float) -> NDArray[np.float64]:
    """Covariance of the rates of the differences."""
    cov = covariance_of(TIMES)  # type: ignore[arg-type]
    full = np.diag(cov.read * NOISE**2 + cov.photon * rate)
    near = cov.read_next * NOISE**2 + cov.photon_next * rate
    made: NDArray[np.float64] = full + np.diag(near, 1) + np.diag(near, -1)
    return made


def least(design: NDArray[np.float64], data: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Least chi square for factors that are not negative, by trying which of them are zero."""
    best, factors = float(data @ data), np.zeros(design.shape[1])
    for count in range(1, design.shape[1] + 1):
        for chosen in combinations(range(design.shape[1]), count):
            found = np.linalg.lstsq(design[:, chosen], data, rcond=None)[0]
            chi2 = float(((data - design[:, chosen] @ found) ** 2).sum())
            if found.min() >= 0 and chi2 < best:
                best, factors = chi2, np.zeros(design.shape[1])
                factors[list(chosen)] = found
    return best, factors


def expected(rates: NDArray[np.float64], guess: float, sigma: float) -> set[int]:
    """Differences to leave out of a ramp, one or two neighbours."""
    limits = thresholds(sigma)
    assert limits is not None
    white = np.linalg.inv(np.linalg.cholesky(matrix(guess)))
    data, flat, single = white @ rates, white @ np.ones(5), white @ np.eye(5)
    without, _ = least(flat[:, None], data)
    best: tuple[float, set[int]] = (0.0, set())
    for hit in [*[(i,) for i in range(5)], *[(i, i + 1) for i in range(4)]]:
        chi2, factors = least(np.column_stack([flat, *(single[:, i] for i in hit)]), data)
        excess = without - chi2 - limits[len(hit) - 1]
        if excess > best[0] and factors[1:].min() > 0:
            best = (excess, set(hit))
    return best[1]


@pytest.mark.parametrize("rate", [0.0, 0.05, 2.0])
def test_gains_are_those_of_the_least_chi_square(rate: float) -> None:
    cube = simulate(rate, 300, seed=5)
    rng = np.random.default_rng(6)
    for k in range(300):
        # Hits in the gap or within a sample, and losses, which no hit makes.
        cube[rng.integers(1, 6) :, 0, k] += rng.choice([15, 25, 40, -40])
        cube[rng.integers(0, 6), 0, k] += rng.choice([0, 12, 25])
    made = fit(cube, TIMES, NOISE, jumps="gains", sigma=3.0, fewest=4, rate_guess=rate, threads=1)
    assert made.jumps is not None
    step = np.diff([sample.mean() for sample in TIMES])
    rates = np.diff(cube[:, 0].astype(np.float64), axis=0) / step[:, None]
    found = [set(np.flatnonzero(made.jumps[:, 0, k]).tolist()) for k in range(300)]
    assert found == [expected(rates[:, k], rate, 3.0) for k in range(300)]
    counts = [len(one) for one in found]
    assert min(counts.count(n) for n in (0, 1, 2)) > 5


def test_losses_are_kept_and_noise_is_seldom_a_gain() -> None:
    cube = simulate(0.0, 200_000, seed=7)
    any_hit = fit(cube, TIMES, NOISE, sigma=3.5).jumps
    gains = fit(cube, TIMES, NOISE, jumps="gains", sigma=3.5).jumps
    assert any_hit is not None
    assert gains is not None
    assert any_hit.sum() > 300
    assert gains.sum() < any_hit.sum() / 20
    cube[3:] -= 500
    lost = fit(cube, TIMES, NOISE, jumps="gains").jumps
    assert lost is not None
    assert lost.mean() < 1e-3


def test_large_gains_are_found_by_other_fits_too() -> None:
    cube = simulate(2.0, 500, seed=8)
    cube[3:, 0, ::2] += 5000
    for method in ("gls", "uniform", "casertano"):
        made = fit(cube, TIMES, NOISE, method=method, jumps="gains")  # type: ignore[arg-type]
        assert made.jumps is not None
        np.testing.assert_array_equal(made.jumps[2, 0, ::2], True)
        np.testing.assert_allclose(np.median(made.rate[0, ::2]), 2.0, rtol=0.02)
