"""The quiet level of an exposure: what stays when the variable background is at its lowest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from upramp.exceptions import InputError
from upramp.ramps.cells import cell_levels, weights
from upramp.tvb.corrected import SKY_BAD_DQ
from upramp.tvb.quiet import find_excess
from upramp.tvb.reference_level import reference_level
from upramp.wfc3ir.exposure import Ramp

__all__ = ["Quiet", "check_times", "interval_levels", "quiet_rate", "require_levels"]

SHORT = 0.5
"""Intervals shorter than this part of the median are too noisy to be called quiet."""


class Quiet(NamedTuple):
    """Result of :func:`quiet_rate`."""

    rate: NDArray[np.float32]
    """Mean rate of the quiet intervals, (ny, nx), divided by the response."""
    level: NDArray[np.float64]
    """Median rate of every interval, (nread - 1,)."""
    used: NDArray[np.bool_]
    """Quiet intervals, (nread - 1,)."""


def interval_levels(
    ramp: Ramp,
    region: tuple[slice, slice] | None = None,
    *,
    response: NDArray[np.float32] | None = None,
    base: NDArray[np.float32] | None = None,
    mask: NDArray[np.bool_] | None = None,
    bad_dq: int = SKY_BAD_DQ,
    threads: int | None = None,
) -> NDArray[np.float64]:
    """Median rate of every interval between reads in a region.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    region : tuple of slice, optional
        Rows and columns; default all light-sensitive pixels.
    response, base, mask, bad_dq, threads : optional
        See :func:`upramp.ramps.cell_levels`.

    Returns
    -------
    level : (nread - 1,) ndarray of float64
        NaN where an interval has no good pixel.

    Raises
    ------
    InputError
        Exposure times do not ascend.
    """
    check_times(ramp)
    where = region or ramp.border
    level = cell_levels(
        ramp.sci,
        ramp.dq,
        ramp.times,
        rate=ramp.is_rate,
        response=response,
        base=base,
        mask=mask,
        bad_dq=bad_dq,
        region=where,
        threads=threads,
    ).median[:, 0, 0]
    return np.asarray(level)


def require_levels(ramp: Ramp, level: NDArray[np.float64]) -> None:
    """Refuse to go on where an interval has no level.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    level : (nread - 1,) ndarray of float64
        Of :func:`interval_levels`.

    Raises
    ------
    ValueError
        An interval without a good pixel; names the read that ends it.
    """
    if np.isnan(level).any():
        read = int(np.flatnonzero(np.isnan(level))[0]) + 1
        raise ValueError(
            f"{ramp.path}: no good pixel is left in read {read} for the median of its background"
        )


def check_times(ramp: Ramp) -> None:
    """Refuse an exposure without intervals.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    """
    if ramp.nread < 2:
        raise InputError(f"{ramp.path}: NSAMP is {ramp.nread}; there is no ramp to correct")
    if not (np.diff(ramp.times) > 0).all():
        listed = ", ".join(f"{time:g}" for time in ramp.times)
        raise InputError(f"{ramp.path}: SAMPTIME does not grow from read to read: {listed}")


def quiet_rate(
    ramp: Ramp,
    *,
    response: NDArray[np.float32] | None = None,
    mask: NDArray[np.bool_] | None = None,
    bad_dq: int = SKY_BAD_DQ,
    threads: int | None = None,
) -> Quiet:
    """Find the quietest intervals and their mean rate, pixel by pixel.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    response : (ny, nx) ndarray of float32, optional
        Relative response to the sky.
    mask : (ny, nx) ndarray of bool, optional
        Pixels that do not speak for the sky (True).
    bad_dq : int, optional
        DQ bits that exclude a pixel.
    threads : int, optional
        Number of threads.

    Returns
    -------
    Quiet

    Notes
    -----
    Quiet are the intervals that :func:`upramp.tvb.quiet.find_excess` does not find above the level of the others:
    the single one with the lowest median would be low by chance. Very short ones are not considered. The errors
    of the medians are those of the pixels' scatter and of the reference pixels that were subtracted.
    """
    level = interval_levels(ramp, response=response, mask=mask, bad_dq=bad_dq, threads=threads)
    require_levels(ramp, level)
    steps = np.diff(ramp.times)
    long = steps >= SHORT * np.median(steps)
    lowest = int(np.argmin(np.where(long, level, np.inf)))
    rate = _mean_rate(ramp, np.arange(steps.size) == lowest, response)
    sample = rate[ramp.border][::7, ::3]
    sample = sample[np.isfinite(sample)]
    scatter = 1.4826 * float(np.median(np.abs(sample - np.median(sample)))) if sample.size else 0.0
    # Most of the scatter of a faint sky is read noise: that of a shorter interval is larger in proportion.
    pixels = 1.2533 * scatter * steps[lowest] / np.sqrt(rate[ramp.border].size)
    common = reference_level(ramp).variance
    error = np.hypot(pixels, np.sqrt(2 * common)) / steps
    found = find_excess(level[long], error[long], steps[long], 0.5 * pixels**2 + common)
    used = np.zeros(steps.size, bool)
    used[long] = ~found.disturbed
    if not used.any():
        used[lowest] = True
    return Quiet(_mean_rate(ramp, used, response), level, used)


def _mean_rate(
    ramp: Ramp, used: NDArray[np.bool_], response: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Signal gathered in some intervals over their time."""
    weight = weights(ramp.times, rate=ramp.is_rate)
    # Reads inside a run of intervals cancel: only the ends of the runs are touched.
    sign = np.zeros(ramp.nread)
    sign[1:] += used
    sign[:-1] -= used
    total: NDArray[np.float32] = np.zeros(ramp.sci.shape[1:], np.float32)
    for r in np.flatnonzero(sign * weight):
        total += np.float32(sign[r] * weight[r]) * ramp.sci[r]
    total /= np.float32(np.diff(ramp.times)[used].sum())
    if response is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            total /= response
    return total
