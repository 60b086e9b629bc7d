"""``upramp cal``: calibrate RAW files, or go on from IMA files."""

from __future__ import annotations

import argparse
from pathlib import Path

from upramp.cli.batch import add_batch_options, add_fit_options, fit_options, run_batch
from upramp.wfc3ir.association import calibration_inputs
from upramp.wfc3ir.files import Outcome, calibrate_file

__all__ = ["HELP", "NAME", "configure", "run"]

NAME = "cal"
HELP = "calibrate RAW files, IMA files or associations to IMA and FLT"


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
    # An association stands for its exposures.
    args.files = [
        path
        for given in args.files
        for path in (calibration_inputs(given) if "_asn" in given.name else [given])
    ]
    options = fit_options(args)
    only = None if args.only is None else [name.upper() for name in args.only]
    omit = None if args.omit is None else [name.upper() for name in args.omit]

    def task(path: Path, threads: int) -> Outcome:
        return calibrate_file(path, args.output, only=only, omit=omit, threads=threads, **options)

    return run_batch(args, task)
