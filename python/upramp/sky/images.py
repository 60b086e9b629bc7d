"""Images whose sky is measured: their chips, units, exposure times and good pixels.

Headers are read at once and kept; pixels are read when asked for, so that any number of images fits into memory.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp import _core
from upramp._arrays import as_array
from upramp.exceptions import InputError
from upramp.io import Extension, FitsReader, fits
from upramp.sky.bits import flag_names, parse_bits
from upramp.sky.lists import Extensions, ImageEntry, MaskName
from upramp.sky.units import (
    Units,
    exposure_time,
    inverse_sensitivity,
    pixel_scale,
    pixel_units,
    unit_text,
)

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["Chip", "SkyImage", "Units", "parse_bits", "read_image", "read_images"]


class PixelRooms:
    """Rooms for the pixels of chips, given back to be used again: new pages cost as much as reading.

    Parameters
    ----------
    spare : int, optional
        Rooms kept that nobody uses.
    """

    def __init__(self, spare: int = 2) -> None:
        self._spare = spare
        self._free: list[NDArray[np.float32]] = []

    def take(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Room of a shape, whatever it holds.

        Parameters
        ----------
        shape : (int, int)
            (ny, nx).
        """
        # Threads take and give at the same time: what the list gives away is nobody else's.
        while self._free:
            try:
                room = self._free.pop()
            except IndexError:
                break
            if room.shape == shape:
                return room
        return np.empty(shape, np.float32)

    def give_back(self, room: NDArray[np.float32]) -> None:
        """Take back what nobody looks at any more.

        Parameters
        ----------
        room : ndarray
            From :meth:`take`.
        """
        if len(self._free) < self._spare:
            self._free.append(room)


