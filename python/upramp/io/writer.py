"""FITS files written in one pass: pixels go to big-endian order on their way into the file."""

from __future__ import annotations

import errno
import io
import mmap
import os
import sys
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from upramp import _core
from upramp.io.atomic import atomic_path
from upramp.io.layout import BLOCK

__all__ = ["table_bytes", "write_extensions"]

PIECE = 1 << 22
"""Bytes written at a time, a whole number of pages."""


def _bypass_cache(stream: BinaryIO, on: bool) -> bool:
    """Have writes go past the system's cache, or no longer; whether they now do.

    A product is flushed to disk before it gets its name. To copy it into the cache first takes the system longer
    than all that upramp does to its pixels, and puts out of the cache what will be read again: the references.
    """
    if sys.platform != "linux":
        return False
    import fcntl

    flags = fcntl.fcntl(stream, fcntl.F_GETFL)
    try:
        fcntl.fcntl(stream, fcntl.F_SETFL, flags | os.O_DIRECT if on else flags & ~os.O_DIRECT)
    except OSError:  # not every file system can
        return False
    return on


class _Pieces:
    """What goes into a file, handed over in pieces of :data:`PIECE` bytes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        # Memory of its own: to go past the cache, a piece must begin on a page, in memory as in the file.
        self._piece = np.frombuffer(mmap.mmap(-1, PIECE), np.uint8)
        self._held = 0
        self._first, self._bypass = True, False

    def put(self, data: bytes) -> None:
        """Append bytes."""
        self._append(np.frombuffer(data, np.uint8))

    def put_swapped(self, data: NDArray[Any]) -> None:
        """Append numbers, big-endian."""
        flat = np.ascontiguousarray(data).reshape(-1)
        self._append(flat.view(f"u{flat.itemsize}"))

    def finish(self) -> None:
        """Hand over what is left."""
        if self._bypass:
            # No whole number of pages.
            self._bypass = _bypass_cache(self._stream, False)
        self._hand_over()

    def _hand_over(self) -> None:
        view = self._piece[: self._held].data
        while view:  # an unbuffered write may take less than all
            try:
                view = view[self._stream.write(view) :]
            except OSError as error:
                if not self._bypass or error.errno != errno.EINVAL:
                    raise
                # Pages of another size than the file system's, or a write that took less than a page.
                self._bypass = _bypass_cache(self._stream, False)
        self._held = 0

    def _append(self, words: NDArray[Any]) -> None:
        size = words.itemsize
        # Units are whole blocks of 2880 bytes, so that every word lies inside a piece.
        while words.size:
            part = words[: (PIECE - self._held) // size]
            into = self._piece[self._held : self._held + part.nbytes].view(words.dtype)
            if size == 1:
                into[...] = part
            else:
                _core.copy_swapped(part, into)
            self._held += part.nbytes
            words = words[part.size :]
            if self._held == PIECE:
                if self._first:
                    # A file that fits into one piece is not worth it.
                    self._first, self._bypass = False, _bypass_cache(self._stream, True)
                self._hand_over()


def write_extensions(
    path: str | os.PathLike[str],
    units: Iterable[tuple[fits.Header, NDArray[Any] | None] | bytes],
    *,
    overwrite: bool = False,
) -> None:
    """Write headers and pixels, whole or not at all.

    Parameters
    ----------
    path : path-like
        File to write.
    units : iterable of (Header, ndarray or None) or bytes
        Header-data units in order; the headers must already describe their data. Bytes are a finished unit.
    overwrite : bool, optional
        Whether an existing file may be replaced.
    """
    with atomic_path(path, overwrite=overwrite) as temporary, temporary.open("wb", buffering=0) as stream:
        pieces = _Pieces(stream)
        for unit in units:
            if isinstance(unit, bytes):
                pieces.put(unit)
                continue
            header, data = unit
            pieces.put(header.tostring(sep="", endcard=True, padding=True).encode("ascii"))
            if data is None:
                continue
            pieces.put_swapped(data)
            pieces.put(bytes(-data.nbytes % BLOCK))
        pieces.finish()


def table_bytes(columns: dict[str, tuple[NDArray[Any], str | None]], name: str) -> bytes:
    """A binary table as a finished extension.

    Parameters
    ----------
    columns : dict of str to (ndarray, str or None)
        Values and unit of every column.
    name : str
        EXTNAME.
    """
    formats = {"f8": "D", "i4": "J", "i2": "I", "b1": "L"}
    made = [
        fits.Column(name=key, format=formats[values.dtype.str[1:]], unit=unit, array=values)
        for key, (values, unit) in columns.items()
    ]
    stream = io.BytesIO()
    primary = fits.PrimaryHDU()
    fits.HDUList([primary, fits.BinTableHDU.from_columns(made, name=name)]).writeto(stream)
    return stream.getvalue()[BLOCK:]
