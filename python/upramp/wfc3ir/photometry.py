"""PHOTCORR: what a count rate means, from IMPHTTAB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from upramp.exceptions import ReferenceFileError
from upramp.io import FitsReader, fits
from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.references import Refs

__all__ = ["load_photometry", "photmode", "photometry"]

NAMES = ("PHOTFLAM", "PHOTPLAM", "PHOTBW")
"""Parameters in the order of the extensions."""

Photometry = tuple[fits.Header, list[list[dict[str, Any]]]]
"""Primary header, and the rows of every extension."""


def load_photometry(refs: Refs, path: Path) -> Photometry:
    """Read IMPHTTAB.

    Parameters
    ----------
    refs : Refs
        Keeps what was read.
    path : Path
        File.
    """
    found: Photometry = refs.cache.get(path, _read, lambda made: 1 << 16)
    return found


def _read(path: Path) -> Photometry:
    with FitsReader(path) as reader:
        count = int(reader.extensions[0].header.get("NEXTEND", 0))
        if count < len(NAMES) or len(reader.extensions) <= len(NAMES):
            raise ReferenceFileError(f"{path}: NEXTEND is {count}, expected at least {len(NAMES)} (IMPHTTAB)")
        return reader.extensions[0].header, [reader.rows(i) for i in range(1, len(NAMES) + 1)]


def photmode(ramp: Ramp) -> str:
    """Observation mode of an exposure, such as ``WFC3 IR F160W MJD#57500.2500``.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    """
    chosen = str(ramp.primary.get("FILTER", "")).strip()
    middle = "" if chosen.upper().startswith("CLEAR") else f" {chosen}"
    return f"WFC3 IR{middle} MJD#{float(ramp.primary.get('EXPSTART', 0.0)):.4f}"


def photometry(mode: str, table: Photometry, path: Path) -> dict[str, float]:
    """Photometry keywords of an observation mode.

    Parameters
    ----------
    mode : str
        PHOTMODE.
    table : Photometry
        IMPHTTAB.
    path : Path
        Its name, for the message.

    Returns
    -------
    dict of str to float
        PHOTFLAM, PHOTFNU, PHOTZPT, PHOTPLAM, PHOTBW.

    Raises
    ------
    ReferenceFileError
        The table has no row for the mode, or the mode lies outside of what the row covers.
    """
    primary, extensions = table
    lookup, values = _split(mode)
    found = {"PHOTZPT": float(primary.get("PHOTZPT", 0.0))}
    for name, rows in zip(NAMES, extensions, strict=True):
        row = _row(rows, lookup)
        if row is None:
            raise ReferenceFileError(f"{path}: no row for {lookup!r} in {name} (IMPHTTAB, PHOTMODE {mode!r})")
        found[name] = _value(name, row, values, extrapolate=bool(primary.get("EXTRAP", False)), path=path)
    found["PHOTFNU"] = 3.33564e4 * found["PHOTFLAM"] * found["PHOTPLAM"] ** 2
    return found


def _split(mode: str) -> tuple[str, dict[str, float]]:
    """``wfc3,ir,f160w,mjd#`` and ``{"mjd#": 57500.25}``."""
    terms, values = [], {}
    for term in mode.lower().split():
        name, mark, value = term.partition("#")
        terms.append(name + mark)
        if mark:
            values[name + mark] = float(value)
    return ",".join(terms), values


def _row(rows: list[dict[str, Any]], lookup: str) -> dict[str, Any] | None:
    for row in rows:
        mode = str(row["OBSMODE"]).strip().lower()
        if len(mode) == len(lookup) and all(term in lookup for term in mode.split(",")):
            return row
    return None


def _value(
    name: str, row: dict[str, Any], values: dict[str, float], *, extrapolate: bool, path: Path
) -> float:
    column = str(row["DATACOL"]).strip().upper()
    if column == name:
        return float(row[name])
    count = int(column.removeprefix(name))
    axes, wanted = [], []
    for i in range(1, count + 1):
        parameter = str(row[f"PAR{i}NAMES"]).strip().lower()
        if parameter not in values:
            raise ReferenceFileError(f"{path}: {name} depends on {parameter!r}, which PHOTMODE does not tell")
        axis = np.asarray(row[f"PAR{i}VALUES"], float)[: int(row[f"NELEM{i}"])]
        inside = axis[0] <= values[parameter] <= axis[-1]
        if not inside and not (extrapolate and parameter == "mjd#"):
            raise ReferenceFileError(
                f"{path}: {parameter} = {values[parameter]} is outside of {axis[0]} to {axis[-1]} "
                f"({name}, IMPHTTAB)"
            )
        axes.append(axis)
        wanted.append(values[parameter])
    grid = np.asarray(row[column], float)[: int(np.prod([axis.size for axis in axes]))]
    # The first parameter varies fastest.
    return _interpolate(grid.reshape([axis.size for axis in reversed(axes)]), axes[::-1], wanted[::-1])


def _interpolate(grid: Any, axes: list[Any], wanted: list[float]) -> float:
    """Multilinear interpolation, the end segments prolonged."""
    for axis, value in zip(axes, wanted, strict=True):
        if axis.size == 1:
            grid = grid[0]
            continue
        low = int(np.clip(np.searchsorted(axis, value, side="right") - 1, 0, axis.size - 2))
        slope = (grid[low + 1] - grid[low]) / (axis[low + 1] - axis[low])
        grid = grid[low] + slope * (value - axis[low])
    return float(grid)
