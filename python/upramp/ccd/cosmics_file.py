"""Cosmic rays out of FITS files."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upramp._arrays import __version__
from upramp.ccd.cosmics import CosmicRays, detect_cosmics
from upramp.ccd.cosmics_robust import find_cosmics
from upramp.exceptions import InputError
from upramp.io import atomic_path, check_output, fits

__all__ = ["MODES", "CosmicsOutcome", "clean_file", "product_name"]

MODES = ("astroscrappy", "robust")
"""Ways to search: as astroscrappy does, or :func:`upramp.ccd.find_cosmics`."""
MASK_NAME = "CRMASK"
"""EXTNAME of the masks."""
KNOWN_BAD = "MASK"
"""EXTNAME of pixels known to be bad, as :func:`upramp.ccd.reduce` and astropy's CCDData write them."""
_SUFFIXES = (".fits", ".fit", ".fts")


@dataclass(frozen=True, slots=True)
class CosmicsOutcome:
    """What was done to one file.

    Attributes
    ----------
    path : Path
        File written.
    images : int
        Images searched.
    pixels : int
        Pixels found hit in all of them.
    fraction : float
        The same as a fraction of all pixels.
    seconds : float
        Wall time of the search alone.
    """

    path: Path
    images: int
    pixels: int
    fraction: float
    seconds: float


def product_name(path: Path, directory: Path) -> Path:
    """Where the cleaned copy of a file goes: ``x.fits``, ``x.fits.gz`` and ``x.fits.fz`` to ``x_clean.fits``.

    Parameters
    ----------
    path : Path
        Input.
    directory : Path
        Directory of the products.
    """
    name = path.name
    for packed in (".gz", ".fz"):
        name = name.removesuffix(packed)
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return directory / f"{name}_clean.fits"


def clean_file(
    path: str | Path,
    directory: str | Path = ".",
    *,
    mode: str = "astroscrappy",
    gain: float | str = 1.0,
    readnoise: float | str = 6.5,
    mask: str | None = KNOWN_BAD,
    overwrite: bool = False,
    threads: int | None = None,
    **options: Any,
) -> CosmicsOutcome:
    """Write a copy of a FITS file without cosmic rays, and with their masks.

    Every image called SCI is searched, or the first image of the file if there is none. Its pixels become float32
    in the unit they had; a mask of type uint8 (EXTNAME CRMASK, its EXTVER) follows at the end of the file. All
    else is copied.

    Parameters
    ----------
    path : path-like
        File, gzipped or tile-compressed if you like; never changed.
    directory : path-like, optional
        Where the copy goes, under the name of :func:`product_name`.
    mode : {'astroscrappy', 'robust'}, optional
        :func:`upramp.ccd.detect_cosmics` or :func:`upramp.ccd.find_cosmics`.
    gain, readnoise : float or str, optional
        Electrons per unit of the image; read noise in electrons. A text is the header keyword that holds it.
    mask : str or None, optional
        EXTNAME of the extension, of the image's EXTVER and shape, whose pixels that are not zero are neither
        searched nor used to replace others (such as DQ). MASK is used if it is there; None: no extension is.
    overwrite : bool, optional
        Whether an earlier copy may be replaced.
    threads : int, optional
        Threads.
    **options
        Further arguments of the function of `mode`.

    Returns
    -------
    CosmicsOutcome
        What was done.

    Raises
    ------
    InputError
        The file cannot be read, has no image, or lacks a keyword or an extension named.
    OutputError
        The copy cannot be written.
    ValueError
        An argument is out of its range.
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}, expected one of {', '.join(MODES)}")
    source, target = Path(path), product_name(Path(path), Path(directory))
    check_output(target, overwrite=overwrite)
    search: Callable[..., CosmicRays] = detect_cosmics if mode == "astroscrappy" else find_cosmics
    images = pixels = total = 0
    spent = 0.0
    try:
        file = fits.open(source, memmap=False)
    except OSError as error:
        raise InputError(f"{source}: cannot be read as FITS ({error})") from error
    with file:
        # Compressed floats would lose digits: the copy is not compressed.
        for i, unit in enumerate(file):
            if isinstance(unit, fits.CompImageHDU):
                file[i] = fits.ImageHDU(unit.data, unit.header)
        units = _images(file)
        if not units:
            raise InputError(f"{source}: has no image of two axes")
        masks = []
        for unit in units:
            known = {
                "gain": _value(source, file, unit, gain),
                "readnoise": _value(source, file, unit, readnoise),
            }
            start = time.perf_counter()
            bad = None if mask is None else _bad(source, file, unit, mask)
            planes = {"inmask" if mode == "astroscrappy" else "mask": bad}
            found = search(unit.data, **planes, **known, **options, threads=threads)
            spent += time.perf_counter() - start
            count = int(found.mask.sum())
            images, pixels, total = images + 1, pixels + count, total + found.mask.size
            unit.data = found.clean
            unit.header["NCOSMIC"] = (count, "pixels hit by cosmic rays and replaced")
            unit.header["UPRVERS"] = (__version__, "upramp version")
            settings = {**known, **options}
            if bad is not None:
                settings["mask"] = mask
            text = ", ".join(f"{key}={value}" for key, value in settings.items() if value is not None)
            unit.header.add_history(f"cosmic rays: upramp {__version__}, mode {mode}, {text}")
            plane = fits.ImageHDU(found.mask.astype(np.uint8), name=MASK_NAME)
            plane.ver = unit.header.get("EXTVER", 1)
            masks.append(plane)
        file.extend(masks)
        with atomic_path(target, overwrite=overwrite) as temporary, warnings.catch_warnings():
            # What was odd in the input's header is as odd in the copy's.
            warnings.simplefilter("ignore", fits.verify.VerifyWarning)
            file.writeto(temporary, output_verify="silentfix")
    return CosmicsOutcome(target, images, pixels, pixels / total, spent)


def _images(file: Any) -> list[Any]:
    planes = [unit for unit in file if unit.is_image and unit.header.get("NAXIS") == 2]
    return [unit for unit in planes if unit.name == "SCI"] or planes[:1]


def _bad(path: Path, file: Any, unit: Any, name: str) -> NDArray[np.bool_] | None:
    """Pixels of an image that are known to be bad; None where nothing is known, unless a name was given."""
    version = unit.header.get("EXTVER", 1)
    for other in file:
        same = other.name == name.upper() and other.header.get("EXTVER", 1) == version
        if same and other.is_image and other is not unit and other.shape == unit.shape:
            return np.asarray(other.data != 0)
    if name == KNOWN_BAD:
        return None
    raise InputError(f"{path}: no extension {name},{version} of shape {unit.shape}, as --mask asks for")


def _value(path: Path, file: Any, unit: Any, value: float | str) -> float:
    """A number, or what the keyword of that name holds in the image's header or the primary one."""
    if not isinstance(value, str):
        return value
    for header in (unit.header, file[0].header):
        found = header.get(value)
        if isinstance(found, (int, float)) and not isinstance(found, bool):
            return float(found)
    raise InputError(f"{path}: header has no number {value}")
