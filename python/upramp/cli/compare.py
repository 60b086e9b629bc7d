"""``upramp compare``: two products of one exposure, before and after."""

from __future__ import annotations

import argparse
from pathlib import Path

from upramp.cli.common import add_output_options, finite, say, section
from upramp.cli.ls import write_table
from upramp.io import atomic_path, check_output

__all__ = ["HELP", "NAME", "configure", "run"]

NAME = "compare"
HELP = "measure and draw two products of an exposure on the same pixels"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of the command.
    """
    parser.add_argument("before", type=Path, metavar="A", help="FLT or IMA file")
    parser.add_argument("after", type=Path, metavar="B", help="the same exposure, corrected")
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw images, histograms and ramps")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write the table as CSV, or ECSV if named .ecsv"
    )
    parser.add_argument(
        "--ramps",
        nargs=2,
        type=Path,
        metavar=("IMA_A", "IMA_B"),
        help="IMA files of A and B for the ramps drawn",
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
        0.
    """
    from upramp.tvb.compare import compare

    if args.hist_range is not None and not args.hist_range[0] < args.hist_range[1]:
        raise ValueError(f"--hist-range is {args.hist_range}, expected the lower end first")
    for path in (args.png, args.csv):
        if path is not None:
            check_output(path, overwrite=args.overwrite)
    if args.png is not None:
        from upramp.plot.style import require_matplotlib

        require_matplotlib()
    comparison = compare(args.before, args.after, region=args.cutout)
    record = {
        "files": [str(path) for path in comparison.paths],
        "unit": comparison.unit,
        **{
            name: [finite(value) for value in comparison.table[name].tolist()]
            for name in comparison.table.colnames[1:]
        },
    }
    say(args, str(comparison), **record)
    if args.csv is not None:
        write_table(comparison.table, args.csv, overwrite=args.overwrite)
    if args.png is not None:
        from matplotlib.figure import Figure

        # A bare figure needs no window system, whatever backend is set.
        figure = Figure(figsize=(10, 7), layout="constrained")
        comparison.plot(ramps=args.ramps, figure=figure, hist_range=args.hist_range)
        with atomic_path(args.png, overwrite=args.overwrite) as temporary:
            figure.savefig(temporary, format="png", dpi=150)
    return 0
