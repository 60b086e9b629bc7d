"""What reference files hold, read once and shared; whether they fit an exposure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from upramp.detector import Linearity, Planes
from upramp.exceptions import InputError, ReferenceFileError
from upramp.io import FitsReader, fits
from upramp.wfc3ir.exposure import BORDER, Ramp
from upramp.wfc3ir.references import Refs

__all__ = [
    "FILETYPES",
    "Dark",
    "ImageFile",
    "Overscan",
    "Reference",
    "TableFile",
    "bad_pixels",
    "check_fit",
    "load",
    "load_dark",
    "load_linearity",
    "offset",
    "overscan",
    "read_images",
    "read_table",
]

FILETYPES = {
    "CCDTAB": "CCD PARAMETERS",
    "OSCNTAB": "OVERSCAN",
    "BPIXTAB": "BAD PIXELS",
    "DARKFILE": "DARK",
    "NLINFILE": "LINEARITY COEFFICIENTS",
    "PFLTFILE": "PIXEL-TO-PIXEL FLAT",
    "DFLTFILE": "DELTA FLAT",
    "LFLTFILE": "LARGE SCALE FLAT",
    "CRREJTAB": "COSMIC RAY REJECTION",
}
"""What FILETYPE of a reference file begins with."""

ANY_AMP, ANY_NUMBER = ("", "N/A", "ANY"), (-1, -999)
TIME_TOLERANCE = 0.01
"""Seconds by which a dark's exposure time may be off."""


class TableFile(NamedTuple):
    """A table, column by column."""

    primary: fits.Header
    columns: dict[str, NDArray[Any]]

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return sum(column.nbytes for column in self.columns.values())


class ImageFile(NamedTuple):
    """The images of a file."""

    primary: fits.Header
    planes: dict[tuple[str, int], NDArray[Any]]
    """By EXTNAME and EXTVER, read only; null ones filled, others perhaps big-endian, as they lie in the file."""
    ltv: tuple[float, float]
    """LTV2 and LTV1 of the first."""

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return sum(plane.nbytes for plane in self.planes.values())

    @property
    def shape(self) -> tuple[int, int]:
        """Of the first image."""
        ny, nx = next(iter(self.planes.values())).shape
        return ny, nx


class Reference(NamedTuple):
    """A reference file as HISTORY tells of it."""

    keyword: str
    name: str
    primary: fits.Header
    row: str = ""
    """DESCRIP of the table row that was used."""

    @property
    def dummy(self) -> bool:
        """Whether the file only holds a place."""
        return str(self.primary.get("PEDIGREE", "")).strip().upper().startswith("DUMMY")

    def history(self) -> list[str]:
        """Lines that name it."""
        kind = "table" if self.keyword.endswith("TAB") else "image"
        told = [str(self.primary.get(key, "")).strip() for key in ("PEDIGREE", "DESCRIP")]
        return [f"  reference {kind} {self.name}", *(f"    {text}" for text in (*told, self.row) if text)]


Read = TypeVar("Read", TableFile, ImageFile)


def load(refs: Refs, path: Path, read: Callable[[Path], Read]) -> Read:
    """What a reference file holds, read once for all exposures that share `refs`.

    Parameters
    ----------
    refs : Refs
        Keeps what was read.
    path : Path
        File.
    read : callable
        :func:`read_table` or :func:`read_images`.
    """
    found: Read = refs.cache.get(path, read, lambda made: made.nbytes)
    return found


def read_table(path: Path) -> TableFile:
    """Read the first table of a file.

    Parameters
    ----------
    path : Path
        File.
    """
    with FitsReader(path) as reader:
        if len(reader.extensions) < 2:
            raise ReferenceFileError(f"{path}: holds no table")
        return TableFile(reader.extensions[0].header, reader.columns())


