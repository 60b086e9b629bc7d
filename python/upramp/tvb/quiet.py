"""Which intervals hold more than the quiet level of their exposure: a test on a handful of numbers.

The mean signal gathered in interval k of length dt_k is ``s_k = q dt_k + e_k + n_k``: a constant quiet rate q, an
excess e_k >= 0 in some intervals, and noise. The noise of neighbours is not independent, since the read between
them enters both with opposite signs: ``cov(s_k, s_k+1) = -v`` with the variance v of the level of one read, and
``var(s_k)`` holds 2 v besides the photons. Knowing what the quiet neighbours did therefore tells part of the noise
of an interval, as it does in the fit of a ramp.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Excess", "Thresholds", "find_excess"]


class Thresholds(NamedTuple):
    """Significance from which an interval counts as disturbed, standard errors."""

    alone: float = 2.95
    """Both neighbours are quiet."""
    beside: float = 2.5
    """One neighbour is disturbed."""
    between: float = 1.2
    """Both are."""


class Excess(NamedTuple):
    """Result of :func:`find_excess`; arrays of shape (n,), NaN where there was no level."""

    quiet: float
    """Quiet rate q; NaN where no interval has a level."""
    quiet_error: float
    """Its standard error."""
    rate: NDArray[np.float64]
    """Rate above the quiet one."""
    error: NDArray[np.float64]
    """Standard error of `rate`, of that interval by itself."""
    significance: NDArray[np.float64]
    """Excess over its standard error, given the quiet neighbours; negative below the quiet level."""
    disturbed: NDArray[np.bool_]
    """Whether the interval is above the quiet level."""


def find_excess(
    level: ArrayLike,
    error: ArrayLike,
    dt: ArrayLike,
    read_variance: float = 0.0,
    thresholds: Thresholds | None = None,
    aside: NDArray[np.bool_] | None = None,
) -> Excess:
    """Find the quiet level of a ramp and the intervals above it.

    Parameters
    ----------
    level : (n,) array_like
        Mean rate of every interval; NaN where none could be measured.
    error : (n,) array_like
        Standard errors.
    dt : (n,) array_like
        Lengths of the intervals, seconds.
    read_variance : float, optional
        Variance of the level of one read, in the unit of ``level * dt`` squared: the noise that neighbouring
        intervals share.
    thresholds : Thresholds, optional
        When an interval counts as disturbed.
    aside : (n,) ndarray of bool, optional
        Intervals known to be spoiled by something that does not last, such as a satellite: they are compared with
        the quiet level but do not make it, and tell nothing of their neighbours.

    Returns
    -------
    Excess

    Notes
    -----
    Intervals are sent away one at a time, the most significantly high first, until the rest agree on one level:
    a background that is there most of the time does not hide the quiet reads, if only there are two. Then every
    interval is compared with what generalised least squares predicts from the quiet ones,
    ``mu_k = q dt_k + c' V^-1 (s - q dt)`` with their covariance matrix V and their covariances c with k, and moves
    in or out until nothing changes. Light that comes and goes does so over several reads: less is asked of an
    interval whose neighbours are disturbed. An interval that is alone in being low, while all others agree among
    themselves, is no quiet level: it counts as disturbed instead.

    With the default thresholds 0.3 % of the quiet intervals of an undisturbed exposure are called disturbed; an
    excess of 3 standard errors of the median is found more often than the same threshold on a median would find it,
    because the clipped mean of the residuals has 0.8 of the error of the median, and the shared read noise is known
    in part (docs/flag.md has the measured rates).
    """
    level, error, dt = (np.asarray(each, np.float64) for each in (level, error, dt))
    if not level.shape == error.shape == dt.shape or level.ndim != 1:
        raise ValueError(f"level, error and dt have shapes {level.shape}, {error.shape}, {dt.shape}")
    known = np.isfinite(level) & np.isfinite(error) & (error > 0)
    thresholds = thresholds or Thresholds()
    if not known.any():
        nothing = np.full(level.shape, np.nan)
        return Excess(np.nan, np.nan, nothing, nothing, nothing, np.zeros(level.shape, bool))
    signal, covariance = level * dt, _covariance(error * dt, read_variance)
    count = known if aside is None else known & ~aside
    if not count.any():
        count = known
    disturbed = _send_away(signal, dt, covariance, count, thresholds.alone)
    significance = np.full(level.shape, np.nan)
    for _ in range(12):  # a few are enough; a cycle between two answers ends here too
        significance = _compare(signal, dt, covariance, count & ~disturbed, known)
        again = count & (significance > _limits(disturbed, thresholds))
        if (again == disturbed).all() or not (count & ~again).any():
            break
        disturbed = again
    odd = _odd_one(signal, dt, covariance, count, disturbed, thresholds.alone)
    if odd is not None:
        disturbed = np.zeros_like(disturbed)
        disturbed[odd] = True
        significance = _compare(signal, dt, covariance, count & ~disturbed, known)
    quiet, quiet_error = _fit(signal, dt, covariance, count & ~disturbed)
    return Excess(quiet, quiet_error, level - quiet, np.where(known, error, np.nan), significance, disturbed)


def _covariance(error: NDArray[np.float64], read_variance: float) -> NDArray[np.float64]:
    """Of the signals: read noise shared by neighbours, and the rest, at least a twentieth, of its own."""
    variance = np.where(np.isfinite(error), error, 1.0) ** 2
    shared = max(read_variance, 0.0)
    own = np.maximum(variance - 2 * shared, 0.05 * variance)
    matrix = np.diag(own + 2 * shared)
    beside = np.arange(len(error) - 1)
    matrix[beside, beside + 1] = matrix[beside + 1, beside] = -shared
    return matrix


def _fit(
    signal: NDArray[np.float64],
    dt: NDArray[np.float64],
    covariance: NDArray[np.float64],
    use: NDArray[np.bool_],
) -> tuple[float, float]:
    """Generalised least squares of a constant rate, and its standard error."""
    if not use.any():
        return np.nan, np.nan
    weights = np.linalg.solve(covariance[np.ix_(use, use)], dt[use])
    information = float(weights @ dt[use])
    return float(weights @ signal[use]) / information, information**-0.5


def _send_away(
    signal: NDArray[np.float64],
    dt: NDArray[np.float64],
    covariance: NDArray[np.float64],
    known: NDArray[np.bool_],
    limit: float,
) -> NDArray[np.bool_]:
    """Send the highest interval away until those left agree.

    Each is compared with all others that are left, without looking at neighbours: next to a disturbed interval that
    has not gone yet, the shared noise would be misjudged.
    """
    left = known.copy()
    alone = np.diag(np.diag(covariance))
    while left.sum() > 1:
        pulls = np.full(signal.shape, -np.inf)
        for k in np.flatnonzero(left):
            others = left.copy()
            others[k] = False
            rate, error = _fit(signal, dt, alone, others)
            pulls[k] = (signal[k] - rate * dt[k]) / np.sqrt(alone[k, k] + (error * dt[k]) ** 2)
        worst = int(pulls.argmax())
        if pulls[worst] <= limit:
            break
        left[worst] = False
    return known & ~left


def _compare(
    signal: NDArray[np.float64],
    dt: NDArray[np.float64],
    covariance: NDArray[np.float64],
    quiet: NDArray[np.bool_],
    known: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Significance of every interval against the quiet ones other than itself."""
    found = np.full(signal.shape, np.nan)
    for k in np.flatnonzero(known):
        others = quiet.copy()
        others[k] = False
        if not others.any():
            found[k] = 0.0  # the last one left is the level itself
            continue
        rate, error = _fit(signal, dt, covariance, others)
        weights = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, k])
        residual = signal[k] - rate * dt[k] - weights @ (signal[others] - rate * dt[others])
        # The noise of the level tells on the prediction both directly and through the neighbours.
        lever = dt[k] - weights @ dt[others]
        variance = covariance[k, k] - weights @ covariance[others, k] + (lever * error) ** 2
        found[k] = residual / np.sqrt(max(variance, 1e-12 * covariance[k, k]))
    return found


def _limits(disturbed: NDArray[np.bool_], thresholds: Thresholds) -> NDArray[np.float64]:
    beside = np.zeros(disturbed.shape, int)
    beside[1:] += disturbed[:-1]
    beside[:-1] += disturbed[1:]
    return np.choose(beside, thresholds)


def _odd_one(
    signal: NDArray[np.float64],
    dt: NDArray[np.float64],
    covariance: NDArray[np.float64],
    known: NDArray[np.bool_],
    disturbed: NDArray[np.bool_],
    limit: float,
) -> int | None:
    """The only quiet interval, if all the others agree on another level."""
    quiet = np.flatnonzero(known & ~disturbed)
    others = known & disturbed
    if len(quiet) != 1 or others.sum() < 3:
        return None
    rate, _ = _fit(signal, dt, covariance, others)
    off = (signal - rate * dt)[others] / np.sqrt(np.diag(covariance)[others])
    return int(quiet[0]) if np.abs(off).max() <= limit else None
