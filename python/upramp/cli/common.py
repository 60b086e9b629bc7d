"""What every command shares: options, output, failures as exit codes."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

__all__ = ["add_output_options", "complain", "finite", "progress_bar", "say", "section"]


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet`` and ``--json``.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of a command.
    """
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of text")


def say(args: argparse.Namespace, text: str, /, **record: Any) -> None:
    """Print `text`, or with ``--json`` the record behind it as one line.

    Parameters
    ----------
    args : Namespace
        Parsed arguments of the command.
    text : str
        For people.
    **record
        For machines; NaN becomes null.
    """
    if args.json:
        print(json.dumps(record, default=_plain, allow_nan=False), flush=True)
    elif not args.quiet and text:
        print(text, flush=True)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def finite(value: float) -> float | None:
    """Return `value`, or None where JSON has no word for it.

    Parameters
    ----------
    value : float
        Any number.
    """
    return value if math.isfinite(value) else None


def complain(message: str) -> None:
    """Print an error to standard error.

    Parameters
    ----------
    message : str
        What went wrong.
    """
    print(f"upramp: {message}", file=sys.stderr, flush=True)


def section(text: str) -> tuple[slice, slice]:
    """Rows and columns from ``Y0:Y1,X0:X1``.

    Parameters
    ----------
    text : str
        Half-open ranges counted from 0, as NumPy slices; either end may be left out.
    """
    try:
        parts = [[int(end) if end.strip() else None for end in part.split(":")] for part in text.split(",")]
        (y0, y1), (x0, x1) = parts
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form Y0:Y1,X0:X1") from None
    return slice(y0, y1), slice(x0, x1)


def progress_bar(args: argparse.Namespace, total: int) -> AbstractContextManager[Callable[[], None]]:
    """A bar on a terminal when there is something to wait for.

    Parameters
    ----------
    args : Namespace
        Parsed arguments of the command.
    total : int
        Steps.

    Returns
    -------
    context manager
        Gives a function to call after every step, from any thread.
    """
    if args.quiet or args.json or total < 2 or not sys.stderr.isatty():
        return nullcontext(lambda: None)
    from rich.console import Console
    from rich.progress import Progress

    @contextmanager
    def bar() -> Any:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            row = progress.add_task("upramp", total=total)
            yield lambda: progress.advance(row)

    return bar()
