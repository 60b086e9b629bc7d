"""Integrations of groups as the kernels want them: checked once, copied only where they must be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = ["as_image", "as_per_pixel", "as_stack", "as_words"]


def as_stack(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return samples as a native (nints, ngroups, ny, nx) array of float32 or uint16 whose rows lie together.

    Parameters
    ----------
    name : str
        Argument to name in messages.
    value : array_like
        What the caller passed, in three axes if there is one integration; masked values become NaN.

    Raises
    ------
    TypeError
        Not numeric.
    ValueError
        Not of three or four axes, or empty.
    """
    if isinstance(value, np.ma.MaskedArray):
        value = np.ma.filled(value.astype(np.float32), np.nan)
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}, expected numbers that fit float32")
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.size == 0:
        raise ValueError(
            f"{name} has shape {np.shape(value)}, expected (nints, ngroups, ny, nx) or (nread, ny, nx)"
        )
    wanted = np.uint16 if array.dtype.kind == "u" and array.dtype.itemsize == 2 else np.float32
    return _rows_together(array.astype(wanted, copy=False))


def as_words(name: str, value: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return DQ words as a native array of uint8 or uint16, shaped as the samples, whose rows lie together.

    Parameters
    ----------
    name : str
        Argument to name in messages.
    value : array_like
        What the caller passed; wider words than 16 bits must fit.
    shape : tuple of int
        Shape of the samples.

    Raises
    ------
    TypeError
        Not integers.
    ValueError
        Another shape, or bits above the sixteenth.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "biu":
        raise TypeError(f"{name} has dtype {array.dtype}, expected DQ words")
    wanted = shape[1:] if array.ndim == 3 and shape[0] == 1 else shape
    if array.shape != wanted:
        raise ValueError(f"{name} has shape {array.shape}, expected {wanted}")
    array = array.reshape(shape)
    if array.dtype.itemsize == 2:
        # DQ words are stored as int16: the sign bit is bit 15.
        array = array.astype(array.dtype.newbyteorder("="), copy=False).view(np.uint16)
    elif array.dtype != np.uint8:
        if array.dtype.itemsize > 2 and array.size and (array.min() < 0 or array.max() > 0xFFFF):
            raise ValueError(f"{name} holds {array.max()}, expected words of 16 bits")
        array = array.astype(np.uint16)
    return _rows_together(array)


def as_image(name: str, value: ArrayLike, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an image, or a cube of images, as a native contiguous array.

    Parameters
    ----------
    name : str
        Argument to name in messages.
    value : array_like
        What the caller passed.
    dtype : dtype
        Type wanted.
    shape : tuple of int
        Shape wanted.

    Raises
    ------
    TypeError
        Not numeric.
    ValueError
        Another shape.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}, expected numbers that fit {np.dtype(dtype)}")
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    return np.ascontiguousarray(array, dtype=dtype)


def as_per_pixel(name: str, value: ArrayLike, shape: tuple[int, ...]) -> float | NDArray[np.float32]:
    """Return a number, or an image of float32.

    Parameters
    ----------
    name : str
        Argument to name in messages.
    value : float or array_like
        What the caller passed.
    shape : tuple of int
        Shape of an image.
    """
    if np.ndim(value) == 0:
        return float(np.asarray(value))
    return as_image(name, value, np.float32, shape)


def _rows_together(array: NDArray[Any]) -> NDArray[Any]:
    together = array.strides[3] == array.itemsize or array.shape[3] == 1
    return array if together and array.flags.aligned else np.ascontiguousarray(array)
