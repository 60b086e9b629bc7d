"""What is gathered between the reads, in the cells of a grid, on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp import _core
from upramp._arrays import as_array, count_threads
from upramp.ramps.crcorr import bounds

__all__ = ["CellLevels", "cell_levels", "weights"]


class CellLevels(NamedTuple):
    """Result of :func:`cell_levels`, arrays of shape (nread - 1, gy, gx)."""

    median: NDArray[np.float64]
    """Median rate, in the unit of the accumulated signal per second; NaN without a good pixel."""
    npix: NDArray[np.int64]
    """Good pixels."""


def cell_levels(
    cube: ArrayLike,
    dq: ArrayLike,
    times: ArrayLike,
    *,
    rate: bool = True,
    response: ArrayLike | None = None,
    base: ArrayLike | None = None,
    bad_dq: int = 0xFFFF,
    mask: ArrayLike | None = None,
    region: tuple[slice, slice] | None = None,
    rows: Sequence[int] | None = None,
    columns: Sequence[int] | None = None,
    threads: int | None = None,
) -> CellLevels:
    """Median rate of every interval between reads, in each cell of a grid.

    Parameters
    ----------
    cube : (nread, ny, nx) array_like of float32
        Reads, zeroth first.
    dq : (nread, ny, nx) array_like of uint16
        DQ bits; a pixel with any of `bad_dq` in one of the two reads is left out of their interval.
    times : (nread,) array_like of float
        Exposure time of every read, seconds, ascending.
    rate : bool, optional
        `cube` is per second; False: accumulated.
    response : (ny, nx) array_like of float32, optional
        Relative response to the sky that rates are divided by; pixels without any are left out.
    base : (ny, nx) array_like of float32, optional
        Rates to subtract after that, pixel by pixel, for instance those of a quiet interval.
    bad_dq : int, optional
        Bits that count.
    mask : (ny, nx) array_like of bool, optional
        Pixels to leave out (True).
    region : tuple of slice, optional
        Rows and columns that count; cells may reach beyond.
    rows, columns : sequence of int, optional
        Edges of the cells; default the ends of the region.
    threads : int, optional
        Number of threads.

    Returns
    -------
    CellLevels

    Notes
    -----
    The level of interval k is the median over the cell of (C_k - C_(k-1)) / (dt_k f) - B with accumulated
    signal C, response f and base B.
    """
    cube = as_array("cube", cube, np.float32, 3)
    flags = as_array("dq", dq, np.uint16, 3, cube.shape)
    seconds = as_array("times", times, np.float64, 1, cube.shape[:1])
    image = cube.shape[1:]
    y0, y1, x0, x1 = where = bounds(region, image)
    median, npix = _core.cell_levels(
        cube,
        flags,
        weights(seconds, rate=rate),
        seconds,
        None if response is None else as_array("response", response, np.float32, 2, image),
        None if base is None else as_array("base", base, np.float32, 2, image),
        None if mask is None else as_array("mask", mask, bool, 2, image),
        where,
        bad_dq,
        list(rows) if rows is not None else [y0, y1],
        list(columns) if columns is not None else [x0, x1],
        count_threads(threads),
    )
    return CellLevels(median, npix)


def weights(times: NDArray[np.float64], *, rate: bool) -> NDArray[np.float32]:
    """Factor of each read from stored to accumulated signal.

    Parameters
    ----------
    times : (nread,) ndarray of float64
        Exposure times, seconds.
    rate : bool
        Whether the stored signal is per second.
    """
    # Reads have had the zeroth subtracted before they become rates: whatever its plane holds, it is their zero.
    return (np.maximum(times, 0.0) if rate else np.ones(times.size)).astype(np.float32)
