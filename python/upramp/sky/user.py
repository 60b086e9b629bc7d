"""Sky values that are given: in a file, or under a keyword of the headers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from upramp.exceptions import InputError
from upramp.sky.images import SkyImage

__all__ = ["UserSky", "read_sky_file", "read_sky_keyword", "user_values"]


@dataclass(frozen=True, slots=True)
class UserSky:
    """Sky values given.

    Attributes
    ----------
    values : mapping of str to float or sequence of float
        By file name, in data units: of all chips, or of each.
    applied : bool
        Whether they have been subtracted from the pixels already.
    """

    values: Mapping[str, float | Sequence[float]] = field(default_factory=dict)
    applied: bool = False


def read_sky_file(path: str | os.PathLike[str]) -> UserSky:
    """Sky values given in a file, as AstroDrizzle's ``skyfile``.

    Parameters
    ----------
    path : path-like
        Lines of a file name and a value, or a value a chip, in data units; ``#`` begins a comment. The comment
        ``# applied = yes`` (or ``true``) says that they have been subtracted from the pixels.

    Returns
    -------
    UserSky
        Values by file name.

    Raises
    ------
    InputError
        Not readable, or a line is not of that form, or names a file again.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    values: dict[str, tuple[float, ...]] = {}
    applied = False
    for number, line in enumerate(lines, 1):
        told = re.match(r"\s*#.*\bapplied\s*[=:]\s*(\w+)", line, re.IGNORECASE)
        if told:
            applied = told[1].lower() in ("yes", "true", "y", "t")
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        name = Path(words[0]).name
        try:
            found = tuple(float(word) for word in words[1:])
        except ValueError:
            found = ()
        if not found or not np.isfinite(found).all():
            raise InputError(
                f"{path}, line {number}: {line.strip()!r}, expected a file name and its sky values"
            )
        if name in values:
            raise InputError(f"{path}, line {number}: {name} is there twice")
        values[name] = found
    return UserSky(values, applied)


def read_sky_keyword(images: Sequence[SkyImage], keyword: str) -> UserSky:
    """Sky values under a keyword of the headers, as AstroDrizzle's ``skyuser``.

    Parameters
    ----------
    images : sequence of SkyImage
        Exposures.
    keyword : str
        Card of every science header; its value, in data units, has been subtracted from the pixels by the user.

    Returns
    -------
    UserSky
        Values, applied.

    Raises
    ------
    InputError
        A header lacks the card, or its value is no number.
    """
    values: dict[str, tuple[float, ...]] = {}
    for image in images:
        found = []
        for chip in image.chips:
            value = chip.header.get(keyword)
            if not (isinstance(value, (int, float)) and np.isfinite(value)):
                told = "no" if value is None else f"{value!r} for"
                raise InputError(f"{image.path}[SCI,{chip.extver}]: {told} {keyword}, expected its sky")
            found.append(float(value))
        values[image.path.name] = tuple(found)
    return UserSky(values, applied=True)


def user_values(images: Sequence[SkyImage], user: UserSky) -> tuple[tuple[float, ...], ...]:
    """The value of every chip.

    Parameters
    ----------
    images : sequence of SkyImage
        Exposures.
    user : UserSky
        Values.

    Returns
    -------
    tuple of tuple of float
        Data units.

    Raises
    ------
    ValueError
        A file has no value, or a wrong number of them.
    """
    values = []
    for image in images:
        if image.path.name not in user.values:
            raise ValueError(f"user has no sky of {image.path.name}")
        given = np.atleast_1d(np.asarray(user.values[image.path.name], np.float64))
        if given.size not in (1, len(image.chips)):
            raise ValueError(
                f"user has {given.size} values for {image.path.name}, expected 1 or {len(image.chips)}"
            )
        values.append(tuple(np.broadcast_to(given, len(image.chips)).tolist()))
    return tuple(values)
