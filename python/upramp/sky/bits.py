"""DQ bits that do not make a pixel bad, given as numbers or by name."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["flag_names", "parse_bits"]

_HST = {"SOFTERR": 1, "DATALOST": 2, "DETECTORPROB": 4, "DATAMASKED": 8, "HOTPIX": 16, "SATPIXEL": 256}
_CCD = {"ATODSAT": 2048, "DATAREJECT": 8192}
_JWST = (
    *("DO_NOT_USE", "SATURATED", "JUMP_DET", "DROPOUT", "OUTLIER", "PERSISTENCE", "AD_FLOOR", "CHARGELOSS"),
    *("UNRELIABLE_ERROR", "NON_SCIENCE", "DEAD", "HOT", "WARM", "LOW_QE", "RC", "TELEGRAPH", "NONLINEAR"),
    *("BAD_REF_PIXEL", "NO_FLAT_FIELD", "NO_GAIN_VALUE", "NO_LIN_CORR", "NO_SAT_CHECK", "UNRELIABLE_BIAS"),
    *("UNRELIABLE_DARK", "UNRELIABLE_SLOPE", "UNRELIABLE_FLAT", "OPEN", "ADJ_OPEN", "FLUX_ESTIMATED"),
    *("MSA_FAILED_OPEN", "OTHER_BAD_PIXEL", "REFERENCE_PIXEL"),
)
"""Pixel flags of JWST, bit 0 first."""

FLAGS: dict[str, dict[str, int]] = {
    "JWST": {name: 1 << bit for bit, name in enumerate(_JWST)},
    "ACS": _HST | _CCD | {"LARGEBLEM": 32, "OVERSCAN": 128, "CALIBDEFECT": 512, "SMALLBLEM": 1024},
    "WFC3 UVIS": _HST
    | _CCD
    | {"CTETAIL": 32, "WARMPIX": 64, "BADBIAS": 128, "BADFLAT": 512, "TRAP": 1024, "CROSSTALK": 16384},
    "WFC3 IR": _HST
    | {"BADZERO": 8, "UNSTABLE": 32, "WARMPIX": 64, "BADBIAS": 128, "BADFLAT": 512, "SPIKE": 1024}
    | {"ZEROSIG": 2048, "DATAREJECT": 8192, "HIGH_CURVATURE": 16384},
}
"""Names of flags, by telescope or instrument, as their calibration programs define them."""


def flag_names(telescope: str, detector: str) -> Mapping[str, int]:
    """Names of the flags of an instrument.

    Parameters
    ----------
    telescope : str
        TELESCOP.
    detector : str
        Instrument and detector, as :attr:`SkyImage.detector`.

    Returns
    -------
    mapping of str to int
        Bits by name: those of the JWST, ACS and WFC3 pipelines; empty for others.
    """
    for label in (telescope, detector, detector.partition(" ")[0]):
        if label.strip().upper() in FLAGS:
            return FLAGS[label.strip().upper()]
    return {}


def parse_bits(
    bits: int | str | None, names: Mapping[str, int] | None = None, *, width: int = 16
) -> int | None:
    """DQ bits that do not make a pixel bad.

    Parameters
    ----------
    bits : int, str or None
        Sum of bits; or them, separated by ``,``, ``+`` or ``|``. With a leading ``~`` they are the bad ones, and
        all others are accepted. None, or ``"none"``: DQ is not used.
    names : mapping of str to int, optional
        Names that stand for bits (:func:`flag_names`), in any case.
    width : int, optional
        Bits of a DQ word, 16 or 32.

    Returns
    -------
    int or None
        Sum of the accepted bits, 0 to 65535 (or 2³² - 1).

    Raises
    ------
    ValueError
        Not of that form, or a name that is not known.

    Examples
    --------
    >>> parse_bits("64+512"), parse_bits("~4096"), parse_bits(None)
    (576, 61439, None)
    >>> parse_bits("~DO_NOT_USE+NON_SCIENCE", flag_names("JWST", ""), width=32) == 2**32 - 1 - 1 - 512
    True
    """
    if bits is None or (isinstance(bits, str) and bits.strip().lower() == "none"):
        return None
    full = (1 << width) - 1
    if not isinstance(bits, str):
        value, bad = int(bits), False
    else:
        text = bits.strip()
        bad = text.startswith("~")
        value = 0
        for part in re.split(r"[,+|]", text.removeprefix("~").strip("() ")):
            value |= _bit(part.strip(), bits, names or {})
    if not -full - 1 <= value <= full:
        raise ValueError(f"bits is {bits!r}, expected bits of a {width}-bit word")
    return (~value if bad else value) & full


def _bit(part: str, bits: str, names: Mapping[str, int]) -> int:
    try:
        return int(part)
    except ValueError:
        if part.upper() in names:
            return names[part.upper()]
    if re.fullmatch(r"[A-Za-z_]\w*", part):
        known = f"one of {', '.join(names)}" if names else "numbers, for the names of its flags are not known"
        raise ValueError(f"bits is {bits!r} with {part!r}, expected {known}")
    raise ValueError(
        f"bits is {bits!r}, expected numbers or names of flags such as 64,512 or 64+512, ~4096, or none"
    )
