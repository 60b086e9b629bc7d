"""Level of the overscan of every row (or column)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["OVERSCAN_METHODS", "OverscanMethod", "overscan_levels"]

OverscanMethod = Literal["fit", "median", "mean"]
OVERSCAN_METHODS: tuple[OverscanMethod, ...] = ("fit", "median", "mean")

CLIP = 3.0
ROUNDS = 5


def overscan_levels(
    overscan: NDArray[Any], method: OverscanMethod = "fit", order: int = 2
) -> NDArray[np.float32]:
    """Level of every row of an overscan.

    Parameters
    ----------
    overscan : ndarray, (ny, n)
        Its pixels.
    method : {'fit', 'median', 'mean'}, optional
        Median or mean of every row; or a polynomial along the rows fitted to the medians, those beyond 3 sigma left
        out: the level drifts smoothly, and single rows carry the noise of only a few pixels into the image.
    order : int, optional
        Order of the polynomial.

    Returns
    -------
    ndarray, (ny,) float32
        Level, in the units of the pixels.

    Raises
    ------
    ValueError
        Method unknown; order negative.
    """
    if method not in OVERSCAN_METHODS:
        raise ValueError(f"overscan method is {method!r}, expected one of {', '.join(OVERSCAN_METHODS)}")
    if order < 0:
        raise ValueError(f"overscan order is {order}, expected 0 or a positive number")
    pixels = np.asarray(overscan, np.float64)
    if method == "mean":
        means: NDArray[np.float32] = pixels.mean(axis=1).astype(np.float32)
        return means
    levels = np.median(pixels, axis=1)
    if method == "median":
        return levels.astype(np.float32)
    # Legendre polynomials on -1 .. 1: well conditioned for any number of rows.
    x = np.linspace(-1, 1, len(levels)) if len(levels) > 1 else np.zeros(1)
    order = min(order, len(levels) - 1)
    used = np.ones(len(levels), bool)
    for _ in range(ROUNDS):
        series = np.polynomial.legendre.legfit(x[used], levels[used], order)
        off = levels - np.polynomial.legendre.legval(x, series)
        sigma = 1.4826 * np.median(np.abs(off[used]))
        kept = np.abs(off) <= CLIP * sigma
        if sigma == 0 or kept.sum() <= order or (kept == used).all():
            break
        used = kept
    found: NDArray[np.float32] = np.polynomial.legendre.legval(x, series).astype(np.float32)
    return found
