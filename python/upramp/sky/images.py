"""Images whose sky is measured: their chips, units, exposure times and good pixels.

Headers are read at once and kept; pixels are read when asked for, so that any number of images fits into memory.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp import _core
from upramp._arrays import as_array
from upramp.exceptions import InputError
from upramp.io import Extension, FitsReader, fits

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["Chip", "SkyImage", "Units", "parse_bits", "read_image", "read_images"]

Units = Literal["counts", "rate"]

_QUANTA = {"ELECTRONS", "ELECTRON", "E-", "COUNTS", "COUNT", "DN", "ADU"}
_SECONDS = {"S", "SEC", "SECOND", "SECONDS"}
_INSTRUMENTS: dict[tuple[str, str], Units] = {
    ("WFPC", ""): "counts",
    ("WFPC2", ""): "counts",
    ("ACS", ""): "counts",
    ("STIS", ""): "counts",
    ("FOC", ""): "rate",
    ("COS", ""): "rate",
    ("WFC3", "UVIS"): "counts",
    ("WFC3", "IR"): "rate",
}
"""Units of HST images without BUNIT, by instrument and, for WFC3, detector."""


@dataclass(frozen=True, slots=True, eq=False)
class Chip:
    """A science extension.

    Attributes
    ----------
    extver : int
        EXTVER.
    index : int
        Position of the extension in the file.
    header : astropy.io.fits.Header
        Its header.
    shape : tuple of int
        (ny, nx).
    scale : float or None
        Nominal pixel scale, arcsec; None if the header has neither IDCSCALE nor a WCS.
    factor : float
        Surface brightness, in quanta (electrons, DN) per second and arcsec² (per pixel without a scale), of one
        data unit.
    """

    extver: int
    index: int
    header: fits.Header
    shape: tuple[int, int]
    scale: float | None
    factor: float


@dataclass(frozen=True, slots=True, eq=False)
class SkyImage:
    """An exposure: one file, one sky.

    Attributes
    ----------
    path : Path
        File.
    rootname : str
        ROOTNAME, or the first part of the file name.
    detector : str
        Instrument and detector, empty if not known.
    units : {'counts', 'rate'}
        Whether pixels are totals of the exposure or per second.
    bunit : str
        BUNIT as it is written; empty without.
    exptime : float or None
        Exposure time, s.
    chips : tuple of Chip
        Science extensions, in the order of the file.
    bits : int or None
        DQ bits that do not make a pixel bad; None if DQ is not used.
    masks : tuple of ndarray or None
        The user's mask of every chip, True for pixels to use.
    """

    path: Path
    rootname: str
    detector: str
    units: Units
    bunit: str
    exptime: float | None
    chips: tuple[Chip, ...]
    bits: int | None
    masks: tuple[NDArray[np.bool_] | None, ...] = ()
    _quality: dict[int, tuple[int, str]] = field(default_factory=dict, repr=False)
    _extensions: tuple[Extension, ...] = field(default=(), repr=False)

    def read(self, number: int) -> NDArray[np.float32]:
        """All pixels of a chip.

        Parameters
        ----------
        number : int
            Position in `chips`.

        Returns
        -------
        ndarray, (ny, nx) float32
            Data units.
        """
        chip = self.chips[number]
        pixels = np.empty(chip.shape, np.float32)
        with FitsReader(self.path, self._extensions or None) as reader:
            reader.read_into(chip.index, pixels)
        return pixels

    def read_good(self, number: int, static: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """Pixels of a chip, NaN where they are not to be used.

        Parameters
        ----------
        number : int
            Position in `chips`.
        static : ndarray, (ny, nx) bool, optional
            False for further pixels that are not to be used.

        Returns
        -------
        ndarray, (ny, nx) float32
            Data units; NaN where DQ (but for `bits`), a weight map, the user's mask or `static` forbid.
        """
        chip = self.chips[number]
        masks = [mask for mask in (self.masks[number] if self.masks else None, static) if mask is not None]
        with FitsReader(self.path, self._extensions or None) as reader:
            pixels = reader.plane(chip.index, np.float32)
            quality = None
            if self.bits is not None:
                index, kind = self._quality[chip.extver]
                if kind == "WHT":
                    masks.append(reader.plane(index, np.float32) > 0)
                else:
                    quality = reader.plane(index, np.uint16)
        good = np.logical_and.reduce(masks) if masks else None
        bad = ~(self.bits or 0) & 0xFFFF
        swapped = not pixels.dtype.isnative, quality is not None and not quality.dtype.isnative
        flags = None if quality is None else quality.view(np.uint16)
        found = np.empty(chip.shape, np.float32)
        _core.masked_pixels(pixels.view(np.uint32), flags, good, bad, swapped, found)
        return found

    def wcs(self, number: int) -> WCS:
        """World coordinates of a chip, with the distortion tables that the file holds.

        Parameters
        ----------
        number : int
            Position in `chips`.

        Returns
        -------
        astropy.wcs.WCS
            SIP and table distortions included.

        Raises
        ------
        InputError
            The header has no celestial WCS, or a damaged one.
        """
        from upramp.sky.coordinates import read_wcs

        chip = self.chips[number]
        return read_wcs(chip.header, self.path, f"{self.path}[SCI,{chip.extver}]")


def parse_bits(bits: int | str | None) -> int | None:
    """DQ bits that do not make a pixel bad.

    Parameters
    ----------
    bits : int, str or None
        Sum of bits; or them, separated by ``,`` or ``+``. With a leading ``~`` they are the bad ones, and all
        others are accepted. None, or ``"none"``: DQ is not used.

    Returns
    -------
    int or None
        Sum of the accepted bits, 0 to 65535.

    Raises
    ------
    ValueError
        Not of that form.

    Examples
    --------
    >>> parse_bits("64+512"), parse_bits("~4096"), parse_bits(None)
    (576, 61439, None)
    """
    if bits is None or (isinstance(bits, str) and bits.strip().lower() == "none"):
        return None
    if not isinstance(bits, str):
        value, bad = int(bits), False
    else:
        text = bits.strip()
        bad = text.startswith("~")
        parts = text.removeprefix("~").strip("() ").replace("+", ",").split(",")
        try:
            numbers = [int(part) for part in parts]
        except ValueError:
            raise ValueError(
                f"bits is {bits!r}, expected numbers such as 64,512 or 64+512, ~4096, or none"
            ) from None
        value = 0
        for number in numbers:
            value |= number
    if not -0x10000 <= value <= 0xFFFF:
        raise ValueError(f"bits is {bits!r}, expected bits of a 16-bit word")
    return (~value if bad else value) & 0xFFFF


def read_image(
    path: str | os.PathLike[str],
    *,
    bits: int | str | None = 0,
    units: Units | None = None,
    mask: ArrayLike | Sequence[ArrayLike | None] | None = None,
) -> SkyImage:
    """Read the headers of an image and check that its sky can be measured.

    Parameters
    ----------
    path : path-like
        FLT, FLC, DRZ or the like: SCI extensions, each with a DQ extension or a weight map WHT.
    bits : int, str or None, optional
        DQ bits that do not make a pixel bad, as :func:`parse_bits`; None: neither DQ nor WHT is used.
    units : {'counts', 'rate'}, optional
        Units of the pixels; default as BUNIT says, or without it the instrument.
    mask : array_like of bool or sequence of them, optional
        Pixels to use, for the only chip, or a list with a mask (or None) for every chip.

    Returns
    -------
    SkyImage
        Image; its pixels are not read yet.

    Raises
    ------
    InputError
        Not a FITS file; no SCI extension or no DQ; units not known; exposure time missing, zero or negative.
    ValueError
        The mask does not fit.

    Notes
    -----
    One data unit is a surface brightness of :math:`f = 1 / (s^2 [t])`, with s IDCSCALE or the nominal scale of the
    WCS, and the exposure time t for counts.
    """
    path = Path(path)
    if units not in (None, "counts", "rate"):
        raise ValueError(f"units is {units!r}, expected 'counts' or 'rate'")
    accepted = parse_bits(bits)
    with FitsReader(path) as reader:
        extensions = reader.extensions
    primary = extensions[0].header
    science = [n for n, unit in enumerate(extensions) if unit.name == "SCI" and len(unit.shape) == 2]
    if not science:
        raise InputError(f"{path}: no SCI extension with an image, expected an FLT, FLC or DRZ file")
    first = extensions[science[0]].header
    bunits = {_bunit(extensions[n].header, primary) for n in science}
    if len(bunits) > 1:
        raise InputError(f"{path}: SCI extensions of different BUNIT: {', '.join(sorted(bunits))}")
    bunit = bunits.pop()
    kind = units or _units(path, bunit, primary)
    exptime = _exptime(path, primary, first, needed=kind == "counts")
    chips = []
    for n in science:
        unit = extensions[n]
        scale = _scale(unit.header, primary)
        factor = 1 / ((scale or 1.0) ** 2 * (exptime if kind == "counts" and exptime else 1.0))
        ny, nx = unit.shape
        chips.append(Chip(int(unit.header.get("EXTVER", 1)), n, unit.header, (ny, nx), scale, factor))
    return SkyImage(
        path=path,
        rootname=str(primary.get("ROOTNAME", first.get("ROOTNAME", path.name.split("_")[0]))).strip(),
        detector=f"{primary.get('INSTRUME', '')} {primary.get('DETECTOR', '')}".strip(),
        units=kind,
        bunit=bunit,
        exptime=exptime,
        chips=tuple(chips),
        bits=accepted,
        masks=_masks(path, mask, chips),
        _quality={} if accepted is None else _quality(path, extensions, chips),
        _extensions=tuple(extensions),
    )


def read_images(
    paths: Iterable[str | os.PathLike[str]],
    *,
    bits: int | str | None = 0,
    units: Units | None = None,
    masks: Mapping[str, Any] | None = None,
) -> list[SkyImage]:
    """Read the headers of several images.

    Parameters
    ----------
    paths : iterable of path-like
        Files.
    bits, units : optional
        As for :func:`read_image`.
    masks : mapping of str to array_like, optional
        Masks by file name, as :func:`read_image` takes them; files without one have none.

    Returns
    -------
    list of SkyImage
        In the order given.

    Raises
    ------
    InputError
        As :func:`read_image`.
    ValueError
        A file is given twice, or a mask is that of no file.
    """
    files = [Path(path) for path in paths]
    masks = dict(masks or {})
    for n, path in enumerate(files):
        if path in files[:n]:
            raise ValueError(f"{path} is given twice")
    images = [read_image(path, bits=bits, units=units, mask=masks.get(path.name)) for path in files]
    if strangers := set(masks) - {path.name for path in files}:
        raise ValueError(f"masks has {', '.join(sorted(strangers))}, expected names of the files given")
    return images


def _bunit(header: fits.Header, primary: fits.Header) -> str:
    return str(header.get("BUNIT", primary.get("BUNIT", ""))).strip()


def _units(path: Path, bunit: str, primary: fits.Header) -> Units:
    """Counts or rate, as BUNIT says or the instrument."""
    parts = [part.strip() for part in bunit.upper().split("/")]
    if parts[0] in _QUANTA and len(parts) == 1:
        return "counts"
    if len(parts) == 2 and parts[1] in _SECONDS | {"SR", "ARCSEC2", "ARCSEC^2", "ARCSEC**2"}:
        return "rate"
    if bunit:
        raise InputError(
            f"{path}: BUNIT is {bunit!r}, neither counts (ELECTRONS, COUNTS, DN) nor a rate (such as "
            "ELECTRONS/S); pass units='counts' or 'rate' (--units)"
        )
    instrument = str(primary.get("INSTRUME", "")).strip().upper()
    detector = str(primary.get("DETECTOR", "")).strip().upper() if instrument == "WFC3" else ""
    if instrument == "NICMOS" and "UNITCORR" in primary:
        return "rate" if primary["UNITCORR"] == "COMPLETE" else "counts"
    if primary.get("TELESCOP") == "HST" and (instrument, detector) in _INSTRUMENTS:
        return _INSTRUMENTS[instrument, detector]
    raise InputError(f"{path}: no BUNIT; pass units='counts' or 'rate' (--units)")


def _exptime(path: Path, primary: fits.Header, header: fits.Header, *, needed: bool) -> float | None:
    value = primary.get("EXPTIME", header.get("EXPTIME"))
    if value is None:
        if needed:
            raise InputError(f"{path}: no EXPTIME, needed to turn counts into rates")
        return None
    if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
        raise InputError(f"{path}: EXPTIME is {value}, expected a positive number of seconds")
    return float(value)


def _scale(header: fits.Header, primary: fits.Header) -> float | None:
    """Nominal pixel scale, arcsec."""
    for key in ("PAMSCALE", "IDCSCALE"):
        value = header.get(key, primary.get(key))
        if isinstance(value, (int, float)) and value > 0:
            return float(value)
    if all(key in header for key in ("CD1_1", "CD2_2")):
        cd11, cd12, cd21, cd22 = (float(header.get(f"CD{k}", 0.0)) for k in ("1_1", "1_2", "2_1", "2_2"))
    elif all(key in header for key in ("CDELT1", "CDELT2", "CTYPE1")):
        d1, d2 = float(header["CDELT1"]), float(header["CDELT2"])
        pc = [float(header.get(f"PC{k}", k[0] == k[2])) for k in ("1_1", "1_2", "2_1", "2_2")]
        cd11, cd12, cd21, cd22 = d1 * pc[0], d1 * pc[1], d2 * pc[2], d2 * pc[3]
    else:
        return None
    area = abs(cd11 * cd22 - cd12 * cd21)
    return 3600 * math.sqrt(area) if area > 0 else None


def _quality(
    path: Path, extensions: Sequence[Extension], chips: Sequence[Chip]
) -> dict[int, tuple[int, str]]:
    """Where the DQ, or else the weight map, of every chip is."""
    found: dict[int, tuple[int, str]] = {}
    for chip in chips:
        for kind in ("DQ", "WHT"):
            for n, unit in enumerate(extensions):
                same = unit.name == kind and unit.version == chip.extver
                if same and unit.shape == chip.shape:
                    found.setdefault(chip.extver, (n, kind))
        if chip.extver not in found:
            raise InputError(
                f"{path}: no DQ (or WHT) extension of version {chip.extver} and shape {chip.shape} like SCI; "
                "pass bits=None (--bits none) to use all pixels"
            )
    return found


def _masks(path: Path, mask: Any, chips: Sequence[Chip]) -> tuple[NDArray[np.bool_] | None, ...]:
    if mask is None:
        return ()
    several = list(mask) if isinstance(mask, (list, tuple)) else [mask]
    if len(several) != len(chips):
        raise ValueError(f"mask of {path.name} has {len(several)} chips, expected {len(chips)}")
    return tuple(
        None if one is None else as_array(f"mask of {path.name}", one, np.bool_, 2, chip.shape)
        for one, chip in zip(several, chips, strict=True)
    )
