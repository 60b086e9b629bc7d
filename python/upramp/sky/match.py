"""Skies that agree where exposures overlap, by either engine, then least squares.

``compat`` takes statistics of both exposures inside every overlap, as stsci.skypac and stcal do; ``robust`` takes
differences of pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upramp.sky.differences import measure_differences, views
from upramp.sky.images import PixelRooms, SkyImage
from upramp.sky.overlap import Outline, Overlap, Pixels, find_overlaps
from upramp.sky.robust import Anchor, Robust, solve_differences
from upramp.sky.solve import Pair, Solution, merge_pairs, solve_offsets
from upramp.sky.static import Signature, signature
from upramp.sky.statistic import Measured, SkyStatistic

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = [
    "Match",
    "absolute_offsets",
    "find_image_overlaps",
    "match_differences",
    "match_levels",
    "surface_brightness",
]


@dataclass(frozen=True, eq=False)
class Match:
    """Offsets of exposures from what they have in common; surface brightness of the images' factors.

    Attributes
    ----------
    engine : str
        How differences were measured.
    images : tuple of SkyImage
        Exposures.
    pairs : tuple of Pair
        Pairs of exposures that overlap.
    solution : Solution
        Offsets, groups, covariance and residuals.
    robust : Robust or None
        What the engine ``robust`` knows besides: uncertainty and outlier of every pair, surfaces.
    """

    engine: str
    images: tuple[SkyImage, ...]
    pairs: tuple[Pair, ...]
    solution: Solution
    robust: Robust | None = None

    @property
    def offsets(self) -> NDArray[np.float64]:
        """Sky of every exposure above the anchor; 0 for one that overlaps no other."""
        return np.nan_to_num(self.solution.offsets)

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Exposures connected by overlaps, those that overlap no other as groups of their own, by first member."""
        alone = [(number,) for number in self.solution.isolated]
        return tuple(sorted([*self.solution.groups, *alone]))

    @cached_property
    def residuals(self) -> Table:
        """Every pair and how well it is matched, a row a pair.

        Columns: places `i` and `j` and the files, pixels `n_i` and `n_j`, `area` (arcmin²), `difference` of the two
        skies before, and `residual` after. Of the engine ``robust`` besides: `sigma` of the difference, `chi2` of
        the residual, and whether the pair is an `outlier`.
        """
        from astropy.table import Table

        names = [image.path.name for image in self.images]
        columns: dict[str, list[Any]] = {
            "i": [pair.i for pair in self.pairs],
            "j": [pair.j for pair in self.pairs],
            "file_i": [names[pair.i] for pair in self.pairs],
            "file_j": [names[pair.j] for pair in self.pairs],
            "n_i": [round(pair.n_i) for pair in self.pairs],
            "n_j": [round(pair.n_j) for pair in self.pairs],
            "area": [pair.area * np.degrees(60.0) ** 2 for pair in self.pairs],
            "difference": [pair.sky_i - pair.sky_j for pair in self.pairs],
            "residual": self.solution.residuals.tolist(),
        }
        if self.robust is not None:
            for name in ("sigma", "chi2", "outlier"):
                columns[name] = [getattr(found, name) for found in self.robust.differences]
        return Table(columns, meta={"engine": self.engine})


def match_levels(
    images: Sequence[SkyImage],
    statistic: SkyStatistic,
    masks: Mapping[Signature, NDArray[np.bool_]],
    *,
    anchor: str = "down",
    threads: int = 1,
    progress: Callable[[], None] | None = None,
) -> Match:
    r"""Match the statistics of exposures inside their overlaps.

    With :math:`s_i` and :math:`s_j` the statistics of two exposures inside their overlap in surface brightness, the
    mean over their chips by pixels, and W the mean of the two numbers of pixels, the offsets d minimise
    :math:`\sum W^2 [d_i - d_j - (s_i - s_j)]^2`.

    Parameters
    ----------
    images : sequence of SkyImage
        Exposures.
    statistic : SkyStatistic
        How the sky inside an overlap is measured.
    masks : mapping of Signature to ndarray
        Static masks; empty for none.
    anchor : {'down', 'up', 'mean'}, optional
        What is zero (:func:`~upramp.sky.solve_offsets`), of all groups together.
    threads : int, optional
        Images worked on at a time. The result does not depend on it.
    progress : callable, optional
        Called after every chip measured.

    Returns
    -------
    Match
        Offsets and pairs.

    Raises
    ------
    InputError
        An image without a celestial WCS.

    References
    ----------
    ``skymatch`` of stsci.skypac 1.0.12 and of stcal 1.20.
    """
    chips, overlaps = find_image_overlaps(images, threads=threads)
    wanted: list[list[tuple[int, int, Pixels]]] = [[] for _ in chips]
    for k, overlap in enumerate(overlaps):
        wanted[overlap.i].append((k, 0, overlap.pixels_i))
        wanted[overlap.j].append((k, 1, overlap.pixels_j))

    rooms = PixelRooms(threads)

    def measure(chip: int) -> list[Measured]:
        number, c = chips[chip]
        image = images[number]
        pixels = image.read_good(c, masks.get(signature(image, c)), rooms)
        levels = statistic.measure_regions(pixels, [region for _, _, region in wanted[chip]], threads=1)
        rooms.give_back(pixels)
        return levels

    busy = [chip for chip, regions in enumerate(wanted) if regions]
    found: dict[tuple[int, int], Measured] = {}
    with ThreadPoolExecutor(max(1, min(threads, len(busy)))) as pool:
        for chip, levels in zip(busy, pool.map(measure, busy), strict=True):
            if progress is not None:
                progress()
            found |= {(k, side): level for (k, side, _), level in zip(wanted[chip], levels, strict=True)}

    def pair(k: int, overlap: Overlap) -> Pair:
        (i, first), (j, second) = chips[overlap.i], chips[overlap.j]
        one, other = found[k, 0], found[k, 1]
        s_i = surface_brightness(images[i].chips[first].factor, one, statistic)
        s_j = surface_brightness(images[j].chips[second].factor, other, statistic)
        return Pair(i, j, s_i, one.npix, s_j, other.npix, overlap.area)

    pairs = merge_pairs(pair(k, overlap) for k, overlap in enumerate(overlaps))
    solution = solve_offsets(pairs, len(images), anchor=anchor)  # type: ignore[arg-type]
    return Match("compat", tuple(images), tuple(pairs), solution)


