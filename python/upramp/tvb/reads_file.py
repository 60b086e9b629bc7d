"""Tables of flagged reads: one file for many exposures, to be edited by hand and given to ``upramp fix``."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upramp.exceptions import InputError
from upramp.io import atomic_path
from upramp.tvb.flag import ReadFlags

__all__ = ["flags_table", "read_flags", "write_flags"]

COLUMNS = ("rootname", "sampnum", "imset", "use")
"""What a table must have to be read back."""
TRUE = ("true", "t", "yes", "y", "1")
FALSE = ("false", "f", "no", "n", "0")


def flags_table(flags: Iterable[ReadFlags]) -> Any:
    """Reads of several exposures in one table.

    Parameters
    ----------
    flags : iterable of ReadFlags
        Results of :func:`upramp.tvb.flag.flag_reads`.

    Returns
    -------
    astropy.table.Table
        Columns of the tables of the exposures after ``rootname``; ``meta["exposures"]`` holds the verdict and the
        levels of each.
    """
    from astropy.table import Table, vstack

    flags = list(flags)
    tables = []
    names = [one.rootname for one in flags]
    for one in flags:
        if names.count(one.rootname) > 1:
            files = ", ".join(other.path for other in flags if other.rootname == one.rootname)
            raise InputError(f"{files}: all are exposure {one.rootname}; a table holds each exposure once")
        table = one.table.copy()
        table.add_column([one.rootname] * len(table), index=0, name="rootname")
        tables.append(table)
    # An exposure without a jitter file has gaps where another has angles.
    stacked = vstack(tables, metadata_conflicts="silent") if tables else Table()
    stacked.meta["exposures"] = [one.summary for one in flags]
    return stacked


def write_flags(flags: Iterable[ReadFlags], path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write the reads of exposures as an ECSV table, in which ``use`` may be edited.

    Parameters
    ----------
    flags : iterable of ReadFlags
        Results of :func:`upramp.tvb.flag.flag_reads`.
    path : path-like
        File; it appears whole or not at all.
    overwrite : bool, optional
        Whether an existing file may be replaced.

    Raises
    ------
    OutputError
        The file exists or cannot be written.
    """
    table = flags_table(flags)
    for name in table.colnames:
        if table[name].dtype.kind == "f":
            # Six digits: more are below the noise, and hard to read.
            data = np.asarray(table[name])
            table[name][:] = [float(f"{value:.6g}") for value in data]
    names = [*COLUMNS, *(name for name in table.colnames if name not in COLUMNS)]
    with atomic_path(path, overwrite=overwrite) as temporary:
        if len(table):
            table = table[[name for name in names if name in table.colnames]]
        table.write(temporary, format="ascii.ecsv")


def read_flags(path: str | os.PathLike[str]) -> dict[str, NDArray[np.bool_]]:
    """Read which reads to use from a table that may have been edited by hand.

    Parameters
    ----------
    path : path-like
        ECSV or CSV table with the columns ``rootname``, ``sampnum``, ``imset`` and ``use``; others are ignored, and
        the order of rows does not matter.

    Returns
    -------
    dict of str to (nread,) ndarray of bool
        By rootname, lower case: whether to use each read, by SAMPNUM. The zeroth is always used.

    Raises
    ------
    InputError
        The file cannot be read, a column is missing, a cell is not what it should be, a read is listed twice or not
        at all; the message names the exposure and the read.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not text, expected a table of upramp flag") from error
    # Cells are judged here and not by a table reader, so that a slip of the hand can be named by its row.
    delimiter = "," if lines and "," in lines[0] else " "
    rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    names = [name.strip() for name in rows[0]] if rows else []
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; expected a table of upramp flag")
    found: dict[str, dict[int, bool]] = {}
    sizes: dict[str, int] = {}
    for number, cells in enumerate(rows[1:], start=1):
        if len(cells) != len(names):
            raise InputError(f"{path}: row {number} has {len(cells)} cells, expected {len(names)}")
        row = dict(zip(names, cells, strict=True))
        root = row["rootname"].strip().lower()
        where = f"{path}: row {number} ({root})"
        sampnum, imset = (_whole(where, name, row[name]) for name in ("sampnum", "imset"))
        reads = found.setdefault(root, {})
        if sampnum in reads:
            raise InputError(f"{where}: read {sampnum} is listed twice")
        if sizes.setdefault(root, sampnum + imset) != sampnum + imset:
            raise InputError(
                f"{where}: sampnum {sampnum} and imset {imset} make {sampnum + imset}, expected NSAMP "
                f"{sizes[root]} as in the rows before"
            )
        reads[sampnum] = _truth(where, sampnum, row["use"])
    result = {}
    for root, reads in found.items():
        absent = [k for k in range(sizes[root]) if k not in reads and k > 0]
        if absent:
            raise InputError(f"{path}: {root} has {sizes[root]} reads, but {absent[0]} is not listed")
        result[root] = np.array([True, *(reads[k] for k in range(1, sizes[root]))])
    return result


def _whole(where: str, name: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise InputError(f"{where}: {name} is {text!r}, expected a whole number, 0 or more")
    return value


def _truth(where: str, sampnum: int, text: str) -> bool:
    word = text.strip().lower()
    if word in TRUE or word in FALSE:
        return word in TRUE
    raise InputError(f"{where}: use of read {sampnum} is {text!r}, expected True or False")
