"""What the figures share: colours, words for units, and a clear message where matplotlib is missing."""

from __future__ import annotations

from upramp.exceptions import UprampError

__all__ = [
    "AFTER",
    "BEFORE",
    "LEFT",
    "RIGHT",
    "SERIES",
    "MatplotlibMissingError",
    "require_matplotlib",
    "unit_label",
]

# Told apart by colour-blind eyes and in grey (Okabe and Ito).
BEFORE, AFTER = "#0072B2", "#D55E00"
LEFT, RIGHT = "#E69F00", "#009E73"
SERIES = (BEFORE, AFTER, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "black")
"""Several exposures on the same axes."""

_UNITS = {
    "COUNTS": "counts",
    "COUNTS/S": "counts s$^{-1}$",
    "ELECTRONS": "e$^-$",
    "ELECTRONS/S": "e$^-$ s$^{-1}$",
}


class MatplotlibMissingError(UprampError, ImportError):
    """A figure was asked for but matplotlib is not installed."""

    exit_code = 2


def require_matplotlib() -> None:
    """Raise :class:`MatplotlibMissingError` unless matplotlib can be imported."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MatplotlibMissingError(
            "figures need matplotlib, which is not installed; pip install 'upramp[plot]'"
        ) from error


def unit_label(unit: str) -> str:
    """BUNIT as it is printed on an axis.

    Parameters
    ----------
    unit : str
        Value of BUNIT.
    """
    return _UNITS.get(unit, unit.lower())
