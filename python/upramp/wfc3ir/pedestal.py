"""A constant rate that a fit has to see, for its noise, and nobody after it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.fit import Fit

__all__ = ["lower_fit", "lower_reads"]


def lower_reads(ramp: Ramp, pedestal: NDArray[np.float32]) -> None:
    """Take a rate off every read but the zeroth, in place.

    Parameters
    ----------
    ramp : Ramp
        Exposure, changed.
    pedestal : (ny, nx) ndarray of float32
        Rate, in the unit of the exposure per second.
    """
    for r in range(1, ramp.nread):
        ramp.sci[r] -= pedestal if ramp.is_rate else pedestal * np.float32(ramp.times[r])


def lower_fit(fit: Fit, ramp: Ramp, pedestal: NDArray[np.float32]) -> Fit:
    """Take a rate off the fitted image.

    Parameters
    ----------
    fit : Fit
        Fit of `ramp`.
    ramp : Ramp
        Exposure.
    pedestal : (ny, nx) ndarray of float32
        Rate, in the unit of the exposure per second.

    Returns
    -------
    Fit
    """
    off = pedestal[ramp.border]
    return replace(fit, rate=fit.rate - (off if ramp.is_rate else off * fit.time))
