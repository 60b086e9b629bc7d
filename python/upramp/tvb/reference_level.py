"""What the reference pixels tell of a read: the drift of a RAW file, and the noise their subtraction left."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from upramp.tvb.sources import MAD_TO_SIGMA
from upramp.wfc3ir.exposure import BORDER, Ramp
from upramp.wfc3ir.tables import holds_offset

__all__ = ["ReferenceLevel", "reference_level"]

OUTERMOST = 1
"""Columns at the edge of the readout that are not used, as by calwf3 (OSCNTAB)."""


class ReferenceLevel(NamedTuple):
    """Result of :func:`reference_level`, in the unit of the stored border: counts or electrons."""

    level: NDArray[np.float64]
    """Level to take off every read, (nread,), less that of the zeroth; 0 where it has been taken off."""
    variance: float
    """Variance that taking it off adds to the level of every read; 0 if it was not taken off."""


def reference_level(ramp: Ramp) -> ReferenceLevel:
    """Measure the reference pixels of every read.

    Parameters
    ----------
    ramp : Ramp
        Exposure, RAW or calibrated.

    Returns
    -------
    ReferenceLevel

    Notes
    -----
    The columns next to the light-sensitive field are averaged, 3 sigma and more clipped. Where their level has been
    subtracted (BLEVCORR) it is zero in every read, far closer than the noise of the pixels allows: then the noise
    of that mean is in all pixels of the read alike, and no statistic of light-sensitive pixels can see it. With few
    reference pixels, as in a subarray, it is larger than the error of the sky's own mean.
    """
    rows = slice(BORDER, -BORDER)
    sides = (slice(OUTERMOST, BORDER), slice(-BORDER, -OUTERMOST))
    pixels = np.concatenate([ramp.sci[:, rows, side] for side in sides], axis=2)
    pixels = pixels.reshape(ramp.nread, -1).astype(np.float64)
    nothing = ReferenceLevel(np.zeros(ramp.nread), 0.0)
    if ramp.nread < 2:
        return nothing
    first = 0 if holds_offset(ramp) else 1
    steps = np.diff(pixels[first:], axis=0)
    if not len(steps):
        return nothing
    middle = np.median(steps, axis=1, keepdims=True)
    sigma = MAD_TO_SIGMA * np.median(np.abs(steps - middle))
    # Two reads make a difference; each has half of its variance.
    variance = 0.5 * sigma**2 / pixels.shape[1]
    if not variance > 0:
        return nothing
    if holds_offset(ramp):
        inside = np.abs(steps - middle) < 3 * sigma
        level = np.concatenate(
            [[0.0], np.cumsum((steps * inside).sum(axis=1) / np.maximum(inside.sum(axis=1), 1))]
        )
        return ReferenceLevel(level, variance)
    means = steps.mean(axis=1)
    subtracted = bool(np.sqrt(np.mean(means**2)) < 0.3 * np.sqrt(2 * variance))
    return ReferenceLevel(np.zeros(ramp.nread), variance if subtracted else 0.0)
