"""Masks of the user, as catalogues list them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from upramp.sky.images import read_image
from upramp.sky.lists import ImageEntry, MaskName, read_catalogue

__all__ = ["with_masks"]


def with_masks(entries: Sequence[ImageEntry], catalogue: str | os.PathLike[str]) -> list[ImageEntry]:
    """Give images the masks that a catalogue lists for them.

    Parameters
    ----------
    entries : sequence of ImageEntry
        Images, as :func:`parse_images` finds them.
    catalogue : path-like
        Lines as :func:`read_catalogue` reads them. Images that are not asked for may be there.

    Returns
    -------
    list of ImageEntry
        The same images; masks go to the chips that the catalogue names, or in the order of the file.

    Raises
    ------
    InputError
        Not readable.
    ValueError
        An image is listed again.

    Warns
    -----
    UserWarning
        No image has a mask there.
    """
    listed = read_catalogue(catalogue)
    found = []
    for entry in entries:
        same = [one for one in listed if _same(one.path, entry.path)]
        if len(same) > 1:
            raise ValueError(f"{catalogue} lists {entry.path} {len(same)} times, expected once")
        found.append(replace(entry, masks=_masks_of(entry, same[0])) if same else entry)
    if not any(entry.masks for entry in found):
        names = ", ".join(str(entry.path) for entry in entries)
        warnings.warn(f"{catalogue} lists no mask of {names}", stacklevel=2)
    return found


def _masks_of(entry: ImageEntry, listed: ImageEntry) -> tuple[MaskName | None, ...]:
    """Masks in the order of the chips asked for, whatever the order of the catalogue."""
    if listed.extensions == entry.extensions:
        return listed.masks
    wanted = read_image(entry.path, bits=None, extensions=entry.extensions)
    told = read_image(entry.path, bits=None, extensions=listed.extensions)
    masks = dict(zip((chip.index for chip in told.chips), listed.masks, strict=False))
    return tuple(masks.get(chip.index) for chip in wanted.chips)


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
