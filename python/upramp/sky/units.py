"""What a data unit of an image is worth: counts or rate, exposure time, pixel scale, inverse sensitivity."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Literal

from upramp.exceptions import InputError
from upramp.io import Extension

__all__ = ["Units", "exposure_time", "inverse_sensitivity", "pixel_scale", "pixel_units", "unit_text"]

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

_PHOTOMETRY = {
    "FOC": ("WAVCORR", "COMPLETE"),
    "WFPC": ("DOPHOTOM", "DONE"),
    "WFPC2": ("DOPHOTOM", "COMPLETE"),
    "NICMOS": ("PHOTDONE", "PERFORMED"),
    "STIS": ("PHOTCORR", "COMPLETE"),
    "ACS": ("PHOTCORR", "COMPLETE"),
    "WFC3": ("PHOTCORR", "COMPLETE"),
    "COS": ("PHOTCORR", "COMPLETE"),
}
"""Switch that says whether the photometric keywords of an HST instrument are filled in, and its value then."""


def unit_text(header: Extension, primary: Extension, keyword: str = "BUNIT") -> str:
    """BUNIT of an extension, or else of the file; empty without.

    Parameters
    ----------
    header, primary : Extension
        The extension and the primary header-data unit.
    keyword : str, optional
        Name of the card.
    """
    return str(header.get(keyword, primary.get(keyword, ""))).strip()


def pixel_units(path: Path, bunit: str, primary: Extension) -> Units:
    """Counts or rate, as BUNIT says or the instrument.

    Parameters
    ----------
    path : Path
        File, for messages.
    bunit : str
        Its BUNIT; empty without.
    primary : Extension
        Its primary header-data unit.

    Raises
    ------
    InputError
        Neither tells.
    """
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
    if instrument == "NICMOS" and primary.get("UNITCORR") is not None:
        return "rate" if primary.get("UNITCORR") == "COMPLETE" else "counts"
    if primary.get("TELESCOP") == "HST" and (instrument, detector) in _INSTRUMENTS:
        return _INSTRUMENTS[instrument, detector]
    raise InputError(f"{path}: no BUNIT; pass units='counts' or 'rate' (--units)")


def exposure_time(path: Path, primary: Extension, header: Extension, *, needed: bool) -> float | None:
    """EXPTIME in seconds; None if there is none and it is not needed.

    Parameters
    ----------
    path : Path
        File, for messages.
    primary, header : Extension
        The primary header-data unit and an extension.
    needed : bool
        Whether its absence is an error.

    Raises
    ------
    InputError
        Missing though needed, zero or negative.
    """
    value = primary.get("EXPTIME", header.get("EXPTIME"))
    if value is None:
        if needed:
            raise InputError(f"{path}: no EXPTIME, needed to turn counts into rates")
        return None
    if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
        raise InputError(f"{path}: EXPTIME is {value}, expected a positive number of seconds")
    return float(value)


def pixel_scale(header: Extension, primary: Extension) -> float | None:
    """Nominal pixel scale, arcsec; None without PAMSCALE, IDCSCALE and WCS.

    Parameters
    ----------
    header, primary : Extension
        The extension and the primary header-data unit.
    """
    for key in ("PAMSCALE", "IDCSCALE"):
        value = header.get(key, primary.get(key))
        if isinstance(value, (int, float)) and value > 0:
            return float(value)
    if _has(header, "CD1_1", "CD2_2"):
        cd11, cd12, cd21, cd22 = (float(header.get(f"CD{k}", 0.0)) for k in ("1_1", "1_2", "2_1", "2_2"))
    elif _has(header, "CDELT1", "CDELT2", "CTYPE1"):
        d1, d2 = float(header.get("CDELT1")), float(header.get("CDELT2"))
        pc = [float(header.get(f"PC{k}", k[0] == k[2])) for k in ("1_1", "1_2", "2_1", "2_2")]
        cd11, cd12, cd21, cd22 = d1 * pc[0], d1 * pc[1], d2 * pc[2], d2 * pc[3]
    else:
        return None
    area = abs(cd11 * cd22 - cd12 * cd21)
    return 3600 * math.sqrt(area) if area > 0 else None


def inverse_sensitivity(label: str, keyword: str, header: Extension, primary: Extension) -> float | None:
    """Flux of one data unit (per second), where photometric calibration is done.

    Parameters
    ----------
    label : str
        File and extension, for messages.
    keyword : str
        Its card, such as PHOTFLAM, in the extension or else the file.
    header, primary : Extension
        The extension and the primary header-data unit.

    Returns
    -------
    float or None
        None, with a warning, where the instrument's switch (PHOTCORR or its like) says that calibration was not
        done.

    Raises
    ------
    InputError
        An HST file without the switch; no such card; not a positive number.
    """
    instrument = str(primary.get("INSTRUME", "")).strip().upper()
    if str(primary.get("TELESCOP", "")).strip().upper() == "HST" and instrument in _PHOTOMETRY:
        switch, done = _PHOTOMETRY[instrument]
        if (value := primary.get(switch)) is None:
            raise InputError(f"{label}: no {switch}, which says whether {keyword} can be used")
        state = str(value).strip()
        if state.upper() != done:
            warnings.warn(f"{label}: {switch} is {state}, not {done}: {keyword} is not used", stacklevel=4)
            return None
    value = header.get(keyword, primary.get(keyword))
    if value is None:
        raise InputError(f"{label}: no {keyword}, neither there nor in the primary header")
    if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
        raise InputError(f"{label}: {keyword} is {value}, expected a positive number")
    return float(value)


def _has(header: Extension, *keys: str) -> bool:
    return all(header.get(key) is not None for key in keys)
