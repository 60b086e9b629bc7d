"""``upramp fix``: remove a variable background and fit the ramps anew."""

from __future__ import annotations

import argparse
from pathlib import Path

from upramp.cli.batch import add_batch_options, add_fit_options, fit_options, run_batch
from upramp.tvb.fix import METHODS, fix_file
from upramp.wfc3ir.files import Outcome

__all__ = ["HELP", "NAME", "configure", "parse_region", "run"]

NAME = "fix"
HELP = "remove a variable background from RAW or IMA files and fit their ramps anew"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--method", choices=METHODS, default="flatten", help="how (default flatten)")
    parser.add_argument(
        "--reads",
        metavar="READS",
        help="bad reads, SAMPNUM such as 1-5,9 or imset:11-15",
    )
    parser.add_argument(
        "--region", type=parse_region, metavar="Y0:Y1,X0:X1", help="pixels whose median counts (default all)"
    )
    parser.add_argument("--clip", type=float, metavar="S", help="clip the sky at S sigma before its median")
    parser.add_argument("--force", action="store_true", help="correct grism exposures too")
    add_fit_options(parser)
    add_batch_options(parser)


def run(args: argparse.Namespace) -> int:
    """Fix every file."""
    options = fit_options(args)

    def task(path: Path, threads: int) -> Outcome:
        return fix_file(
            path,
            args.output,
            method=args.method,
            reads=args.reads,
            region=args.region,
            clip=args.clip,
            force=args.force,
            threads=threads,
            **options,
        )

    return run_batch(args, task)


def parse_region(text: str) -> tuple[slice, slice]:
    """Rows and columns from ``Y0:Y1,X0:X1`` (from 0, end not included)."""
    try:
        (y0, y1), (x0, x1) = (map(int, part.split(":")) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not Y0:Y1,X0:X1") from None
    return slice(y0, y1), slice(x0, x1)
