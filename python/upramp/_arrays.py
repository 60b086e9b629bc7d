"""Arrays as the kernels want them: type, byte order, layout and shape checked once, by the argument's name."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from upramp._core import __version__

__all__ = ["__version__", "as_array", "as_flags", "as_samples", "count_threads"]

_AXES = {1: "(nread,)", 2: "(ny, nx)", 3: "(nread, ny, nx)"}


def as_array(
    name: str,
    value: ArrayLike,
    dtype: DTypeLike,
    ndim: int,
    shape: tuple[int, ...] | None = None,
    *,
    copy: bool = True,
) -> NDArray[Any]:
    """Return `value` as a native C-contiguous array; one that is right already comes back itself.

    Parameters
    ----------
    name : str
        Argument to name in messages.
    value : array_like
        What the caller passed: any byte order, layout or numeric type; masked values become NaN.
    dtype : dtype
        Type wanted.
    ndim : int
        Number of axes wanted.
    shape : tuple of int, optional
        Shape wanted.
    copy : bool, optional
        Copy what is not contiguous; else only what is not of the type.

    Raises
    ------
    TypeError
        Not numeric.
    ValueError
        Another shape.
    """
    if isinstance(value, np.ma.MaskedArray) and np.dtype(dtype).kind == "f":
        value = np.ma.filled(value.astype(dtype), np.nan)
    array = np.asarray(value)
    wanted = np.dtype(dtype)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}, expected numbers that fit {wanted}")
    if array.ndim != ndim:
        raise ValueError(f"{name} has shape {array.shape}, expected {_AXES.get(ndim, f'{ndim} axes')}")
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    if wanted == np.uint16 and array.dtype.kind == "i" and array.dtype.itemsize == 2:
        # DQ words are stored as int16: the sign bit is bit 15.
        array = array.astype(np.int16, copy=False).view(np.uint16)
    if not copy and array.dtype == wanted and array.dtype.isnative and array.flags.aligned:
        return array
    return np.ascontiguousarray(array, dtype=wanted)


def as_samples(
    name: str, value: ArrayLike, ndim: int, shape: tuple[int, ...] | None = None
) -> NDArray[np.float32] | NDArray[np.float64] | NDArray[np.uint16]:
    """Return `value` as it lies in memory if its type is float32, float64 or uint16, else a copy as float32.

    Parameters
    ----------
    name : str
        Argument to name in messages.
    value : array_like
        What the caller passed; masked values become NaN, integers of 32 bits and more float64.
    ndim : int
        Number of axes wanted.
    shape : tuple of int, optional
        Shape wanted.
    """
    kind = getattr(value, "dtype", None)
    dtype: DTypeLike = np.float32
    if kind == np.float64 or (kind is not None and kind.kind in "iu" and kind.itemsize > 2):
        dtype = np.float64
    elif kind == np.uint16 and not isinstance(value, np.ma.MaskedArray):
        dtype = np.uint16
    if kind == np.int16:
        value = np.asarray(value, np.float32)
    return as_array(name, value, dtype, ndim, shape, copy=False)


def as_flags(name: str, value: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return flags as they lie in memory if they are bytes or words, else a copy as words.

    Parameters
    ----------
    name : str
        Argument to name in messages.
    value : array_like of int
        What the caller passed.
    shape : tuple of int
        Shape wanted.
    """
    dtype = np.uint8 if getattr(value, "dtype", None) == np.uint8 else np.uint16
    return as_array(name, value, dtype, len(shape), shape, copy=False)


def count_threads(threads: int | None) -> int:
    """Threads to use: as asked, or the cores this process may use.

    Parameters
    ----------
    threads : int or None
        A positive number, or None.
    """
    if threads is None:
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    if threads < 1:
        raise ValueError(f"threads is {threads}, expected a positive number or None")
    return threads
