"""Frames of a stack, whatever they are: arrays, CCDData, FITS files. All give their rows when asked.

Unsigned words of 16 bits and numbers of 32 bits are passed to the kernel as they lie in memory or in the file; all
other types are converted to float32, rows at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from upramp.exceptions import InputError
from upramp.io import ImageFile

__all__ = [
    "MASK",
    "UNCERT",
    "ArrayFrame",
    "ExtendedFrame",
    "FileFrame",
    "Frame",
    "Kind",
    "Words",
    "is_ccddata",
    "std_of",
]

Kind = Literal["u2", "f4"]

MASK, UNCERT = "MASK", "UNCERT"
"""EXTNAMES of the mask and the standard deviation, those of astropy's CCDData."""


@dataclass(frozen=True, slots=True)
class Words:
    """Rows of a frame as the kernel takes them.

    Attributes
    ----------
    words : ndarray
        Flat, uint16 or float32.
    swapped : bool
        Whether their bytes are in the other order than this machine's.
    flipped : bool
        Whether 32768 is to be added.
    """

    words: NDArray[Any]
    swapped: bool = False
    flipped: bool = False


class Frame(ABC):
    """A frame; subclasses say where its pixels are.

    Attributes
    ----------
    name : str
        For messages.
    shape : tuple of int
        (ny, nx).
    kind : {'u2', 'f4'}
        Narrowest type that holds its pixels without loss, or float32.
    has_mask, has_std : bool
        Whether it comes with a mask, with standard deviations.
    index : int
        Position among the frames that were given.
    """

    name: str
    shape: tuple[int, int]
    kind: Kind
    has_mask: bool
    has_std: bool
    index = 0

    @abstractmethod
    def copies(self, kind: Kind) -> bool:
        """Whether rows of this type must be copied into scratch memory.

        Parameters
        ----------
        kind : {'u2', 'f4'}
            Type asked for.
        """

    @abstractmethod
    def words(self, y0: int, y1: int, kind: Kind, scratch: NDArray[Any] | None) -> Words:
        """Rows `y0` to `y1`.

        Parameters
        ----------
        y0, y1 : int
            Rows, half-open.
        kind : {'u2', 'f4'}
            Type asked for.
        scratch : ndarray or None
            Flat, of that type and native order, as long as the rows; None if :meth:`copies` says so.
        """

    @abstractmethod
    def mask(self, y0: int, y1: int) -> NDArray[np.bool_] | None:
        """Flat mask of rows, True for pixels to leave out.

        Parameters
        ----------
        y0, y1 : int
            Rows, half-open.
        """

    @abstractmethod
    def std(self, y0: int, y1: int) -> NDArray[np.float32] | None:
        """Flat standard deviations of rows.

        Parameters
        ----------
        y0, y1 : int
            Rows, half-open.
        """

    def image(self) -> NDArray[np.float32]:
        """All pixels as float32; what is masked is NaN."""
        ny, nx = self.shape
        scratch = np.empty(ny * nx, np.float32)
        rows = self.words(0, ny, "f4", scratch)
        pixels = np.array(rows.words.byteswap() if rows.swapped else rows.words)
        mask = self.mask(0, ny)
        if mask is not None:
            pixels[mask] = np.nan
        return pixels.reshape(ny, nx)


class ArrayFrame(Frame):
    """A frame in memory.

    Parameters
    ----------
    name : str
        For messages.
    data : ndarray, (ny, nx)
        Pixels, any numeric type and byte order.
    mask : ndarray of bool, optional
        True for pixels to leave out.
    std : ndarray, optional
        Standard deviations.

    Raises
    ------
    TypeError, ValueError
        Not numbers; not two axes; mask or deviations of another shape.
    """

    def __init__(
        self, name: str, data: Any, mask: NDArray[Any] | None = None, std: NDArray[Any] | None = None
    ) -> None:
        own = np.ma.getmask(data)
        data = np.asarray(data)
        if data.dtype.kind not in "biuf":
            raise TypeError(f"{name} has dtype {data.dtype}, expected numbers")
        if data.ndim != 2:
            raise ValueError(f"{name} has shape {data.shape}, expected (ny, nx)")
        self.name, self.shape, self._data = name, data.shape, data
        for what, array in (("mask", mask), ("uncertainty", std)):
            if array is not None and array.shape != data.shape:
                raise ValueError(f"{what} of {name} has shape {array.shape}, expected {data.shape}")
        if own is not np.ma.nomask:
            mask = own if mask is None else mask | own
        self._mask = None if mask is None else np.asarray(mask, bool)
        self._std = std
        small = data.dtype.kind in "bu" and data.dtype.itemsize <= 2
        self.kind = "u2" if small else "f4"
        self.has_mask, self.has_std = mask is not None, std is not None

    def copies(self, kind: Kind) -> bool:
        """Whether rows of this type must be copied; see :class:`Frame`."""
        return self._data.dtype.str[1:] != kind or not self._data.flags.c_contiguous

    def words(self, y0: int, y1: int, kind: Kind, scratch: NDArray[Any] | None) -> Words:
        """Rows as words; see :class:`Frame`."""
        rows = self._data[y0:y1]
        if scratch is None:
            native = rows.dtype.newbyteorder("=")
            return Words(rows.reshape(-1).view(native), swapped=not rows.dtype.isnative)
        scratch.reshape(rows.shape)[...] = rows
        return Words(scratch)

    def mask(self, y0: int, y1: int) -> NDArray[np.bool_] | None:
        """Mask of rows; see :class:`Frame`."""
        return None if self._mask is None else np.ascontiguousarray(self._mask[y0:y1]).reshape(-1)

    def std(self, y0: int, y1: int) -> NDArray[np.float32] | None:
        """Deviations of rows; see :class:`Frame`."""
        return None if self._std is None else np.ascontiguousarray(self._std[y0:y1], np.float32).reshape(-1)


