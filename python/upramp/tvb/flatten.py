"""Flatten a ramp: take out what a uniform background changes from read to read.

Helium airglow adds the same to every pixel, but not at a constant rate: the ramp bends, and the fit takes the
bend for cosmic rays. Taking from every read the difference of its median to that of the last read makes the
ramp straight; the mean level stays, and with it the statistics of the pixels.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from upramp.ramps import read_stats
from upramp.tvb.base import interval_levels
from upramp.tvb.corrected import SKY_BAD_DQ, Corrected, subtract
from upramp.tvb.grism import refuse_grism
from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.gls import Removed

__all__ = ["flatten_ramp"]

log = logging.getLogger(__name__)


def flatten_ramp(
    ramp: Ramp,
    *,
    region: tuple[slice, slice] | None = None,
    clip: float | tuple[float, float] | None = None,
    max_iter: int = 5,
    mask: NDArray[np.bool_] | None = None,
    bad_dq: int = SKY_BAD_DQ,
    flat: NDArray[np.float32] | None = None,
    force: bool = False,
    in_place: bool = False,
    threads: int | None = None,
) -> Corrected:
    """Make the median of every read that of the last, so that a uniform variable background is gone.

    Parameters
    ----------
    ramp : Ramp
        Exposure, in counts or rates; it is not changed, unless asked.
    region : tuple of slice, optional
        Rows and columns whose median counts; default all light-sensitive pixels.
    clip : float or (float, float), optional
        Clip pixels beyond this many standard deviations (below, above) before the median is taken.
    max_iter : int, optional
        Rounds of clipping at most.
    mask : (ny, nx) ndarray of bool, optional
        Pixels to leave out (True), for instance sources.
    bad_dq : int, optional
        DQ bits that exclude a pixel.
    flat : (ny, nx) ndarray of float32, optional
        Flat field of an exposure that has not been flat-fielded: the background is uniform on the sky, so what
        is taken out has the flat's pattern.
    force : bool, optional
        Flatten grism exposures too.
    in_place : bool, optional
        Change the array of `ramp` instead of a copy.
    threads : int, optional
        Number of threads.

    Returns
    -------
    Corrected

    Raises
    ------
    ValueError
        A grism exposure without `force`, or no pixel left for a median.

    Notes
    -----
    R_k <- R_k + median(R_last) - median(R_k) for rates R_k, k = 1 … last; the zeroth read holds no
    exposure and stays. Errors stay: the median of a million pixels adds nothing to them.

    References
    ----------
    .. [1] Brammer 2016, WFC3 ISR 2016-16.
    """
    refuse_grism(ramp, force=force)
    if ramp.nread < 2:
        raise ValueError(f"{ramp.path}: NSAMP is {ramp.nread}; there is no ramp to flatten")
    where = region or ramp.border
    span = np.where(ramp.times > 0, ramp.times, 1.0)
    stats = read_stats(
        ramp.sci,
        ramp.dq,
        response=flat,
        bad_dq=bad_dq,
        mask=mask,
        region=where,
        clip=clip,
        max_iter=max_iter,
        threads=threads,
    )
    if (stats.npix[1:] == 0).any():
        read = int(np.flatnonzero(stats.npix[1:] == 0)[0]) + 1
        raise ValueError(f"{ramp.path}: no pixel of region {where} is left in read {read} for its median")
    medians = stats.median / (1.0 if ramp.is_rate else span)
    removed = medians - medians[-1]
    removed[0] = 0.0
    level = np.concatenate(
        ([np.nan], interval_levels(ramp, where, response=flat, mask=mask, bad_dq=bad_dq, threads=threads))
    )
    sci = subtract(ramp, lambda r: removed[r], flat, threads, in_place=in_place)
    log.info("%s: background of up to %.3f %s taken from a read", ramp.path, np.abs(removed).max(), ramp.unit)
    # Of the cumulative signal that was taken off, what fell in between two reads.
    varied = Removed(np.diff(removed * ramp.times) / np.diff(ramp.times), flat)
    return Corrected(ramp.with_(sci=sci), None, level, removed, varied=varied)
