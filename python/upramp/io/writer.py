"""FITS files written in one pass: pixels go to big-endian order on their way into the file."""

from __future__ import annotations

import errno
import mmap
import os
import sys
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO, Self

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from upramp import _core
from upramp.io.atomic import atomic_path
from upramp.io.layout import BLOCK

__all__ = ["table_bytes", "write_extensions"]

PIECE = 1 << 21
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
    """What goes into a file, in pieces of :data:`PIECE` bytes: one is filled while the other is written."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        # Memory of their own: to go past the cache, a piece must begin on a page, in memory as in the file.
        self._piece, self._other = (np.frombuffer(mmap.mmap(-1, PIECE), np.uint8) for _ in range(2))
        self._held = 0
        self._bypass = False
        self._writer: ThreadPoolExecutor | None = None
        self._written: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.shutdown()

    def put(self, data: bytes) -> None:
        """Append bytes."""
        self._append(np.frombuffer(data, np.uint8))

    def put_swapped(self, data: NDArray[Any]) -> None:
        """Append numbers, big-endian."""
        flat = np.ascontiguousarray(data).reshape(-1)
        self._append(flat.view(f"u{flat.itemsize}"))

    def finish(self) -> None:
        """Write what is left."""
        self._wait()
        if self._bypass:
            # No whole number of pages.
            self._bypass = _bypass_cache(self._stream, False)
        self._write(self._piece[: self._held])

    def _hand_over(self) -> None:
        """Have a full piece written, and go on with the other."""
        if self._writer is None:
            # A file that fits into one piece is worth neither.
            self._writer, self._bypass = ThreadPoolExecutor(1), _bypass_cache(self._stream, True)
        self._wait()
        self._written = self._writer.submit(self._write, self._piece)
        self._piece, self._other = self._other, self._piece
        self._held = 0

    def _wait(self) -> None:
        if self._written is not None:
            self._written.result()

    def _write(self, piece: NDArray[np.uint8]) -> None:
        view = piece.data
        while view:  # an unbuffered write may take less than all
            try:
                view = view[self._stream.write(view) :]
            except OSError as error:
                if not self._bypass or error.errno != errno.EINVAL:
                    raise
                # Pages of another size than the file system's, or a write that took less than a page.
                self._bypass = _bypass_cache(self._stream, False)

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
    with (
        atomic_path(path, overwrite=overwrite) as temporary,
        temporary.open("wb", buffering=0) as stream,
        _Pieces(stream) as pieces,
    ):
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


def table_bytes(
    columns: dict[str, tuple[NDArray[Any], str | None]],
    name: str,
    cards: dict[str, tuple[Any, str]] | None = None,
) -> bytes:
    """A binary table as a finished extension.

    Parameters
    ----------
    columns : dict of str to (ndarray, str or None)
        Values and unit of every column.
    name : str
        EXTNAME.
    cards : dict of str to (value, str), optional
        More cards, with their comments.
    """
    # Written by hand: astropy's own tables take longer than the planes of a file.
    formats = {"f8": ("D", ">f8"), "i4": ("J", ">i4"), "i2": ("I", ">i2"), "b1": ("L", "S1")}
    told = {key: formats[values.dtype.str[1:]] for key, (values, _) in columns.items()}
    count = len(next(iter(columns.values()))[0])
    rows = np.empty(count, [(key, code) for key, (_, code) in told.items()])
    for key, (values, _) in columns.items():
        rows[key] = np.where(values, b"T", b"F") if values.dtype == bool else values
    header = fits.Header(
        [
            ("XTENSION", "BINTABLE", "binary table extension"),
            ("BITPIX", 8, "array data type"),
            ("NAXIS", 2, "number of array dimensions"),
            ("NAXIS1", rows.dtype.itemsize, "length of dimension 1"),
            ("NAXIS2", count, "length of dimension 2"),
            ("PCOUNT", 0, "number of group parameters"),
            ("GCOUNT", 1, "number of groups"),
            ("TFIELDS", len(columns), "number of table fields"),
        ]
    )
    for number, (key, (_, unit)) in enumerate(columns.items(), start=1):
        header[f"TTYPE{number}"] = key
        header[f"TFORM{number}"] = told[key][0]
        if unit is not None:
            header[f"TUNIT{number}"] = unit
    header["EXTNAME"] = name, "extension name"
    header.update(cards or {})
    data = rows.tobytes()
    text: str = header.tostring()
    return text.encode("ascii") + data + bytes(-len(data) % BLOCK)
