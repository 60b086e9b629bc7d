"""What every command shares: options, output, failures as exit codes."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import Any

__all__ = ["add_output_options", "say"]


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
