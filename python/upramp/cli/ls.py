"""``upramp ls``: what is in these files."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from upramp.cli.common import add_output_options, complain, finite, say
from upramp.exceptions import InputError
from upramp.io import atomic_path, check_output

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["HELP", "NAME", "configure", "print_table", "run", "write_table"]

NAME = "ls"
HELP = "list exposures, or the reads within them"

EXIT_SOME_FAILED = 6
FORMATS = dict.fromkeys(("exptime", "samptime", "deltatim", "dt"), "{:.3f}") | dict.fromkeys(
    ("median", "left", "right"), "{:.4f}"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of the command.
    """
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="RAW, IMA, FLT or other FITS files"
    )
    parser.add_argument("--reads", action="store_true", help="list the reads of each RAW or IMA file instead")
    parser.add_argument(
        "--keys",
        default=(),
        type=_keys,
        metavar="K1,K2",
        help="more header keywords (with --reads: of the SCI headers)",
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write the table as CSV, or ECSV if named .ecsv"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing FILE of --csv")
    add_output_options(parser)


def _keys(text: str) -> tuple[str, ...]:
    return tuple(key.strip() for key in text.split(",") if key.strip())


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Parameters
    ----------
    args : Namespace
        Parsed arguments.

    Returns
    -------
    int
        0; 3 if the only file, 6 if one of several, cannot be used.
    """
    from upramp.wfc3ir.tables import inventory

    if args.csv is not None:
        check_output(args.csv, overwrite=args.overwrite)
    errors: list[InputError] = []

    def note(error: InputError) -> None:
        complain(str(error))
        errors.append(error)

    if args.reads:
        table = _list_reads(args, note)
    else:
        table = inventory(args.files, keys=args.keys, on_error=note)
        print_table(args, table)
    if args.csv is not None and table is not None:
        write_table(table, args.csv, overwrite=args.overwrite)
    if not errors:
        return 0
    return errors[0].exit_code if len(args.files) == 1 else EXIT_SOME_FAILED


def _list_reads(args: argparse.Namespace, note: Callable[[InputError], None]) -> Table | None:
    from astropy.table import vstack

    from upramp.wfc3ir.tables import sample_table

    tables: list[Table] = []
    for path in args.files:
        try:
            table = sample_table(path, keys=args.keys)
        except InputError as error:
            note(error)
            continue
        facts = table.meta
        if not args.json:
            gap = "\n" if tables else ""
            exptime = facts["exptime"]
            say(
                args,
                f"{gap}{path}: {facts['rootname']} {facts['filter']} {facts['samp_seq']} "
                f"NSAMP {facts['nsamp']}" + ("" if exptime is None else f" EXPTIME {exptime:.3f} s"),
            )
        table.add_column([str(path)] * len(table), index=0, name="file")
        print_table(args, table, hidden=("file",))
        tables.append(table)
    return vstack(tables, metadata_conflicts="silent") if tables else None


def print_table(args: argparse.Namespace, table: Table, hidden: Sequence[str] = (), rest: str = "{}") -> None:
    """Print a table in columns, or with ``--json`` a line for each row.

    Parameters
    ----------
    args : Namespace
        Parsed arguments of the command.
    table : Table
        Table.
    hidden : sequence of str, optional
        Columns not to print in columns.
    rest : str, optional
        Format of numbers that have none of their own.
    """
    if args.json:
        for row in table:
            say(args, "", **{name: _plain(row[name]) for name in table.colnames})
        return
    if not len(table):
        return
    names = [name for name in table.colnames if name not in hidden]
    say(args, "\n".join(_aligned([_cells(table[name], rest) for name in names])))


def _cells(column: Any, rest: str) -> list[str]:
    """Name and values of a column as text of one width, numbers to the right."""
    pattern = FORMATS.get(column.name, rest if column.dtype.kind == "f" else "{}")
    values = [_plain(value) for value in column]
    cells = [column.name, *("-" if value is None else pattern.format(value) for value in values)]
    width = max(len(cell) for cell in cells)
    return [cell.ljust(width) if column.dtype.kind in "US" else cell.rjust(width) for cell in cells]


def _aligned(columns: Sequence[Sequence[str]]) -> list[str]:
    return ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]


def _plain(value: Any) -> Any:
    if value is np.ma.masked:
        return None
    value = value.item()
    return finite(value) if isinstance(value, float) else value


def write_table(table: Table, path: Path, *, overwrite: bool) -> None:
    """Write a table as CSV or ECSV.

    Parameters
    ----------
    table : Table
        Table.
    path : Path
        File; ECSV, which keeps units and metadata, if its suffix is ``.ecsv``.
    overwrite : bool
        Whether an existing file may be replaced.
    """
    form = "ascii.ecsv" if path.suffix.lower() == ".ecsv" else "ascii.csv"
    with atomic_path(path, overwrite=overwrite) as temporary:
        table.write(temporary, format=form)
