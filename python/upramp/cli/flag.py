"""``upramp flag``: which exposures and reads have a variable background, and why."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from upramp._arrays import count_threads
from upramp.cli import describe, exit_code
from upramp.cli.common import add_output_options, complain, say
from upramp.exceptions import OutputError
from upramp.io import check_output
from upramp.tvb.flag import ReadFlags

__all__ = ["HELP", "NAME", "configure", "run"]

NAME = "flag"
HELP = "find the reads whose background varies, name the cause, advise a repair"

EXIT_SOME_FAILED = 6
EXIT_AFFECTED = 7


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of the command.
    """
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="IMA or RAW files (.fits, .gz, .fz)"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write the reads as ECSV, to be edited"
    )
    parser.add_argument("--png", type=Path, metavar="DIR", help="draw every exposure to <rootname>_ramp.png")
    parser.add_argument("--html", type=Path, metavar="FILE", help="one page with a table and thumbnails")
    for name, default, words in (
        ("ratio", 1.1, "left over right above which light is scattered"),
        ("delta", 0.1, "left minus right, e-/s, above which light is scattered"),
        ("change", 2.0, "factor between rates above which a uniform background is helium"),
        ("floor", 0.0, "excess, e-/s, below which a read is used however significant"),
    ):
        parser.add_argument(
            f"--{name}", type=float, default=default, metavar="X", help=f"{words} (default {default:g})"
        )
    parser.add_argument(
        "--jit", type=Path, metavar="PATH", help="jitter file or directory (default: beside the file)"
    )
    parser.add_argument("--fail-on-tvb", action="store_true", help="exit with 7 if any exposure is affected")
    parser.add_argument(
        "--write-cards",
        action="store_true",
        help="write TVBFLAG, TVBRMAX and TVBRNG into the files themselves",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing output files")
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
        0; the code of the failure of a single file, 6 if any of several failed, else 7 if an exposure is affected
        and ``--fail-on-tvb`` was given.
    """
    from upramp.tvb.flag_file import write_cards

    _check(args)
    found: list[ReadFlags] = []
    failures: list[tuple[Path, BaseException]] = []
    for path, result in _flag_all(args):
        if isinstance(result, ReadFlags) and args.write_cards:
            try:
                write_cards(path, result)
            except OSError as error:
                result = error
        if isinstance(result, ReadFlags):
            found.append(result)
            say(args, str(result), status="ok", **result.summary)
            continue
        failures.append((path, result))
        if exit_code(result) == 1:
            traceback.print_exception(result, file=sys.stderr)
        complain(describe(result))
        if args.json:
            say(args, "", file=str(path), status="failed", error=describe(result))
    _write(args, found, failures)
    if failures:
        return exit_code(failures[0][1]) if len(args.files) == 1 else EXIT_SOME_FAILED
    affected = [one for one in found if one.verdict != "none"]
    return EXIT_AFFECTED if args.fail_on_tvb and affected else 0


def _check(args: argparse.Namespace) -> None:
    """Refuse before any work what could not be written after it."""
    if args.jobs is not None and args.jobs < 1:
        raise ValueError(f"--jobs is {args.jobs}, expected a positive number")
    for path in (args.output, args.html):
        if path is not None:
            check_output(path, overwrite=args.overwrite)
    if args.png is not None or args.html is not None:
        from upramp.plot.style import require_matplotlib

        require_matplotlib()
    if args.png is not None:
        try:
            args.png.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{args.png}: cannot be made a directory ({error.strerror})") from error


def _flag_all(args: argparse.Namespace) -> Iterator[tuple[Path, ReadFlags | BaseException]]:
    """Flag all files, side by side; results in the order of the files, failures among them."""
    from upramp.tvb.flag_file import flag_file

    jobs = min(args.jobs or count_threads(None), len(args.files))
    threads = max(count_threads(None) // jobs, 1)

    def task(path: Path) -> ReadFlags | BaseException:
        try:
            return flag_file(
                path,
                jitter=args.jit,
                ratio=args.ratio,
                delta=args.delta,
                change=args.change,
                floor=args.floor,
                threads=threads,
            )
        except Exception as error:
            return error

    with ThreadPoolExecutor(jobs) as pool:
        yield from zip(args.files, pool.map(task, args.files), strict=True)


def _write(
    args: argparse.Namespace, found: list[ReadFlags], failures: list[tuple[Path, BaseException]]
) -> None:
    if args.output is not None and found:
        from upramp.tvb.reads_file import write_flags

        write_flags(found, args.output, overwrite=args.overwrite)
    if args.png is None and args.html is None:
        return
    from upramp.io import atomic_path
    from upramp.tvb.report import thumbnail, write_page

    # Drawn one after the other: matplotlib shares its fonts between threads.
    pictures = [thumbnail(one) for one in found]
    if args.png is not None:
        for one in pictures:
            with atomic_path(args.png / f"{one.flags.rootname}_ramp.png", overwrite=args.overwrite) as path:
                path.write_bytes(one.png)
    if args.html is not None:
        bad = [(str(path), describe(error)) for path, error in failures]
        write_page(pictures, args.html, failures=bad, overwrite=args.overwrite)
