"""Satellite trails and glints: light in one interval that covers many neighbouring pixels, unlike a cosmic ray."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from upramp.tvb.levels import differences
from upramp.tvb.sources import MAD_TO_SIGMA, box_sum, column_medians
from upramp.wfc3ir.exposure import Ramp

__all__ = ["Localised", "find_localised"]

CUT = 5.0
"""Residuals above this many sigmas count as this many: one pixel cannot speak for nine."""
BRIGHT = 5.0
"""Threshold of the mean of 3 x 3 such pixels, in its own sigmas."""
BOX = 3
"""Half the size of the box that must be crowded with bright pixels, as a trail makes it and a hit does not."""
CROWDED = 0.45
"""Fraction of it."""
MINIMUM = 25
"""Crowded pixels that make a detection."""


class Localised(NamedTuple):
    """Result of :func:`find_localised`, arrays of shape (nread - 1,)."""

    npix: NDArray[np.int64]
    """Bright pixels in crowded places."""
    found: NDArray[np.bool_]
    """Whether they make a trail or a glint."""


def find_localised(
    ramp: Ramp, pattern: NDArray[np.float32], mask: NDArray[np.bool_] | None = None
) -> Localised:
    """Look for light that covers part of the field in one interval alone.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    pattern : (ny, nx) ndarray of float32
        :func:`upramp.tvb.sources.pixel_pattern` of the exposure; NaN where a pixel is bad.
    mask : (ny, nx) ndarray of bool, optional
        Pixels to leave out (True): sources, whose own noise is larger.

    Returns
    -------
    Localised

    Notes
    -----
    Of every interval the pattern of the pixels and then the median of every column is taken off, which leaves
    noise, cosmic rays and what is localised. Residuals are cut at 5 sigma, so that a cosmic ray on one or two
    pixels does not carry the mean of the 3 x 3 around it above 5 sigma of that mean; a trail lights a band of
    such pixels even where each lies within its noise. A pixel is crowded if 45 % of the 7 x 7 around it are
    bright, and 25 of them make a detection. A satellite crosses the field in seconds, so that it is in one
    interval; what is found in two neighbours is a glint or a trail seen across a read.
    """
    reads = differences(ramp, "interval")
    count = np.zeros(len(reads), np.int64)
    field = ramp.border
    usable = np.isfinite(pattern[field])
    if mask is not None:
        usable &= ~mask[field]
    if not usable.any():
        return Localised(count, count > 0)
    weight = box_sum(usable.astype(np.float32), 1)
    hidden = np.where(usable, pattern[field], np.nan)
    for k, (later, add, earlier, take) in enumerate(reads):
        rate = ramp.sci[later][field] * np.float32(add)
        if take:
            rate -= ramp.sci[earlier][field] * np.float32(take)
        rate -= hidden
        rate -= column_medians(rate)
        sigma = MAD_TO_SIGMA * float(np.median(np.abs(rate[usable])))
        if not sigma > 0:
            continue
        rate = np.clip(np.nan_to_num(rate / np.float32(sigma), copy=False, nan=0.0), -CUT, CUT)
        bright = box_sum(rate, 1) > BRIGHT * np.sqrt(np.maximum(weight, 1))
        if np.count_nonzero(bright) < MINIMUM:
            continue
        crowded = bright & (box_sum(bright.astype(np.float32), BOX) > CROWDED * (2 * BOX + 1) ** 2)
        count[k] = np.count_nonzero(crowded)
    return Localised(count, count >= MINIMUM)
