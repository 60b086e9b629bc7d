"""A CCD image with its uncertainty, its flags and its header: the form in which the steps hand it on."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from upramp._arrays import __version__
from upramp.ccd.frames import is_ccddata, std_of
from upramp.exceptions import InputError
from upramp.io import ImageFile, fits, write_extensions

__all__ = ["CcdImage", "Dq", "as_image", "read_image"]

log = logging.getLogger(__name__)

_STRUCTURE = ("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "EXTEND", "PCOUNT", "GCOUNT")
_STORAGE = ("BSCALE", "BZERO", "BLANK", "DATAMIN", "DATAMAX", "CHECKSUM", "DATASUM", "EXTNAME", "EXTVER")


class Dq(IntFlag):
    """Bits of the MASK extension; a pixel with any of them is masked."""

    NO_DATA = 1
    """No frame has a good value, or the result is not a number."""
    BAD = 2
    """Masked in the input, the bias or the dark, or by the user."""
    VIGNETTED = 4
    """The flat field is below the limit, or unknown; the pixel is NaN."""
    SATURATED = 8
    """At or above the saturation level in the raw frame."""
    COSMIC_RAY = 16
    """Hit by a cosmic ray."""


@dataclass(frozen=True, slots=True, eq=False)
class CcdImage:
    """An image and what is known of it.

    Attributes
    ----------
    data : ndarray, (ny, nx) float32
        Pixels.
    uncertainty : ndarray, (ny, nx) float32, or None
        Their standard deviations.
    dq : ndarray, (ny, nx) uint8
        Bits of :class:`Dq`; 0 for good pixels.
    header : astropy.io.fits.Header
        Cards; BUNIT is the unit.
    name : str
        File or other name, for messages and HISTORY.
    count : ndarray, (ny, nx) uint16, or None
        Frames that a combined image is made of.
    """

    data: NDArray[np.float32]
    uncertainty: NDArray[np.float32] | None
    dq: NDArray[np.uint8]
    header: fits.Header
    name: str
    count: NDArray[np.uint16] | None = None

    @property
    def unit(self) -> str:
        """BUNIT, ``adu`` without."""
        return str(self.header.get("BUNIT", "adu")).strip()

    def to_ccddata(self) -> Any:
        """As an astropy CCDData, masked where `dq` is not 0.

        Returns
        -------
        CCDData
            Shares the arrays; its meta is the header, its WCS that of the header if there is one.
        """
        from astropy.nddata import CCDData, StdDevUncertainty

        error = None if self.uncertainty is None else StdDevUncertainty(self.uncertainty)
        return CCDData(self.data, unit=self.unit, mask=self.dq != 0, uncertainty=error, meta=self.header)

    def write(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write a FITS file that ``CCDData.read`` reads as well.

        The primary extension holds the data; UNCERT (if known), MASK (bits of :class:`Dq`) and, for a combined
        image, COUNT follow.

        Parameters
        ----------
        path : path-like
            File to write, whole or not at all.
        overwrite : bool, optional
            Whether an existing file may be replaced.

        Returns
        -------
        Path
            The file.
        """
        target = Path(path)
        header = self.header.copy()
        header["FILENAME"] = target.name, "name of this file"
        units: list[tuple[fits.Header, NDArray[Any]]] = [_unit(fits.PrimaryHDU, self.data, header)]
        if self.uncertainty is not None:
            cards = fits.Header([("BUNIT", self.unit), ("UTYPE", "StdDevUncertainty")])
            units.append(_unit(fits.ImageHDU, self.uncertainty, cards, "UNCERT"))
        bits = fits.Header(
            [(f"BIT{k}", flag.name, f"bit of value {flag.value}") for k, flag in enumerate(Dq)]
        )
        units.append(_unit(fits.ImageHDU, self.dq, bits, "MASK"))
        if self.count is not None:
            units.append(_unit(fits.ImageHDU, self.count.astype(np.int32), fits.Header(), "COUNT"))
        write_extensions(target, units, overwrite=overwrite)
        for line in self.header.get("HISTORY", ()):
            log.info("%s: %s", target, line)
        return target

    @classmethod
    def from_ccddata(cls, ccd: Any, name: str = "CCDData") -> Self:
        """From an astropy CCDData; arrays are shared where they are of the right type.

        Parameters
        ----------
        ccd : CCDData
            Image.
        name : str, optional
            Name for messages.
        """
        data = np.ascontiguousarray(ccd.data, np.float32)
        if data.ndim != 2:
            raise ValueError(f"{name} has shape {data.shape}, expected (ny, nx)")
        std = std_of(ccd)
        dq = np.zeros(data.shape, np.uint8)
        if ccd.mask is not None:
            dq[np.broadcast_to(np.asarray(ccd.mask, bool), data.shape)] = Dq.BAD
        header = fits.Header(ccd.meta)
        if ccd.unit is not None:
            header["BUNIT"] = ccd.unit.to_string()
        return cls(data, None if std is None else np.ascontiguousarray(std, np.float32), dq, header, name)


