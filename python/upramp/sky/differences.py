"""Differences of overlapping exposures, pixel by pixel, images read one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upramp import _core
from upramp._arrays import count_threads
from upramp.exceptions import InputError
from upramp.sky.images import PixelRooms, SkyImage
from upramp.sky.overlap import footprint, overlapping
from upramp.sky.static import Signature, signature

__all__ = ["Cells", "View", "measure_differences", "views"]

_NODES = 32
"""Pixels between exact positions at most."""
_FINER = 1.2
"""From what ratio of their areas on pixels count as finer."""
_MEMORY = 400 << 20
"""Bytes of images held at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A chip on the sky.

    Attributes
    ----------
    image : int
        Its exposure, place in the list of images.
    chip : int
        Its place in the exposure.
    shape : (int, int)
        (ny, nx).
    nodes : ndarray, (my, mx, 3) float64
        Unit vectors to places evenly from the centre of the first pixel to that of the last.
    corners : ndarray, (4, 2) float64
        Right ascension and declination of its outer corners, degrees.
    pixel_area : float
        Solid angle of a pixel, steradian, the mean.
    """

    image: int
    chip: int
    shape: tuple[int, int]
    nodes: NDArray[np.float64]
    corners: NDArray[np.float64]
    pixel_area: float


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Mean differences of chips in cells of 32 x 32 pixels.

    Attributes
    ----------
    pair : ndarray, (ncell,) int64
        Pair of chips, place in `pairs`.
    count : ndarray, (ncell,) float64
        Pixels averaged.
    mean : ndarray, (ncell,) float64
        Surface brightness of the first chip of the pair less that of the second.
    place_i, place_j : ndarray, (ncell, 2) float64
        Mean place (x, y) in either chip, from 0.
    pairs : ndarray, (npair, 2) int64
        Chips, places in the list of views; the one with the finer pixels first, if they differ by a fifth.
    areas : ndarray, (npair,) float64
        Solid angle of their overlap, steradian.
    clipped : ndarray, (npair,) float64
        Pixels left out as outliers.
    ratio : ndarray, (npair,) float64
        Pixels of the second chip in one of the first.
    noise : ndarray, (nchip,) float64
        Standard deviation of the noise of a pixel, surface brightness; NaN for chips not read.
    stride : int
        Every so manyth pixel was used.
    """

    pair: NDArray[np.int64]
    count: NDArray[np.float64]
    mean: NDArray[np.float64]
    place_i: NDArray[np.float64]
    place_j: NDArray[np.float64]
    pairs: NDArray[np.int64]
    areas: NDArray[np.float64]
    clipped: NDArray[np.float64]
    ratio: NDArray[np.float64]
    noise: NDArray[np.float64]
    stride: int

    @property
    def variance(self) -> NDArray[np.float64]:
        r"""Variance of the means from the noise of pixels, :math:`(s_i^2 + h s_j^2) / n`, (ncell,).

        With a pixels of the second chip in one of the first, h is :math:`1/(a t^2)` at stride t, for then no
        pixel of the second is used more often than another, and not below 4/9, the mean of the squared weights of
        the four pixels that one value is interpolated from.
        """
        i, j = self.pairs.T
        share = np.maximum(1 / (self.ratio * self.stride**2), 4 / 9)
        of_pixel = self.noise[i] ** 2 + share * self.noise[j] ** 2
        variance: NDArray[np.float64] = of_pixel[self.pair] / self.count
        return variance


def views(images: Sequence[SkyImage]) -> list[View]:
    """Where the chips of images are.

    Parameters
    ----------
    images : sequence of SkyImage
        Exposures.

    Returns
    -------
    list of View
        All chips, in order.

    Raises
    ------
    InputError
        An image without a celestial WCS, with less than 3 x 3 pixels, or not on the sky.
    """
    found = []
    for number, image in enumerate(images):
        for c, chip in enumerate(image.chips):
            label = f"{image.path}[SCI,{chip.extver}]"
            if min(chip.shape) < 3:
                raise InputError(f"{label}: shape is {chip.shape}, expected 3 x 3 pixels or more")
            wcs = image.wcs(c)
            nodes = _nodes(wcs, chip.shape)
            if not np.isfinite(nodes).all():
                raise InputError(f"{label}: its WCS puts pixels nowhere on the sky")
            found.append(
                View(number, c, chip.shape, nodes, footprint(wcs, chip.shape), _pixel_area(nodes, chip.shape))
            )
    return found


