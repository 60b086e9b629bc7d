"""Reference files: where they are, what they say; calibration constants where none are at hand."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upramp.exceptions import ReferenceFileError
from upramp.io import FitsReader
from upramp.wfc3ir.exposure import BORDER, Ramp

__all__ = ["Amplifiers", "Cache", "Refs", "amplifiers", "rejection"]

log = logging.getLogger(__name__)

NOMINAL_GAIN = {"A": 2.34, "B": 2.37, "C": 2.31, "D": 2.38}
"""Electrons per DN of the four amplifiers at CCDGAIN 2.5, used where neither header nor CCDTAB tells."""
NOMINAL_NOISE = {"A": 20.2, "B": 19.8, "C": 19.9, "D": 20.1}
"""Read noise in electrons, likewise."""
OPERATIONAL_CRSIGMA, OPERATIONAL_BADINPDQ = 4.0, 256
"""The only values any CRREJTAB of WFC3/IR has held (u6a1748ri_crr)."""


class Cache:
    """Decoded references, kept while they fit: the least recently used goes first.

    Parameters
    ----------
    limit : int
        Bytes of arrays to keep; 0 keeps nothing.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: OrderedDict[object, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._reading: dict[object, threading.Lock] = {}

    def get(self, path: Path, read: Callable[[Path], Any], size: Callable[[Any], int]) -> Any:
        """What `read` makes of a file, from memory if it is there and the file has not changed since.

        Parameters
        ----------
        path : Path
            File.
        read : callable
            Decodes it.
        size : callable
            Bytes that the result holds.
        """
        if self.limit <= 0:
            return read(path)
        state = path.stat()
        key = (path.resolve(), state.st_mtime_ns, state.st_size, read)
        with self._lock:
            own = self._reading.setdefault(key, threading.Lock())
        # Workers that want the same file wait for the first to have read it, others do not.
        with own:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key][0]
            made = read(path)
            held = size(made)
            if held <= self.limit:
                with self._lock:
                    self._kept[key] = made, held
                    while sum(held for _, held in self._kept.values()) > self.limit:
                        self._kept.popitem(last=False)
        return made


@dataclass(frozen=True, slots=True)
class Refs:
    """Where reference files are looked for, and what has been read of them.

    Parameters
    ----------
    directory : path-like, optional
        Directory that holds them. Without it: the variable ``iref`` for names that start with ``iref$``, and
        the exposure's own directory for plain names.
    override : mapping of str to str, optional
        File to use for a keyword, whatever the header says.
    cache : Cache, optional
        Keeps decoded references for the next exposure; by default up to 1 GiB of them.
    """

    directory: str | os.PathLike[str] | None = None
    override: Mapping[str, str] = field(default_factory=dict)
    cache: Cache = field(default_factory=lambda: Cache(1 << 30), compare=False, repr=False)

    def name(self, ramp: Ramp, keyword: str) -> str:
        """Name of the file that a keyword asks for, as the header or the override has it; empty if none."""
        name = str(self.override.get(keyword, ramp.primary.get(keyword, ""))).strip()
        return "" if name.upper() in ("", "N/A") else name

    def find(self, ramp: Ramp, keyword: str) -> Path | None:
        """Path of the file that the header names by `keyword`; None if it names none or it is not at hand.

        Raises
        ------
        ReferenceFileError
            The file was asked for by argument (directory or override) and is not there.
        """
        asked = keyword in self.override
        name = self.name(ramp, keyword)
        if not name:
            return None
        for candidate in self._candidates(name, ramp.path.parent, asked):
            for path in (candidate, candidate.with_name(candidate.name + ".gz")):
                if path.is_file():
                    return path
        if asked or self.directory is not None:
            raise ReferenceFileError(
                f"{ramp.path}: {keyword} = {name} not found"
                + (f" in {os.fspath(self.directory)!r}" if self.directory is not None and not asked else "")
            )
        return None

    def require(self, ramp: Ramp, keyword: str) -> Path:
        """Path of a file that must be there.

        Raises
        ------
        ReferenceFileError
            The header names none, or it is not at hand.
        """
        path = self.find(ramp, keyword)
        if path is None:
            name = self.override.get(
                keyword, str(ramp.primary.get(keyword, "missing from the header")).strip()
            )
            raise ReferenceFileError(
                f"{ramp.path}: {keyword} = {name} not found; give its directory (--refs)"
            )
        return path

    def _candidates(self, name: str, beside: Path, asked: bool) -> list[Path]:
        prefix, _, base = name.removeprefix("$iref/").rpartition("$")
        if self.directory is not None and not asked:
            return [Path(self.directory) / Path(base).name]
        if prefix or name.startswith("$iref/"):
            iref = os.environ.get("iref")  # noqa: SIM112 - the field's name for it is lower case
            return [Path(iref) / base] if iref else []
        return [Path(base)] if asked else [beside / base]


