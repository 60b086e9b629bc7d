"""The static mask: detector pixels that are far too low in any of several exposures."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from upramp.sky.images import SkyImage
from upramp.sky.statistic import SkyStatistic

__all__ = ["Signature", "signature", "static_masks"]

Signature = tuple[str, int, tuple[int, int]]
"""Detector, chip and shape: exposures that agree in these share a static mask."""

# Thresholds of the mask's own statistic, those of stsci.imagestats by default.
_STATISTIC = SkyStatistic("mode", nclip=3, lsigma=3.0, usigma=3.0)


def signature(image: SkyImage, number: int) -> Signature:
    """Which static mask a chip has.

    Parameters
    ----------
    image : SkyImage
        Image.
    number : int
        Position of the chip in ``image.chips``.

    Returns
    -------
    tuple
        Detector, chip (CCDCHIP, or EXTVER) and shape.
    """
    chip = image.chips[number]
    return image.detector, int(chip.unit.get("CCDCHIP", chip.extver)), chip.shape


def static_masks(
    images: Sequence[SkyImage], *, sigma: float = 4.0, threads: int = 1
) -> dict[Signature, NDArray[np.bool_]]:
    r"""Pixels above :math:`m - \sigma s` in all exposures of their detector, as AstroDrizzle's static mask.

    Mode m and standard deviation s are those of each chip, DQ not used, after three rounds of clipping at 3 s.

    Parameters
    ----------
    images : sequence of SkyImage
        Images.
    sigma : float, optional
        Threshold in standard deviations.
    threads : int, optional
        Chips worked on at a time.

    Returns
    -------
    dict of Signature to ndarray
        Good pixels, (ny, nx) bool, by :func:`signature`.

    Raises
    ------
    ValueError
        `sigma` is not positive.
    """
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma}, expected a positive number")

    def one(task: tuple[SkyImage, int]) -> NDArray[np.bool_]:
        pixels = task[0].read(task[1])
        found = _STATISTIC.measure(pixels)
        # What is not finite is masked elsewhere, and passes here as it does in the original.
        good: NDArray[np.bool_] = ~(pixels <= found.value - sigma * found.std)
        return good

    tasks = [(image, number) for image in images for number in range(len(image.chips))]
    masks: dict[Signature, NDArray[np.bool_]] = {}
    with ThreadPoolExecutor(threads) as pool:
        # A few at a time: masks of all images need not be in memory together.
        for start in range(0, len(tasks), threads):
            some = tasks[start : start + threads]
            for task, good in zip(some, pool.map(one, some), strict=True):
                key = signature(*task)
                masks[key] = good if key not in masks else masks[key] & good
    return masks
