"""Does the sky of an image scatter as its errors say? A bad ramp fit does not, and may have two peaks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from upramp.tvb.sources import MAD_TO_SIGMA
from upramp.wfc3ir.exposure import Ramp

__all__ = ["SkyNoise", "measure_noise", "sky_noise"]

CLIP = 6.0
"""Robust sigmas beyond which a pixel is no sky; wide, so that a second peak stays."""


class SkyNoise(NamedTuple):
    """Scatter of the sky of one image."""

    ratio: float
    """Robust standard deviation over the median of the errors: 1 where the errors are right; NaN without errors."""
    bimodality: float
    """(skewness^2 + 1) / kurtosis of the clipped sky: 1/3 for a normal distribution, 5/9 for a flat one, 1 for two
    peaks (Sarle); NaN without pixels."""
    of: str
    """What was measured: ``last read`` or ``flt``."""


def measure_noise(
    sci: NDArray[np.float32], err: NDArray[np.float32], good: NDArray[np.bool_], of: str
) -> SkyNoise:
    """Measure the sky of an image.

    Parameters
    ----------
    sci, err : (ny, nx) ndarray of float32
        Image and its errors.
    good : (ny, nx) ndarray of bool
        Pixels of the sky.
    of : str
        What the image is.

    Returns
    -------
    SkyNoise
    """
    values = sci[good & np.isfinite(sci)].astype(np.float64)
    if values.size < 10:
        return SkyNoise(float("nan"), float("nan"), of)
    middle = np.median(values)
    spread = MAD_TO_SIGMA * float(np.median(np.abs(values - middle)))
    errors = err[good & np.isfinite(sci)]
    expected = float(np.median(errors)) if errors.size else 0.0
    off = values[np.abs(values - middle) <= CLIP * spread]
    off = off - off.mean()
    second, third, fourth = (float(np.mean(off**power)) for power in (2, 3, 4))
    shape = (third**2 / second**3 + 1) / (fourth / second**2) if fourth > 0 else float("nan")
    return SkyNoise(spread / expected if expected > 0 else float("nan"), shape, of)


def sky_noise(ramp: Ramp, sources: NDArray[np.bool_]) -> SkyNoise:
    """Measure the last read of an exposure.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    sources : (ny, nx) ndarray of bool
        Pixels to leave out (True).
    """
    good = np.zeros(sources.shape, bool)
    good[ramp.border] = ~sources[ramp.border] & (ramp.dq[-1][ramp.border] == 0)
    return measure_noise(ramp.sci[-1], ramp.err[-1], good, "last read")
