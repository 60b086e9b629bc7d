"""What every command shares: options, output, failures as exit codes."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import Any

__all__ = ["add_output_options", "complain", "finite", "say", "section"]


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