class FileFrame(Frame):
    """A frame in a FITS file.

    Parameters
    ----------
    file : ImageFile
        The file, opened with extensions MASK and UNCERT beside the image.
    """

    def __init__(self, file: ImageFile) -> None:
        self.file = file
        self.name = str(file.path)
        ny, nx = file.image.shape
        self.shape = (ny, nx)
        self.kind = "u2" if file.image.is_unsigned or file.image.is_bytes else "f4"
        for plane in file.planes.values():
            if plane.shape != self.shape:
                raise InputError(f"{plane.label}: has shape {plane.shape}, expected {self.shape}")
        self._mask, self._std = (file.planes.get(key) for key in (MASK, UNCERT))
        self.has_mask, self.has_std = self._mask is not None, self._std is not None

    def copies(self, kind: Kind) -> bool:
        """Whether rows of this type must be copied: always; see :class:`Frame`."""
        return True

    def words(self, y0: int, y1: int, kind: Kind, scratch: NDArray[Any] | None) -> Words:
        """Rows as words; see :class:`Frame`."""
        if scratch is None:
            raise ValueError(f"{self.name}: rows of a file need scratch memory")
        plane = self.file.image
        if (kind == "u2" and plane.is_unsigned) or (kind == "f4" and plane.is_float32):
            plane.read_stored(y0, y1, scratch)
            return Words(scratch, swapped=not np.dtype(">u2").isnative, flipped=kind == "u2")
        plane.read_numbers(y0, y1, scratch)
        return Words(scratch)

    def mask(self, y0: int, y1: int) -> NDArray[np.bool_] | None:
        """Mask of rows; see :class:`Frame`."""
        if self._mask is None:
            return None
        # Numbers that are not zero become True.
        out = np.empty((y1 - y0) * self.shape[1], bool)
        self._mask.read_numbers(y0, y1, out)
        return out

    def std(self, y0: int, y1: int) -> NDArray[np.float32] | None:
        """Deviations of rows; see :class:`Frame`."""
        if self._std is None:
            return None
        out = np.empty((y1 - y0) * self.shape[1], np.float32)
        self._std.read_numbers(y0, y1, out)
        return out


class ExtendedFrame(Frame):
    """A file with the caller's mask or deviations.

    Parameters
    ----------
    frame : FileFrame
        The file.
    mask, std : ndarray or None
        What is added to its mask; what replaces its deviations.
    """

    def __init__(self, frame: FileFrame, mask: NDArray[np.bool_] | None, std: NDArray[Any] | None) -> None:
        self._frame = frame
        # Shapes are checked as those of an array.
        self._more = ArrayFrame(frame.name, np.broadcast_to(np.uint8(0), frame.shape), mask, std)
        self.name, self.shape, self.kind = frame.name, frame.shape, frame.kind
        self.has_mask = frame.has_mask or mask is not None
        self.has_std = frame.has_std or std is not None

    def copies(self, kind: Kind) -> bool:
        """Whether rows must be copied: always; see :class:`Frame`."""
        return True

    def words(self, y0: int, y1: int, kind: Kind, scratch: NDArray[Any] | None) -> Words:
        """Rows as words; see :class:`Frame`."""
        return self._frame.words(y0, y1, kind, scratch)

    def mask(self, y0: int, y1: int) -> NDArray[np.bool_] | None:
        """Mask of rows, both; see :class:`Frame`."""
        own, more = self._frame.mask(y0, y1), self._more.mask(y0, y1)
        if own is None or more is None:
            return more if own is None else own
        return own | more

    def std(self, y0: int, y1: int) -> NDArray[np.float32] | None:
        """Deviations of rows; see :class:`Frame`."""
        more = self._more.std(y0, y1)
        return self._frame.std(y0, y1) if more is None else more


def is_ccddata(thing: Any) -> bool:
    """Whether something is an astropy CCDData (or the like), without importing that.

    Parameters
    ----------
    thing : object
        Anything.
    """
    return all(hasattr(thing, name) for name in ("data", "mask", "uncertainty", "unit", "meta"))


def std_of(ccd: Any) -> NDArray[Any] | None:
    """Standard deviations of a CCDData.

    Parameters
    ----------
    ccd : CCDData
        Its uncertainty may be of any kind that astropy can convert.
    """
    if ccd.uncertainty is None:
        return None
    from astropy.nddata import StdDevUncertainty

    found: NDArray[Any] = np.asarray(ccd.uncertainty.represent_as(StdDevUncertainty).array)
    return found
