"""FITS files as a list of extensions, read in one pass.

Headers are :class:`astropy.io.fits.Header` objects and keep every card as it was. Pixels go straight from the
file into the array that shall hold them and are brought to native byte order while they are in cache, so
reading a file costs little more than its bytes. Tile-compressed files (fpack) are left to astropy.
"""

from __future__ import annotations

import gzip
import io
import math
import mmap
import os
import re
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from astropy.io import fits
from numpy.typing import DTypeLike, NDArray

from upramp import _core
from upramp.exceptions import InputError
from upramp.io.table import read_columns

__all__ = ["BLOCK", "Extension", "FitsReader"]

BLOCK = 2880
CARD = 80
KEYWORD = 8
_END = f"{'END':<{CARD}}".encode("ascii")
UNSIGNED = 32768
"""BZERO by which FITS, which has none, stores unsigned words."""
_DTYPES = {8: "u1", 16: "i2", 32: "i4", 64: "i8", -32: "f4", -64: "f8"}


# Values of nearly all cards; the others are astropy's.
_PLAIN = re.compile(
    r"= *(?:'([^'&]*)'|([-+]?\d+)|([-+]?(?:\d+\.\d*|\.\d+|\d+(?=E))(?:E[-+]?\d+)?)|([TF])) *(?:/.*)?"
)


class Extension:
    """One header-data unit: its header and, where its pixels lie.

    Parameters
    ----------
    header : astropy.io.fits.Header or str
        All cards, verbatim; text is made a header when it is asked for, which most of a file's never are.
    offset : int
        First byte of the data in the (uncompressed) file.

    Raises
    ------
    ValueError
        A card that tells the size of the data is missing or damaged.
    """

    def __init__(self, header: fits.Header | str, offset: int) -> None:
        self.offset = offset
        if isinstance(header, str):
            self._text = header
            # Asked for while the file is scanned, so that what is damaged is told then.
            _ = self.nbytes
        else:
            self._text = ""
            self.header = header

    @cached_property
    def header(self) -> fits.Header:
        """All cards, verbatim."""
        return fits.Header.fromstring(self._text)

    @cached_property
    def cards(self) -> list[str]:
        """All cards as they are written, without END."""
        text = self._text or self.header.tostring(sep="")
        cards = [text[start : start + CARD] for start in range(0, len(text), CARD)]
        return cards[: cards.index(_END.decode())]

    def get(self, key: str, default: Any = None) -> Any:
        """Value of a card as the header has it, without making a header of the text.

        Parameters
        ----------
        key : str
            Keyword.
        default : object, optional
            What stands for a card that is missing.
        """
        if "header" in self.__dict__ or len(key) > KEYWORD:
            return self.header.get(key, default)
        card = self._find(key.upper())
        if card is None:
            return default
        if (plain := _PLAIN.fullmatch(card, KEYWORD)) is None:
            return self.header.get(key, default)
        text, whole, real, truth = plain.groups()
        if text is not None:
            return text.rstrip()
        if whole is not None:
            return int(whole)
        return float(real) if real is not None else truth == "T"

    def _find(self, key: str) -> str | None:
        """Text of a card."""
        start, name = 0, f"{key:<{KEYWORD}}="
        while (found := self._text.find(name, start)) >= 0:
            if found % CARD == 0:
                return self._text[found : found + CARD]
            start = found + 1
        return None

    def _number(self, key: str, default: int | None = None) -> int:
        """Whole number of a card that FITS wants in a fixed format."""
        if "header" in self.__dict__:
            value = self.header.get(key, default)
        elif (text := self._find(key)) is not None:
            value = text[10:].partition("/")[0]
        else:
            value = default
        if value is None:
            raise ValueError(f"no {key}")
        return int(value)

    @property
    def label(self) -> str:
        """``EXTNAME,EXTVER`` for messages."""
        return f"{self.get('EXTNAME', 'PRIMARY')},{self.get('EXTVER', 1)}"

    @cached_property
    def name(self) -> str:
        """EXTNAME in capitals; empty without."""
        return str(self.get("EXTNAME", "")).strip().upper()

    @cached_property
    def version(self) -> int:
        """EXTVER; 1 without."""
        return self._number("EXTVER", 1)

    # Looked up once: a header is slow to ask, and a file has eighty of them.
    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape in NumPy order; empty without data."""
        return tuple(self._number(f"NAXIS{axis}") for axis in range(self._number("NAXIS"), 0, -1))

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Big-endian type of the stored values."""
        return np.dtype(">" + _DTYPES[self._number("BITPIX")])

    @cached_property
    def scale(self) -> tuple[float, float]:
        """BSCALE and BZERO."""
        return float(self.get("BSCALE", 1.0)), float(self.get("BZERO", 0.0))

    @cached_property
    def nbytes(self) -> int:
        """Bytes of data, without padding."""
        if not self.shape:
            return 0
        size = math.prod(self.shape) + self._number("PCOUNT", 0)
        return self.dtype.itemsize * size * self._number("GCOUNT", 1)


