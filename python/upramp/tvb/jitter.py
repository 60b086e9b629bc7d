"""Where the telescope looked during each read: angle to the Earth's limb and shadow, from jitter files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upramp.exceptions import InputError
from upramp.io import FitsReader, fits
from upramp.wfc3ir.exposure import Ramp

__all__ = ["Jitter", "find_jitter", "jitter_names", "read_jitter"]

DAY = 86400.0
START_KEYS = ("STARTTIM", "STARTTIME", "PSTRTIME", "PSTPTIME")
UNDEFINED = 1000.0
"""Angles from here on mean that there is none."""


@dataclass(frozen=True, slots=True)
class Jitter:
    """What a pair of jitter files says.

    Attributes
    ----------
    time : (n,) ndarray of float64
        Times of the samples, MJD, increasing.
    limb_angle : (n,) ndarray of float64
        Angle between the line of sight and the Earth's limb, degrees; NaN where undefined.
    bright_limb : (n,) ndarray of bool
        Whether the nearest limb is sunlit.
    shadow : tuple of float or None
        Times (MJD) at which the telescope entered and left the Earth's shadow, in either order.
    """

    time: NDArray[np.float64]
    limb_angle: NDArray[np.float64]
    bright_limb: NDArray[np.bool_]
    shadow: tuple[float, float] | None = None

    def at_reads(self, ramp: Ramp) -> dict[str, tuple[NDArray[np.generic], str | None]]:
        """Columns for the table of reads, at the middle of the interval that ends with each read.

        Parameters
        ----------
        ramp : Ramp
            Exposure; its reads are placed by ROUTTIME, else by EXPSTART and SAMPTIME.

        Returns
        -------
        dict of str to (ndarray, unit)
            ``limb_angle`` in degrees, NaN outside the samples; ``bright_limb`` and ``shadow``, True or False.
        """
        middle = read_times(ramp)
        middle[1:] = 0.5 * (middle[1:] + middle[:-1])
        angle = np.interp(middle, self.time, self.limb_angle, left=np.nan, right=np.nan)
        nearest = np.abs(self.time[None, :] - middle[:, None]).argmin(axis=1)
        columns: dict[str, tuple[NDArray[np.generic], str | None]] = {
            "limb_angle": (angle, "deg"),
            "bright_limb": (self.bright_limb[nearest] & np.isfinite(angle), None),
        }
        if self.shadow is not None:
            entry, leave = self.shadow
            after, before = middle >= entry, middle <= leave
            # Leaving before entering: the orbit night lies around the exposure's day.
            columns["shadow"] = (after & before if entry <= leave else after | before, None)
        return columns


def read_times(ramp: Ramp) -> NDArray[np.float64]:
    """Times of the reads, MJD.

    Parameters
    ----------
    ramp : Ramp
        Exposure.

    Raises
    ------
    InputError
        Neither ROUTTIME nor EXPSTART tells.
    """
    routtime = [
        ramp.headers[key].get("ROUTTIME") if (key := ("SCI", ramp.nread - r)) in ramp.headers else None
        for r in range(ramp.nread)
    ]
    if all(isinstance(time, (int, float)) and time > 0 for time in routtime):
        return np.array(routtime, np.float64)
    start = ramp.primary.get("EXPSTART")
    if not isinstance(start, (int, float)) or start <= 0:
        raise InputError(f"{ramp.path}: neither ROUTTIME nor EXPSTART tells when the reads were taken")
    return float(start) + ramp.times / DAY


def jitter_names(ramp: Ramp) -> list[str]:
    """Names that the jitter file of an exposure may have.

    Parameters
    ----------
    ramp : Ramp
        Exposure.

    Returns
    -------
    list of str
        For the exposure itself, then for its association.
    """
    roots = []
    for key in ("ROOTNAME", "ASN_ID"):
        root = str(ramp.primary.get(key, "")).strip().lower()
        if len(root) == 9:
            roots += [root[:8] + "j", root]
    return [f"{root}_jit.fits{suffix}" for root in roots for suffix in ("", ".gz")]


def find_jitter(ramp: Ramp, place: str | os.PathLike[str] | None = None) -> Jitter | None:
    """Find and read the jitter files of an exposure.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    place : path-like, optional
        Jitter file, or a directory that may hold it; default the directory of the exposure.

    Returns
    -------
    Jitter or None
        None if a directory holds none for this exposure.

    Raises
    ------
    InputError
        The file does not exist or is no jitter file.
    """
    where = Path(place) if place is not None else ramp.path.parent
    if not where.is_dir():
        return read_jitter(where, ramp)
    for name in jitter_names(ramp):
        if (where / name).is_file():
            return read_jitter(where / name, ramp)
    return None


def read_jitter(path: str | os.PathLike[str], ramp: Ramp) -> Jitter:
    """Read a jitter table, and the shadow times of the jitter image beside it.

    Parameters
    ----------
    path : path-like
        ``_jit.fits``; the ``_jif.fits`` of the same name is read if it is there.
    ramp : Ramp
        Exposure, by whose ROOTNAME the table is chosen in the file of an association.

    Returns
    -------
    Jitter

    Raises
    ------
    InputError
        No such file, no table with the columns Seconds and LimbAng, or no start time.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such jitter file")
    with fits.open(path) as hdus:
        tables = [hdu for hdu in hdus[1:] if getattr(hdu, "columns", None) is not None]
        if not tables:
            raise InputError(f"{path}: holds no table, expected a jitter file (_jit.fits)")
        table = _choose(path, tables, ramp)
        names = {name.lower(): name for name in table.columns.names}
        for wanted in ("seconds", "limbang"):
            if wanted not in names:
                raise InputError(
                    f"{path}: the table has no column {wanted}, expected a jitter file (_jit.fits)"
                )
        seconds = np.asarray(table.data[names["seconds"]], np.float64)
        angle = np.asarray(table.data[names["limbang"]], np.float64)
        bright = np.zeros(seconds.shape, bool)
        if "brightlimb" in names:
            bright = np.asarray(table.data[names["brightlimb"]]).astype(float) > 0
        start = _start(path, [table.header, hdus[0].header], ramp)
    good = np.isfinite(seconds)
    order = np.argsort(seconds[good])
    angle = np.where(np.abs(angle) < UNDEFINED, angle, np.nan)
    if not order.size:
        raise InputError(f"{path}: the table has no rows")
    image = path.with_name(path.name.replace("_jit.", "_jif."))
    shadow = _shadow(image) if image != path and image.is_file() else None
    return Jitter(start + seconds[good][order] / DAY, angle[good][order], bright[good][order], shadow)


