"""Flatten a ramp: take out what a uniform background changes from read to read.

Helium airglow adds the same to every pixel, but not at a constant rate: the ramp bends, and the fit takes the
bend for cosmic rays. Taking from every read the difference of its median to that of the last read makes the
ramp straight; the mean level stays, and with it the statistics of the pixels.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from upramp.ramps import read_stats
from upramp.wfc3ir.exposure import Ramp

__all__ = ["SKY_BAD_DQ", "Flattened", "flatten_ramp", "is_grism"]

log = logging.getLogger(__name__)

SKY_BAD_DQ = 0xFFFF & ~(1024 | 2048 | 8192)
"""DQ bits that exclude a pixel from sky statistics.

All but: reads marked by hand (1024), signal in the zeroth read (2048), and cosmic rays (8192), which a bent
ramp sets everywhere."""


class Flattened(NamedTuple):
    """Result of :func:`flatten_ramp`."""

    ramp: Ramp
    """The exposure with a straight background."""
    level: NDArray[np.float64]
    """Median rate of every read before, (nread,), in `ramp.unit` per second; NaN for the zeroth read."""
    removed: NDArray[np.float64]
    """Rate taken from every read, (nread,); 0 for the zeroth."""


def is_grism(ramp: Ramp) -> bool:
    """Whether the exposure was taken through a grism.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    """
    return str(ramp.primary.get("FILTER", "")).strip().upper() in ("G102", "G141")


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
    threads: int | None = None,
) -> Flattened:
    """Make the median of every read that of the last, so that a uniform variable background is gone.

    Parameters
    ----------
    ramp : Ramp
        Exposure, in counts or rates; it is not changed.
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
    threads : int, optional
        Number of threads.

    Returns
    -------
    Flattened

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
    if is_grism(ramp) and not force:
        name = str(ramp.primary["FILTER"]).strip()
        raise ValueError(
            f"{ramp.path}: {name} is a grism, whose background is not uniform: its helium has a shape of its own, "
            "which a constant per read cannot remove; use force=True (--force) to flatten all the same"
        )
    if ramp.nread < 2:
        raise ValueError(f"{ramp.path}: NSAMP is {ramp.nread}; there is no ramp to flatten")
    where = region or ramp.border
    span = np.where(ramp.times > 0, ramp.times, 1.0)
    signal = ramp.sci
    if flat is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            signal = ramp.sci / flat
    stats = read_stats(
        signal, ramp.dq, bad_dq=bad_dq, mask=mask, region=where, clip=clip, max_iter=max_iter, threads=threads
    )
    if (stats.npix[1:] == 0).any():
        read = int(np.flatnonzero(stats.npix[1:] == 0)[0]) + 1
        raise ValueError(f"{ramp.path}: no pixel of region {where} is left in read {read} for its median")
    medians = stats.median / (1.0 if ramp.is_rate else span)
    removed = medians - medians[-1]
    removed[0] = 0.0
    taken = removed * (1.0 if ramp.is_rate else span)
    sci = np.empty_like(ramp.sci)
    for r, value in enumerate(taken):
        shift = np.float32(value) if flat is None else np.float32(value) * flat
        np.subtract(ramp.sci[r], shift, out=sci[r])
        # Reference pixels see no sky.
        y, x = ramp.border
        for edge in (np.s_[: y.start], np.s_[y.stop :], np.s_[:, : x.start], np.s_[:, x.stop :]):
            sci[r][edge] = ramp.sci[r][edge]
    level = medians.copy()
    level[0] = np.nan
    log.info("%s: background %.3f to %.3f %s", ramp.path, np.nanmin(level), np.nanmax(level), ramp.unit)
    return Flattened(ramp.with_(sci=sci), level, removed)
