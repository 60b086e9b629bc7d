"""Array API of the detector steps: raw reads to count rates, flat field, statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from upramp import _core
from upramp._arrays import count_threads

__all__ = [
    "Linearity",
    "Planes",
    "calibrate_reads",
    "divide_flat",
    "good_pixels",
    "reference_levels",
]

Bounds = tuple[int, int, int, int]
Summary = tuple[float, float, float]
"""Mean, minimum, maximum."""
GoodPixels = tuple[int, Summary, Summary, Summary]
"""Number of pixels, and the summaries of their signal, error and signal-to-noise ratio."""


class Planes(NamedTuple):
    """A reference image; its arrays may be big-endian, as they lie in a file."""

    sci: NDArray[np.float32]
    """Values, (ny, nx)."""
    err: NDArray[np.float32]
    """Their uncertainty."""
    dq: NDArray[np.uint16]
    """DQ bits."""


class Linearity(NamedTuple):
    """The detector's departure from a linear response; its arrays may be big-endian, as they lie in a file."""

    coefs: tuple[NDArray[np.float32], ...]
    """Coefficients c_0 onwards of the correction 1 + sum_k c_k sci^k, each (ny, nx)."""
    node: NDArray[np.float32]
    """Level of saturation, DN."""
    dq: NDArray[np.uint16]
    """DQ bits."""
    zsci: NDArray[np.float32]
    """Super zero read, DN."""
    zerr: NDArray[np.float32]
    """Its uncertainty."""


def calibrate_reads(
    sci: NDArray[np.float32],
    err: NDArray[np.float32],
    dq: NDArray[np.uint16],
    region: Bounds,
    *,
    bad_pixels: NDArray[np.uint16] | None = None,
    zero_signal: bool = False,
    levels: NDArray[np.float32] | None = None,
    zero_offset: bool = False,
    noise: Sequence[bool] | None = None,
    amps: tuple[list[float], list[float], tuple[int, int]] | None = None,
    linearity: Linearity | None = None,
    linearity_at: tuple[int, int] = (0, 0),
    linearize: bool = False,
    darks: Sequence[Planes] | None = None,
    darks_at: tuple[int, int] = (0, 0),
    darks_bad: int = 0,
    times: tuple[float, Sequence[NDArray[np.float32]]] | None = None,
    threads: int | None = None,
) -> list[float]:
    r"""Take raw reads through the detector steps up to the ramp fit, in place.

    Parameters
    ----------
    sci, err : (nread, ny, nx) ndarray of float32
        Signal in DN and its uncertainty, zeroth read first; changed in place.
    dq : (nread, ny, nx) ndarray of uint16
        DQ bits, changed in place.
    region : tuple of int
        ``(y0, y1, x0, x1)`` of the light-sensitive pixels; around them lie reference pixels.
    bad_pixels : (ny, nx) ndarray of uint16, optional
        DQ bits to add to every read (DQICORR).
    zero_signal : bool, optional
        Find the signal in the zeroth read (ZSIGCORR); needs `linearity`.
    levels : (nread,) ndarray of float32, optional
        Level to subtract from every read, DN (BLEVCORR).
    zero_offset : bool, optional
        Subtract the zeroth read from all (ZOFFCORR).
    noise : sequence of bool, optional
        Reads whose `err` is computed: :math:`\sqrt{r^2 + |g s|} / g`.
    amps : tuple, optional
        Gains (electrons per DN) and read noises (electrons) of amplifiers A to D, and the first row and column
        of the upper and right quadrants; needed for `noise` and `zero_signal`.
    linearity : Linearity, optional
        Reference planes for `zero_signal` and `linearize`.
    linearity_at : (int, int), optional
        Row and column of these planes on which the first light-sensitive pixel falls.
    linearize : bool, optional
        Correct the response and flag saturated pixels (NLINCORR).
    darks : sequence of Planes, optional
        Dark of every read, DN (DARKCORR).
    darks_at : (int, int), optional
        Row and column of the darks on which the first light-sensitive pixel falls.
    darks_bad : int, optional
        DQ bits of a dark that keep a pixel out of its mean.
    times : (float, sequence of ndarray), optional
        Exposure time of the zeroth read, and those of every read, (1,) or (ny * nx,), seconds: divide by them
        (UNITCORR).
    threads : int, optional
        Number of threads; default the cores this process may use. The result does not depend on it.

    Returns
    -------
    means : list of float
        Mean of the light-sensitive part of the dark of every read, DN, 0 if no pixel is good; empty without darks.
    """
    return _core.calibrate_reads(
        sci,
        err,
        dq,
        region,
        bad_pixels=bad_pixels,
        zero_signal=zero_signal,
        levels=levels,
        zero_offset=zero_offset,
        noise=[False] * len(sci) if noise is None else list(noise),
        amps=amps or ([1.0] * 4, [0.0] * 4, (0, 0)),
        linearity=None
        if linearity is None
        else (
            [_stored(coef) for coef in linearity.coefs],
            _stored(linearity.node),
            _stored(linearity.dq),
            _stored(linearity.zsci),
            _stored(linearity.zerr),
            linearity_at,
        ),
        linearize=linearize,
        darks=None if darks is None else ([_planes(dark) for dark in darks], darks_at, darks_bad),
        times=None if times is None else (times[0], list(times[1])),
        threads=count_threads(threads),
    )


