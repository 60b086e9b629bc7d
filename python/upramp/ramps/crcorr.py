"""The ramp fit of calwf3 (CRCORR) on arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp import _core
from upramp._arrays import as_array, count_threads

__all__ = ["CrcorrFit", "CrcorrParams", "fit_crcorr"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrcorrParams:
    """Parameters of the calwf3 ramp fit.

    Parameters
    ----------
    crsigma : float
        Threshold for cosmic-ray hits, sigma (CRREJTAB CRSIGMAS).
    bad_dq : int
        DQ bits that exclude a sample even where every sample is flagged (CRREJTAB BADINPDQ).
    gain : float
        Mean gain, electrons per DN (mean of ATODGNA to ATODGND).
    rate : bool
        `sci` and `err` are per second; False: accumulated counts.
    zeroth_rescue : bool
        Pixels saturated (256) in the first read take their zeroth read (ZSIGCORR was done).
    zeroth_time : float
        Exposure time of the zeroth read, seconds: SAMPTIME of the first read minus 0.020535.
    parity : bool
        Do exactly as calwf3 3.7.3, faults included.
    """

    crsigma: float = 4.0
    bad_dq: int = 256
    gain: float = 2.35
    rate: bool = True
    zeroth_rescue: bool = True
    zeroth_time: float = 2.911755
    parity: bool = False


class CrcorrFit(NamedTuple):
    """Result of :func:`fit_crcorr`; images have the shape of the region."""

    rate: NDArray[np.float32]
    """Count rate, in the unit of the input (counts over `time` if the input was counts)."""
    err: NDArray[np.float32]
    """Uncertainty of `rate`."""
    dq: NDArray[np.uint16]
    """DQ bits of the product."""
    samp: NDArray[np.int16]
    """Number of reads used, the zeroth included."""
    time: NDArray[np.float32]
    """Exposure time covered by the reads used, seconds."""
    read_dq: NDArray[np.uint16]
    """DQ of every read, (nread, ny, nx), with hits (8192), spikes (4) and unstable pixels (32) added."""
    unstable: int
    """Number of pixels with more hits than can be fitted."""


def fit_crcorr(
    sci: ArrayLike,
    err: ArrayLike,
    dq: ArrayLike,
    times: ArrayLike,
    params: CrcorrParams | None = None,
    *,
    excluded: ArrayLike | None = None,
    breaks: ArrayLike | None = None,
    to_dn: ArrayLike | None = None,
    region: tuple[slice, slice] | None = None,
    threads: int | None = None,
) -> CrcorrFit:
    """Fit the ramp of every pixel, rejecting cosmic rays, as calwf3's CRCORR does.

    Parameters
    ----------
    sci, err : (nread, ny, nx) array_like of float32
        Reads and their uncertainties, zeroth read first, in DN or DN/s (see `to_dn`).
    dq : (nread, ny, nx) array_like of uint16 or int16
        DQ bits of every sample.
    times : (nread,) or (nread, ny, nx) array_like of float32
        Exposure time of every read (or sample), seconds; the zeroth is 0.
    params : CrcorrParams, optional
        Thresholds, gain, unit and mode.
    excluded : (nread,) array_like of bool, optional
        Reads to leave out of every fit. Their flags do not reach the product's DQ.
    breaks : (nread,) array_like of bool, optional
        Reads (True) before which something fell in that no line may span: the ramp of every pixel is cut there,
        as it is at a hit, and its slopes on both sides are averaged.
    to_dn : (ny, nx) array_like of float32, optional
        Factor that turns `sci` and `err` into DN, for instance flat / gain of flat-fielded electrons; undone
        in the result. A factor of 0 gives rate and error 0.
    region : tuple of slice, optional
        Rows and columns to fit (default all); `read_dq` always has the whole frame.
    threads : int, optional
        Number of threads; default the cores this process may use. The result does not depend on it.

    Returns
    -------
    CrcorrFit

    Raises
    ------
    ValueError, TypeError
        An argument of the wrong shape, type or range; the message names it.

    Notes
    -----
    The ramp is cut at hits into intervals; rate = sum(b_i/v_i) / sum(1/v_i) over their slopes b_i with
    variances v_i. With ``parity=True`` every bit agrees with calwf3 3.7.3
    (``tests/golden/test_crcorr.py``). Otherwise flags of an earlier fit (8192, and 4 or 32 that are not in
    every read) are cleared first, samples flagged 1024 are left out everywhere and do not flag the product,
    spikes are left out of every fit, NaN samples are left out, and two-point errors add in quadrature.

    References
    ----------
    .. [1] Fixsen et al. 2000, PASP 112, 1350.
    .. [2] WFC3 Data Handbook, section 3.3 (CRCORR).
    """
    sci = as_array("sci", sci, np.float32, 3)
    shape = sci.shape
    err = as_array("err", err, np.float32, 3, shape)
    dq = as_array("dq", dq, np.uint16, 3, shape)
    per_pixel = np.ndim(times) == 3
    time_cube = as_array("times", times, np.float32, 3, shape) if per_pixel else None
    time_list = np.empty(0, np.float32) if per_pixel else as_array("times", times, np.float32, 1, shape[:1])
    out = np.zeros(shape[0], bool) if excluded is None else as_array("excluded", excluded, bool, 1, shape[:1])
    cuts = np.zeros(shape[0], bool) if breaks is None else as_array("breaks", breaks, bool, 1, shape[:1])
    factor = None if to_dn is None else as_array("to_dn", to_dn, np.float32, 2, shape[1:])
    return CrcorrFit(
        *_core.fit_crcorr(
            sci,
            err,
            dq,
            time_list,
            time_cube,
            out,
            cuts,
            factor,
            bounds(region, shape[1:]),
            params or CrcorrParams(),
            count_threads(threads),
        )
    )


def bounds(region: tuple[slice, slice] | None, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Half-open ``(y0, y1, x0, x1)`` of a region given as slices.

    Parameters
    ----------
    region : tuple of slice or None
        Rows and columns; None is all.
    shape : tuple of int
        Image shape (ny, nx).
    """
    if region is None:
        return 0, shape[0], 0, shape[1]
    (y0, y1, ys), (x0, x1, xs) = (part.indices(size) for part, size in zip(region, shape, strict=True))
    if ys != 1 or xs != 1 or y0 >= y1 or x0 >= x1:
        raise ValueError(f"region is {region}, expected two slices of step 1 that are not empty in {shape}")
    return y0, y1, x0, x1