class FitsReader:
    """The extensions of a file, plain or gzipped or fpacked.

    Parameters
    ----------
    path : path-like
        File to read.
    extensions : list of Extension, optional
        Those of an earlier reader of the file, whose headers need not be read again.

    Raises
    ------
    InputError
        No such file, not FITS, or shorter than its headers say; names the file and the extension.
    """

    def __init__(self, path: str | os.PathLike[str], extensions: Sequence[Extension] | None = None) -> None:
        self.path = Path(path)
        self._compressed: fits.HDUList | None = None
        self._map: mmap.mmap | None = None
        try:
            self._stream = self._open()
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{self.path}: cannot be read ({reason})") from error
        try:
            known = extensions is not None and all(unit.offset >= 0 for unit in extensions)
            self.extensions = self._trust(extensions or ()) if known else self._scan()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        if self._compressed is not None:
            self._compressed.close()

    def _open(self) -> BinaryIO:
        stream = self.path.open("rb")
        magic = stream.read(2)
        stream.seek(0)
        if magic == b"\x1f\x8b":
            with stream, gzip.open(stream) as packed:
                return io.BytesIO(packed.read())
        return stream

    def _trust(self, extensions: Sequence[Extension]) -> list[Extension]:
        """Extensions known before, if the file is still long enough to hold them."""
        size = self._stream.seek(0, os.SEEK_END)
        for unit in extensions:
            if unit.offset + unit.nbytes > size:
                raise InputError(f"{self.path}[{unit.label}]: truncated since its header was read")
        return list(extensions)

    def _scan(self) -> list[Extension]:
        stream = self._stream
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        if stream.read(6) != b"SIMPLE":
            raise InputError(f"{self.path}: not a FITS file (does not start with SIMPLE)")
        found: list[Extension] = []
        position = 0
        while position < size:
            stream.seek(position)
            try:
                unit = Extension(_read_header(stream), stream.tell())
                position = unit.offset + -(-unit.nbytes // BLOCK) * BLOCK
            except (OSError, EOFError, KeyError, ValueError) as error:
                raise InputError(
                    f"{self.path}[{len(found)}]: truncated or damaged: no complete header at byte {position} "
                    f"({error})"
                ) from error
            if unit.get("ZIMAGE", False):
                return self._unpack()
            if unit.offset + unit.nbytes > size:
                raise InputError(
                    f"{self.path}[{unit.label}]: truncated: {unit.nbytes} bytes of data expected at byte "
                    f"{unit.offset}, the file ends at byte {size}"
                )
            found.append(unit)
        return found

    def _unpack(self) -> list[Extension]:
        self._compressed = fits.open(self.path)
        try:
            return [Extension(hdu.header.copy(), -1) for hdu in self._compressed]
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path}: fpacked data cannot be read ({error})") from error

    def read_into(self, index: int, out: NDArray[Any]) -> None:
        """Fill `out` with the pixels of an extension.

        Parameters
        ----------
        index : int
            Position in `extensions`.
        out : ndarray
            C-contiguous, of the extension's shape; its type is the type wanted. Values of another type, or
            scaled by BSCALE and BZERO, are converted.
        """
        if self.stored_into(index, out) and out.itemsize > 1:
            _core.swap_big_endian(out.reshape(-1).view(f"u{out.itemsize}"))

    def stored_into(self, index: int, out: NDArray[Any]) -> bool:
        """Fill `out` with the pixels of an extension, as the file holds them if that is their type.

        Parameters
        ----------
        index : int
            Position in `extensions`.
        out : ndarray
            As for :meth:`read_into`.

        Returns
        -------
        bool
            Whether they are still big-endian, whatever the type of `out` says.
        """
        unit = self.extensions[index]
        if self._compressed is not None:
            try:
                out[...] = self._compressed[index].data
            except (OSError, ValueError) as error:
                raise InputError(
                    f"{self.path}[{unit.label}]: fpacked data cannot be read ({error})"
                ) from error
            return False
        scale = unit.scale
        self._stream.seek(unit.offset)
        if self._holds(unit, out.dtype):
            self._fill(out.reshape(-1).view(np.uint8), unit)
            return True
        stored = np.empty(unit.shape, unit.dtype)
        self._fill(stored.reshape(-1).view(np.uint8), unit)
        if unit.dtype.str == ">i2" and scale == (1.0, float(UNSIGNED)):
            # Raw counts: adding this offset to a signed word is to flip its highest bit.
            words = stored.reshape(-1).view(np.uint16)
            _core.swap_big_endian(words)
            words ^= np.uint16(UNSIGNED)
            out[...] = words.reshape(unit.shape)
            return False
        out[...] = stored if scale == (1.0, 0.0) else (stored * scale[0] + scale[1])
        return False

    def plane(self, index: int, dtype: DTypeLike) -> NDArray[Any]:
        """Pixels of an extension, read only, without reading them if that can be.

        Parameters
        ----------
        index : int
            Position in `extensions`.
        dtype : dtype
            Type wanted.

        Returns
        -------
        ndarray
            Of `dtype` in the byte order of the file, mapped into memory, where the file holds just that; it
            outlives the reader. Else as :meth:`read_into` makes it.
        """
        unit, wanted = self.extensions[index], np.dtype(dtype)
        if self._compressed is None and self._holds(unit, wanted):
            count = math.prod(unit.shape)
            stored = np.frombuffer(self._whole(), wanted.newbyteorder(">"), count, unit.offset)
            return stored.reshape(unit.shape)
        made = np.empty(unit.shape, wanted)
        self.read_into(index, made)
        made.flags.writeable = False
        return made

    @staticmethod
    def _holds(unit: Extension, wanted: np.dtype[Any]) -> bool:
        """Whether an extension stores numbers of this type, byte order aside."""
        # int16 and uint16 hold the same flags: the sign bit is bit 15.
        same = unit.dtype.itemsize == wanted.itemsize and (unit.dtype.kind == "f") == (wanted.kind == "f")
        return same and unit.scale == (1.0, 0.0)

    def _whole(self) -> mmap.mmap | bytes:
        """The file, as it would be in memory."""
        if isinstance(self._stream, io.BytesIO):
            return self._stream.getvalue()
        if self._map is None:
            self._map = mmap.mmap(self._stream.fileno(), 0, access=mmap.ACCESS_READ)
            if hasattr(mmap, "MADV_WILLNEED"):
                # Rows are asked for from all planes in turn: have them read ahead in the order of the disk.
                self._map.madvise(mmap.MADV_WILLNEED)
        return self._map

    def _fill(self, target: NDArray[np.uint8], unit: Extension) -> None:
        got = self._stream.readinto(target.data)  # type: ignore[attr-defined]
        if got != target.nbytes:
            raise InputError(
                f"{self.path}[{unit.label}]: truncated: {target.nbytes} bytes expected, {got} read"
            )

    def columns(self, index: int = 1) -> dict[str, NDArray[Any]]:
        """Columns of a binary table, by name.

        Parameters
        ----------
        index : int, optional
            Position in `extensions`.
        """
        unit = self.extensions[index]
        self._stream.seek(unit.offset)
        return read_columns(unit.header, self._stream.read(-(-unit.nbytes // BLOCK) * BLOCK))

    def rows(self, index: int = 1) -> list[dict[str, Any]]:
        """Rows of a binary table, as dictionaries from column name to value.

        Parameters
        ----------
        index : int, optional
            Position in `extensions`.
        """
        columns = {name: values.tolist() for name, values in self.columns(index).items()}
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _read_header(stream: BinaryIO) -> str:
    """Cards of the header at which a file stands, up to its END; blanks fill the rest of the block."""
    blocks: list[bytes] = []
    while block := stream.read(BLOCK):
        blocks.append(block)
        start = 0
        while (found := block.find(_END, start)) >= 0:
            if found % CARD == 0:
                if len(block) < BLOCK:
                    raise EOFError("the last block of the header is incomplete")
                return b"".join(blocks).decode("ascii")
            start = found + 1
    raise EOFError("no END")
