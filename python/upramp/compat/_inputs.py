"""Files meant by what wfc3tools takes for input."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from upramp.exceptions import InputError

__all__ = ["Inputs", "is_association", "list_paths"]

Inputs = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def is_association(path: Path) -> bool:
    """Whether calwf3 would take `path` for an association table: it goes by the name.

    Parameters
    ----------
    path : Path
        Any file.

    Returns
    -------
    bool
    """
    return "_asn" in path.name.lower()


def list_paths(given: Inputs | None) -> list[Path]:
    """Files meant by a name, a list, a comma-separated list, a wildcard or an @file.

    Parameters
    ----------
    given : path-like or sequence of path-like or None
        What the caller passed.

    Returns
    -------
    list of Path
        In the order given; those of a wildcard by name.

    Raises
    ------
    InputError
        Nothing given, or no such file.
    """
    if given is None or (isinstance(given, Sequence) and not given):
        raise InputError("no input given: expected a file, a list of files, a wildcard or @file")
    if not isinstance(given, (str, os.PathLike)):
        return [path for one in given for path in list_paths(one)]
    text = os.fspath(given).strip()
    if Path(text).is_file():
        return [Path(text)]
    if "," in text:
        return [path for one in text.split(",") if one.strip() for path in list_paths(one)]
    if text.startswith("@"):
        try:
            lines = Path(text[1:]).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{text[1:]}: list of files cannot be read ({error})") from error
        return [path for line in lines if line.strip() for path in list_paths(line)]
    found = [Path(name) for name in sorted(glob.glob(text)) if Path(name).is_file()]  # noqa: PTH207
    if not found:
        raise InputError(f"{text}: no such file")
    return found
