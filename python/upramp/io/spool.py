"""Bytes put aside, and how many files may yet be opened."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Spool", "file_budget"]

SPARE = 64
"""Descriptors left for everything else."""


def file_budget() -> int:
    """Files that may yet be opened and kept open."""
    try:
        import resource
    except ImportError:  # Windows
        return 512 - SPARE
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return 1 << 20
    try:
        used = sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        used = SPARE
    return max(int(limit) - used - SPARE, 0)


class Spool:
    """Bytes put aside: in memory up to a limit, in a temporary file beyond.

    Parameters
    ----------
    memory : int
        Bytes that may be held in memory.
    """

    def __init__(self, memory: int) -> None:
        self.free = memory
        self._file: BinaryIO | None = None
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def store(self, pieces: Iterator[bytes], size: int) -> tuple[NDArray[np.uint8] | BinaryIO, int]:
        """Put `size` bytes aside; returns where they are and from which byte on.

        Parameters
        ----------
        pieces : iterator of bytes
            The bytes, in order.
        size : int
            Their number.
        """
        if size <= self.free:
            self.free -= size
            held = np.empty(size, np.uint8)
            at = 0
            for piece in pieces:
                held[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
                at += len(piece)
            return held, 0
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        start = self._end
        for piece in pieces:
            self._file.seek(self._end)
            self._file.write(piece)
            self._end += len(piece)
        return self._file, start
