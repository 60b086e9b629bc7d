"""Gain from two flats: the photon transfer method."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["measure_gain"]

CELL = 32
"""Pixels a side of the cells in which noise is measured."""
FEWEST = 16
"""Cells that make a gain."""


def measure_gain(
    first: NDArray[np.floating], second: NDArray[np.floating], read_noise: float = 0.0
) -> float | None:
    """Gain from the noise of the difference of two flats.

    In every cell of 32 x 32 pixels with medians a and b of the flats, and r = a / b, the difference
    first - r second has a variance v = (a + r² b) / g + (1 + r²) n², whatever the structure of the flat. The gain g
    is the median over all cells; v is 1.4826² times the squared median absolute deviation.

    Parameters
    ----------
    first, second : ndarray, (ny, nx)
        Flats without bias and dark, ADU; NaN where a pixel is not good.
    read_noise : float, optional
        Read noise n, ADU.

    Returns
    -------
    float or None
        Electrons per ADU; None if the flats are too small or do not show photon noise.

    References
    ----------
    .. [1] Janesick 2001, Scientific Charge-Coupled Devices, SPIE Press.
    """
    ny, nx = (size // CELL for size in first.shape)
    if ny * nx < FEWEST:
        return None

    def cells(image: NDArray[np.floating]) -> NDArray[np.float64]:
        whole = image[: ny * CELL, : nx * CELL].astype(np.float64)
        return whole.reshape(ny, CELL, nx, CELL).swapaxes(1, 2).reshape(ny * nx, CELL * CELL)

    one, two = cells(first), cells(second)
    good = np.isfinite(one) & np.isfinite(two)
    full = good.mean(axis=1) > 0.9
    one, two, good = one[full], two[full], good[full]
    if len(one) < FEWEST:
        return None
    one, two = np.where(good, one, np.nan), np.where(good, two, np.nan)
    a, b = np.nanmedian(one, axis=1), np.nanmedian(two, axis=1)
    ratio = np.divide(a, b, out=np.full_like(a, np.nan), where=b > 0)
    difference = one - ratio[:, None] * two
    off = np.abs(difference - np.nanmedian(difference, axis=1)[:, None])
    variance = (1.4826 * np.nanmedian(off, axis=1)) ** 2 - (1 + ratio**2) * read_noise**2
    usable = (variance > 0) & (a > 0) & (b > 0)
    if usable.sum() < FEWEST:
        return None
    gain = (a[usable] + ratio[usable] ** 2 * b[usable]) / variance[usable]
    return float(np.median(gain))