def match_differences(
    images: Sequence[SkyImage],
    masks: Mapping[Signature, NDArray[np.bool_]],
    *,
    order: int = 0,
    stride: int = 1,
    anchor: Anchor = "down",
    threads: int = 1,
    progress: Callable[[], None] | None = None,
) -> Match:
    """Match exposures by the differences of their pixels.

    Parameters
    ----------
    images : sequence of SkyImage
        Exposures.
    masks : mapping of Signature to ndarray
        Static masks; empty for none.
    order : int, optional
        0 for one level an exposure; 1 for a plane, 2 for a surface of the second order.
    stride : int, optional
        Use every so manyth pixel each way.
    anchor : {'down', 'up', 'mean'}, optional
        What is zero (:func:`~upramp.sky.solve_offsets`), of all groups together.
    threads : int, optional
        Pairs worked on at a time. The result does not depend on it.
    progress : callable, optional
        Called after every chip read.

    Returns
    -------
    Match
        Offsets with their uncertainties, pairs, surfaces.

    Raises
    ------
    InputError
        An image without a celestial WCS.
    ValueError
        `order` or `stride` is out of range.

    See Also
    --------
    upramp.sky.measure_differences : How pixels are compared.
    upramp.sky.solve_differences : Weights and uncertainties.
    """
    chips = views(images)
    cells = measure_differences(images, chips, masks=masks, stride=stride, threads=threads, progress=progress)
    found = solve_differences(cells, chips, len(images), order=order, anchor=anchor)
    pairs = tuple(Pair(d.i, d.j, d.difference, d.n, 0.0, d.n, d.area) for d in found.differences)
    return Match("robust", tuple(images), pairs, found.solution, found)


def surface_brightness(factor: float, level: Measured, statistic: SkyStatistic) -> Any:
    """Surface brightness of a level in the arithmetic of skypac.

    Parameters
    ----------
    factor : float
        Surface brightness of one data unit.
    level : Measured
        Level, data units.
    statistic : SkyStatistic
        How it was measured.

    Returns
    -------
    float or numpy.float32
        Their product: 32 bits for a median, which is a number of 32 bits there and makes all products such numbers.
    """
    if statistic.statistic == "median":
        return np.float32(factor) * np.float32(level.value)
    return factor * level.value


def absolute_offsets(local: NDArray[np.float64], offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    r"""Offsets with the level that the lowest sky allows, as ``globalmin+match`` has it.

    Parameters
    ----------
    local : ndarray, (n,) float64
        Sky :math:`B_i` of every exposure by itself, surface brightness.
    offsets : ndarray, (n,) float64
        Its sky :math:`d_i` above a common level.

    Returns
    -------
    ndarray, (n,) float64
        :math:`d_i + \min_j (B_j - d_j)`: subtracted, it leaves no exposure below zero.
    """
    found: NDArray[np.float64] = offsets + (local - offsets).min()
    return found


def find_image_overlaps(
    images: Sequence[SkyImage], *, threads: int = 1
) -> tuple[list[tuple[int, int]], list[Overlap]]:
    """Overlaps of the chips of images.

    Parameters
    ----------
    images : sequence of SkyImage
        Exposures; their own chips make no pairs.
    threads : int, optional
        Threads to use.

    Returns
    -------
    chips : list of (int, int)
        Exposure and place within it of every chip.
    overlaps : list of Overlap
        Their `i` and `j` are places in `chips`.

    Raises
    ------
    InputError
        An image without a celestial WCS.
    """
    chips = [(number, c) for number, image in enumerate(images) for c in range(len(image.chips))]
    outlines = [Outline(images[n].wcs(c), images[n].chips[c].shape, exposure=n) for n, c in chips]
    return chips, find_overlaps(outlines, threads=threads)
