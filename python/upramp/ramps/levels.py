"""Background level of every read, on arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp import _core
from upramp._arrays import as_array, count_threads
from upramp.ramps.crcorr import bounds

__all__ = ["ReadStats", "read_stats"]


class ReadStats(NamedTuple):
    """Statistics of every read, arrays of shape (nread,); NaN where no pixel is left."""

    npix: NDArray[np.int64]
    """Pixels left."""
    median: NDArray[np.float64]
    """Their median (exact; the mean of the two middle values for an even count)."""
    mean: NDArray[np.float64]
    """Their mean."""
    std: NDArray[np.float64]
    """Their standard deviation about the mean."""


def read_stats(
    cube: ArrayLike,
    dq: ArrayLike | None = None,
    *,
    bad_dq: int = 0xFFFF,
    mask: ArrayLike | None = None,
    response: ArrayLike | None = None,
    region: tuple[slice, slice] | None = None,
    clip: float | tuple[float, float] | None = None,
    max_iter: int = 5,
    threads: int | None = None,
) -> ReadStats:
    """Median, mean and standard deviation of every read.

    Parameters
    ----------
    cube : (nread, ny, nx) array_like of float32
        Reads.
    dq : (nread, ny, nx) array_like of uint16, optional
        DQ bits; samples with any of `bad_dq` are left out.
    bad_dq : int, optional
        Bits that count.
    mask : (ny, nx) array_like of bool, optional
        Pixels to leave out (True), for instance sources.
    response : (ny, nx) array_like of float32, optional
        Relative response that reads are divided by first; pixels without any are left out.
    region : tuple of slice, optional
        Rows and columns to use.
    clip : float or (float, float), optional
        Clip outliers beyond this many standard deviations from the median, (lower, upper), as
        :func:`astropy.stats.sigma_clip` does with ``cenfunc="median"``.
    max_iter : int, optional
        Rounds of clipping at most.
    threads : int, optional
        Number of threads.

    Returns
    -------
    ReadStats
    """
    cube = as_array("cube", cube, np.float32, 3)
    flags = None if dq is None else as_array("dq", dq, np.uint16, 3, cube.shape)
    masked = None if mask is None else as_array("mask", mask, bool, 2, cube.shape[1:])
    divisor = None if response is None else as_array("response", response, np.float32, 2, cube.shape[1:])
    limits: tuple[float, float, int] | None = None
    if clip is not None:
        lower, upper = (clip, clip) if isinstance(clip, (int, float)) else clip
        if not (lower > 0 and upper > 0):
            raise ValueError(f"clip is {clip}, expected a positive number or a pair of them")
        limits = (float(lower), float(upper), max_iter)
    where = bounds(region, cube.shape[1:])
    return ReadStats(
        *_core.read_stats(cube, flags, masked, divisor, where, bad_dq, limits, count_threads(threads))
    )