@dataclass(frozen=True, slots=True)
class Amplifiers:
    """Gain and read noise of the four quadrants.

    Attributes
    ----------
    gain, noise : dict of str to float32
        Electrons per DN, and electrons, of amplifiers A to D.
    split : (int, int)
        Row and column of the whole frame (in the frame without reference pixels) where the quadrants meet.
    descrip : str
        DESCRIP of the CCDTAB row.
    """

    gain: dict[str, np.float32]
    noise: dict[str, np.float32]
    split: tuple[int, int] = (512, 512)
    descrip: str = ""

    def corner(self, ramp: Ramp) -> tuple[int, int]:
        """First row of the upper and first column of the right quadrants in an exposure; may lie outside."""
        header = ramp.header("SCI", ramp.nread - 1)
        row, column = (
            int(split + float(header.get(key, 0.0)) - BORDER)
            for split, key in zip(self.split, ("LTV2", "LTV1"), strict=True)
        )
        return row, column

    @property
    def mean_gain(self) -> np.float32:
        """Mean gain as calwf3 sums it, float32."""
        total = np.float32(0)
        for amp in "ABCD":
            total = np.float32(total + self.gain[amp])
        return np.float32(total / np.float32(4))

    def image(self, ramp: Ramp, of: dict[str, np.float32]) -> NDArray[np.float32]:
        """Value of each pixel's amplifier, (ny, nx): A upper left, B lower left, C lower right, D upper right."""
        row, column = self.corner(ramp)
        ny, nx = ramp.sci.shape[1:]
        upper, right = (np.arange(ny) >= row)[:, None], (np.arange(nx) >= column)[None, :]
        return np.where(upper, np.where(right, of["D"], of["A"]), np.where(right, of["C"], of["B"]))


def amplifiers(ramp: Ramp, refs: Refs) -> Amplifiers:
    """Gain and read noise from CCDTAB, else from the header of a calibrated file, else nominal.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    refs : Refs
        Where to look for CCDTAB.
    """
    path = refs.find(ramp, "CCDTAB")
    if path is not None:
        row = _ccd_row(path, ramp, refs)
        split = (int(row["AMPY"]), int(row["AMPX"])) if {"AMPX", "AMPY"} <= set(row) else (512, 512)
        return Amplifiers(
            {amp: np.float32(row[f"ATODGN{amp}"]) for amp in "ABCD"},
            {amp: np.float32(row[f"READNSE{amp}"]) for amp in "ABCD"},
            split,
            str(row.get("DESCRIP", "")).strip(),
        )
    stated = {amp: float(ramp.primary.get(f"ATODGN{amp}", 0.0) or 0.0) for amp in "ABCD"}
    noise = {amp: float(ramp.primary.get(f"READNSE{amp}", 0.0) or 0.0) for amp in "ABCD"}
    if min(stated.values()) <= 0 or min(noise.values()) <= 0:
        log.warning("%s: no CCDTAB at hand and no gains in the header; using nominal ones", ramp.path)
        stated, noise = NOMINAL_GAIN, NOMINAL_NOISE
    return Amplifiers(
        {amp: np.float32(stated[amp]) for amp in "ABCD"}, {amp: np.float32(noise[amp]) for amp in "ABCD"}
    )


def _ccd_row(path: Path, ramp: Ramp, refs: Refs) -> dict[str, Any]:
    gain = float(ramp.primary.get("CCDGAIN", 2.5))
    for row in refs.cache.get(path, read_rows, len):
        amp = str(row["CCDAMP"]).strip()
        if amp in ("ABCD", "ANY") and float(row["CCDGAIN"]) in (gain, -1.0, -999.0):
            return dict(row)
    raise ReferenceFileError(f"{path}: no row for CCDAMP=ABCD, CCDGAIN={gain} (CCDTAB of {ramp.path})")


def rejection(ramp: Ramp, refs: Refs) -> tuple[float, int]:
    """Threshold (sigma) and bad-DQ mask of the ramp fit from CRREJTAB, else the operational 4.0 and 256.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    refs : Refs
        Where to look for CRREJTAB.
    """
    path = refs.find(ramp, "CRREJTAB")
    if path is None:
        return OPERATIONAL_CRSIGMA, OPERATIONAL_BADINPDQ
    rows = [row for row in refs.cache.get(path, read_rows, len) if row["IRRAMP"]]
    exposure = np.float32(ramp.times[-1])
    split = min(ramp.nread, max((int(row["CRSPLIT"]) for row in rows), default=0))
    best: tuple[np.float32, dict[str, Any]] | None = None
    for row in rows:
        # The operational table leaves MEANEXP undefined: good for any exposure.
        limit = np.float32(row["MEANEXP"])
        limit = np.finfo(np.float32).max if np.isnan(limit) else limit
        excess = np.float32(limit - exposure)
        if int(row["CRSPLIT"]) == split and excess >= 0 and (best is None or excess <= best[0]):
            best = excess, row
    if best is None:
        raise ReferenceFileError(
            f"{path}: no row with IRRAMP, CRSPLIT={split} and MEANEXP of at least {exposure:.3f} s "
            f"(CRREJTAB of {ramp.path})"
        )
    first = str(best[1]["CRSIGMAS"]).replace(";", ",").replace("/", ",").split(",")[0]
    return float(np.float32(first)), int(best[1]["BADINPDQ"]) & 0xFFFF


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of the first table of a reference file.

    Parameters
    ----------
    path : Path
        File to read.
    """
    with FitsReader(path) as reader:
        if len(reader.extensions) < 2:
            raise ReferenceFileError(f"{path}: holds no table")
        return reader.rows()
