"""Association tables: which exposures belong together, and which of them can be calibrated."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from upramp.exceptions import InputError
from upramp.io import FitsReader

__all__ = ["Association", "Member", "calibration_inputs", "exposures", "read_association"]

log = logging.getLogger(__name__)

COLUMNS = ("MEMNAME", "MEMTYPE", "MEMPRSNT")
SUFFIXES = ("_raw.fits", "_ima.fits")
"""Files that hold the reads of an exposure, the uncalibrated one first."""
PACKED = ("", ".gz", ".fz")

Kind = Literal["dither", "repeat", "crsplit", "single"]


class Member(NamedTuple):
    """One row of an association table."""

    name: str
    """Rootname, in lower case."""
    type: str
    """MEMTYPE in lower case with hyphens, e.g. ``exp-dth`` or ``prod-dth``."""
    present: bool
    """MEMPRSNT: whether the exposure was taken, or the product made."""


@dataclass(frozen=True, slots=True)
class Association:
    """Exposures that belong together.

    Attributes
    ----------
    path : Path
        The table.
    kind : str
        ``dither``, ``repeat`` (repeat-obs), ``crsplit``, or ``single`` where one exposure is all there is.
    members : tuple of Member
        The exposures, in the order of the table.
    products : tuple of Member
        What the archive makes of them.
    """

    path: Path
    kind: Kind
    members: tuple[Member, ...]
    products: tuple[Member, ...]


def read_association(path: str | os.PathLike[str]) -> Association:
    """Read an association table.

    Parameters
    ----------
    path : path-like
        ASN file, plain or gzipped.

    Returns
    -------
    Association
        As calwf3 understands it: names in lower case, ``_`` in a MEMTYPE read as ``-`` with a warning; the
        first type with ``-cr`` or ``-rp`` makes the whole a CR-SPLIT or repeat-obs set, else it is a dither.

    Raises
    ------
    InputError
        Missing or damaged file, no table in it, a column missing, or no row for an exposure.
    """
    rows = _rows(Path(path))
    found = tuple(_member(path, row) for row in rows if str(row["MEMNAME"]).strip())
    members = tuple(member for member in found if member.type.startswith("exp"))
    if not members:
        raise InputError(f"{path}: lists no exposure (no MEMTYPE starts with EXP)")
    products = tuple(member for member in found if member.type.startswith("prod"))
    for member in found:
        if member not in members and member not in products:
            log.warning("%s: MEMTYPE of %s is %r, expected EXP-… or PROD-…", path, member.name, member.type)
    return Association(Path(path), _kind(found, len(members)), members, products)


def _rows(path: Path) -> list[dict[str, Any]]:
    with FitsReader(path) as reader:
        tables = [i for i, unit in enumerate(reader.extensions) if unit.header.get("XTENSION") == "BINTABLE"]
        if not tables:
            raise InputError(f"{path}: not an association: holds no binary table")
        try:
            rows = [
                {key.strip().upper(): value for key, value in row.items()} for row in reader.rows(tables[0])
            ]
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path}: association table cannot be read ({error})") from error
    missing = [name for name in COLUMNS if rows and name not in rows[0]]
    if missing:
        raise InputError(f"{path}: not an association: column {', '.join(missing)} is missing")
    return rows


def _member(path: str | os.PathLike[str], row: dict[str, Any]) -> Member:
    name, kind = (str(row[column]).strip().lower() for column in ("MEMNAME", "MEMTYPE"))
    if "_" in kind:
        log.warning("%s: MEMTYPE of %s is %r; read with '-' for '_'", path, name, kind)
        kind = kind.replace("_", "-")
    return Member(name, kind, bool(row["MEMPRSNT"]))


def _kind(rows: Sequence[Member], count: int) -> Kind:
    if count == 1:
        return "single"
    for member in rows:
        if "-cr" in member.type:
            return "crsplit"
        if "-rp" in member.type:
            return "repeat"
    return "dither"


def exposures(association: Association, directory: str | os.PathLike[str] | None = None) -> list[Path]:
    """Find the file of each exposure.

    Parameters
    ----------
    association : Association
        Table that lists them; members that it marks as absent are left out.
    directory : path-like, optional
        Where the files are; by default beside the table.

    Returns
    -------
    list of Path
        The RAW of each member, plain, gzipped or fpacked, or its IMA where there is no RAW. A member without
        either is left out with a warning in the log.

    Raises
    ------
    InputError
        Not one of them is there.
    """
    place = association.path.parent if directory is None else Path(directory)
    found: list[Path] = []
    for member in association.members:
        if not member.present:
            log.warning("%s: %s is marked as absent (MEMPRSNT); left out", association.path, member.name)
            continue
        names = (member.name + suffix + packed for suffix in SUFFIXES for packed in PACKED)
        path = next((place / name for name in names if (place / name).is_file()), None)
        if path is None:
            log.warning("%s: neither RAW nor IMA of %s in %s", association.path, member.name, place)
        else:
            found.append(path)
    if not found:
        wanted = ", ".join(f"{member.name}_raw.fits" for member in association.members)
        raise InputError(f"{association.path}: no exposure to calibrate in {place}; looked for {wanted}")
    return found


def calibration_inputs(
    path: str | os.PathLike[str], directory: str | os.PathLike[str] | None = None
) -> list[Path]:
    """List the exposures of an association that is to be calibrated one by one.

    Parameters
    ----------
    path : path-like
        ASN file.
    directory : path-like, optional
        Where the exposures are; by default beside the table.

    Returns
    -------
    list of Path
        As :func:`exposures`.

    Raises
    ------
    InputError
        As :func:`read_association` and :func:`exposures`; or a repeat-obs set whose first exposure has
        RPTCORR = PERFORM, since the combination that this asks for is not offered.

    Notes
    -----
    For WFC3/IR calwf3 combines repeat-obs sets alone, and these only with RPTCORR = PERFORM and two exposures at
    least. Dithers and CR-SPLIT sets it calibrates one by one, as is done here for all.
    """
    association = read_association(path)
    found = exposures(association, directory)
    if association.kind == "repeat" and len(found) > 1 and _switch(found[0], "RPTCORR") == "PERFORM":
        raise InputError(
            f"{association.path}: RPTCORR is PERFORM in {found[0].name}, but repeated exposures are not combined "
            "here; set RPTCORR to OMIT to calibrate each of them, and combine the FLT files by drizzling"
        )
    return found


def _switch(path: Path, keyword: str) -> str:
    with FitsReader(path) as reader:
        return str(reader.extensions[0].header.get(keyword, "")).strip().upper()