def _stored(image: NDArray[Any]) -> NDArray[Any]:
    """Numbers as they are; those of another byte order as bytes, which the kernel knows to be big-endian."""
    return image if image.dtype.isnative else image.view(np.uint8)


def _planes(image: Planes) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    return _stored(image.sci), _stored(image.err), _stored(image.dq)


def reference_levels(
    sci: NDArray[np.float32],
    region: Bounds,
    columns: tuple[tuple[int, int], tuple[int, int]],
    *,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """Level of every read: the resistant mean of its reference pixels.

    Parameters
    ----------
    sci : (nread, ny, nx) ndarray of float32
        Signal, DN.
    region : tuple of int
        ``(y0, y1, x0, x1)`` of the light-sensitive pixels; its rows count.
    columns : pair of (int, int)
        First and last column, inclusive, of the reference pixels on the left and on the right.
    threads : int, optional
        Number of threads.

    Returns
    -------
    levels : (nread,) ndarray of float32
        DN.
    """
    pairs = [list(pair) for pair in columns]
    return np.array(_core.reference_levels(sci, region, pairs, count_threads(threads)), np.float32)


def divide_flat(
    sci: NDArray[np.float32],
    err: NDArray[np.float32],
    dq: NDArray[np.uint16],
    flat: Planes,
    gain: float,
    region: Bounds,
    *,
    at: tuple[int, int] = (0, 0),
    threads: int | None = None,
) -> None:
    """Flat-field reads and turn them into electrons, in place (FLATCORR).

    Parameters
    ----------
    sci, err : (nread, ny, nx) ndarray of float32
        Signal and uncertainty in DN or DN/s, changed in place.
    dq : (nread, ny, nx) ndarray of uint16
        DQ bits; those of the flat are added.
    flat : Planes
        Response, its uncertainty and its DQ bits; a response of 0 gives 0.
    gain : float
        Mean gain, electrons per DN, applied to the whole frame.
    region : tuple of int
        ``(y0, y1, x0, x1)`` that the flat covers.
    at : (int, int), optional
        Row and column of the flat on which the first pixel of the region falls.
    threads : int, optional
        Number of threads.
    """
    _core.divide_flat(sci, err, dq, _planes(flat), at, gain, region, count_threads(threads))


def good_pixels(
    sci: NDArray[np.float32],
    err: NDArray[np.float32],
    dq: NDArray[np.uint16],
    flags: int,
    region: Bounds,
    *,
    threads: int | None = None,
) -> list[GoodPixels]:
    """Summarise the pixels without any of `flags` and with a positive error, read by read.

    Parameters
    ----------
    sci, err : (nread, ny, nx) ndarray of float32
        Signal and uncertainty.
    dq : (nread, ny, nx) ndarray of uint16
        DQ bits.
    flags : int
        Bits that exclude a pixel (SDQFLAGS).
    region : tuple of int
        ``(y0, y1, x0, x1)`` to look at.
    threads : int, optional
        Number of threads.

    Returns
    -------
    list of (int, tuple, tuple, tuple)
        For every read the number of pixels that qualify, then mean, minimum and maximum of SCI, ERR and SCI/ERR.
    """
    return _core.good_pixels(sci, err, dq, flags, region, count_threads(threads))
