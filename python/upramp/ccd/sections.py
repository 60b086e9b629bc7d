"""Sections of an image, and which of them are light, overscan or neither."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from upramp.exceptions import InputError

__all__ = ["Layout", "Section", "find_layout", "format_section", "parse_section"]

Section = tuple[slice, slice]
"""Rows and columns."""

TRAILED = 8
"""Overscan columns next to the light, which carry charge that trails behind it."""
NARROWEST = 4
"""Columns that make an overscan worth measuring."""

_FITS = re.compile(r"\[\s*(\d+)\s*:\s*(\d+)\s*,\s*(\d+)\s*:\s*(\d+)\s*\]")


def parse_section(text: str, shape: tuple[int, int] | None = None, name: str = "section") -> Section:
    """Rows and columns of a section as FITS writes it.

    Parameters
    ----------
    text : str
        ``[x1:x2,y1:y2]``, counted from 1, both ends included; ``[*,y1:y2]`` and ``[*,*]`` mean all, if `shape` is
        given.
    shape : (int, int), optional
        (ny, nx) of the image that the section must lie in.
    name : str, optional
        Where it comes from, for the message.

    Returns
    -------
    tuple of slice
        Rows, columns, to index an array with.

    Raises
    ------
    ValueError
        Not of that form, or outside of the image.

    Examples
    --------
    >>> parse_section("[1:1024,11:20]")
    (slice(10, 20, None), slice(0, 1024, None))
    """
    given = text.strip()
    if shape is not None:
        x, _, y = given.strip("[] ").partition(",")
        x, y = (f"1:{n}" if part.strip() == "*" else part for part, n in ((x, shape[1]), (y, shape[0])))
        text = f"[{x},{y}]"
    found = _FITS.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{name} is {given!r}, expected a FITS section such as [1:1024,1:512]")
    x1, x2, y1, y2 = (int(number) for number in found.groups())
    inside = shape is None or (x2 <= shape[1] and y2 <= shape[0])
    if not (1 <= x1 <= x2 and 1 <= y1 <= y2 and inside):
        of = "" if shape is None else f" of {shape[1]} columns and {shape[0]} rows"
        raise ValueError(f"{name} is {given!r}, expected a section inside the image{of}")
    return slice(y1 - 1, y2), slice(x1 - 1, x2)


def format_section(section: Section) -> str:
    """A section as FITS writes it.

    Parameters
    ----------
    section : tuple of slice
        Rows, columns.

    Examples
    --------
    >>> format_section((slice(10, 20), slice(0, 1024)))
    '[1:1024,11:20]'
    """
    y, x = section
    return f"[{x.start + 1}:{x.stop},{y.start + 1}:{y.stop}]"


@dataclass(frozen=True, slots=True)
class Layout:
    """What the parts of a frame are.

    Attributes
    ----------
    shape : tuple of int
        (ny, nx) of the frame as it was read out.
    trim : tuple of slice
        Rows and columns that are kept.
    overscan : tuple of slice, or None
        Rows and columns of the overscan.
    """

    shape: tuple[int, int]
    trim: Section
    overscan: Section | None

    @property
    def size(self) -> tuple[int, int]:
        """(ny, nx) of what is kept."""
        y, x = self.trim
        return y.stop - y.start, x.stop - x.start

    @property
    def is_whole(self) -> bool:
        """Whether the whole frame is kept and there is no overscan."""
        return self.overscan is None and self.size == self.shape

    @property
    def along(self) -> Literal["rows", "columns"]:
        """Whether the overscan gives a level for every row, or for every column."""
        if self.overscan is None:
            return "rows"
        y, x = self.overscan
        return "rows" if y.stop - y.start >= x.stop - x.start else "columns"


def find_layout(
    header: Any, shape: tuple[int, int], overscan: str | None, trim: str | None, name: str
) -> Layout:
    """The layout of a frame from its header or as it is given.

    Parameters
    ----------
    header : Header
        Header of the frame.
    shape : (int, int)
        (ny, nx).
    overscan : str or None
        FITS section; ``"auto"``: BIASSEC, or else what lies beside DATASEC on the side where there is more, but for
        the 8 columns next to the light; None: there is none.
    trim : str or None
        FITS section; ``"auto"``: TRIMSEC, or else DATASEC; None: nothing is cut off.
    name : str
        Name of the frame, for messages.

    Raises
    ------
    InputError
        A section in the header is not one, or lies outside.
    ValueError
        A section that was given lies outside; the overscan does not reach along the part that is kept.
    """
    ny, nx = shape
    kept: Section = (slice(0, ny), slice(0, nx))
    if trim == "auto":
        for key in ("TRIMSEC", "DATASEC"):
            if str(header.get(key, "")).strip():
                kept = _card(header, key, shape, name)
                break
    elif trim is not None:
        kept = parse_section(trim, shape, f"trim of {name}")
    over: Section | None = None
    if overscan == "auto":
        if str(header.get("BIASSEC", "")).strip():
            over = _card(header, "BIASSEC", shape, name)
        elif str(header.get("DATASEC", "")).strip():
            over = _beside(_card(header, "DATASEC", shape, name), shape)
    elif overscan is not None:
        over = parse_section(overscan, shape, f"overscan of {name}")
    layout = Layout(shape, kept, over)
    if over is not None:
        axis = 0 if layout.along == "rows" else 1
        if over[axis].start > kept[axis].start or over[axis].stop < kept[axis].stop:
            raise ValueError(
                f"overscan {format_section(over)} of {name} does not reach along all {layout.along} of "
                f"{format_section(kept)}, which are kept"
            )
    return layout


def _card(header: Any, key: str, shape: tuple[int, int], name: str) -> Section:
    try:
        return parse_section(str(header[key]), shape, key)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error


def _beside(data: Section, shape: tuple[int, int]) -> Section | None:
    """Columns beside the light, on the side where there are more."""
    y, x = data
    left, right = x.start, shape[1] - x.stop
    width = max(left, right)
    if width < NARROWEST:
        return None
    skipped = min(TRAILED, width // 3)
    return (y, slice(x.stop + skipped, shape[1])) if right >= left else (y, slice(0, left - skipped))
