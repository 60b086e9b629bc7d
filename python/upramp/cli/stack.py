"""``upramp stack``: combine frames."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from upramp.cli.combining import Failures, add_combine_options, extension, rejection
from upramp.cli.common import add_output_options, say
from upramp.io import check_output

__all__ = ["HELP", "NAME", "configure", "run"]

NAME = "stack"
HELP = "combine frames into one: median or mean, sigma clipping, scaling"

LEVELS = ("none", "median", "mean", "exptime")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of the command.
    """
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="FITS images (.fits, .gz, .fz)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="FITS file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing FILE (never an input)")
    parser.add_argument("--ext", type=extension, metavar="EXT", help="extension (default: the first image)")
    parser.add_argument(
        "--zero", choices=LEVELS[:3], default="none", help="level to subtract first: of each frame"
    )
    parser.add_argument(
        "--scale",
        choices=LEVELS,
        default="none",
        help="divide by each frame's level, or by its exposure time",
    )
    parser.add_argument("--log", metavar="FILE", help="append a log to FILE")
    add_combine_options(parser, minmax=True)
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
        0, or 6 if some files could not be used.
    """
    from upramp.ccd import stack_files

    check_output(args.output, overwrite=args.overwrite)
    if any(args.output.resolve() == path.resolve() for path in args.files):
        raise ValueError(f"{args.output} is an input, expected another file")
    failures = Failures(args)
    image = stack_files(
        args.files,
        ext=args.ext,
        minmax=args.minmax,
        zero=None if args.zero == "none" else args.zero,
        scale=None if args.scale == "none" else args.scale,
        on_error=failures.note,
        **rejection(args),
    )
    image.write(args.output, overwrite=args.overwrite)
    empty = int((image.dq != 0).sum())
    record: dict[str, Any] = {
        "file": str(args.output),
        "frames": int(image.header["NCOMBINE"]),
        "median": float(np.nanmedian(image.data)) if empty < image.data.size else None,
        "empty": empty,
    }
    say(args, f"{args.output}: {record['frames']} frames, {empty} pixels without a value", **record)
    return failures.exit_code()
