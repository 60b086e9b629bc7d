"""The sky statistic as a callable, for the drop-ins of skypac and stcal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from upramp.sky import SkyStatistic

__all__ = ["ClippedStatistic", "as_pair", "measure"]


def measure(statistic: SkyStatistic, data: ArrayLike) -> tuple[Any, int]:
    """Statistic of pixels in whatever shape.

    Parameters
    ----------
    statistic : SkyStatistic
        How.
    data : array_like
        Pixels.

    Returns
    -------
    value : float or numpy.float32
        32 bits for a median, as it is there.
    npix : int
        Pixels left by the last round.

    Raises
    ------
    ValueError
        No pixel is left.
    """
    pixels = np.asarray(data, np.float32).reshape(1, -1)
    found = statistic.measure(pixels)
    if found.npix < 1:
        raise ValueError("data holds no pixel that is finite and within the limits, expected some")
    return as_pair(statistic, found.value, found.npix)


def as_pair(statistic: SkyStatistic, value: float, npix: int) -> tuple[Any, int]:
    """Value and pixels in the types that stsci.imagestats gives.

    Parameters
    ----------
    statistic : SkyStatistic
        How it was measured.
    value : float
        Value.
    npix : int
        Pixels.
    """
    return np.float32(value) if statistic.statistic == "median" else value, npix


class ClippedStatistic:
    """What the SkyStats of both packages have in common.

    Parameters
    ----------
    statistic : SkyStatistic
        Statistic and clipping.

    Attributes
    ----------
    skyval, npix
        Value and pixels of the last data measured; None before.
    """

    def __init__(self, statistic: SkyStatistic) -> None:
        self.statistic = statistic
        self.skyval: Any = None
        self.npix: int | None = None

    def calc_sky(self, data: ArrayLike) -> tuple[Any, int]:
        """Measure pixels.

        Parameters
        ----------
        data : array_like
            Pixels, in any shape.

        Returns
        -------
        skyval : float or numpy.float32
            The statistic.
        npix : int
            Pixels it rests on.

        Raises
        ------
        ValueError
            No pixel is left by the limits.
        """
        self.skyval, self.npix = measure(self.statistic, data)
        return self.skyval, self.npix

    __call__ = calc_sky