def measure_differences(
    images: Sequence[SkyImage],
    chips: Sequence[View] | None = None,
    *,
    masks: Mapping[Signature, NDArray[np.bool_]] | None = None,
    stride: int = 1,
    clip: float = 3.0,
    memory: int = _MEMORY,
    threads: int | None = None,
    progress: Callable[[], None] | None = None,
) -> Cells:
    r"""Differences of all exposures that overlap, in cells.

    At a pixel of chip i the difference is :math:`D = B_i - B_j`, with :math:`B_j` the bilinear interpolation of
    chip j at the same place of the sky; pixel and all four neighbours must be good. Means of D are over cells of
    32 x 32 pixels of chip i, after clipping around a plane at `clip` robust standard deviations. Pixels where the
    image is steep are left out beforehand.

    Parameters
    ----------
    images : sequence of SkyImage
        Exposures.
    chips : sequence of View, optional
        Their :func:`views`, if these are at hand.
    masks : mapping of Signature to ndarray, optional
        Static masks (:func:`~upramp.sky.static_masks`).
    stride : int, optional
        Use every so manyth pixel each way.
    clip : float, optional
        Threshold in robust standard deviations.
    memory : int, optional
        Bytes of images held at a time; two are in any case.
    threads : int, optional
        Pairs worked on at a time; default one a core. The result does not depend on it.
    progress : callable, optional
        Called after every chip read.

    Returns
    -------
    Cells
        Of all pairs of chips of different exposures.

    Raises
    ------
    ValueError
        `stride` or `clip` is not positive.
    InputError
        An image without a celestial WCS.

    Notes
    -----
    Positions are exact (full WCS) every 32 pixels, bicubic to every 16, and linear between: within 0.01 pixels for
    WFC3. An image is read once if those it overlaps can be held in `memory` together: images are taken in an order
    in which overlapping ones follow each other (Cuthill and McKee 1969).
    """
    threads = count_threads(threads)
    chips = views(images) if chips is None else chips
    ends, areas = overlapping([chip.corners for chip in chips], [chip.image for chip in chips], threads)
    # The second of a pair is interpolated, and loses nothing if its pixels are the coarser ones. Between equals the
    # place on the sky decides: the order in which images are given does not matter.
    ranks = [(*chip.corners.ravel().tolist(), str(images[chip.image].path)) for chip in chips]
    turned = np.zeros(len(ends), dtype=np.bool_)
    for row, (i, j) in enumerate(ends.tolist()):
        ratio = chips[i].pixel_area / chips[j].pixel_area
        turned[row] = ratio > _FINER or (ratio > 1 / _FINER and ranks[i] > ranks[j])
    ends[turned] = ends[turned, ::-1]
    noise = np.full(len(chips), np.nan)
    rooms = PixelRooms()

    def load(k: int) -> NDArray[np.float32]:
        view = chips[k]
        image = images[view.image]
        pixels = image.read_good(view.chip, (masks or {}).get(signature(image, view.chip)), rooms)
        noise[k], _ = _core.sky_brightness(pixels, image.chips[view.chip].factor)
        if progress is not None:
            progress()
        return pixels

    found: list[tuple[NDArray[Any], ...] | None] = [None] * len(ends)
    with ThreadPoolExecutor(1) as reader:
        for members, rows, held in _batches(
            chips, ends, memory, load, rooms, reader if threads > 1 else None
        ):
            place = {k: number for number, k in enumerate(members)}
            local = np.array([[place[i], place[j]] for i, j in ends[rows].tolist()], dtype=np.int64)
            nodes = [chips[k].nodes for k in members]
            cells, starts, told = _core.image_differences(held, nodes, local, stride, clip, threads)
            for n, row in enumerate(rows):
                found[row] = cells[starts[n] : starts[n + 1]], told[n]
    complete = [one for one in found if one is not None]
    cells = np.concatenate([one[0] for one in complete] or [np.empty((0, 6))])
    told = np.array([one[1] for one in complete]).reshape(-1, 3)
    return Cells(
        pair=np.repeat(np.arange(len(ends)), [len(one[0]) for one in complete]),
        count=cells[:, 0],
        mean=cells[:, 1],
        place_i=cells[:, 2:4],
        place_j=cells[:, 4:6],
        pairs=ends,
        areas=areas,
        clipped=told[:, 0],
        ratio=told[:, 2],
        noise=noise,
        stride=stride,
    )


