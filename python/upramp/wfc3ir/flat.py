"""The flat field: from reference files, or read back from a calibrated exposure's own errors."""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from upramp.exceptions import ReferenceFileError
from upramp.wfc3ir.exposure import BORDER, Ramp
from upramp.wfc3ir.reference_files import Reference, check_fit, load, offset, plane, read_images
from upramp.wfc3ir.references import Amplifiers, Refs

__all__ = ["Flat", "flat_from_errors", "read_flat", "response"]

log = logging.getLogger(__name__)

PLAUSIBLE_MEDIAN = (0.8, 1.25)
"""A flat is normalised; a median outside this range means that the errors do not tell it."""


class Flat(NamedTuple):
    """A flat field cut to the light-sensitive pixels of an exposure, shape (ny - 10, nx - 10)."""

    sci: NDArray[np.float32]
    """Relative response."""
    err: NDArray[np.float32]
    """Its uncertainty."""
    dq: NDArray[np.uint16]
    """Its DQ bits."""
    history: tuple[str, ...]
    """HISTORY lines that name the files."""


def read_flat(ramp: Ramp, refs: Refs, *, parity: bool = False) -> Flat | None:
    """Product of the flats that the header names; None if none is at hand, or all only hold a place.

    Parameters
    ----------
    ramp : Ramp
        Exposure; its LTV tell which section of the flat it sees.
    refs : Refs
        Where to look for PFLTFILE and DFLTFILE.
    parity : bool, optional
        See :func:`upramp.wfc3ir.reference_files.check_fit`.

    Raises
    ------
    ReferenceFileError
        A flat of another detector or filter, or one that does not cover the exposure; or an LFLTFILE, which no
        WFC3/IR exposure has ever had.
    """
    if refs.find(ramp, "LFLTFILE") is not None:
        raise ReferenceFileError(f"{ramp.path}: LFLTFILE is not supported; set it to N/A")
    flats = [_read(ramp, refs, key, parity=parity) for key in ("PFLTFILE", "DFLTFILE")]
    usable = [flat for flat in flats if flat is not None]
    if not usable:
        return None
    product = usable[0]
    for other in usable[1:]:
        err, own = product.sci * other.err, other.sci * product.err
        # In place: a plane is hardly computed when it costs as much again to have memory for the next.
        err *= err
        own *= own
        err += own
        product = Flat(
            product.sci * other.sci,
            np.sqrt(err, out=err),
            product.dq | other.dq,
            product.history + other.history,
        )
    return Flat(
        np.ascontiguousarray(product.sci, np.float32),
        np.ascontiguousarray(product.err, np.float32),
        np.ascontiguousarray(product.dq, np.uint16),
        product.history,
    )


def _read(ramp: Ramp, refs: Refs, keyword: str, *, parity: bool) -> Flat | None:
    """The part of a flat that the exposure's light-sensitive pixels fall on, as it lies in the file."""
    path = refs.find(ramp, keyword)
    if path is None:
        return None
    images = load(refs, path, read_images)
    check_fit(ramp, keyword, path, images.primary, parity=parity)
    reference = Reference(keyword, refs.name(ramp, keyword), images.primary)
    if reference.dummy:
        return None
    y, x = offset(ramp, images, path)
    ny, nx = (size - 2 * BORDER for size in ramp.sci.shape[1:])
    sci, err, dq = (plane(images, path, name)[y : y + ny, x : x + nx] for name in ("SCI", "ERR", "DQ"))
    return Flat(sci, err, dq, tuple(reference.history()))


def flat_from_errors(ramp: Ramp, amps: Amplifiers) -> NDArray[np.float32] | None:
    r"""Read the flat back from the ERR of the first read of a flat-fielded exposure.

    Parameters
    ----------
    ramp : Ramp
        Exposure in electrons (or electrons per second), whose reads nobody has edited.
    amps : Amplifiers
        Gain and read noise that the pipeline used.

    Returns
    -------
    flat : (ny, nx) ndarray of float32 or None
        Relative response, 1 in the border; 0 where the error is 0; None if the errors do not tell it.

    Notes
    -----
    The pipeline's noise model is :math:`(e f g / \bar g)^2 = r^2 + |s f g / \bar g|` for signal s and error e
    in electrons, flat f, read noise r, gain g of the amplifier and its mean: a quadratic equation for f. What it
    leaves out (errors of dark and flat) makes f low by less than 1 % in the first read, where read noise rules
    (``tests/test_flat.py``).
    """
    if ramp.nread < 2 or not ramp.in_electrons:
        return None
    span = np.float32(ramp.times[1] if ramp.is_rate else 1.0)
    scale = span * amps.image(ramp, amps.gain) / amps.mean_gain
    noise = amps.image(ramp, amps.noise)
    error, signal = ramp.err[1] * scale, np.abs(ramp.sci[1]) * scale
    with np.errstate(all="ignore"):
        square = error * error
        flat = (signal + np.sqrt(signal * signal + 4 * square * noise * noise)) / (2 * square)
    inside = flat[ramp.border]
    good = np.isfinite(inside) & (inside > 0)
    if not good.any() or not PLAUSIBLE_MEDIAN[0] < np.median(inside[good]) < PLAUSIBLE_MEDIAN[1]:
        return None
    flat[~np.isfinite(flat)] = 1.0
    flat[ramp.err[1] == 0] = 0.0
    result: NDArray[np.float32] = np.ones(flat.shape, np.float32)
    result[ramp.border] = flat[ramp.border]
    return result


def response(ramp: Ramp, refs: Refs, amps: Amplifiers) -> tuple[NDArray[np.float32], Flat | None, str]:
    """Factor that turns a calibrated exposure back into DN, for the ramp fit's noise.

    Parameters
    ----------
    ramp : Ramp
        Exposure in electrons.
    refs : Refs
        Where to look for the flat.
    amps : Amplifiers
        Gains.

    Returns
    -------
    to_dn : (ny, nx) ndarray of float32
        Flat over mean gain.
    flat : Flat or None
        The reference flat, if it was found.
    source : str
        Where the flat came from, for HISTORY.
    """
    shape = ramp.sci.shape[1:]
    if str(ramp.primary.get("FLATCORR", "")).strip().upper() != "COMPLETE":
        return np.full(shape, 1 / amps.mean_gain, np.float32), None, "no flat field applied"
    flat = read_flat(ramp, refs)
    if flat is not None:
        image = np.ones(shape, np.float32)
        image[ramp.border] = flat.sci
        return image / amps.mean_gain, flat, "flat field from reference files"
    recovered = flat_from_errors(ramp, amps)
    if recovered is not None:
        return recovered / amps.mean_gain, None, "flat field read back from the errors of the first read"
    log.warning(
        "%s: no flat field at hand and none to be read back; its noise is taken as that of flat 1", ramp.path
    )
    return np.full(shape, 1 / amps.mean_gain, np.float32), None, "flat field unknown, taken as 1"
