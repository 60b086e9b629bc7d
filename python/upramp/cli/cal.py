"""``upramp cal``: calibrate RAW files, or go on from IMA files."""

from __future__ import annotations

import argparse
from pathlib import Path

from upramp.cli.batch import add_batch_options, add_fit_options, fit_options, run_batch
from upramp.exceptions import UprampError
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
    args.files, unusable = _exposures(args.files)
    options = fit_options(args)
    only = None if args.only is None else [name.upper() for name in args.only]
    omit = None if args.omit is None else [name.upper() for name in args.omit]

    def task(path: Path, threads: int) -> Outcome:
        if path in unusable:
            raise unusable[path]
        return calibrate_file(path, args.output, only=only, omit=omit, threads=threads, **options)

    return run_batch(args, task)


def _exposures(files: list[Path]) -> tuple[list[Path], dict[Path, UprampError]]:
    """An association stands for its exposures; one that cannot be used for itself, to fail in its turn."""
    found: list[Path] = []
    unusable: dict[Path, UprampError] = {}
    for path in files:
        try:
            found += calibration_inputs(path) if "_asn" in path.name else [path]
        except UprampError as error:
            found.append(path)
            unusable[path] = error
    return found, unusable
