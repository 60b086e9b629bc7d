"""Run one task over many files: in parallel, past failures, with one line a file."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict
from math import isfinite, nan
from pathlib import Path
from typing import Any

from upramp._arrays import count_threads
from upramp.cli import describe, exit_code
from upramp.cli.common import add_output_options, complain, finite, progress_bar, say
from upramp.wfc3ir.files import Outcome
from upramp.wfc3ir.fit import FIT_METHODS
from upramp.wfc3ir.products import product_names

__all__ = ["add_batch_options", "add_fit_options", "fit_options", "run_batch"]

SHARED_CACHE = 1 << 30
"""Bytes of decoded references kept for the next exposure of a batch."""


def add_batch_options(parser: argparse.ArgumentParser) -> None:
    """Add the files and the options of a batch.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of a command.
    """
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="RAW or IMA files (.fits, .gz, .fz)"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path(), metavar="DIR", help="where products go")
    parser.add_argument("--overwrite", action="store_true", help="replace existing products (never an input)")
    parser.add_argument("--resume", action="store_true", help="skip files whose products exist")
    parser.add_argument("--jobs", type=int, metavar="N", help="files at a time (default: one a core)")
    parser.add_argument("--log", metavar="FILE", help="append a log to FILE")
    add_output_options(parser)


def add_fit_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the ramp fit.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of a command.
    """
    parser.add_argument("--refs", metavar="DIR", help="directory of reference files")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=FILE", help="use FILE for the reference KEY"
    )
    parser.add_argument(
        "--fit",
        choices=FIT_METHODS,
        help="ramp fit: calwf3's (default of cal), or generalised least squares with likelihood-ratio cosmic-ray "
        "search (default of fix, but for mask-reads)",
    )
    parser.add_argument(
        "--crsigma",
        type=float,
        metavar="S",
        help="cosmic-ray threshold (default 4 sigma, 4.5 with --fit gls)",
    )
    parser.add_argument(
        "--exclude", metavar="READS", help="reads to leave out, SAMPNUM such as 1-5,9 or imset:11-15"
    )
    parser.add_argument(
        "--clear-dq", type=int, default=0, metavar="BITS", help="DQ bits to clear first, such as 32"
    )
    parser.add_argument("--parity", action="store_true", help="do exactly as calwf3, faults included")


def fit_options(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of the ramp fit from parsed options.

    Parameters
    ----------
    args : Namespace
        Parsed arguments.
    """
    from upramp.wfc3ir.files import SMALL_CACHE
    from upramp.wfc3ir.references import Cache, Refs

    override = {}
    for item in args.set:
        key, equals, name = item.partition("=")
        if not (key and equals and name):
            raise ValueError(f"--set is {item!r}, expected KEY=FILE")
        override[key.upper()] = name
    # A single exposure needs each image once; for several, a gigabyte of them is kept.
    cache = Cache(SMALL_CACHE if len(args.files) == 1 else SHARED_CACHE)
    return {
        "refs": Refs(args.refs, override, cache),
        "fit_method": args.fit,
        "crsigma": args.crsigma,
        "exclude": args.exclude,
        "clear_dq": args.clear_dq,
        "parity": args.parity,
        "overwrite": args.overwrite,
    }


def run_batch(
    args: argparse.Namespace,
    task: Callable[[Path, int], Any],
    products: Callable[[Path, Path], Sequence[Path]] = product_names,
    report: Callable[[argparse.Namespace, Path, Any], None] | None = None,
) -> int:
    """Do `task` for every file of the command line and return the exit code.

    Parameters
    ----------
    args : Namespace
        Parsed arguments with those of :func:`add_batch_options`.
    task : callable
        Takes a file and a number of threads.
    products : callable, optional
        Takes a file and the output directory; the files that are written of it.
    report : callable, optional
        Prints what `task` returned for a file; default: the line of an exposure.

    Returns
    -------
    int
        0, the code of the failure of a single file, or 6 if any of several files failed.
    """
    if args.jobs is not None and args.jobs < 1:
        raise ValueError(f"--jobs is {args.jobs}, expected a positive number")
    report = report or _report
    _check_names(args.files, args.output, products)

    def done(path: Path) -> bool:
        return all(product.exists() for product in products(path, args.output))

    todo = [path for path in args.files if not (args.resume and done(path))]
    for path in args.files:
        if path not in todo:
            say(args, f"{path.name}: skipped, products exist", file=str(path), status="skipped")
    jobs = min(args.jobs or count_threads(None), max(len(todo), 1))
    threads = max(count_threads(None) // jobs, 1)
    failures: list[tuple[Path, BaseException]] = []
    pool = ThreadPoolExecutor(jobs)
    try:
        futures: dict[Future[Any], Path] = {pool.submit(task, path, threads): path for path in todo}
        with progress_bar(args, len(todo)) as advance:
            for future in as_completed(futures):
                path, error = futures[future], future.exception()
                advance()
                if error is not None:
                    failures.append((path, error))
                    if exit_code(error) == 1:
                        traceback.print_exception(error, file=sys.stderr)
                    complain(describe(error))
                    if args.json:
                        say(args, "", file=str(path), status="failed", error=describe(error))
                    continue
                report(args, path, future.result())
    except KeyboardInterrupt:
        pool.shutdown(cancel_futures=True)
        raise
    finally:
        pool.shutdown()
    if failures and len(args.files) == 1:
        return exit_code(failures[0][1])
    if len(args.files) > 1:
        skipped = len(args.files) - len(todo)
        summary = f"{len(todo) - len(failures)} done, {skipped} skipped, {len(failures)} failed"
        if not args.json:
            say(args, summary)
        for path, error in failures:
            complain(f"failed: {path}: {describe(error)}")
    return 6 if failures else 0


def _check_names(
    files: list[Path], directory: Path, products: Callable[[Path, Path], Sequence[Path]]
) -> None:
    """Refuse two inputs that would be written to the same products: one of them would be lost."""
    taken: dict[Path, Path] = {}
    for path in files:
        product = products(path, directory)[0]
        if product in taken:
            raise ValueError(
                f"{taken[product]} and {path} would both be written to {product}; run them apart"
            )
        taken[product] = path


def _report(args: argparse.Namespace, path: Path, outcome: Outcome) -> None:
    line = (
        f"{path.name} -> {outcome.flt}  sky {outcome.median:.4f} ± {outcome.noise:.4f} {outcome.unit.lower()}  "
        f"hits {100 * outcome.hit_fraction:.1f} %  {sum(outcome.seconds.values()):.2f} s"
    )
    if outcome.level is not None:
        known = [value for value in outcome.level.tolist() if isfinite(value)]
        line = line.replace(
            "  hits", f"  background {min(known, default=nan):.3f}-{max(known, default=nan):.3f}  hits"
        )
    if outcome.dropped:
        before, after = outcome.exptime
        reads = f"{outcome.dropped} of {outcome.nread - 1} reads left out"
        line += f"  EXPTIME {before:.2f} -> {after:.2f} s ({reads})"
        if outcome.blobs and not args.quiet:
            complain(f"{path.name}: blobs (DQ 512) may leave faint residuals where reads were left out")
    record = asdict(outcome)
    for key in ("median", "noise", "hit_fraction"):
        record[key] = finite(record[key])
    if outcome.level is not None:
        record["level"] = [finite(value) for value in outcome.level.tolist()]
    say(args, line, file=str(path), status="ok", **record)
