"""Options of the commands that combine frames, and files they go on past."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from upramp.cli.common import complain, say
from upramp.exceptions import InputError

__all__ = ["Failures", "add_combine_options", "extension", "rejection", "size", "thresholds"]

Number = TypeVar("Number", int, float)

EXIT_SOME_FAILED = 6
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def size(text: str) -> int:
    """Bytes from a number with K, M or G.

    Parameters
    ----------
    text : str
        Such as ``512M``.
    """
    number, unit = text.strip().upper().removesuffix("B"), ""
    if number[-1:] in _UNITS and number[-1:]:
        number, unit = number[:-1], number[-1]
    try:
        found = int(float(number) * _UNITS[unit])
    except ValueError:
        found = 0
    if found < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes such as 512M")
    return found


def thresholds(text: str) -> float | tuple[float, float]:
    """One threshold, or one below and one above.

    Parameters
    ----------
    text : str
        ``S`` or ``LOW,HIGH``.
    """
    return _one_or_two(text, float, "S")


def extremes(text: str) -> int | tuple[int, int]:
    """A number of lowest and highest values.

    Parameters
    ----------
    text : str
        ``N`` or ``LOW,HIGH``.
    """
    return _one_or_two(text, int, "N")


def _one_or_two(text: str, kind: Callable[[str], Number], name: str) -> Number | tuple[Number, Number]:
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) == 1:
        return found[0]
    if len(found) == 2:
        return found[0], found[1]
    raise argparse.ArgumentTypeError(f"{text!r} is not of the form {name} or LOW,HIGH")


def extension(text: str) -> int | str:
    """An extension by number or name.

    Parameters
    ----------
    text : str
        Number or EXTNAME.
    """
    return int(text) if text.isdecimal() else text


def add_combine_options(parser: argparse.ArgumentParser, *, minmax: bool = False) -> None:
    """Add the options that say how frames are combined.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of a command.
    minmax : bool, optional
        Whether extremes may be left out.
    """
    group = parser.add_argument_group("combination")
    group.add_argument("--method", choices=("median", "mean"), default="median", help="default median")
    group.add_argument(
        "--sigma-clip",
        type=thresholds,
        metavar="S",
        help="leave out values more than S standard deviations (or LOW,HIGH) from the median",
    )
    if minmax:
        group.add_argument(
            "--minmax", type=extremes, metavar="N", help="leave out the N lowest and highest (or LOW,HIGH)"
        )
    group.add_argument(
        "--memory-limit",
        type=size,
        metavar="SIZE",
        help="scratch memory at most, such as 200M (default 512M)",
    )
    group.add_argument("--jobs", type=int, metavar="N", help="threads (default: one a core)")


def rejection(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of a combination from parsed options.

    Parameters
    ----------
    args : Namespace
        Parsed arguments.
    """
    from upramp.ccd.combine import MEMORY_LIMIT

    if args.jobs is not None and args.jobs < 1:
        raise ValueError(f"--jobs is {args.jobs}, expected a positive number")
    return {
        "method": args.method,
        "sigma_clip": args.sigma_clip,
        "memory_limit": args.memory_limit or MEMORY_LIMIT,
        "threads": args.jobs,
    }


class Failures:
    """Files that could not be used: told at once, and again at the end.

    Parameters
    ----------
    args : Namespace
        Parsed arguments, with ``files``.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self.errors: list[InputError] = []

    @property
    def note(self) -> Callable[[InputError], None] | None:
        """What to call with an error; None for a single file, whose error ends the command."""
        return self._note if len(self._args.files) > 1 else None

    def _note(self, error: InputError) -> None:
        complain(str(error))
        if self._args.json:
            say(self._args, "", status="failed", error=str(error))
        self.errors.append(error)

    def exit_code(self) -> int:
        """Say what was left out; 6 if anything was."""
        for error in self.errors:
            complain(f"left out: {error}")
        return EXIT_SOME_FAILED if self.errors else 0


def target(output: Path, name: str) -> Path:
    """File to write: the one that was named, or `name` in the directory that was.

    Parameters
    ----------
    output : Path
        FITS file, or directory.
    name : str
        Name in a directory.
    """
    return output if output.suffix.lower() in (".fits", ".fit") else output / name
