"""``upramp cal``: do the last calibration steps of IMA files."""

from __future__ import annotations

import argparse
from pathlib import Path

from upramp.cli.batch import add_batch_options, add_fit_options, fit_options, run_batch
from upramp.wfc3ir.files import Outcome, calibrate_file

__all__ = ["HELP", "NAME", "configure", "run"]

NAME = "cal"
HELP = "do the last calibration steps (UNITCORR, CRCORR, FLATCORR) of IMA files"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--only", action="append", metavar="STEP", help="do just this step (may be repeated)")
    parser.add_argument(
        "--omit", action="append", metavar="STEP", help="leave this step out (may be repeated)"
    )
    add_fit_options(parser)
    add_batch_options(parser)


def run(args: argparse.Namespace) -> int:
    """Calibrate every file."""
    options = fit_options(args)
    only = None if args.only is None else [name.upper() for name in args.only]
    omit = None if args.omit is None else [name.upper() for name in args.omit]

    def task(path: Path, threads: int) -> Outcome:
        return calibrate_file(path, args.output, only=only, omit=omit, threads=threads, **options)

    return run_batch(args, task)