def _unit(
    kind: Any, data: NDArray[Any], header: fits.Header, name: str | None = None
) -> tuple[fits.Header, NDArray[Any]]:
    # astropy puts the cards that describe the data first; the pixels it need not see again.
    hdu = kind(data, header)
    if name is not None:
        hdu.name = name
    return hdu.header, data


def set_flag(dq: NDArray[np.uint8], where: NDArray[np.bool_], bit: Dq) -> None:
    """Set a bit of some pixels.

    Parameters
    ----------
    dq : ndarray of uint8
        Flags.
    where : ndarray of bool
        The pixels.
    bit : Dq
        The bit.
    """
    dq[where] |= np.uint8(bit)


def clean_header(header: fits.Header) -> fits.Header:
    """Cards of a header without those that tell how its pixels are stored.

    Parameters
    ----------
    header : Header
        Header of a raw frame.
    """
    kept = header.copy(strip=True)
    for key in (*_STRUCTURE, *_STORAGE):
        kept.remove(key, ignore_missing=True, remove_all=True)
    return kept


def history(header: fits.Header, *lines: str) -> None:
    """Append lines of HISTORY, each beginning with the name and version of this program.

    Parameters
    ----------
    header : Header
        Header to append to.
    *lines : str
        What was done.
    """
    for line in lines:
        header.add_history(f"upramp {__version__} {line}")


def read_image(path: str | os.PathLike[str], ext: int | str | None = None) -> CcdImage:
    """Read an image with its MASK and UNCERT extensions, if it has them.

    Parameters
    ----------
    path : path-like
        FITS file, plain, gzipped or fpacked.
    ext : int or str, optional
        Extension of the image; by default the first that holds one.

    Returns
    -------
    CcdImage
        Its name is that of the file.

    Raises
    ------
    InputError
        The file cannot be used.
    """
    file = ImageFile(path, ext, ("MASK", "UNCERT"))
    try:
        shape = file.image.unit.shape
        pixels = np.empty(shape, np.float32)
        file.image.read_numbers(0, shape[0], pixels.reshape(-1))
        dq = np.zeros(shape, np.uint8)
        std = None
        for name, plane in file.planes.items():
            if plane.unit.shape != shape:
                raise InputError(f"{plane.label}: has shape {plane.unit.shape}, expected {shape}")
            if name == "MASK" and plane.unit.dtype == np.uint8:
                plane.read_numbers(0, shape[0], dq.reshape(-1))
            elif name == "MASK":
                bad = np.empty(shape, bool)
                plane.read_numbers(0, shape[0], bad.reshape(-1))
                dq[bad] = Dq.BAD
            else:
                std = np.empty(shape, np.float32)
                plane.read_numbers(0, shape[0], std.reshape(-1))
        return CcdImage(pixels, std, dq, clean_header(file.header), str(path))
    finally:
        file.close()


def as_image(thing: Any, name: str) -> CcdImage:
    """An image from a file, a CCDData, an array or itself.

    Parameters
    ----------
    thing : CcdImage, path-like, CCDData or array_like
        Image.
    name : str
        Argument, for messages.
    """
    if isinstance(thing, CcdImage):
        return thing
    if isinstance(thing, (str, os.PathLike)):
        return read_image(thing)
    if is_ccddata(thing):
        return CcdImage.from_ccddata(thing, name)
    array = np.ma.filled(np.ma.asarray(thing).astype(np.float32), np.nan)
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}, expected (ny, nx)")
    return CcdImage(
        array, None, np.where(np.isnan(array), Dq.NO_DATA, 0).astype(np.uint8), fits.Header(), name
    )
