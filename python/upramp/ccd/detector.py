"""What must be known of a detector and how it was read out: sections, gain, read noise, saturation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from upramp.ccd.overscan import OverscanMethod
from upramp.exceptions import InputError

__all__ = ["Detector", "exptime_of", "filter_of", "gain_of", "read_noise_of", "saturation_of"]

EXPTIME = ("EXPTIME", "EXPOSURE", "ITIME")
FILTER = ("FILTER", "FILTNAM", "FILTER1", "FILTERS")
READ_NOISE = ("RDNOISE", "READNOIS", "READNOISE", "ENOISE", "RON")
SATURATION = ("SATURATE", "SATLEVEL")
FULL_SCALE = 65535.0
"""Largest word of 16 bits."""


@dataclass(frozen=True, slots=True)
class Detector:
    """How frames are to be read; what is None is looked up in each header.

    Attributes
    ----------
    overscan : str or None
        FITS section of the overscan; ``"auto"`` (BIASSEC, or what lies beside DATASEC), or None for none.
    trim : str or None
        FITS section that is kept; ``"auto"`` (TRIMSEC or DATASEC), or None for all.
    overscan_method : {'fit', 'median', 'mean'}
        Level of the overscan: a polynomial along the rows, or every row's median or mean.
    overscan_order : int
        Order of the polynomial.
    gain : float or None
        Electrons per ADU; else EGAIN or GAIN, unless that card is commented as an index, or the gain measured
        from the flats.
    read_noise : float or None
        Read noise, electrons; else RDNOISE, READNOIS, READNOISE, ENOISE or RON, or what was measured from the
        biases.
    saturation : float or None
        ADU of the raw frame from which a pixel is saturated; else SATURATE or SATLEVEL, or 65535.
    ext : int, str or None
        Extension of the image.
    filter_key : str or None
        Keyword of the filter; else FILTER, FILTNAM, FILTER1 or FILTERS.
    exptime_key : str or None
        Keyword of the exposure time; else EXPTIME, EXPOSURE or ITIME.
    """

    overscan: str | None = "auto"
    trim: str | None = "auto"
    overscan_method: OverscanMethod = "fit"
    overscan_order: int = 2
    gain: float | None = None
    read_noise: float | None = None
    saturation: float | None = None
    ext: int | str | None = None
    filter_key: str | None = None
    exptime_key: str | None = None

    def __post_init__(self) -> None:
        for name in ("gain", "saturation"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} is {value}, expected a positive number")
        if self.read_noise is not None and not (self.read_noise >= 0 and math.isfinite(self.read_noise)):
            raise ValueError(f"read_noise is {self.read_noise}, expected 0 or a positive number")


def _number(header: Any, keys: Iterable[str]) -> tuple[float, str] | None:
    for key in keys:
        value = header.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value), key
    return None


def exptime_of(header: Any, detector: Detector, name: str) -> float:
    """Exposure time, s.

    Parameters
    ----------
    header : Header
        Header of the frame.
    detector : Detector
        Names the keyword, perhaps.
    name : str
        Name of the frame, for the message.

    Raises
    ------
    InputError
        The header has none.
    """
    keys = EXPTIME if detector.exptime_key is None else (detector.exptime_key,)
    found = _number(header, keys)
    if found is None:
        raise InputError(f"{name}: no exposure time ({', '.join(keys)}) in the header")
    return found[0]


def filter_of(header: Any, detector: Detector) -> str:
    """Name of the filter; empty if the header has none.

    Parameters
    ----------
    header : Header
        Header of the frame.
    detector : Detector
        Names the keyword, perhaps.
    """
    for key in FILTER if detector.filter_key is None else (detector.filter_key,):
        value = header.get(key)
        if isinstance(value, (str, int, float)) and str(value).strip():
            return str(value).strip()
    return ""


def gain_of(header: Any, detector: Detector) -> tuple[float, str] | None:
    """Gain, electrons per ADU, and where it is from; None if not known.

    Parameters
    ----------
    header : Header
        Header of the frame.
    detector : Detector
        Has it, perhaps.
    """
    if detector.gain is not None:
        return detector.gain, "given"
    for key in ("EGAIN", "GAIN"):
        found = _number(header, (key,))
        if found is None or found[0] <= 0:
            continue
        # Some controllers number their settings: GAIN = 1 / DCS GAIN INDEX says nothing about electrons.
        comment = str(header.comments[key]).lower() if hasattr(header, "comments") else ""
        if not any(word in comment for word in ("index", "setting", "mode", "number")):
            return found
    return None


def read_noise_of(header: Any, detector: Detector) -> tuple[float, str] | None:
    """Read noise, electrons, and where it is from; None if not known.

    Parameters
    ----------
    header : Header
        Header of the frame.
    detector : Detector
        Has it, perhaps.
    """
    if detector.read_noise is not None:
        return detector.read_noise, "given"
    found = _number(header, READ_NOISE)
    return found if found is not None and found[0] >= 0 else None


def saturation_of(header: Any, detector: Detector) -> float:
    """ADU from which a raw pixel is saturated.

    Parameters
    ----------
    header : Header
        Header of the frame.
    detector : Detector
        Has it, perhaps.
    """
    if detector.saturation is not None:
        return detector.saturation
    found = _number(header, SATURATION)
    return found[0] if found is not None and found[0] > 0 else FULL_SCALE
