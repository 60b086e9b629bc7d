"""Level of every interval between reads, on arrays: differences of reads that are measured but never stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp import _core
from upramp._arrays import as_array, count_threads
from upramp.ramps.crcorr import bounds

__all__ = ["Difference", "IntervalStats", "difference_stats"]


class Difference(NamedTuple):
    """A difference of two reads: ``later_weight * cube[later] - earlier_weight * cube[earlier]``."""

    later: int
    """Read that adds."""
    later_weight: float
    """Its factor."""
    earlier: int
    """Read that is taken off; with a factor of 0 its values are not looked at, but its flags count."""
    earlier_weight: float
    """Its factor."""


class IntervalStats(NamedTuple):
    """Statistics of a region in every interval, arrays of shape (n,); NaN where no pixel is left."""

    npix: NDArray[np.int64]
    """Pixels left."""
    median: NDArray[np.float64]
    """Their median (exact; the mean of the two middle values for an even count)."""
    mean: NDArray[np.float64]
    """Their mean."""
    mode: NDArray[np.float64]
    """Peak of their histogram: vertex of the least-squares parabola through its bins within one sigma."""
    std: NDArray[np.float64]
    """Their standard deviation about the mean."""
    robust_std: NDArray[np.float64]
    """1.4826 times their median absolute deviation."""
    error: NDArray[np.float64]
    """Standard error of the median, sqrt(pi / 2) `robust_std` / sqrt(`npix`): independent, normal noise."""


def difference_stats(
    cube: ArrayLike,
    differences: Sequence[Difference | tuple[int, float, int, float]],
    dq: ArrayLike | None = None,
    *,
    regions: Sequence[tuple[slice, slice] | None] = (None,),
    bad_dq: int = 0xFFFF,
    mask: ArrayLike | None = None,
    pattern: ArrayLike | None = None,
    clip: float | None = None,
    max_iter: int = 5,
    threads: int | None = None,
) -> list[IntervalStats]:
    """Statistics of weighted differences of reads in several regions, in one pass over the cube.

    Parameters
    ----------
    cube : (nread, ny, nx) array_like of float32
        Reads.
    differences : sequence of Difference
        What to measure.
    dq : (nread, ny, nx) array_like of uint16, optional
        DQ bits; a pixel with any of `bad_dq` in either read is left out.
    regions : sequence of tuple of slice, optional
        Rows and columns of each region; None is the whole image.
    bad_dq : int, optional
        Bits that count.
    mask : (ny, nx) array_like of bool, optional
        Pixels to leave out (True), for instance sources.
    pattern : (ny, nx) array_like of float32, optional
        Image to take off every difference first, such as what each pixel has of its own; a pixel that is NaN there
        is left out.
    clip : float, optional
        Clip pixels further from the median than this many robust standard deviations of the difference itself,
        until none is, in `max_iter` rounds at most. The noise of every interval sets its own limit.
    max_iter : int, optional
        Rounds of clipping at most.
    threads : int, optional
        Number of threads; the answer does not depend on it.

    Returns
    -------
    list of IntervalStats
        One per region, arrays of shape (len(differences),).

    Raises
    ------
    ValueError
        Shapes that do not fit, a region outside the image, a read that is not there, a clip that is not positive.
    """
    cube = as_array("cube", cube, np.float32, 3)
    flags = None if dq is None else as_array("dq", dq, np.uint16, 3, cube.shape)
    masked = None if mask is None else as_array("mask", mask, bool, 2, cube.shape[1:])
    taken = None if pattern is None else as_array("pattern", pattern, np.float32, 2, cube.shape[1:])
    limit: tuple[float, int] | None = None
    if clip is not None:
        if not clip > 0:
            raise ValueError(f"clip is {clip}, expected a positive number or None")
        limit = (float(clip), max_iter)
    pairs = [Difference(*pair) for pair in differences]
    for pair in pairs:
        if not (0 <= pair.later < len(cube) and 0 <= pair.earlier < len(cube)):
            raise ValueError(f"difference is {tuple(pair)}, expected reads from 0 to {len(cube) - 1}")
    where = [bounds(region, cube.shape[1:]) for region in regions]
    npix, columns = _core.interval_stats(
        cube, flags, masked, taken, pairs, where, bad_dq, limit, count_threads(threads)
    )
    return [
        IntervalStats(npix[:, i].copy(), *(column[:, i].copy() for column in columns))
        for i in range(len(where))
    ]
