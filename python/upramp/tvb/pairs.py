"""Products of the same exposures in two directories."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from upramp.exceptions import InputError
from upramp.io import FitsReader
from upramp.tvb.compare import Comparison, ImageStats

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["Pairs", "pair_products", "reads_beside", "summary_table"]

KINDS = ("_flt", "_ima")
"""Products compared, those of the first kind if there are any."""

SUFFIXES = (".fits", ".fits.gz", ".fits.fz", ".fit")


class Pairs(NamedTuple):
    """Result of :func:`pair_products`."""

    pairs: list[tuple[Path, Path]]
    """Products of the same exposure, before and after."""
    lonely: list[Path]
    """Products without a partner."""


def pair_products(before: str | os.PathLike[str], after: str | os.PathLike[str]) -> Pairs:
    """Find the products of the same exposures in two places.

    Parameters
    ----------
    before, after : path-like
        Directories, or one of them a product. Of directories the FLT files count, or the IMA files where neither
        holds FLT.

    Returns
    -------
    Pairs
        Exposures are the same if their ROOTNAME is, whatever the names of the files; in order of the ROOTNAME.

    Raises
    ------
    InputError
        A file that cannot be read, two products of one exposure in one directory, or no pair at all.
    """
    places = Path(before), Path(after)
    named_ima = any(place.is_file() and "_ima." in place.name for place in places)
    kinds = KINDS[::-1] if named_ima else KINDS
    kind = next((kind for kind in kinds if all(_products(place, kind) for place in places)), None)
    if kind is None:
        raise InputError(f"{places[0]} and {places[1]}: no FLT (or IMA) files in both to compare")
    first, second = (_by_rootname(_products(place, kind)) for place in places)
    pairs = [(first[root], second[root]) for root in sorted(first.keys() & second.keys())]
    if not pairs:
        raise InputError(f"{places[0]} and {places[1]}: no exposure in both, by ROOTNAME")
    lonely = []
    for mine, others, elsewhere in ((first, second, places[1]), (second, first, places[0])):
        # Beside a single file all but one are without a partner, as they should be.
        if elsewhere.is_dir():
            lonely += [mine[root] for root in sorted(mine.keys() - others.keys())]
    return Pairs(pairs, lonely)


def _products(place: Path, kind: str) -> list[Path]:
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise InputError(f"{place}: no such file or directory")
    return sorted(path for path in place.iterdir() if path.name.lower().endswith(_endings(kind)))


def _endings(kind: str) -> tuple[str, ...]:
    return tuple(kind + suffix for suffix in SUFFIXES)


def _by_rootname(paths: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        with FitsReader(path) as reader:
            root = str(reader.extensions[0].header.get("ROOTNAME", "")).strip().lower()
        root = root or _stem(path)
        if root in found:
            raise InputError(
                f"{found[root]} and {path} are products of one exposure, {root}; compare them apart"
            )
        found[root] = path
    return found


def _stem(path: Path) -> str:
    name = path.name.lower()
    for ending in (*_endings("_flt"), *_endings("_ima"), *SUFFIXES):
        name = name.removesuffix(ending)
    return name


def reads_beside(paths: tuple[Path, Path]) -> tuple[Path, Path] | None:
    """The IMA files beside a pair of FLT files.

    Parameters
    ----------
    paths : (Path, Path)
        Products; an IMA file stands for itself.

    Returns
    -------
    (Path, Path) or None
        None unless both are there.
    """
    found = []
    for path in paths:
        root, kind, _ = path.name.rpartition("_flt.")
        names = [path.name] if not kind else [f"{root}_ima{suffix}" for suffix in SUFFIXES]
        beside = [
            path.with_name(name) for name in names if "_ima." in name and path.with_name(name).is_file()
        ]
        if not beside:
            return None
        found.append(beside[0])
    return found[0], found[1]


def summary_table(comparisons: Sequence[Comparison]) -> Table:
    """What pairs of products differ by, one row a pair.

    Parameters
    ----------
    comparisons : sequence of Comparison
        What was measured.

    Returns
    -------
    astropy.table.Table
        ``rootname``, ``before`` and ``after`` (files), then each of :class:`upramp.tvb.compare.ImageStats` before
        and after, as ``median_before`` and ``median_after``, and ``popreads``, the reads left out after.
    """
    from astropy.table import Table

    table = Table(
        {
            "rootname": [comparison.rootname for comparison in comparisons],
            "before": [str(comparison.paths[0]) for comparison in comparisons],
            "after": [str(comparison.paths[1]) for comparison in comparisons],
            "unit": [comparison.unit for comparison in comparisons],
        }
    )
    for name in ImageStats.__slots__:
        for i, when in enumerate(("before", "after")):
            table[f"{name}_{when}"] = [getattr(comparison.stats[i], name) for comparison in comparisons]
    table["popreads"] = [comparison.popreads[1] for comparison in comparisons]
    for when in ("before", "after"):
        table[f"exptime_{when}"].unit = "s"
    return table
