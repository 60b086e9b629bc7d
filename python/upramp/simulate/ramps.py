"""Simulated ramps of any detector, with their truth: reads of light and read noise, averaged, perhaps hit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from upramp.ramps.bias import covariance_of

__all__ = ["PATTERNS", "Pattern", "RampSample", "best_error", "difference_noise", "simulate_ramps"]


class Pattern(NamedTuple):
    """When the reads of a ramp are taken, and how noisy they are."""

    times: list[NDArray[np.float64]]
    """Times of the reads of every sample, seconds."""
    read_noise: float
    """Noise of one read, electrons."""


class RampSample(NamedTuple):
    """Simulated ramps."""

    cube: NDArray[np.float32]
    """Samples, (nread, 1, n), electrons."""
    hit: NDArray[np.bool_]
    """Differences that the charge of a hit is in, (nread - 1, 1, n)."""


def _even(nframes: int, groupgap: int, ngroups: int, frame_time: float) -> list[NDArray[np.float64]]:
    first = (nframes + groupgap) * np.arange(ngroups)
    return [frame_time * np.arange(start + 1.0, start + nframes + 0.5) for start in first]


def _single(times: Sequence[float]) -> list[NDArray[np.float64]]:
    return [np.array([time]) for time in times]


_STEP50 = (
    *(0.0, 2.932, 5.865, 8.797, 11.729, 24.23, 49.23, 99.231, 149.231, 199.232),
    *(249.232, 299.232, 349.233, 399.233, 449.233, 499.234),
)
_ROMAN = [
    [1],
    [2, 3],
    [4, 5, 6, 7],
    [*range(8, 16)],
    [*range(16, 24)],
    [*range(24, 32)],
    [*range(32, 40)],
    [41],
]

PATTERNS: dict[str, Pattern] = {
    "wfc3_spars50": Pattern(_single([0.0, *(2.932 + 50.0007 * k for k in range(15))]), 14.8),
    "wfc3_step50": Pattern(_single(_STEP50), 14.8),
    "jwst_rapid10": Pattern(_even(1, 0, 10, 10.737), 12.0),
    "jwst_medium8": Pattern(_even(8, 2, 10, 10.737), 12.0),
    "jwst_deep8_5": Pattern(_even(8, 12, 5, 10.737), 12.0),
    "jwst_miri40": Pattern(_even(1, 0, 40, 2.775), 15.0),
    "roman_uneven": Pattern([3.16247 * np.array(reads, float) for reads in _ROMAN], 8.5),
}
"""Read patterns of HST's WFC3/IR, of JWST and of Roman."""


def difference_noise(pattern: Pattern, rate: float) -> NDArray[np.float64]:
    """Noise of the difference of every two samples in succession, electrons.

    Parameters
    ----------
    pattern : Pattern
        The reads.
    rate : float
        Count rate, electrons per second.
    """
    cov = covariance_of(pattern.times)
    dt = np.diff([sample.mean() for sample in pattern.times])
    noise: NDArray[np.float64] = np.sqrt(pattern.read_noise**2 * cov.read + rate * cov.photon) * dt
    return noise


def best_error(pattern: Pattern, rate: float) -> float:
    """Least error that a rate linear in the samples can have, from the true covariance.

    Parameters
    ----------
    pattern : Pattern
        The reads.
    rate : float
        Count rate, electrons per second.
    """
    cov = covariance_of(pattern.times)
    noise2 = pattern.read_noise**2
    beta = noise2 * cov.read_next + rate * cov.photon_next
    full = np.diag(noise2 * cov.read + rate * cov.photon) + np.diag(beta, 1) + np.diag(beta, -1)
    return float(1 / np.sqrt(np.linalg.inv(full).sum()))


def simulate_ramps(
    pattern: Pattern, rate: float, n: int, seed: int | Sequence[int] = 1, sigma: float | None = None
) -> RampSample:
    """Simulate ramps read by read.

    Parameters
    ----------
    pattern : Pattern
        The reads.
    rate : float
        Count rate, electrons per second.
    n : int
        Number of ramps.
    seed : int or sequence of int, optional
        Seed of the random numbers.
    sigma : float, optional
        Hit every ramp once, between its first read and its last, at a random time; with so many times the noise of
        the difference that most of the charge falls into.

    Returns
    -------
    RampSample
    """
    rng = np.random.default_rng(seed)
    reads = np.concatenate(pattern.times)
    owner = np.repeat(np.arange(len(pattern.times)), [len(sample) for sample in pattern.times])
    first = np.array([sample[0] for sample in pattern.times])
    last = np.array([sample[-1] for sample in pattern.times])
    when = rng.uniform(reads[0], reads[-1], n)
    charge = np.zeros(n)
    hit = np.zeros((len(first) - 1, n), bool)
    if sigma is not None:
        hit = (first[:-1, None] <= when) & (when < last[1:, None])
        # Part of the charge that a difference holds: what its samples differ by in reads after the hit.
        after = np.array([(sample[:, None] > when).mean(axis=0) for sample in pattern.times])
        charge = sigma * difference_noise(pattern, rate)[np.argmax(np.diff(after, axis=0), axis=0)]
    cube = np.zeros((len(first), n))
    counts, before = np.zeros(n), 0.0
    for time, sample in zip(reads, owner, strict=True):
        counts += rng.poisson(rate * (time - before), n)
        before = time
        read = counts + np.where(when < time, charge, 0) + rng.normal(0, pattern.read_noise, n)
        cube[sample] += read / len(pattern.times[sample])
    return RampSample(cube.astype(np.float32)[:, None], hit[:, None])
