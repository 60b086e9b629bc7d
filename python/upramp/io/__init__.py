"""Files: the only importer of :mod:`astropy.io.fits`, and the only writer."""

from __future__ import annotations

from astropy.io import fits

from upramp.io.atomic import atomic_path, check_output
from upramp.io.layout import Extension, FitsReader
from upramp.io.rows import ImageFile, Plane, Spool, file_budget
from upramp.io.writer import table_bytes, write_extensions

__all__ = [
    "Extension",
    "FitsReader",
    "ImageFile",
    "Plane",
    "Spool",
    "atomic_path",
    "check_output",
    "file_budget",
    "fits",
    "table_bytes",
    "write_extensions",
]
