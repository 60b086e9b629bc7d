"""Robust mean of what is gathered between the reads, on arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp import _core
from upramp._arrays import as_array, count_threads
from upramp.ramps.cells import weights
from upramp.ramps.crcorr import bounds

__all__ = ["IntervalMean", "average_intervals"]


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