@dataclass(frozen=True, slots=True, eq=False)
class Chip:
    """A science image.

    Attributes
    ----------
    extver : int
        EXTVER.
    index : int
        Position of the extension in the file.
    unit : Extension
        The extension: its cards.
    shape : tuple of int
        (ny, nx).
    scale : float or None
        Nominal pixel scale, arcsec; None if the header has neither IDCSCALE nor a WCS.
    factor : float
        Surface brightness, in quanta (electrons, DN) per second and arcsec² (per pixel without a scale), of one
        data unit; flux instead of quanta with a sensitivity.
    sensitivity : float or None
        Inverse sensitivity (PHOTFLAM) that `factor` contains; None without.
    """

    extver: int
    index: int
    unit: Extension
    shape: tuple[int, int]
    scale: float | None
    factor: float
    sensitivity: float | None = None

    @property
    def header(self) -> fits.Header:
        """Header of the extension, an :class:`astropy.io.fits.Header`."""
        return self.unit.header


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
    masks : tuple of ndarray, or file and extension, or None
        The user's mask of every chip, True or not zero for pixels to use.
    """

    path: Path
    rootname: str
    detector: str
    units: Units
    bunit: str
    exptime: float | None
    chips: tuple[Chip, ...]
    bits: int | None
    masks: tuple[NDArray[np.bool_] | MaskName | None, ...] = ()
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

    def read_good(
        self, number: int, static: NDArray[np.bool_] | None = None, rooms: PixelRooms | None = None
    ) -> NDArray[np.float32]:
        """Pixels of a chip, NaN where they are not to be used.

        Parameters
        ----------
        number : int
            Position in `chips`.
        static : ndarray, (ny, nx) bool, optional
            False for further pixels that are not to be used.
        rooms : PixelRooms, optional
            Where to put them: valid until given back.

        Returns
        -------
        ndarray, (ny, nx) float32
            Data units; NaN where DQ (but for `bits`), a weight map, the user's mask or `static` forbid.
        """
        chip = self.chips[number]
        given = self.masks[number] if self.masks else None
        if isinstance(given, tuple):
            given = _read_mask(given, chip.shape)
        masks = [mask for mask in (given, static) if mask is not None]
        with FitsReader(self.path, self._extensions or None) as reader:
            # Read, not mapped: they are brought to native order where they lie, with those masked that shall be.
            pixels = np.empty(chip.shape, np.float32) if rooms is None else rooms.take(chip.shape)
            big_endian = reader.stored_into(chip.index, pixels)
            quality = None
            if self.bits is not None:
                index, kind = self._quality[chip.extver]
                if kind == "WHT":
                    masks.append(reader.plane(index, np.float32) > 0)
                elif kind == "DQ32":
                    masks.append(reader.plane(index, np.int64) & (~self.bits & 0xFFFFFFFF) == 0)
                else:
                    quality = reader.plane(index, np.uint16)
        good = np.logical_and.reduce(masks) if masks else None
        swapped = quality is not None and not quality.dtype.isnative
        flags = None if quality is None else quality.view(np.uint16)
        swaps = (big_endian and sys.byteorder == "little", swapped)
        _core.mask_pixels(pixels, flags, good, ~(self.bits or 0) & 0xFFFF, swaps)
        return pixels

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
        return read_wcs(chip.unit, self.path, f"{self.path}[SCI,{chip.extver}]")


def read_image(
    path: str | os.PathLike[str],
    *,
    bits: int | str | None = 0,
    units: Units | None = None,
    mask: ArrayLike | Sequence[ArrayLike | MaskName | None] | None = None,
    extensions: Extensions = (),
    sensitivity: str | None = None,
    units_keyword: str = "BUNIT",
) -> SkyImage:
    """Read the headers of an image and check that its sky can be measured.

    Parameters
    ----------
    path : path-like
        FLT, FLC, DRZ or the like: SCI extensions, each with a DQ extension or a weight map WHT. Without SCI, the
        image of the primary header-data unit.
    bits : int, str or None, optional
        DQ bits that do not make a pixel bad, as :func:`parse_bits`, by number or the names that the instrument
        has for them (JWST, ACS, WFC3); None: neither DQ nor WHT is used.
    units : {'counts', 'rate'}, optional
        Units of the pixels; default as BUNIT says, or without it the instrument.
    mask : array_like of bool or sequence of them, optional
        Pixels to use, for the only chip, or a list with a mask (or None) for every chip; instead of a mask, the
        file and extension where it is (not zero: to use).
    extensions : tuple of int or (str, int), optional
        Images to take: positions in the file, or name and version (``*`` for all); default all SCI.
    sensitivity : str, optional
        Card of the inverse sensitivity, such as PHOTFLAM: surface brightness becomes a flux, which images through
        detectors or in filters of different sensitivity have in common.
    units_keyword : str, optional
        Card of the units.

    Returns
    -------
    SkyImage
        Image; its pixels are not read yet.

    Raises
    ------
    InputError
        Not a FITS file; no image or no DQ; units not known; exposure time missing, zero or negative; no
        sensitivity where it is asked for.
    ValueError
        The mask does not fit.

    Warns
    -----
    UserWarning
        Photometric calibration was not done (PHOTCORR): the sensitivity is left out.

    Notes
    -----
    One data unit is a surface brightness of :math:`f = [p] / (s^2 [t])`, with s IDCSCALE or the nominal scale of
    the WCS, the exposure time t for counts, and the inverse sensitivity p where it is asked for.
    """
    path = Path(path)
    if units not in (None, "counts", "rate"):
        raise ValueError(f"units is {units!r}, expected 'counts' or 'rate'")
    with FitsReader(path) as reader:
        found = reader.extensions
    primary = found[0]
    science = _science(path, found, extensions)
    first = found[science[0]]
    bunits = {unit_text(found[n], primary, units_keyword) for n in science}
    if len(bunits) > 1:
        raise InputError(f"{path}: SCI extensions of different {units_keyword}: {', '.join(sorted(bunits))}")
    bunit = bunits.pop()
    kind = units or pixel_units(path, bunit, primary)
    exptime = exposure_time(path, primary, first, needed=kind == "counts")
    chips = []
    for n in science:
        unit = found[n]
        scale = pixel_scale(unit, primary)
        factor = 1 / ((scale or 1.0) ** 2 * (exptime if kind == "counts" and exptime else 1.0))
        flux = None
        if sensitivity is not None:
            flux = inverse_sensitivity(f"{path}[{unit.label}]", sensitivity, unit, primary)
            factor *= flux or 1.0
        ny, nx = unit.shape
        chips.append(Chip(int(unit.get("EXTVER", 1)), n, unit, (ny, nx), scale, factor, flux))
    detector = f"{primary.get('INSTRUME', '')} {primary.get('DETECTOR', '')}".strip()
    names = flag_names(str(primary.get("TELESCOP", "")), detector)
    quality = {} if parse_bits(bits, names, width=32) is None else _quality(path, found, chips)
    wide = any(kind == "DQ32" for _, kind in quality.values())
    return SkyImage(
        path=path,
        rootname=str(primary.get("ROOTNAME", first.get("ROOTNAME", path.name.split("_")[0]))).strip(),
        detector=detector,
        units=kind,
        bunit=bunit,
        exptime=exptime,
        chips=tuple(chips),
        bits=parse_bits(bits, names, width=32 if wide else 16),
        masks=_masks(path, mask, chips),
        _quality=quality,
        _extensions=tuple(found),
    )


def read_images(
    paths: Iterable[str | os.PathLike[str] | ImageEntry],
    *,
    bits: int | str | None = 0,
    units: Units | None = None,
    masks: Mapping[str, Any] | None = None,
    sensitivity: str | None = None,
    units_keyword: str = "BUNIT",
) -> list[SkyImage]:
    """Read the headers of several images.

    Parameters
    ----------
    paths : iterable of path-like or ImageEntry
        Files; or files with their extensions and masks, as :func:`parse_images` finds them in lists.
    bits, units : optional
        As for :func:`read_image`.
    masks : mapping of str to array_like, optional
        Masks by file name, as :func:`read_image` takes them; files without one have none.
    sensitivity, units_keyword : optional
        As for :func:`read_image`.

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
    entries = [path if isinstance(path, ImageEntry) else ImageEntry(Path(path)) for path in paths]
    masks = dict(masks or {})
    seen: set[Path] = set()
    for entry in entries:
        if entry.path in seen:
            raise ValueError(f"{entry.path} is given twice")
        seen.add(entry.path)
    images = [
        read_image(
            entry.path,
            bits=bits,
            units=units,
            mask=masks.get(entry.path.name, list(entry.masks) or None),
            extensions=entry.extensions,
            sensitivity=sensitivity,
            units_keyword=units_keyword,
        )
        for entry in entries
    ]
    if strangers := set(masks) - {path.name for path in seen}:
        raise ValueError(f"masks has {', '.join(sorted(strangers))}, expected names of the files given")
    return images


