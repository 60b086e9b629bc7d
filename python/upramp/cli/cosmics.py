"""``upramp cosmics``: copies of FITS files without cosmic rays, and with their masks."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from upramp._arrays import count_threads
from upramp.ccd.cosmics_file import MODES, CosmicsOutcome, clean_file, product_name
from upramp.cli.common import add_output_options, complain, say

__all__ = ["HELP", "NAME", "configure", "run"]

NAME = "cosmics"
HELP = "replace cosmic rays in single images by L.A.Cosmic, into copies with a mask extension"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of a command.
    """
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="FITS files (.fits, .gz, .fz)")
    parser.add_argument("-o", "--output", type=Path, default=Path(), metavar="DIR", help="where copies go")
    parser.add_argument(
        "--mode",
        choices=MODES,
        default=MODES[0],
        help="astroscrappy: its masks exactly (default); robust: better ones, faint wings and borders included",
    )
    number = "a number, or the header keyword that holds it"
    parser.add_argument(
        "--gain", type=_number, default=1.0, metavar="G", help=f"electrons per unit, {number} (1)"
    )
    parser.add_argument(
        "--readnoise", type=_number, default=6.5, metavar="R", help=f"read noise in electrons, {number} (6.5)"
    )
    parser.add_argument(
        "--satlevel", type=float, metavar="L", help="saturation, electrons (65536; inf: none)"
    )
    parser.add_argument("--sigclip", type=float, metavar="S", help="limit of the Laplacian, sigma (4.5)")
    parser.add_argument(
        "--sigfrac", type=float, metavar="F", help="fraction of it for neighbours of hits (0.3; robust: 0.5)"
    )
    parser.add_argument(
        "--objlim", type=float, metavar="C", help="contrast to the fine structure (5; robust: 2.2)"
    )
    parser.add_argument("--niter", type=int, metavar="N", help="rounds at most (4; robust: 8)")
    parser.add_argument("--grow", type=float, metavar="S", help="robust: limit of faint wings, sigma (2.25)")
    parser.add_argument(
        "--true-median",
        action="store_true",
        help="astroscrappy: true medians, not separable ones (sepmed=False)",
    )
    parser.add_argument(
        "--cleantype",
        choices=("median", "medmask", "meanmask", "idw"),
        help="astroscrappy: how to fill (meanmask)",
    )
    parser.add_argument(
        "--mask",
        metavar="NAME",
        help="extension whose pixels that are not 0 are left alone (MASK, if there is one; none: no extension)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing copies (never an input)")
    parser.add_argument("--jobs", type=int, metavar="N", help="files at a time (default: one a core)")
    parser.add_argument("--log", metavar="FILE", help="append a log to FILE")
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
        0, the code of the failure of a single file, or 6 if any of several files failed.
    """
    from upramp.cli import describe, exit_code

    options = search_options(args)
    if args.jobs is not None and args.jobs < 1:
        raise ValueError(f"--jobs is {args.jobs}, expected a positive number")
    _check_names(args.files, args.output)
    jobs = min(args.jobs or count_threads(None), len(args.files))
    threads = max(count_threads(None) // jobs, 1)

    def task(path: Path) -> CosmicsOutcome | Exception:
        try:
            return clean_file(path, args.output, overwrite=args.overwrite, threads=threads, **options)
        except Exception as error:
            return error

    failures: list[tuple[Path, Exception]] = []
    with ThreadPoolExecutor(jobs) as pool:
        for path, done in zip(args.files, pool.map(task, args.files), strict=True):
            if isinstance(done, Exception):
                failures.append((path, done))
                complain(describe(done))
                if args.json:
                    say(args, "", file=str(path), status="failed", error=describe(done))
                continue
            found = f"{done.pixels} pixels hit ({100 * done.fraction:.2f} %)"
            say(
                args,
                f"{path.name} -> {done.path}  {found}  {done.seconds:.2f} s",
                file=str(path),
                status="ok",
                product=str(done.path),
                images=done.images,
                pixels=done.pixels,
                fraction=done.fraction,
                seconds=done.seconds,
            )
    if failures and len(args.files) == 1:
        return exit_code(failures[0][1])
    return 6 if failures else 0


def search_options(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of :func:`upramp.ccd.clean_file` from parsed options; what was not given keeps its default.

    Parameters
    ----------
    args : Namespace
        Parsed arguments.
    """
    options: dict[str, Any] = {"satlevel": args.satlevel, "niter": args.niter}
    if args.mode == "robust":
        if args.true_median or args.cleantype is not None:
            raise ValueError("--true-median and --cleantype belong to --mode astroscrappy")
        neighbour = None
        if args.sigfrac is not None or args.sigclip is not None:
            fraction = 0.5 if args.sigfrac is None else args.sigfrac
            neighbour = fraction * (4.5 if args.sigclip is None else args.sigclip)
        options |= {"sigma": args.sigclip, "neighbour": neighbour, "contrast": args.objlim, "grow": args.grow}
    else:
        if args.grow is not None:
            raise ValueError("--grow belongs to --mode robust")
        options |= {"sigclip": args.sigclip, "sigfrac": args.sigfrac, "objlim": args.objlim}
        options |= {"cleantype": args.cleantype, "sepmed": False if args.true_median else None}
    given = {name: value for name, value in options.items() if value is not None}
    if args.mask is not None:
        given["mask"] = None if args.mask.lower() == "none" else args.mask
    return {"mode": args.mode, "gain": args.gain, "readnoise": args.readnoise, **given}


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _check_names(files: list[Path], directory: Path) -> None:
    """Refuse two inputs that would be written to the same copy, and a copy that would replace an input."""
    inputs = {path.resolve() for path in files}
    taken: dict[Path, Path] = {}
    for path in files:
        product = product_name(path, directory)
        if product in taken:
            raise ValueError(
                f"{taken[product]} and {path} would both be written to {product}; run them apart"
            )
        if product.resolve() in inputs:
            raise ValueError(f"{product} would be written over an input; pass another directory as --output")
        taken[product] = path
