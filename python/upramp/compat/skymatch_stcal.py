"""Sky matching of images in memory with the names of ``stcal.skymatch`` 1.20, which jwst and romancal call.

>>> from upramp.compat.skymatch_stcal import SkyGroup, SkyImage, SkyStats, skymatch  # doctest: +SKIP
>>> skymatch(images, "match", subtract=False)  # doctest: +SKIP
>>> [image.sky for image in images]  # doctest: +SKIP

What is kept: arguments, order, defaults, attributes, and values (``tests/compat/test_skymatch_stcal.py``).

What is mended:

* nearly identical outlines are no special case, and none raises;
* an image without a good pixel is no TypeError with ``global``;
* a pixel that is not finite is left out; there it takes the whole overlap with it;
* groups that no overlap connects are warned of.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from upramp.compat._skyimages import SkyGroup, SkyImage, measure_overlaps
from upramp.compat._skystats import ClippedStatistic
from upramp.sky import Pair, SkyStatistic, solve_offsets

__all__ = ["SkyGroup", "SkyImage", "SkyStats", "skymatch"]

log = logging.getLogger(__name__)

_METHODS = ("local", "global", "match", "global+match")


class SkyStats(ClippedStatistic):
    """A statistic with its parameters.

    Parameters
    ----------
    skystat : {'mean', 'median', 'mode', 'midpt'}, optional
        Statistic.
    lower, upper : float, optional
        Limits.
    nclip : int, optional
        Rounds of clipping.
    lsig, usig : float, optional
        Thresholds below and above the mean, standard deviations.
    binwidth : float, optional
        Bin of the histogram, standard deviations.
    """

    def __init__(
        self,
        skystat: str = "mean",
        lower: float | None = None,
        upper: float | None = None,
        nclip: int = 5,
        lsig: float = 4.0,
        usig: float = 4.0,
        binwidth: float = 0.1,
    ) -> None:
        super().__init__(SkyStatistic(skystat, lower, upper, nclip, lsig, usig, binwidth))


def skymatch(
    images: Sequence[SkyImage | SkyGroup],
    skymethod: str = "global+match",
    match_down: bool = True,
    subtract: bool = False,
) -> None:
    """Find the skies of images and groups: their `sky` and `is_sky_valid` change.

    Parameters
    ----------
    images : sequence of SkyImage or SkyGroup
        Images and groups.
    skymethod : {'global+match', 'match', 'global', 'local'}, optional
        Method: as localmin, globalmin and so on of :func:`upramp.sky.match_sky`.
    match_down : bool, optional
        Whether the faintest has the sky 0 by ``match``, or the brightest.
    subtract : bool, optional
        Whether skies are subtracted from the pixels, in place.

    Raises
    ------
    ValueError
        No such method; no images.
    TypeError
        Something else than an image or a group.

    Warns
    -----
    UserWarning
        Overlaps leave several groups, whose levels cannot be compared.
    """
    method = skymethod.lower()
    if method not in _METHODS:
        raise ValueError(
            f"Unsupported 'skymethod'. Valid values are: {', '.join(map(repr, _METHODS))}; got {skymethod!r}"
        )
    if not all(isinstance(item, (SkyImage, SkyGroup)) for item in images):
        raise TypeError("Each element of the 'images' must be either a 'SkyImage' or a 'SkyGroup'")
    if not images:
        raise ValueError("Argument 'images' must contain at least one image")
    if "match" in method:
        _apply(images, _offsets(images, match_down, delta=not subtract), subtract)
    if method == "match":
        return
    levels = [item.calc_sky(delta=not subtract)[0] for item in images]
    if "global" in method:
        known = [level for level in levels if level is not None]
        if not known:
            log.warning('Unable to compute "global" sky value')
        levels = [min(known, default=None)] * len(levels)
    # As there: what global adds says nothing of an image's own sky.
    _apply(images, levels, subtract, keep=method != "local")


def _offsets(images: Sequence[SkyImage | SkyGroup], match_down: bool, *, delta: bool) -> list[Any]:
    """Sky of every item above the common level; None for one without a usable overlap."""
    levels = measure_overlaps(images, delta=delta)
    pairs = []
    for (i, j), one in sorted(levels.items()):
        other = levels[j, i]
        if i < j and one.sky is not None and other.sky is not None:
            pairs.append(
                Pair(i, j, float(one.sky), one.npix, float(other.sky), other.npix, min(one.area, other.area))
            )
    solution = solve_offsets(pairs, len(images), anchor="down" if match_down else "up")
    apart = len(solution.groups) + len(solution.isolated)
    if apart > 1:
        warnings.warn(
            f"overlaps leave {apart} groups of images, whose matched levels cannot be compared", stacklevel=4
        )
    return [float(value) if np.isfinite(value) else None for value in solution.offsets]


def _apply(
    images: Sequence[SkyImage | SkyGroup], levels: Sequence[Any], subtract: bool, *, keep: bool = False
) -> None:
    for item, level in zip(images, levels, strict=True):
        members = [item] if isinstance(item, SkyImage) else list(item)
        valid = level is not None
        if not valid:
            kind = "Image" if isinstance(item, SkyImage) else "Group"
            log.warning("%s ID=%s: Unable to compute sky value", kind, item.sky_id)
            valid = keep and members[0].is_sky_valid
        change = 0.0 if level is None else level
        item.sky += change
        for image in members:
            if subtract and level is not None:
                image.image -= change
            image.is_sky_valid = valid
        log.info("%s: sky %G (change %G)", item.sky_id, item.sky, change)