def read_images(path: Path) -> ImageFile:
    """Read all images of a file that calibration needs.

    Parameters
    ----------
    path : Path
        File.
    """
    planes: dict[tuple[str, int], NDArray[Any]] = {}
    # Null extensions of one value share an image: a dark has as many as it has reads.
    constant: dict[tuple[object, ...], NDArray[Any]] = {}
    shape: tuple[int, ...] = ()
    ltv = (0.0, 0.0)
    with FitsReader(path) as reader:
        primary = reader.extensions[0].header
        unused = {"SAMP", "TIME"} | ({"ERR"} if "NCOEF" in primary else set())
        for index, unit in enumerate(reader.extensions[1:], start=1):
            header = unit.header
            name = str(header.get("EXTNAME", "")).strip().upper()
            if name in unused:
                continue
            dtype = np.uint16 if name == "DQ" else np.float32
            if unit.shape:
                plane = reader.plane(index, dtype)
            elif {"NPIX1", "NPIX2", "PIXVALUE"} <= set(header):
                size, value = (int(header["NPIX2"]), int(header["NPIX1"])), header["PIXVALUE"]
                same = size, value, np.dtype(dtype)
                plane = constant[same] = constant[same] if same in constant else np.full(size, value, dtype)
            else:
                raise ReferenceFileError(
                    f"{path}[{unit.label}]: no image, and no NPIX1, NPIX2, PIXVALUE instead"
                )
            if not planes:
                shape, ltv = plane.shape, (float(header.get("LTV2", 0.0)), float(header.get("LTV1", 0.0)))
            elif plane.shape != shape:
                raise ReferenceFileError(f"{path}[{unit.label}]: shape is {plane.shape}, expected {shape}")
            plane.flags.writeable = False
            planes[name, int(header.get("EXTVER", 1))] = plane
    if not planes:
        raise ReferenceFileError(f"{path}: holds no image")
    return ImageFile(primary, planes, ltv)


def plane(images: ImageFile, path: Path, name: str, version: int = 1) -> NDArray[Any]:
    """One image of a file.

    Parameters
    ----------
    images : ImageFile
        The file.
    path : Path
        Its name, for the message.
    name, version : str, int
        EXTNAME and EXTVER.

    Raises
    ------
    ReferenceFileError
        It is not there.
    """
    if (name, version) not in images.planes:
        raise ReferenceFileError(f"{path}: extension {name},{version} is missing")
    return images.planes[name, version]


def check_fit(ramp: Ramp, keyword: str, path: Path, primary: fits.Header, *, parity: bool = False) -> None:
    """Refuse a file of another kind, detector, filter or sequence than the exposure needs.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    keyword : str
        What asked for the file.
    path : Path
        File.
    primary : astropy.io.fits.Header
        Its primary header.
    parity : bool, optional
        Take a value for fitting if the exposure's begins with it, as calwf3 does (a dark for SPARS10 with
        SPARS100).

    Raises
    ------
    ReferenceFileError
        Names file, keyword, value and what was expected.
    """
    filetype = str(primary.get("FILETYPE", "")).strip().upper()
    if keyword in FILETYPES and not filetype.startswith(FILETYPES[keyword]):
        raise ReferenceFileError(
            f"{path}: FILETYPE is {filetype!r}, expected {FILETYPES[keyword]!r} ({keyword} of {ramp.path})"
        )
    wanted = ["DETECTOR"] if keyword in FILETYPES else []
    wanted += ["FILTER"] if keyword.endswith("FLTFILE") else []
    wanted += ["SAMP_SEQ", "SUBTYPE"] if keyword == "DARKFILE" else []
    for key in wanted:
        got, own = (str(header.get(key, "")).strip().upper() for header in (primary, ramp.primary))
        if got != own and not (key == "FILTER" and got == "ANY") and not (parity and own.startswith(got)):
            raise ReferenceFileError(
                f"{path}: {key} is {got!r}, the exposure {ramp.path} has {own!r} ({keyword})"
            )