def _choose(path: Path, tables: list[fits.BinTableHDU], ramp: Ramp) -> fits.BinTableHDU:
    """The table of this exposure: by EXPNAME, whose last letter differs; a single table needs no name."""
    root = str(ramp.primary.get("ROOTNAME", "")).strip().lower()[:8]
    for table in tables:
        if root and str(table.header.get("EXPNAME", "")).strip().lower()[:8] == root:
            return table
    if len(tables) == 1:
        return tables[0]
    listed = ", ".join(str(table.header.get("EXPNAME", "?")).strip() for table in tables)
    raise InputError(f"{path}: holds the exposures {listed}, not {root}")


def _start(path: Path, headers: list[fits.Header], ramp: Ramp) -> float:
    for header in headers:
        for key in START_KEYS:
            if isinstance(value := header.get(key), str) and value.strip():
                return mjd(path, key, value)
    start = ramp.primary.get("EXPSTART")
    if isinstance(start, (int, float)) and start > 0:
        return float(start)
    raise InputError(f"{path}: neither {', '.join(START_KEYS)} nor EXPSTART of the exposure tells its start")


def _shadow(path: Path) -> tuple[float, float] | None:
    with FitsReader(path) as reader:
        for extension in reader.extensions:
            times = [extension.header.get(key) for key in ("SHADOENT", "SHADOEXT")]
            if all(isinstance(time, str) and time.strip() for time in times):
                entry, leave = (mjd(path, "SHADOENT, SHADOEXT", str(time)) for time in times)
                return entry, leave
    return None


def mjd(path: Path, key: str, text: str) -> float:
    """MJD of ``yyyy.ddd:hh:mm:ss``, the form of times in jitter files.

    Parameters
    ----------
    path : Path
        File to name in a message.
    key : str
        Keyword to name.
    text : str
        Value.
    """
    from astropy.time import Time

    try:
        return float(Time(text.strip().replace(".", ":", 1), format="yday", scale="utc").mjd)
    except ValueError:
        raise InputError(f"{path}: {key} is {text!r}, expected yyyy.ddd:hh:mm:ss") from None
