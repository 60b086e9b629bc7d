"""World coordinates of an image from its header, quickly where they are plain."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS, Sip, Wcsprm
from numpy.typing import NDArray

from upramp.exceptions import InputError
from upramp.io import Extension, fits

__all__ = ["read_wcs"]

# Not A_DMAX and the like: astropy leaves them to wcslib, whose last bit hangs on them.
_SIP = re.compile(r"([AB]P?)_(?:ORDER|(\d)_(\d)) *= *([^/ ]+)")


def read_wcs(unit: Extension, path: Path, label: str) -> WCS:
    """World coordinates of an image.

    Parameters
    ----------
    unit : Extension
        The image.
    path : Path
        File that holds its distortion tables, if it has any.
    label : str
        Name of the image in messages.

    Returns
    -------
    astropy.wcs.WCS
        SIP and table distortions included.

    Raises
    ------
    InputError
        No celestial WCS, or a damaged one.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)  # what astropy mends in old headers
            if any(card.startswith(("CPDIS", "D2IMDIS")) for card in unit.cards):
                with fits.open(path) as extensions:
                    found = WCS(unit.header, extensions)
            else:
                found = _plain(unit) or WCS(unit.header)
    except Exception as error:  # wcslib's errors have no common class
        raise InputError(f"{label}: its WCS cannot be used ({str(error).strip()})") from error
    if found.naxis != 2 or not found.has_celestial:
        raise InputError(f"{label}: no celestial WCS, needed to know where images overlap")
    return found


def _plain(unit: Extension) -> WCS | None:
    """A tangent plane, with or without SIP, as astropy puts it together but in a quarter of the time.

    None for other projections.
    """
    kinds = {str(unit.get(f"CTYPE{axis}", "")).strip()[:8] for axis in (1, 2)}
    units = {str(unit.get(f"CUNIT{axis}", "deg")).strip() for axis in (1, 2)}
    if kinds != {"RA---TAN", "DEC--TAN"} or units != {"deg"} or unit.get("WCSAXES", 2) != 2:
        return None
    rest = []
    terms: dict[str, dict[tuple[int, int], float]] = {}
    for card in unit.cards:
        if (match := _SIP.match(card)) is None:
            rest.append(card)
        elif match[2] is not None:
            terms.setdefault(match[1], {})[int(match[2]), int(match[3])] = float(match[4])
        else:
            terms.setdefault(match[1], {})
    found = WCS(naxis=2)
    # wcslib would take SIP for its own; astropy keeps it apart.
    found.wcs = Wcsprm(header="".join(rest).encode("ascii"))
    if {"A", "B"} <= set(terms):
        a, b, ap, bp = (
            _matrix(unit, name, terms[name]) if name in terms else None for name in ("A", "B", "AP", "BP")
        )
        found.sip = Sip(a, b, ap, bp, found.wcs.crpix)
    elif terms:
        return None
    found.wcs.set()
    return found


def _matrix(unit: Extension, name: str, terms: dict[tuple[int, int], float]) -> NDArray[np.float64]:
    size = int(unit.get(f"{name}_ORDER")) + 1
    matrix = np.zeros((size, size))
    for place, value in terms.items():
        if sum(place) < size:
            matrix[place] = value
    return matrix