def offset(ramp: Ramp, images: ImageFile, path: Path) -> tuple[int, int]:
    """Row and column of a reference image on which the first light-sensitive pixel falls.

    Parameters
    ----------
    ramp : Ramp
        Exposure; LTV of both tell.
    images : ImageFile
        Reference image.
    path : Path
        Its name, for the message.

    Raises
    ------
    ReferenceFileError
        The image does not cover the exposure.
    """
    own = ramp.header("SCI", ramp.nread - 1)
    y, x = (
        round(ltv - float(own.get(key, 0.0))) + BORDER
        for ltv, key in zip(images.ltv, ("LTV2", "LTV1"), strict=True)
    )
    ny, nx = (size - 2 * BORDER for size in ramp.sci.shape[1:])
    if y < 0 or x < 0 or y + ny > images.shape[0] or x + nx > images.shape[1]:
        raise ReferenceFileError(
            f"{path}: {images.shape[1]} x {images.shape[0]} pixels do not cover the exposure {ramp.path} "
            f"({nx} x {ny} pixels from {x}, {y})"
        )
    return y, x


class Overscan(NamedTuple):
    """Columns of reference pixels, first and last, on either side."""

    left: tuple[int, int]
    right: tuple[int, int]


def overscan(ramp: Ramp, table: TableFile, path: Path) -> Overscan:
    """Columns of reference pixels from OSCNTAB.

    Parameters
    ----------
    ramp : Ramp
        Exposure; the row is that of its size.
    table : TableFile
        OSCNTAB.
    path : Path
        Its name, for the message.
    """
    ny, nx = ramp.sci.shape[1:]
    found: Overscan | None = None
    columns = table.columns
    for i, amp in enumerate(columns["CCDAMP"]):
        size = int(columns["NX"][i]), int(columns["NY"][i])
        if str(amp).strip() in ("ABCD", "ANY") and size == (nx, ny):
            # calwf3 goes on to the last row that matches.
            first, last = (
                (int(columns[f"BIASSECT{side}1"][i]) - 1, int(columns[f"BIASSECT{side}2"][i]) - 1)
                for side in "AB"
            )
            found = Overscan(first, last)
    if found is None:
        raise ReferenceFileError(f"{path}: no row for {nx} x {ny} pixels (OSCNTAB of {ramp.path})")
    return found


def bad_pixels(ramp: Ramp, table: TableFile, path: Path) -> NDArray[np.uint16]:
    """DQ bits of every pixel from BPIXTAB.

    Parameters
    ----------
    ramp : Ramp
        Exposure; its LTV tell which pixels it has.
    table : TableFile
        BPIXTAB: runs of LENGTH pixels along AXIS 1 or 2 from (PIX1, PIX2), from 1, of the detector without its
        reference pixels.
    path : Path
        Its name, for the message.

    Returns
    -------
    mask : (ny, nx) ndarray of uint16
    """
    columns = table.columns
    use = np.ones(len(columns["PIX1"]), bool)
    if "CCDAMP" in columns:
        use &= np.isin(np.char.strip(columns["CCDAMP"].astype(str)), ["ABCD", *ANY_AMP])
    for key, own in (("CCDGAIN", float(ramp.primary.get("CCDGAIN", 2.5))), ("CCDCHIP", 1)):
        if key in columns:
            use &= np.isin(columns[key].astype(float), [own, *ANY_NUMBER])
    axis, length = columns["AXIS"][use], columns["LENGTH"][use].astype(int)
    if np.any((axis != 1) & (axis != 2)) or np.any(length <= 0):
        raise ReferenceFileError(f"{path}: AXIS must be 1 or 2 and LENGTH positive (BPIXTAB of {ramp.path})")
    header = ramp.header("SCI", ramp.nread - 1)
    start = [
        np.trunc(columns[key][use] - 1.0 + float(header.get(ltv, 0.0))).astype(int)
        for key, ltv in (("PIX1", "LTV1"), ("PIX2", "LTV2"))
    ]
    value = columns["VALUE"][use].astype(int) & 0xFFFF
    step = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    x, y = (
        np.repeat(first, length) + step * np.repeat(axis == along, length)
        for first, along in zip(start, (1, 2), strict=True)
    )
    ny, nx = ramp.sci.shape[1:]
    inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
    mask = np.zeros((ny, nx), np.uint16)
    np.bitwise_or.at(mask, (y[inside], x[inside]), np.repeat(value, length)[inside].astype(np.uint16))
    return mask