def _nodes(wcs: Any, shape: tuple[int, int]) -> NDArray[np.float64]:
    my, mx = (max(2, math.ceil((n - 1) / _NODES)) + 1 for n in shape)
    y, x = np.meshgrid(np.linspace(0, shape[0] - 1, my), np.linspace(0, shape[1] - 1, mx), indexing="ij")
    ra, dec = np.radians(wcs.all_pix2world(x.ravel(), y.ravel(), 0))
    vectors = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)
    return vectors.reshape(my, mx, 3)


def _pixel_area(nodes: NDArray[np.float64], shape: tuple[int, int]) -> float:
    right, up = np.diff(nodes, axis=1)[:-1], np.diff(nodes, axis=0)[:, :-1]
    area = np.linalg.norm(np.cross(right, up), axis=-1).mean()
    steps = (nodes.shape[0] - 1) * (nodes.shape[1] - 1)
    return float(area * steps / ((shape[0] - 1) * (shape[1] - 1)))


def _batches(
    chips: Sequence[View],
    ends: NDArray[np.int64],
    memory: int,
    load: Any,
    rooms: PixelRooms,
    reader: ThreadPoolExecutor | None,
) -> Iterable[tuple[list[int], list[int], list[NDArray[np.float32]]]]:
    """Chips to hold together, the pairs among them to work, and their pixels; every pair once."""
    pairs_of: list[list[tuple[int, int]]] = [[] for _ in chips]
    for row, (i, j) in enumerate(ends.tolist()):
        pairs_of[i].append((j, row))
        pairs_of[j].append((i, row))
    order = _in_order(pairs_of)
    turn = {k: n for n, k in enumerate(order)}
    last = {k: max([turn[k], *(turn[m] for m, _ in pairs_of[k])]) for k in order}
    held: dict[int, NDArray[np.float32]] = {}
    coming: dict[int, Future[NDArray[np.float32]]] = {}

    def hold(k: int, needed: Iterable[int]) -> None:
        if k in held:
            return
        bytes_of = {m: 4 * math.prod(chips[m].shape) for m in (*held, k)}
        spare = [m for m in held if m not in needed]
        while spare and sum(bytes_of.values()) > memory:
            # The one not needed for longest; in a mosaic swept once there is none to drop.
            worst = max(
                spare, key=lambda m: min((turn[p] for p, _ in pairs_of[m] if turn[p] > now), default=10**9)
            )
            spare.remove(worst)
            del bytes_of[worst]
            rooms.give_back(held.pop(worst))
        future = coming.pop(k, None)
        held[k] = load(k) if future is None else future.result()

    for now, k in enumerate(order):
        earlier = [(m, row) for m, row in pairs_of[k] if turn[m] < now]
        if reader is not None and now + 1 < len(order) and order[now + 1] not in held:
            coming[order[now + 1]] = reader.submit(load, order[now + 1])
        # Those at hand first, then what had to go, in parts that fit.
        earlier.sort(key=lambda one: (one[0] not in held, turn[one[0]]))
        size = 4 * math.prod(chips[k].shape)
        room = max(1, (memory - size) // max([size, *(4 * math.prod(chips[m].shape) for m, _ in earlier)]))
        for start in range(0, max(1, len(earlier)), room):
            part = earlier[start : start + room]
            members = [k, *(m for m, _ in part)]
            for m in members:
                hold(m, members)
            if part:
                yield members, [row for _, row in part], [held[m] for m in members]
        for m in [m for m in held if last[m] <= now]:
            rooms.give_back(held.pop(m))


def _in_order(pairs_of: Sequence[Sequence[tuple[int, int]]]) -> list[int]:
    """Chips with pairs, group by group breadth first from one with few neighbours: Cuthill and McKee's order."""
    degree = [len(pairs) for pairs in pairs_of]
    seen: set[int] = set()
    order: list[int] = []
    for start in sorted((k for k in range(len(degree)) if degree[k]), key=lambda k: degree[k]):
        if start in seen:
            continue
        seen.add(start)
        queue = [start]
        for k in queue:
            new = sorted({m for m, _ in pairs_of[k]} - seen, key=lambda m: (degree[m], m))
            seen.update(new)
            queue.extend(new)
        order.extend(queue)
    return order
