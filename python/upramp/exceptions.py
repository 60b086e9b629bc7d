"""What can go wrong, one class per kind, each with the exit code the command line gives it.

Bad arguments of a Python call stay :class:`ValueError` and :class:`TypeError`.
"""

from __future__ import annotations

__all__ = ["InputError", "NetworkError", "OutputError", "ReferenceFileError", "UprampError"]


class UprampError(Exception):
    """Base of everything upramp raises about files and exposures."""

    exit_code = 1


class InputError(UprampError, OSError):
    """An input file cannot be used: missing, truncated, of another instrument, inconsistent."""

    exit_code = 3


class ReferenceFileError(UprampError, OSError):
    """A reference file that a step asks for is missing or does not fit the exposure."""

    exit_code = 4


class OutputError(UprampError, FileExistsError):
    """An output cannot be placed: it exists, or its directory is missing or read-only."""

    exit_code = 2


class NetworkError(UprampError, OSError):
    """A server or an archive cannot be reached, or does not give what was asked for."""

    exit_code = 5
