"""WFC3/IR exposures: imsets in reverse time order on disk, a time-ordered cube in memory."""

from __future__ import annotations

import html
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from upramp.exceptions import InputError
from upramp.io import FitsReader, fits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BORDER", "PLANES", "Ramp", "read_ramp"]

PLANES = ("SCI", "ERR", "DQ", "SAMP", "TIME")
"""Extensions of an imset, in file order."""

BORDER = 5
"""Reference pixels on each side of a readout, not sensitive to light."""

MAX_READS = 26
"""Reads that an exposure can hold."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """The reads of one exposure, in time order.

    Attributes
    ----------
    sci, err : (nread, ny, nx) ndarray of float32
        Signal and uncertainty in `unit`, zeroth read first, with the border of reference pixels.
    dq : (nread, ny, nx) ndarray of uint16
        DQ bits.
    samp : (nread,) or (nread, ny, nx) ndarray of int16
        SAMP extension; one number per read where it is constant.
    time : (nread,) or (nread, ny, nx) ndarray of float32
        TIME extension, seconds; likewise.
    times : (nread,) ndarray of float64
        SAMPTIME of every read, seconds.
    unit : str
        BUNIT: COUNTS, COUNTS/S, ELECTRONS or ELECTRONS/S.
    primary : astropy.io.fits.Header
        Primary header.
    headers : dict of (str, int) to astropy.io.fits.Header
        Header of each extension by EXTNAME and EXTVER (IMSET number).
    path : Path
        File the exposure came from.
    """

    sci: NDArray[np.float32]
    err: NDArray[np.float32]
    dq: NDArray[np.uint16]
    samp: NDArray[np.int16]
    time: NDArray[np.float32]
    times: NDArray[np.float64]
    unit: str
    primary: fits.Header
    headers: dict[tuple[str, int], fits.Header] = field(repr=False)
    path: Path

    @property
    def nread(self) -> int:
        """Number of reads, the zeroth included (NSAMP)."""
        return int(self.sci.shape[0])

    @property
    def is_rate(self) -> bool:
        """Whether `sci` is per second."""
        return self.unit.endswith("/S")

    @property
    def in_electrons(self) -> bool:
        """Whether gain (and flat field) have been applied."""
        return self.unit.startswith("ELECTRONS")

    @property
    def sampnum(self) -> NDArray[np.int64]:
        """Read numbers in time order, 0 for the zeroth."""
        return np.arange(self.nread)

    @property
    def imset(self) -> NDArray[np.int64]:
        """EXTVER of each read: the last read is 1, the zeroth NSAMP."""
        return self.nread - np.arange(self.nread)

    @property
    def meta(self) -> fits.Header:
        """The primary header."""
        return self.primary

    @property
    def border(self) -> tuple[slice, slice]:
        """Rows and columns that are sensitive to light."""
        return slice(BORDER, -BORDER), slice(BORDER, -BORDER)

    @property
    def rate(self) -> NDArray[np.float32]:
        """Signal per second, (nread, ny, nx); the zeroth read as it is stored. No copy if stored so."""
        return self.sci if self.is_rate else self._scaled(1.0 / self._span())

    @property
    def counts(self) -> NDArray[np.float32]:
        """Accumulated signal, (nread, ny, nx); the zeroth read as it is stored. No copy if stored so."""
        return self._scaled(self._span()) if self.is_rate else self.sci

    def _span(self) -> NDArray[np.float64]:
        return np.where(self.times > 0, self.times, 1.0)

    def _scaled(self, factor: NDArray[np.float64]) -> NDArray[np.float32]:
        return self.sci * factor.astype(np.float32)[:, None, None]

    def header(self, plane: str, read: int) -> fits.Header:
        """Header of one plane ("SCI", "ERR", …) of the read with this SAMPNUM."""
        return self.headers[plane, self.nread - read]

    def with_(self, **changes: Any) -> Self:
        """Return a copy with some attributes changed; the arrays left alone are shared."""
        return replace(self, **changes)

    def plot(
        self, *, region: tuple[slice, slice] | None = None, axes: Axes | None = None, **options: Any
    ) -> Axes:
        """Draw the level of every interval between reads; see :func:`upramp.plot.plot_ramp`.

        Parameters
        ----------
        region : tuple of slice, optional
            Rows and columns of the readout.
        axes : matplotlib.axes.Axes, optional
            Axes to draw on.
        **options
            Further keywords of that function.
        """
        from upramp.plot import plot_ramp

        return plot_ramp(self, region=region, axes=axes, **options)

    def _facts(self) -> Iterator[tuple[str, str]]:
        header = self.primary
        yield "rootname", str(header.get("ROOTNAME", "?")).strip()
        yield "filter", str(header.get("FILTER", "?")).strip()
        yield "sequence", f"{str(header.get('SAMP_SEQ', '?')).strip()}, {self.nread} reads"
        yield "exposure time", f"{self.times[-1]:.3f} s"
        yield "size", f"{self.sci.shape[2]} x {self.sci.shape[1]} pixels"
        yield "unit", self.unit
        yield "file", str(self.path)

    def __repr__(self) -> str:
        return "Ramp(" + ", ".join(f"{name}={value}" for name, value in self._facts()) + ")"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td>{html.escape(value)}</td></tr>"
            for name, value in self._facts()
        )
        return f"<table><caption>WFC3/IR ramp</caption>{rows}</table>"


def read_ramp(path: str | os.PathLike[str]) -> Ramp:
    """Read a WFC3/IR RAW or IMA file.

    Parameters
    ----------
    path : path-like
        RAW or IMA, plain, gzipped or fpacked, of any NSAMP and subarray.

    Returns
    -------
    Ramp
        Reads in time order. Null extensions (NAXIS=0) are filled with their PIXVALUE.

    Raises
    ------
    InputError
        Missing or truncated file, another instrument or detector, fewer imsets than NSAMP, a missing
        extension or keyword, planes of different shapes, or a plane without a single number; the message names
        file and extension.
    """
    with FitsReader(path) as reader:
        primary = reader.extensions[0].header
        nread = _check_primary(reader.path, primary)
        where: dict[tuple[str, int], int] = {}
        for index, extension in enumerate(reader.extensions[1:], start=1):
            name = str(extension.header.get("EXTNAME", "")).strip().upper()
            where[name, int(extension.header.get("EXTVER", 1))] = index
        imsets = max((version for name, version in where if name == "SCI"), default=0)
        if nread > imsets:
            raise InputError(f"{reader.path}: NSAMP is {nread} but the file holds {imsets} imsets")
        if nread < imsets:
            warnings.warn(
                f"{reader.path}: NSAMP is {nread} but the file holds {imsets} imsets; using imsets 1 to {nread}",
                stacklevel=2,
            )
        for version in range(1, nread + 1):
            for name in PLANES:
                if (name, version) not in where:
                    raise InputError(f"{reader.path}: extension {name},{version} is missing")
        headers = {
            (name, version): reader.extensions[where[name, version]].header
            for version in range(1, nread + 1)
            for name in PLANES
        }
        shape = _shape(reader, headers[("SCI", 1)])
        cubes = {name: _read_cube(reader, where, headers, name, (nread, *shape)) for name in PLANES}
        times = [
            _number(reader.path, headers["SCI", nread - r], f"SCI,{nread - r}", "SAMPTIME")
            for r in range(nread)
        ]
        unit = str(headers["SCI", 1].get("BUNIT", "")).strip().upper()
        if unit not in ("COUNTS", "COUNTS/S", "ELECTRONS", "ELECTRONS/S"):
            raise InputError(
                f"{reader.path}[SCI,1]: BUNIT is {unit!r}, expected COUNTS or ELECTRONS, or either per second (/S)"
            )
        return Ramp(
            sci=cubes["SCI"],
            err=cubes["ERR"],
            dq=cubes["DQ"],
            samp=cubes["SAMP"],
            time=cubes["TIME"],
            times=np.array(times),
            unit=unit,
            primary=primary,
            headers=headers,
            path=reader.path,
        )


def _check_primary(path: Path, header: fits.Header) -> int:
    """Refuse what is not WFC3/IR; return NSAMP."""
    for keyword, expected in (("INSTRUME", "WFC3"), ("DETECTOR", "IR")):
        got = str(header.get(keyword, "")).strip().upper()
        if got != expected:
            raise InputError(f"{path}: {keyword} is {got or 'missing'}, expected {expected}")
    nread = header.get("NSAMP")
    if not isinstance(nread, int) or not 1 <= nread <= MAX_READS:
        raise InputError(f"{path}: NSAMP is {nread!r}, expected a whole number from 1 to {MAX_READS}")
    return nread


def _number(path: Path, header: fits.Header, label: str, keyword: str) -> float:
    value = header.get(keyword)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{path}[{label}]: {keyword} is {value!r}, expected a number")
    return float(value)


def _shape(reader: FitsReader, header: fits.Header) -> tuple[int, int]:
    axes = ("NAXIS2", "NAXIS1") if header["NAXIS"] == 2 else ("NPIX2", "NPIX1")
    shape = tuple(int(_number(reader.path, header, "SCI,1", keyword)) for keyword in axes)
    if min(shape) <= 2 * BORDER:
        raise InputError(
            f"{reader.path}[SCI,1]: {shape[1]} x {shape[0]} pixels leave nothing inside a border of {BORDER} "
            "reference pixels; is this an IMA or RAW file?"
        )
    return shape[0], shape[1]


def _read_cube(
    reader: FitsReader,
    where: dict[tuple[str, int], int],
    headers: dict[tuple[str, int], fits.Header],
    name: str,
    shape: tuple[int, int, int],
) -> NDArray[Any]:
    """Planes of one kind in time order; one number per read where SAMP or TIME is constant in all of them."""
    nread = shape[0]
    dtype = {"DQ": np.dtype(np.uint16), "SAMP": np.dtype(np.int16)}.get(name, np.dtype(np.float32))
    constant = np.zeros(nread, dtype)
    full: NDArray[Any] | None = None
    if name in ("SCI", "ERR", "DQ"):
        full = np.empty(shape, dtype)
    for r in range(nread):
        version = nread - r
        header = headers[name, version]
        unit = reader.extensions[where[name, version]]
        label = f"{name},{version}"
        if unit.shape == ():
            value = np.float32(_number(reader.path, header, label, "PIXVALUE"))
            constant[r] = value if dtype.kind == "f" else int(value)
            if full is not None:
                full[r] = constant[r]
            continue
        if unit.shape != shape[1:]:
            raise InputError(
                f"{reader.path}[{label}]: shape is {unit.shape}, expected {shape[1:]} as of SCI,1"
            )
        if full is not None:
            reader.read_into(where[name, version], full[r])
            _check_numbers(reader.path, label, full[r])
            continue
        plane = np.empty(shape[1:], dtype)
        reader.read_into(where[name, version], plane)
        _check_numbers(reader.path, label, plane)
        constant[r] = plane[0, 0]
        if np.any(plane != plane[0, 0]):
            full = np.empty(shape, dtype)
            full[:r] = constant[:r, None, None]
            full[r] = plane
    return constant if full is None else full


def _check_numbers(path: Path, label: str, plane: NDArray[Any]) -> None:
    # A thin sample tells a good plane at once; only a suspicious one is searched.
    if plane.dtype.kind == "f" and np.isnan(plane.ravel()[::997]).all() and np.isnan(plane).all():
        raise InputError(f"{path}[{label}]: holds only NaN")
