"""Lists of images as skypac and drizzlepac take them: names, wildcards, association tables, @files with masks.

A list is ``name[, name]...``; a name may hold wildcards, be an association table or ``@file``, and be followed
by extensions: ``[1]``, ``['sci',2]``, ``['sci']`` (version 1), or several in braces, ``{1,4,('sci',3)}``,
``{'sci'}`` and ``{('sci',*)}`` (all versions). Lines of an @file are ``image{exts},mask1[ext],,mask3``: after the
image a mask for every chip, nothing or ``None`` for none. Names with brackets or commas are quoted.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from upramp.exceptions import InputError

__all__ = ["Extensions", "ImageEntry", "MaskName", "parse_images", "parse_line", "read_catalogue"]

Extensions = tuple[int | tuple[str, int | str], ...]
"""Positions in the file, or names with a version; ``*`` for all versions."""

MaskName = tuple[Path, int | tuple[str, int | str]]
"""A mask: its file and its extension there."""

_SUFFIXES = ("_crj", "_flt", "_flc", "_sfl", "_cal", "_raw")
"""Products of a member of an association, the first that exists is taken."""


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """An image of a list.

    Attributes
    ----------
    path : Path
        File.
    extensions : tuple
        Extensions asked for; empty for all SCI.
    masks : tuple
        File and extension of the mask of every chip, None for none; empty for none at all.
    """

    path: Path
    extensions: Extensions = ()
    masks: tuple[MaskName | None, ...] = ()


def parse_images(given: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[ImageEntry]:
    """Images of a list.

    Parameters
    ----------
    given : str, path-like or iterable of them
        A list, or several.

    Returns
    -------
    list of ImageEntry
        In the order given; those of a wildcard by name.

    Raises
    ------
    InputError
        No such file, or a line of an @file is not of that form (file and line are named).
    ValueError
        The list itself is not.
    """
    if not isinstance(given, (str, os.PathLike)):
        return [entry for one in given for entry in parse_images(one)]
    if isinstance(given, os.PathLike) or Path(given).is_file():
        text = os.fspath(given)
        return list(_expand(ImageEntry(Path(text)))) if not text.startswith("@") else read_catalogue(text[1:])
    found: list[ImageEntry] = []
    for part in _split(given, ","):
        if part.startswith("@"):
            found += read_catalogue(part[1:])
        elif part:
            name, extensions = _name(part)
            found += _expand(ImageEntry(Path(name), extensions))
    if not found:
        raise ValueError(f"{given!r} names no image")
    return found


def read_catalogue(path: str | os.PathLike[str]) -> list[ImageEntry]:
    """Images and masks of an @file.

    Parameters
    ----------
    path : path-like
        Lines as :func:`parse_line` reads them; those that begin with ``#`` are comments.

    Returns
    -------
    list of ImageEntry
        In the order of the file.

    Raises
    ------
    InputError
        Not readable, or a line is not of that form.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    found: list[ImageEntry] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            found += _expand(parse_line(line))
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}") from error
    return found


def parse_line(line: str) -> ImageEntry:
    """An image and its masks.

    Parameters
    ----------
    line : str
        ``image{exts},mask1[ext],,mask3``.

    Returns
    -------
    ImageEntry

    Raises
    ------
    ValueError
        Not of that form.

    Examples
    --------
    >>> parse_line("a.fits{1,('sci',3)}, m.fits, None")
    ImageEntry(path=PosixPath('a.fits'), extensions=(1, ('sci', 3)), masks=((PosixPath('m.fits'), 0), None))
    """
    first, *others = _split(line, ",")
    if not first:
        raise ValueError(f"{line.strip()!r} begins with no image")
    name, extensions = _name(first)
    masks: list[MaskName | None] = []
    for other in others:
        if not other or other == "None":
            masks.append(None)
            continue
        mask, where = _name(other)
        masks += [(Path(mask), extension) for extension in where or (0,)]
    return ImageEntry(Path(name), extensions, tuple(masks))


def _expand(entry: ImageEntry) -> Iterator[ImageEntry]:
    """The entry for every file that its name stands for."""
    name = os.path.expandvars(entry.path.expanduser())
    # glob gives names as they were written, without making them absolute.
    paths = [Path(name)] if Path(name).is_file() else sorted(map(Path, glob.glob(name)))  # noqa: PTH207
    if not paths:
        raise InputError(f"{name}: no such file")
    for path in paths:
        if path.name.lower().partition(".")[0].endswith(("_asn", "_asc")):
            yield from (replace(entry, path=member) for member in _members(path))
        else:
            yield replace(entry, path=path)


def _members(table: Path) -> Iterator[Path]:
    """Files of the exposures of an association, beside it or in the working directory."""
    from upramp.wfc3ir.association import read_association

    for member in read_association(table).members:
        names = [member.name + suffix + end for suffix in _SUFFIXES for end in (".fits", ".fits.gz")]
        there = (place / name for place in (table.parent, Path()) for name in names)
        found = next((path for path in there if path.is_file()), None)
        if found is None:
            raise InputError(f"{table}: no file of its member {member.name} ({', '.join(names[::2])})")
        yield found


def _split(text: str, separator: str) -> list[str]:
    """Parts between separators outside of quotes and brackets, stripped."""
    parts, depth, quote, start = [], 0, "", 0
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "[{(":
            depth += 1
        elif letter in "]})":
            depth -= 1
            if depth < 0:
                raise ValueError(f"{text.strip()!r} has a {letter} too many")
        elif letter == separator and depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
    if depth or quote:
        raise ValueError(f"{text.strip()!r} ends inside of brackets or quotes")
    return [*parts, text[start:].strip()]


def _name(text: str) -> tuple[str, Extensions]:
    """File name and extensions of one item."""
    quoted = re.fullmatch(r"(['\"])(.*?)\1\s*(.*)", text)
    if quoted:
        name, rest = quoted[2], quoted[3]
    else:
        # A bracket that does not end the item belongs to a wildcard.
        plain = re.fullmatch(r"(.*?)\s*(\[[^\[\]]*\]|\{[^{}]*\})?", text)
        name, rest = (plain[1], plain[2] or "") if plain else (text, "")
    if not name:
        raise ValueError(f"{text!r} has no file name")
    if not rest:
        return name, ()
    inside = rest[1:-1]
    if rest[0] == "[" and rest[-1] == "]":
        return name, (_extension(inside, text, alone=1),)
    if rest[0] == "{" and rest[-1] == "}":
        return name, tuple(_extension(part.strip("() "), text, alone="*") for part in _split(inside, ","))
    raise ValueError(
        f"{text!r} has {rest!r} after the file name, expected extensions such as [1] or {{'sci'}}"
    )


def _extension(text: str, whole: str, *, alone: int | str) -> int | tuple[str, int | str]:
    """``1``, ``'sci'`` (version `alone`) or ``'sci',2``."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 1 and parts[0].isdigit():
        return int(parts[0])
    name = parts[0].strip("'\"")
    if name and len(parts) == 1:
        return name, alone
    if name and len(parts) == 2 and (parts[1].isdigit() or parts[1] == "*"):
        return name, parts[1] if parts[1] == "*" else int(parts[1])
    raise ValueError(f"{whole!r} has the extension {text!r}, expected such as 1, 'sci' or 'sci',2")