def _science(path: Path, extensions: Sequence[Extension], wanted: Extensions) -> list[int]:
    """Places of the science images: those asked for, all SCI, or else the primary."""
    images = [n for n, unit in enumerate(extensions) if len(unit.shape) == 2]
    if not wanted:
        found = [n for n in images if extensions[n].name == "SCI"] or [n for n in images if n == 0]
        if not found:
            raise InputError(
                f"{path}: no SCI extension with an image, nor one in the primary; expected an FLT, FLC or DRZ file"
            )
        return found
    found = []
    for one in wanted:
        if isinstance(one, int):
            these = [n for n in images if n == one]
        else:
            name, version = one
            these = [
                n
                for n in images
                if extensions[n].name == name.upper() and version in ("*", extensions[n].version)
            ]
        if not these:
            raise InputError(f"{path}: no image in extension {one}")
        found += [n for n in these if n not in found]
    return found


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
                    wide = kind == "DQ" and unit.dtype.itemsize > 2
                    found.setdefault(chip.extver, (n, "DQ32" if wide else kind))
        if chip.extver not in found:
            raise InputError(
                f"{path}: no DQ (or WHT) extension of version {chip.extver} and shape {chip.shape} like SCI; "
                "pass bits=None (--bits none) to use all pixels"
            )
    return found


def _masks(path: Path, mask: Any, chips: Sequence[Chip]) -> tuple[NDArray[np.bool_] | MaskName | None, ...]:
    if mask is None:
        return ()
    several = list(mask) if isinstance(mask, (list, tuple)) else [mask]
    if all(one is None or isinstance(one, tuple) for one in several):
        # In lists, the last chips may go without.
        several += [None] * (len(chips) - len(several))
    if len(several) != len(chips):
        raise ValueError(f"mask of {path.name} has {len(several)} chips, expected {len(chips)}")
    return tuple(
        one
        if one is None or isinstance(one, tuple)
        else as_array(f"mask of {path.name}", one, np.bool_, 2, chip.shape)
        for one, chip in zip(several, chips, strict=True)
    )


def _read_mask(mask: MaskName, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where a mask file is not zero."""
    path, extension = mask
    with FitsReader(path) as reader:
        (index,) = _science(path, reader.extensions, (extension,))
        if reader.extensions[index].shape != shape:
            raise InputError(
                f"{path}[{index}]: the mask has shape {reader.extensions[index].shape}, expected {shape}"
            )
        used: NDArray[np.bool_] = reader.plane(index, np.float32) != 0
    return used
