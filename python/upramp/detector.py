"""Array API of detector steps on single reads: units, flat field, statistics. They work in place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upramp import _core

__all__ = ["divide_flat", "good_pixels", "to_rate"]

Summary = tuple[float, float, float]
"""Mean, minimum, maximum."""


def to_rate(
    sci: NDArray[np.float32],
    err: NDArray[np.float32],
    time: NDArray[np.float32],
    region: tuple[int, int, int, int],
    *,
    zeroth_time: float | None = None,
) -> None:
    """Divide a read by its exposure time, in place (UNITCORR).

    Parameters
    ----------
    sci, err : (ny, nx) ndarray of float32
        Signal and uncertainty, changed in place.
    time : (1,) or (ny * nx,) ndarray of float32
        Exposure time, seconds; a time of 0 gives 0.
    region : tuple of int
        ``(y0, y1, x0, x1)`` to work on.
    zeroth_time : float, optional
        Given for the zeroth read: its exposure time, seconds, used instead of `time`.
    """
    _core.to_rate(sci, err, time, zeroth_time, region)


def divide_flat(
    sci: NDArray[np.float32],
    err: NDArray[np.float32],
    dq: NDArray[np.uint16],
    flat: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint16]],
    gain: float,
    region: tuple[int, int, int, int],
) -> None:
    """Flat-field a read and turn it into electrons, in place (FLATCORR).

    Parameters
    ----------
    sci, err : (ny, nx) ndarray of float32
        Signal and uncertainty in DN or DN/s, changed in place.
    dq : (ny, nx) ndarray of uint16
        DQ bits; those of the flat are added.
    flat : tuple of ndarray
        Response, its uncertainty and its DQ bits, of the region's shape; a response of 0 gives 0.
    gain : float
        Mean gain, electrons per DN, applied to the whole frame.
    region : tuple of int
        ``(y0, y1, x0, x1)`` that the flat covers.
    """
    _core.divide_flat(sci, err, dq, *flat, gain, region)


def good_pixels(
    sci: NDArray[np.float32],
    err: NDArray[np.float32],
    dq: NDArray[np.uint16],
    flags: int,
    region: tuple[int, int, int, int],
) -> tuple[int, Summary, Summary, Summary]:
    """Summarise the pixels without any of `flags` and with a positive error.

    Parameters
    ----------
    sci, err : (ny, nx) ndarray of float32
        Signal and uncertainty.
    dq : (ny, nx) ndarray of uint16
        DQ bits.
    flags : int
        Bits that exclude a pixel (SDQFLAGS).
    region : tuple of int
        ``(y0, y1, x0, x1)`` to look at.

    Returns
    -------
    count : int
        Pixels that qualify.
    signal, error, ratio : (float, float, float)
        Mean, minimum and maximum of SCI, ERR and SCI/ERR.
    """
    return _core.good_pixels(sci, err, dq, flags, region)
