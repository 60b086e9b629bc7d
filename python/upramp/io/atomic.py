"""Outputs appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from upramp.exceptions import OutputError

__all__ = ["atomic_path", "check_output"]


def check_output(path: Path, *, overwrite: bool) -> None:
    """Raise before any work is done if `path` could not be written at the end.

    Parameters
    ----------
    path : Path
        Where the output shall stand.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    OutputError
        The file exists and may not be replaced, its directory is missing, or cannot be written.
    """
    parent = path.parent
    if not parent.is_dir():
        raise OutputError(f"{path}: directory {str(parent)!r} does not exist")
    if path.is_dir():
        raise OutputError(f"{path}: is a directory, expected a file name")
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; pass overwrite=True (--overwrite) to replace it")
    # Access bits lie for root and on some network mounts: trying is the only honest test.
    probe = parent / f".{path.name}.{secrets.token_hex(4)}.probe"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"{path}: directory {str(parent)!r} cannot be written ({error.strerror})"
        ) from error


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which becomes `path` when the block ends well.

    Parameters
    ----------
    path : path-like
        Final name. A reader never sees it half written: the temporary file is flushed to disk, then renamed.
    overwrite : bool, optional
        Whether an existing file may be replaced.

    Yields
    ------
    Path
        Name to write to; removed if the block raises.
    """
    target = Path(path)
    check_output(target, overwrite=overwrite)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
