"""What is gathered between the reads, on arrays: levels in the cells of a grid, and a robust mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp import _core
from upramp._arrays import as_array, count_threads
from upramp.ramps.crcorr import bounds

__all__ = ["CellLevels", "IntervalMean", "average_intervals", "cell_levels"]


class CellLevels(NamedTuple):
    """Result of :func:`cell_levels`, arrays of shape (nread - 1, gy, gx)."""

    median: NDArray[np.float64]
    """Median rate, in the unit of the accumulated signal per second; NaN without a good pixel."""
    npix: NDArray[np.int64]
    """Good pixels."""


class IntervalMean(NamedTuple):
    """Result of :func:`average_intervals`; images have the shape of the region."""

    rate: NDArray[np.float32]
    """Count rate, accumulated signal per second; 0 where no interval is left."""
    err: NDArray[np.float32]
    """Its uncertainty."""
    dq: NDArray[np.uint16]
    """DQ bits of the reads used; of all reads where none is left."""
    samp: NDArray[np.int16]
    """Reads used, the zeroth included; 0 where none is left."""
    time: NDArray[np.float32]
    """Exposure time used, seconds."""
    read_dq: NDArray[np.uint16]
    """DQ of every read, (nread, ny, nx), with 8192 from each positive outlier on."""


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


def average_intervals(
    sci: ArrayLike,
    dq: ArrayLike,
    times: ArrayLike,
    electrons: ArrayLike,
    noise: ArrayLike,
    *,
    rate: bool = True,
    excluded: ArrayLike | None = None,
    sigma: float = 4.0,
    bad_dq: int = 0xFFFF,
    region: tuple[slice, slice] | None = None,
    threads: int | None = None,
) -> IntervalMean:
    """Mean rate of the intervals between reads, outliers left out.

    Parameters
    ----------
    sci : (nread, ny, nx) array_like of float32
        Reads, zeroth first.
    dq : (nread, ny, nx) array_like of uint16
        DQ bits.
    times : (nread,) array_like of float
        Exposure time of every read, seconds, ascending.
    electrons : (ny, nx) array_like of float32
        Electrons per unit of accumulated signal.
    noise : (ny, nx) array_like of float32
        Read noise of the difference of two reads, electrons.
    rate : bool, optional
        `sci` is per second; False: accumulated.
    excluded : (nread,) array_like of bool, optional
        Reads whose interval (since the read before) is left out.
    sigma : float, optional
        Threshold for outliers.
    bad_dq : int, optional
        DQ bits that leave out a sample, unless the pixel has them in every read (256, saturation, always does).
    region : tuple of slice, optional
        Rows and columns to average; default all.
    threads : int, optional
        Number of threads.

    Returns
    -------
    IntervalMean

    Notes
    -----
    rate = sum c_k / sum dt_k over the intervals within `sigma` of the median (weighted by dt_k), in which c_k
    electrons were gathered; err^2 = (J n^2 + sum c_k) / (sum dt_k)^2 with J unbroken runs of intervals and
    read noise n.
    """
    sci = as_array("sci", sci, np.float32, 3)
    flags = as_array("dq", dq, np.uint16, 3, sci.shape)
    seconds = as_array("times", times, np.float64, 1, sci.shape[:1])
    nread = sci.shape[:1]
    out = np.zeros(nread, bool) if excluded is None else as_array("excluded", excluded, bool, 1, nread)
    return IntervalMean(
        *_core.average_intervals(
            sci,
            flags,
            weights(seconds, rate=rate),
            seconds,
            as_array("electrons", electrons, np.float32, 2, sci.shape[1:]),
            as_array("noise", noise, np.float32, 2, sci.shape[1:]),
            out,
            sigma,
            bad_dq,
            bounds(region, sci.shape[1:]),
            count_threads(threads),
        )
    )


def weights(times: NDArray[np.float64], *, rate: bool) -> NDArray[np.float32]:
    """Factor of each read from stored to accumulated signal.

    Parameters
    ----------
    times : (nread,) ndarray of float64
        Exposure times, seconds.
    rate : bool
        Whether the stored signal is per second.
    """
    # The zeroth read has no time of its own: what is left in it (nothing, once subtracted) stays as it is.
    return np.where(times > 0, times, 1.0).astype(np.float32) if rate else np.ones(times.size, np.float32)