def load_linearity(images: ImageFile, path: Path) -> Linearity:
    """The planes of NLINFILE.

    Parameters
    ----------
    images : ImageFile
        NLINFILE.
    path : Path
        Its name, for the message.
    """
    terms = images.primary.get("NCOEF")
    if not isinstance(terms, int) or terms < 1:
        raise ReferenceFileError(f"{path}: NCOEF is {terms!r}, expected a positive whole number (NLINFILE)")
    return Linearity(
        tuple(plane(images, path, "COEF", k) for k in range(1, terms + 1)),
        *(plane(images, path, name) for name in ("NODE", "DQ", "ZSCI", "ZERR")),
    )


class Dark(NamedTuple):
    """The dark ramp of an exposure."""

    reads: tuple[Planes, ...]
    """One for every read, in time order."""


def load_dark(
    ramp: Ramp, images: ImageFile, path: Path, times: NDArray[np.float64], *, parity: bool = False
) -> Dark:
    """The dark of every read, by exposure time.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    images : ImageFile
        DARKFILE.
    path : Path
        Its name, for the message.
    times : (nread,) ndarray of float64
        Exposure time of every read, seconds.
    parity : bool, optional
        Where a dark has to be interpolated, take the last shorter and the first longer one as they are listed,
        like calwf3, instead of the nearest ones. Darks list the longest first, so that these are the ends.

    Raises
    ------
    ReferenceFileError
        Another size than the exposure's, or no dark of a read's time where the sequence has fixed times.
    """
    if images.shape != ramp.sci.shape[1:]:
        raise ReferenceFileError(
            f"{path}: shape is {images.shape}, the exposure {ramp.path} has {ramp.sci.shape[1:]} (DARKFILE)"
        )
    count = images.primary.get("NUMEXPOS")
    if not isinstance(count, int) or count < 1:
        raise ReferenceFileError(
            f"{path}: NUMEXPOS is {count!r}, expected a positive whole number (DARKFILE)"
        )
    exposures = np.array([float(images.primary.get(f"EXPOS_{i}", np.nan)) for i in range(1, count + 1)])
    of = [
        Planes(*(plane(images, path, name, version) for name in ("SCI", "ERR", "DQ")))
        for version in range(1, count + 1)
    ]
    free = str(ramp.primary.get("SAMP_SEQ", "")).strip().upper().startswith("NONE")
    reads = []
    for r, time in enumerate(times.tolist()):
        match = np.flatnonzero(np.abs(exposures - time) <= TIME_TOLERANCE)
        if match.size:
            reads.append(of[match[0]])
        elif free:
            reads.append(_between(of, exposures, time, parity=parity))
        else:
            raise ReferenceFileError(
                f"{path}: no dark of {time:.6f} s, the time of read {r} of {ramp.path} (DARKFILE)"
            )
    return Dark(tuple(reads))


def _between(of: list[Planes], exposures: NDArray[np.float64], time: float, *, parity: bool) -> Planes:
    """A dark of another time than those at hand, by interpolation or, beyond them, by scaling."""
    if not parity:
        order = np.argsort(exposures)
        of, exposures = [of[i] for i in order], exposures[order]
    below, above = np.flatnonzero(exposures < time), np.flatnonzero(exposures > time)
    if below.size and above.size:
        low, high = below[-1], above[0]
        inside = np.float32((time - exposures[low]) / (exposures[high] - exposures[low]))
        one, two = of[low], of[high]
        step_err = np.sqrt(two.err * two.err + one.err * one.err) * inside
        return Planes(
            one.sci + (two.sci - one.sci) * inside,
            np.sqrt(one.err * one.err + step_err * step_err),
            one.dq | two.dq,
        )
    near = below[-1] if below.size else above[0]
    share = np.float32(time / exposures[near])
    return Planes(of[near].sci * share, of[near].err * share, of[near].dq)


def unreadable(error: InputError) -> ReferenceFileError:
    """What a reference file that cannot be read means to the one who asked for it.

    Parameters
    ----------
    error : InputError
        Of the reader.
    """
    return ReferenceFileError(str(error))
