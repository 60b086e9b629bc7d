"""``upramp compare``: two products of one exposure, before and after."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from upramp.cli.common import add_output_options, complain, finite, say, section
from upramp.cli.ls import write_table
from upramp.exceptions import UprampError
from upramp.io import atomic_path, check_output

if TYPE_CHECKING:
    from upramp.tvb.compare import Comparison, Source
    from upramp.tvb.pairs import Pairs
    from upramp.wfc3ir.exposure import Ramp

__all__ = ["HELP", "NAME", "configure", "run"]

NAME = "compare"
HELP = "measure and draw two products of an exposure, or of many, on the same pixels"

EXIT_SOME_FAILED = 6
MANY = 24
"""Pairs beyond which a page shows smaller images."""
EMPTY = np.empty((0, 0), np.float32)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of the command.
    """
    parser.add_argument("before", type=Path, metavar="A", help="FLT or IMA file, or a directory of them")
    parser.add_argument("after", type=Path, metavar="B", help="the same exposures, corrected")
    parser.add_argument(
        "--png",
        type=Path,
        metavar="FILE",
        help="draw images, histograms and ramps; of directories A and B, into a directory",
    )
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="the same as one page, with a switch between before and after",
    )
    parser.add_argument(
        "--csv",
        "--table",
        type=Path,
        metavar="FILE",
        help="write the table as CSV, or ECSV if named .ecsv: a row a file, of directories a row a pair",
    )
    parser.add_argument(
        "--ramps",
        nargs=2,
        type=Path,
        metavar=("IMA_A", "IMA_B"),
        help="IMA files of A and B for the ramps drawn (default: those beside them)",
    )
    parser.add_argument(
        "--hist-range", nargs=2, type=float, metavar=("LO", "HI"), help="range of the histogram drawn"
    )
    parser.add_argument(
        "--cutout",
        type=section,
        metavar="Y0:Y1,X0:X1",
        help="measure and draw these rows and columns alone, counted from 0, ends excluded",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing output files")
    add_output_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Parameters
    ----------
    args : Namespace
        Parsed arguments.

    Returns
    -------
    int
        0; the code of the failure of a single pair, 6 if one of several failed.
    """
    from upramp.cli import describe, exit_code
    from upramp.tvb.compare import compare
    from upramp.tvb.pairs import Pairs, pair_products, summary_table

    _check(args)
    directories = [path.is_dir() for path in (args.before, args.after)]
    several = all(directories)
    found = (
        pair_products(args.before, args.after) if any(directories) else Pairs([(args.before, args.after)], [])
    )
    if several:
        _check_directories(args, found)
    for path in found.lonely:
        complain(f"{path}: no partner to compare with")
        if args.json:
            say(args, "", file=str(path), status="no partner")
    page = None if args.html is None else _Page(args, len(found.pairs))
    kept: list[Comparison] = []
    failures: list[BaseException] = []
    for pair in found.pairs:
        try:
            comparison = compare(*pair, region=args.cutout)
            ramps = args.ramps or _reads(comparison)
            say(args, _line(comparison) if several else str(comparison), **_record(comparison))
            if args.png is not None:
                _draw(args, comparison, ramps, several)
            if page is not None:
                page.add(comparison, ramps)
        except (UprampError, ValueError) as error:
            if not several:
                raise
            failures.append(error)
            complain(describe(error))
            continue
        # Two images and two masks of every pair would fill the memory.
        kept.append(replace(comparison, images=(EMPTY, EMPTY), good=EMPTY > 0, ramps=None))
    if kept and args.csv is not None:
        table = summary_table(kept) if several else kept[0].table
        write_table(table, args.csv, overwrite=args.overwrite)
    if page is not None and kept:
        page.write([f"{path}: no partner" for path in found.lonely] + [describe(error) for error in failures])
    if not failures:
        return 0
    return exit_code(failures[0]) if len(found.pairs) == 1 else EXIT_SOME_FAILED


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot work before the first file is read."""
    if args.hist_range is not None and not args.hist_range[0] < args.hist_range[1]:
        raise ValueError(f"--hist-range is {args.hist_range}, expected the lower end first")
    for path in (args.png, args.csv, args.html):
        if path is not None and not path.is_dir():
            check_output(path, overwrite=args.overwrite)
    if args.png is not None or args.html is not None:
        from upramp.plot.style import require_matplotlib

        require_matplotlib()


def _check_directories(args: argparse.Namespace, found: Pairs) -> None:
    if args.ramps is not None:
        raise ValueError("--ramps are of one pair; of directories, those beside the FLT files are drawn")
    if args.png is None:
        return
    if not args.png.is_dir():
        raise ValueError(f"--png is {args.png}, expected a directory that exists for directories A and B")
    for pair in found.pairs:
        check_output(_png_path(args, pair[1], several=True), overwrite=args.overwrite)


def _line(comparison: Comparison) -> str:
    """One line of many."""
    name, exposure, median, scatter, change = comparison.summary()
    return f"{name}  EXPTIME {exposure}  median {median}  1.4826 MAD {scatter}  {change}".rstrip()


def _record(comparison: Comparison) -> dict[str, Any]:
    table = comparison.table
    return {
        "files": [str(path) for path in comparison.paths],
        "rootname": comparison.rootname,
        "unit": comparison.unit,
        **{
            name: [finite(value) if isinstance(value, float) else value for value in table[name].tolist()]
            for name in table.colnames[1:]
        },
    }


def _reads(comparison: Comparison) -> tuple[Ramp, Ramp] | None:
    """The reads of a pair, from the IMA files beside FLT files; no reason to fail where they cannot be used."""
    from upramp.tvb.pairs import reads_beside
    from upramp.wfc3ir.exposure import read_ramp

    if comparison.ramps is not None:
        return comparison.ramps
    paths = reads_beside(comparison.paths)
    if paths is None:
        return None
    try:
        ramps = read_ramp(paths[0]), read_ramp(paths[1])
    except UprampError as error:
        complain(f"no ramps drawn: {error}")
        return None
    size = comparison.images[0].shape
    fits = all(ramp.sci[0][ramp.border].shape == size and ramp.nread > 1 for ramp in ramps)
    return ramps if fits else None


def _png_path(args: argparse.Namespace, after: Path, *, several: bool) -> Path:
    if not several and not args.png.is_dir():
        return Path(args.png)
    root = after.name
    for suffix in (".gz", ".fz", ".fits", ".fit"):
        root = root.removesuffix(suffix)
    return Path(args.png / f"{root}_compare.png")


def _draw(
    args: argparse.Namespace, comparison: Comparison, ramps: tuple[Source, Source] | None, several: bool
) -> None:
    from matplotlib.figure import Figure

    target = _png_path(args, comparison.paths[1], several=several)
    check_output(target, overwrite=args.overwrite)
    # A bare figure needs no window system, whatever backend is set.
    figure = Figure(figsize=(10, 7), layout="constrained")
    comparison.plot(ramps=ramps, figure=figure, hist_range=args.hist_range)
    with atomic_path(target, overwrite=args.overwrite) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


class _Page:
    """The page of --html, a section a pair."""

    def __init__(self, args: argparse.Namespace, count: int) -> None:
        self.args, self.width = args, 512 if count <= MANY else 256
        self.sections: list[str] = []
        self.lines: list[tuple[str, str, str, str, str]] = []

    def add(self, comparison: Comparison, ramps: tuple[Source, Source] | None) -> None:
        from upramp.plot.page import comparison_section

        section = comparison_section(
            comparison,
            number=len(self.sections) + 1,
            ramps=ramps,
            hist_range=self.args.hist_range,
            width=self.width,
        )
        self.sections.append(section)
        self.lines.append(comparison.summary())

    def write(self, notes: list[str]) -> None:
        from upramp.plot.page import comparison_page

        title = f"{self.args.before} and {self.args.after}"
        text = comparison_page(
            self.sections, self.lines if len(self.lines) > 1 else (), notes=notes, title=title
        )
        with atomic_path(self.args.html, overwrite=self.args.overwrite) as temporary:
            temporary.write_text(text, encoding="utf-8")
