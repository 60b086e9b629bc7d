"""A file written anew with other cards, and levels out of its pixels; everything else keeps its bytes."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from upramp.exceptions import InputError
from upramp.io import Extension, FitsReader, atomic_path, fits
from upramp.io.layout import BLOCK
from upramp.sky.images import SkyImage

__all__ = ["rewrite"]

Edit = Callable[[int, fits.Header], bool]
"""Changes the header at a place of the file, and tells whether it did."""
Level = Callable[[int], "float | NDArray[np.float64]"]
"""What to subtract from the science image at a place."""


def rewrite(
    image: SkyImage, target: Path, edit: Edit, level: Level | None = None, *, overwrite: bool
) -> None:
    """Write a file anew in one step.

    Parameters
    ----------
    image : SkyImage
        File, as it was measured.
    target : Path
        Where to; the file itself for a change in place.
    edit : callable
        Given the place of a unit and a copy of its header, changes it and tells whether it did.
    level : callable, optional
        Given the place of a science image, what to subtract from its pixels: a number, or one for each.
    overwrite : bool
        Whether `target` may exist.

    Raises
    ------
    InputError
        Tile-compressed, or changed since it was measured.
    OutputError
        Cannot be written.
    """
    chips = {chip.index: chip for chip in image.chips}
    with (
        FitsReader(image.path) as reader,
        _plain(image.path) as source,
        atomic_path(target, overwrite=overwrite) as temporary,
    ):
        units = reader.extensions
        if any(unit.offset < 0 for unit in units):
            raise InputError(f"{image.path}: tile-compressed, expected a plain or gzipped file")
        if len(units) <= max(chips) or any(
            units[n].header.get("EXTVER", 1) != chip.extver or units[n].shape != chip.shape
            for n, chip in chips.items()
        ):
            raise InputError(f"{image.path}: has changed since its sky was measured")
        with _into(temporary, gzipped=image.path.suffix == ".gz") as sink:
            for index, unit in enumerate(units):
                header = unit.header.copy()
                changed = edit(index, header)
                found = level(index) if level is not None and index in chips else None
                if changed or found is not None:
                    # A sum of the unit as it was.
                    header.remove("CHECKSUM", ignore_missing=True)
                if found is not None:
                    header.remove("DATASUM", ignore_missing=True)
                sink.write(header.tostring(sep="", endcard=True, padding=True).encode("ascii"))
                _write_data(source, sink, unit, found)
        shutil.copymode(image.path, temporary)


def _write_data(
    source: IO[bytes] | gzip.GzipFile,
    sink: IO[bytes] | gzip.GzipFile,
    unit: Extension,
    level: float | NDArray[np.float64] | None,
) -> None:
    source.seek(unit.offset)
    if level is not None:
        # Numbers as they are stored: everything but the sky keeps its bits.
        data = np.frombuffer(source.read(unit.nbytes), unit.dtype)
        sink.write((data - np.ravel(level).astype(unit.dtype)).astype(unit.dtype).tobytes())
        sink.write(bytes(-unit.nbytes % BLOCK))
        return
    left = -(-unit.nbytes // BLOCK) * BLOCK
    while left > 0 and (piece := source.read(min(left, 1 << 22))):
        sink.write(piece)
        left -= len(piece)
    # The padding of the last unit may be missing.
    sink.write(bytes(left))


def _plain(path: Path) -> IO[bytes] | gzip.GzipFile:
    """The bytes of a file, unpacked."""
    stream = path.open("rb")
    packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    if not packed:
        return stream
    stream.close()
    return gzip.open(path)


def _into(path: Path, *, gzipped: bool) -> IO[bytes] | gzip.GzipFile:
    # No time stamp in the file: the same input gives the same bytes.
    return gzip.GzipFile(path, "wb", mtime=0) if gzipped else path.open("wb")
