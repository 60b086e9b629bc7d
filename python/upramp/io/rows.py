"""Rows of images in many files at a time: each file is opened once, and only the rows asked for are in memory.

A plain file stays open and is read where the rows lie. What cannot be read so (gzipped and fpacked files, and all
that would go beyond the number of files this process may have open) is copied to a :class:`Spool` while it passes
by: memory up to a limit, one nameless temporary file beyond it.
"""

from __future__ import annotations

import gzip
import io
import os
import tempfile
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from upramp.exceptions import InputError
from upramp.io.layout import BLOCK, UNSIGNED, Extension

__all__ = ["ImageFile", "Plane", "Spool", "file_budget"]

PIECE = 1 << 20
"""Bytes copied or converted at a time."""
SPARE = 64
"""Descriptors left for everything else."""


def file_budget() -> int:
    """Files that may yet be opened and kept open."""
    try:
        import resource
    except ImportError:  # Windows
        return 512 - SPARE
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return 1 << 20
    try:
        used = sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        used = SPARE
    return max(int(limit) - used - SPARE, 0)


class Spool:
    """Bytes put aside: in memory up to a limit, in a temporary file beyond.

    Parameters
    ----------
    memory : int
        Bytes that may be held in memory.
    """

    def __init__(self, memory: int) -> None:
        self.free = memory
        self._file: BinaryIO | None = None
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def store(self, pieces: Iterator[bytes], size: int) -> tuple[NDArray[np.uint8] | BinaryIO, int]:
        """Put `size` bytes aside; returns where they are and from which byte on.

        Parameters
        ----------
        pieces : iterator of bytes
            The bytes, in order.
        size : int
            Their number.
        """
        if size <= self.free:
            self.free -= size
            held = np.empty(size, np.uint8)
            at = 0
            for piece in pieces:
                held[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
                at += len(piece)
            return held, 0
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        start = self._end
        for piece in pieces:
            self._file.seek(self._end)
            self._file.write(piece)
            self._end += len(piece)
        return self._file, start


class Plane:
    """The pixels of one extension, to be read by rows.

    Attributes
    ----------
    unit : Extension
        Header, shape and stored type.
    label : str
        File and extension, for messages.
    """

    def __init__(
        self, unit: Extension, label: str, place: NDArray[np.uint8] | BinaryIO, offset: int, lock: Any
    ) -> None:
        self.unit = unit
        self.label = label
        self._place = place
        self._offset = offset
        self._lock = lock

    @property
    def is_unsigned(self) -> bool:
        """Whether the pixels are words of 16 bits stored as FITS stores unsigned ones."""
        stored = self.unit.header["BITPIX"] == 16 and self.unit.scale == (1.0, float(UNSIGNED))
        return stored and "BLANK" not in self.unit.header

    @property
    def is_float32(self) -> bool:
        """Whether the pixels are numbers of 32 bits as they are."""
        return self.unit.header["BITPIX"] == -32 and self.unit.scale == (1.0, 0.0)

    def read_stored(self, y0: int, y1: int, out: NDArray[Any]) -> None:
        """Fill `out` with the bytes of rows `y0` to `y1` as they are stored.

        Parameters
        ----------
        y0, y1 : int
            Rows, half-open.
        out : ndarray
            Flat, contiguous, of as many bytes.
        """
        row = self.unit.shape[1] * self.unit.dtype.itemsize
        self._read(y0 * row, out.view(np.uint8))

    def read_numbers(self, y0: int, y1: int, out: NDArray[Any]) -> None:
        """Fill `out` with the values of rows `y0` to `y1`; BLANK becomes NaN.

        Parameters
        ----------
        y0, y1 : int
            Rows, half-open.
        out : ndarray
            Flat; its type is the type wanted.
        """
        stored, (scale, zero) = self.unit.dtype, self.unit.scale
        blank = self.unit.header.get("BLANK") if stored.kind in "iu" else None
        first, count = y0 * self.unit.shape[1], (y1 - y0) * self.unit.shape[1]
        step = PIECE // stored.itemsize
        held = np.empty(min(step, count), stored)
        for at in range(0, count, step):
            words = held[: min(step, count - at)]
            self._read((first + at) * stored.itemsize, words.view(np.uint8))
            values: NDArray[Any] = words
            if (scale, zero) != (1.0, 0.0):
                values = words * scale + zero
            if blank is not None and out.dtype.kind == "f":
                values = np.where(words == blank, np.nan, values)
            out[at : at + len(words)] = values

    def _read(self, start: int, target: NDArray[np.uint8]) -> None:
        if isinstance(self._place, np.ndarray):
            begin = self._offset + start
            target[...] = self._place[begin : begin + target.size]
            return
        view, at = target.data, self._offset + start
        while view:
            if hasattr(os, "preadv"):
                got = os.preadv(self._place.fileno(), [view], at)
            else:
                with self._lock:
                    self._place.seek(at)
                    got = self._place.readinto(view)  # type: ignore[attr-defined]
            if not got:
                raise InputError(f"{self.label}: truncated: {len(view)} bytes missing")
            view, at = view[got:], at + got


class ImageFile:
    """Chosen extensions of a FITS file, opened once.

    Parameters
    ----------
    path : path-like
        Plain, gzipped or fpacked FITS file.
    ext : int or str, optional
        Extension of the image; by default the first that holds one.
    beside : tuple of str, optional
        EXTNAMEs of further extensions wanted where they exist.
    spool : Spool, optional
        Where bytes go that are not read from the file later; by default memory.
    keep_open : bool, optional
        Whether the file may stay open; otherwise all bytes wanted go to the spool.

    Raises
    ------
    InputError
        No such file, not FITS, truncated, or without that image of two axes.

    Attributes
    ----------
    primary : astropy.io.fits.Header
        Primary header.
    image : Plane
        The image.
    planes : dict of str to Plane
        Extensions `beside` it that there are, by EXTNAME.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        ext: int | str | None = None,
        beside: tuple[str, ...] = (),
        *,
        spool: Spool | None = None,
        keep_open: bool = True,
    ) -> None:
        self.path = Path(path)
        self.planes: dict[str, Plane] = {}
        self._ext, self._beside = ext, beside
        self._spool = spool if spool is not None else Spool(1 << 62)
        self._lock = threading.Lock()
        self._stream: Any = None
        self._image: Plane | None = None
        self.is_open = False
        try:
            stream: Any = self.path.open("rb", buffering=0)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror or error})") from error
        try:
            self._stream = stream
            self._scan(stream, keep_open)
            self.image = self._found(ext)
        except (EOFError, zlib.error, OSError) as error:
            stream.close()
            self.is_open = False
            if isinstance(error, InputError):
                raise
            raise InputError(f"{self.path}: cannot be read ({error})") from error

    def _found(self, ext: int | str | None) -> Plane:
        if self._image is None:
            wanted = "image" if ext is None else f"image in extension {ext!r}"
            raise InputError(f"{self.path}: holds no {wanted}")
        if len(self._image.unit.shape) != 2:
            raise InputError(f"{self._image.label}: has shape {self._image.unit.shape}, expected (ny, nx)")
        return self._image

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    @property
    def header(self) -> fits.Header:
        """Header of the image, with the cards of the primary header that it lacks."""
        header: fits.Header = self.image.unit.header.copy()
        if self.image.unit.header is not self.primary:
            header.extend(self.primary, strip=True, unique=True)
        return header

    def _scan(self, raw: Any, keep_open: bool) -> None:
        magic = raw.read(6)
        raw.seek(0)
        packed = magic[:2] == b"\x1f\x8b"
        if not packed and magic != b"SIMPLE":
            raise InputError(f"{self.path}: not a FITS file (does not start with SIMPLE)")
        if packed:
            # Buffered by the module itself.
            with gzip.GzipFile(fileobj=raw) as stream:
                self._walk(stream, None, None)
            raw.close()
            return
        size = os.fstat(raw.fileno()).st_size
        self._walk(io.BufferedReader(_Unclosed(raw), BLOCK), size, raw if keep_open else None)
        self.is_open = keep_open and not raw.closed
        if not keep_open:
            raw.close()

    def _walk(self, stream: Any, size: int | None, keep: Any) -> None:
        """Go through the extensions until all wanted ones are found."""
        position = index = 0
        while size is None or position < size:
            start = stream.read(BLOCK)
            if not start:
                break
            header, length = self._header(stream, start, index)
            unit = Extension(header, position + length)
            if index == 0:
                self.primary = header
            if header.get("ZIMAGE", False):
                self._unpack(stream)
                return
            if size is not None and unit.offset + unit.nbytes > size:
                raise InputError(
                    f"{self.path}[{unit.label}]: truncated: {unit.nbytes} bytes of data expected at byte "
                    f"{unit.offset}, the file ends at byte {size}"
                )
            padded = -(-unit.nbytes // BLOCK) * BLOCK
            name = self._wanted(unit, index)
            if name is not None and keep is None:
                place, offset = self._spool.store(self._pieces(stream, unit), unit.nbytes)
                self._take(name, unit, place, offset)
                _skip(stream, padded - unit.nbytes)
            else:
                if name is not None:
                    self._take(name, unit, keep, unit.offset)
                if size is None:
                    _skip(stream, padded)
                else:
                    stream.seek(unit.offset + padded)
            position = unit.offset + padded
            index += 1
            if self._image is not None and len(self.planes) == len(self._beside):
                break

    def _header(self, stream: Any, start: bytes, index: int) -> tuple[fits.Header, int]:
        blocks = [start]
        while not _ends(blocks[-1]):
            block = stream.read(BLOCK)
            if len(block) < BLOCK:
                raise InputError(f"{self.path}[{index}]: truncated or damaged: its header has no END")
            blocks.append(block)
        try:
            header = fits.Header.fromstring(b"".join(blocks))
            # A card that cannot be read should be found out here, not when it is used.
            int(header["NAXIS"]), int(header["BITPIX"])
        except (KeyError, ValueError, OSError) as error:
            raise InputError(f"{self.path}[{index}]: damaged header ({error})") from error
        return header, BLOCK * len(blocks)

    def _wanted(self, unit: Extension, index: int) -> str | None:
        name = str(unit.header.get("EXTNAME", "")).strip().upper()
        is_image = bool(unit.shape) and unit.header.get("XTENSION", "IMAGE").strip() == "IMAGE"
        if not is_image or 0 in unit.shape:
            return None
        if self._image is None:
            if isinstance(self._ext, str):
                chosen = name == self._ext.upper()
            else:
                chosen = self._ext is None or index == self._ext
            if chosen:
                return ""
        return name if name in self._beside and name not in self.planes else None

    def _take(self, name: str, unit: Extension, place: Any, offset: int) -> None:
        plane = Plane(unit, f"{self.path}[{unit.label}]", place, offset, self._lock)
        if not name:
            self._image = plane
        else:
            self.planes[name] = plane

    def _pieces(self, stream: Any, unit: Extension) -> Iterator[bytes]:
        left = unit.nbytes
        while left:
            piece = stream.read(min(PIECE, left))
            if not piece:
                raise InputError(f"{self.path}[{unit.label}]: truncated: {left} bytes missing")
            left -= len(piece)
            yield piece

    def _unpack(self, stream: Any) -> None:
        """Tile-compressed images are astropy's: their pixels go to the spool, big-endian."""
        stream.seek(0)
        with fits.open(stream) as file:
            for index, hdu in enumerate(file):
                header = hdu.header.copy()
                if hdu.is_image and not isinstance(hdu, fits.PrimaryHDU):
                    # astropy shows the image behind the table, its pixels scaled.
                    name = self._wanted(Extension(header, -1), index)
                    if name is None:
                        continue
                    data = np.ascontiguousarray(hdu.data)
                    code = {"f4": -32, "f8": -64, "i2": 16, "i4": 32, "u1": 8, "u2": 16}
                    if data.dtype.str[1:] not in code:
                        data = data.astype(np.float64)
                    for key in ("BSCALE", "BZERO", "BLANK"):
                        header.remove(key, ignore_missing=True)
                    header["BITPIX"] = code[data.dtype.str[1:]]
                    if data.dtype.kind == "u" and data.dtype.itemsize == 2:
                        header["BSCALE"], header["BZERO"] = 1, UNSIGNED
                        data = data ^ np.uint16(UNSIGNED)
                    stored = data.astype(data.dtype.newbyteorder(">")).tobytes()
                    unit = Extension(header, -1)
                    place, offset = self._spool.store(iter([stored]), len(stored))
                    self._take(name, unit, place, offset)


class _Unclosed(io.RawIOBase):
    """A raw stream that stays open when the buffer around it is thrown away."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return int(self._raw.readinto(buffer))

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._raw.seek(offset, whence))


def _ends(block: bytes) -> bool:
    return any(block[at : at + 8] == b"END     " for at in range(0, len(block), 80))


def _skip(stream: Any, count: int) -> None:
    while count > 0:
        got = len(stream.read(min(PIECE, count)))
        if not got:
            return
        count -= got
