"""Binary tables: the columns that reference tables have, without building a table around them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

__all__ = ["read_columns"]

_TYPES = {"L": "S1", "A": "S", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
"""TFORMn letters that NumPy knows as they are."""


def read_columns(header: fits.Header, data: bytes) -> dict[str, NDArray[Any]]:
    """Columns of a binary table, by name.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of the extension.
    data : bytes
        Its data, with their padding.

    Returns
    -------
    dict of str to ndarray
        One value a row, or an array of them; text without trailing blanks, logical values as bool.
    """
    rows = _row_type(header)
    if rows is None:
        return _with_astropy(header, data)
    table = np.frombuffer(data, rows, int(header["NAXIS2"]))
    return {name: _converted(table[name], header[f"TFORM{i}"]) for i, name in enumerate(rows.names or (), 1)}


def _row_type(header: fits.Header) -> np.dtype[Any] | None:
    """Type of a row; None if it holds what is not simply there: scaled, packed, undefined or of any length."""
    fields: list[tuple[Any, ...]] = []
    for i in range(1, int(header["TFIELDS"]) + 1):
        form = re.fullmatch(r"(\d*)([LABIJKED])", str(header[f"TFORM{i}"]).strip())
        unusual = any(f"{key}{i}" in header for key in ("TSCAL", "TZERO", "TNULL", "TDIM"))
        name = str(header.get(f"TTYPE{i}", "")).strip()
        if form is None or unusual or not name or name in (field[0] for field in fields):
            return None
        repeat, letter = int(form[1] or 1), form[2]
        if repeat == 0:
            return None
        if letter == "A":
            fields.append((name, f"S{repeat}"))
        else:
            fields.append((name, _TYPES[letter]) if repeat == 1 else (name, _TYPES[letter], (repeat,)))
    made = np.dtype(fields)
    return made if made.itemsize == int(header["NAXIS1"]) else None


def _converted(values: NDArray[Any], form: str) -> NDArray[Any]:
    if "L" in form:
        logical: NDArray[Any] = values == b"T"
        return logical
    if "A" in form:
        text: NDArray[Any] = np.char.rstrip(values.astype(f"U{values.itemsize}"))
        return text
    return np.ascontiguousarray(values)


def _with_astropy(header: fits.Header, data: bytes) -> dict[str, NDArray[Any]]:
    made = fits.BinTableHDU.fromstring(header.tostring().encode("ascii") + data).data
    # Column by column: only so are logical and text values converted.
    return {name: np.array(made[name]) for name in made.names}
