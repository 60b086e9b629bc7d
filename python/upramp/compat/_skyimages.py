"""Images and groups of images in memory, as ``stcal.skymatch`` has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp.compat._skystats import as_pair
from upramp.sky import Outline, Pixels, SkyStatistic, fill_polygon, find_overlaps, polygon_area

__all__ = ["Level", "Region", "SkyGroup", "SkyImage", "measure_overlaps"]


class Level(NamedTuple):
    """A sky and what it rests on."""

    sky: Any
    """Statistic; None without a pixel."""
    npix: int
    """Pixels used."""
    area: float
    """Solid angle, steradian."""


class Region:
    """Polygons on the sky.

    Parameters
    ----------
    polygons : sequence of ndarray, (n, 2)
        Right ascension and declination of the vertices, degrees.
    """

    def __init__(self, polygons: Sequence[NDArray[np.float64]]) -> None:
        self.polygons = tuple(polygons)

    def area(self) -> float:
        """Solid angle, steradian; polygons that overlap count twice."""
        return sum(polygon_area(polygon) for polygon in self.polygons)

    def to_radec(self) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Right ascensions and declinations of every polygon, degrees, closed."""
        for polygon in self.polygons:
            closed = np.concatenate([polygon, polygon[:1]])
            yield closed[:, 0], closed[:, 1]


class _Places:
    """A callable from the sky to pixels, as :class:`upramp.sky.Outline` asks its WCS."""

    def __init__(self, to_pixels: Any) -> None:
        self.to_pixels = to_pixels

    def all_world2pix(self, ra: ArrayLike, dec: ArrayLike, origin: int) -> tuple[Any, Any]:
        x, y = self.to_pixels(ra, dec, with_bounding_box=False)
        return np.asarray(x) + origin, np.asarray(y) + origin


class SkyImage:
    """An image whose sky is to be measured.

    Parameters
    ----------
    image : ndarray, (ny, nx)
        Pixels, in surface brightness: of one unit for all images.
    mask : ndarray, (ny, nx)
        Pixels to use.
    wcs_fwd, wcs_inv : callable
        From pixels, counted from 0, to right ascension and declination in degrees, and back; both take
        ``with_bounding_box=False``.
    skystat : callable
        :class:`SkyStats`, or any function of an array of pixels that returns a statistic and a number of pixels.
    sky_id : object, optional
        Name for the log.
    stepsize : int, optional
        Pixels between vertices of the outline; default its corners only.
    meta : object, optional
        Kept as it is.

    Attributes
    ----------
    sky : float
        Sky found so far.
    is_sky_valid : bool
        Whether it was found.
    """

    def __init__(
        self,
        image: NDArray[Any],
        mask: NDArray[Any],
        wcs_fwd: Any,
        wcs_inv: Any,
        skystat: Any,
        sky_id: Any = None,
        stepsize: int | None = None,
        meta: Any = None,
    ) -> None:
        if image.shape != mask.shape:
            raise ValueError(f"'mask' must have the same shape as 'image': {mask.shape}, not {image.shape}")
        self.image, self.mask, self.skystat = image, mask, skystat
        self.sky_id, self.meta = sky_id, meta
        self.sky: Any = 0.0
        self.is_sky_valid = False
        self._wcs_inv = wcs_inv
        self._polygon = Region([_outline(image.shape, wcs_fwd, stepsize)])

    def intersection(self, skyimage: SkyImage | SkyGroup) -> Region:
        """Where this image overlaps another, or the images of a group.

        Parameters
        ----------
        skyimage : SkyImage or SkyGroup
            The other.

        Returns
        -------
        Region
            Convex polygons.
        """
        pieces = [
            piece
            for overlap in find_overlaps(_outlines([self, skyimage]), threads=1)
            if overlap.i == 0
            for piece in overlap.polygons
        ]
        return Region([_to_radec(piece) for piece in pieces])

    def calc_sky(self, overlap: SkyImage | SkyGroup | None = None, delta: bool = True) -> Level:
        """Sky of the image.

        Parameters
        ----------
        overlap : SkyImage or SkyGroup, optional
            Measure only where it overlaps this one.
        delta : bool, optional
            Whether :attr:`sky` is taken off.

        Returns
        -------
        Level
            Sky (None without a pixel), pixels and area.
        """
        if overlap is not None:
            return measure_overlaps([self, overlap], delta=delta).get((0, 1), Level(None, 0, 0.0))
        (level,) = self._measure([None], delta=delta)
        return level if level.sky is None else level._replace(area=self._polygon.area())

    def _measure(self, regions: Sequence[Pixels | None], *, delta: bool) -> list[Level]:
        """Level in each region, None for the whole image; without areas."""
        statistic = getattr(self.skystat, "statistic", None)
        mask = np.asarray(self.mask, bool)
        found: list[tuple[Any, int]] = []
        if isinstance(statistic, SkyStatistic):
            pixels = np.where(mask, self.image, np.nan).astype(np.float32)
            for region in regions:
                if region is None:
                    measured = statistic.measure(pixels)
                else:
                    (measured,) = statistic.measure_regions(pixels, [region], threads=1)
                found.append(as_pair(statistic, measured.value, measured.npix))
        else:
            for region in regions:
                inside = mask if region is None else mask & region.mask()
                try:
                    found.append(self.skystat(self.image[inside]) if inside.any() else (None, 0))
                except ValueError:
                    found.append((None, 0))
        return [
            Level(None, 0, 0.0)
            if value is None or npix < 1 or not np.isfinite(value)
            else Level(value - self.sky if delta else value, npix, 0.0)
            for value, npix in found
        ]


class SkyGroup:
    """Images, such as the chips of an exposure, that have one sky.

    Parameters
    ----------
    images : sequence of SkyImage
        Images.
    sky_id : object, optional
        Name for the log.
    """

    def __init__(self, images: Sequence[SkyImage], sky_id: Any = None) -> None:
        if not images:
            raise ValueError("SkyGroup requires a list of images")
        self._images = images
        self._polygon = Region([polygon for image in images for polygon in image._polygon.polygons])
        self.sky_id = sky_id
        self._sky: Any = 0.0

    @property
    def sky(self) -> Any:
        """Sky found so far; setting it changes that of all images by as much."""
        return self._sky

    @sky.setter
    def sky(self, sky: Any) -> None:
        change = sky - self._sky
        self._sky = sky
        for image in self._images:
            image.sky += change

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, place: int) -> SkyImage:
        return self._images[place]

    def __iter__(self) -> Iterator[SkyImage]:
        yield from self._images

    def calc_sky(self, overlap: SkyImage | SkyGroup | None = None, delta: bool = True) -> Level:
        """Sky of the group: the lowest of its images, or their mean by pixels where `overlap` is.

        Parameters
        ----------
        overlap : SkyImage or SkyGroup, optional
            Measure only where it overlaps this one.
        delta : bool, optional
            Whether :attr:`sky` is taken off.

        Returns
        -------
        Level
            Sky (None without a pixel), pixels and area.
        """
        if overlap is not None:
            return measure_overlaps([self, overlap], delta=delta).get((0, 1), Level(None, 0, 0.0))
        levels = [image.calc_sky(delta=delta) for image in self]
        return min(
            (level for level in levels if level.sky is not None),
            key=lambda level: level.sky,
            default=Level(None, 0, 0.0),
        )


def measure_overlaps(items: Sequence[SkyImage | SkyGroup], *, delta: bool) -> dict[tuple[int, int], Level]:
    """Sky of every item where another one overlaps it.

    Parameters
    ----------
    items : sequence of SkyImage or SkyGroup
        Images and groups.
    delta : bool
        Whether the sky found so far is taken off.

    Returns
    -------
    dict of (int, int) to Level
        By the place of the item measured and that of the other; those that overlap only.

    Notes
    -----
    Where several images of a group overlap an image, it is measured once in all of their regions together, and the
    levels of the images of a group are averaged by their pixels, as stcal does.
    """
    owner = [(n, image) for n, item in enumerate(items) for image in _images(item)]
    regions: list[dict[int, list[Pixels]]] = [{} for _ in owner]
    areas: list[dict[int, float]] = [{} for _ in owner]
    outlines: list[list[tuple[int, NDArray[np.float64]]]] = [[] for _ in owner]
    for overlap in find_overlaps(_outlines(items), threads=1):
        for chip, other in ((overlap.i, overlap.j), (overlap.j, overlap.i)):
            item = owner[other][0]
            areas[chip][item] = areas[chip].get(item, 0.0) + overlap.area
            outlines[chip] += [(item, piece) for piece in overlap.polygons]
    for chip, (_, image) in enumerate(owner):
        for item, pixels in zip(*_fill(image, outlines[chip]), strict=True):
            regions[chip].setdefault(item, []).append(pixels)
    sums: dict[tuple[int, int], tuple[Any, int, float]] = {}
    for chip, (number, image) in enumerate(owner):
        if not regions[chip]:
            continue
        levels = image._measure([_together(parts) for parts in regions[chip].values()], delta=delta)
        for other, level in zip(regions[chip], levels, strict=True):
            total, npix, area = sums.get((number, other), (0.0, 0, 0.0))
            if level.sky is not None:
                total, npix = total + level.sky * level.npix, npix + level.npix
            sums[number, other] = total, npix, area + areas[chip][other]
    return {
        key: Level(total / npix if npix else None, npix, area) for key, (total, npix, area) in sums.items()
    }


def _images(item: SkyImage | SkyGroup) -> Sequence[SkyImage]:
    return [item] if isinstance(item, SkyImage) else list(item)


def _outlines(items: Sequence[SkyImage | SkyGroup]) -> list[Outline]:
    return [
        Outline(
            _Places(image._wcs_inv), image.image.shape, exposure=number, polygon=image._polygon.polygons[0]
        )
        for number, item in enumerate(items)
        for image in _images(item)
    ]


def _fill(
    image: SkyImage, outlines: Sequence[tuple[int, NDArray[np.float64]]]
) -> tuple[list[int], list[Pixels]]:
    """Pixels of an image inside polygons, and the items that those belong to."""
    if not outlines:
        return [], []
    sky = _to_radec(np.concatenate([piece for _, piece in outlines]))
    places = np.column_stack(image._wcs_inv(sky[:, 0], sky[:, 1], with_bounding_box=False))
    parts = np.split(places, np.cumsum([len(piece) for _, piece in outlines])[:-1])
    # Rounded from the lowest corner, where that is outside of the image; skypac, and our fill, round as they are.
    lowest = [np.minimum(part.min(axis=0), 0) for part in parts]
    rounded = [np.round(part - low) + np.round(low) for part, low in zip(parts, lowest, strict=True)]
    shape = image.image.shape[0], image.image.shape[1]
    return [item for item, _ in outlines], [fill_polygon(part, shape) for part in rounded]


def _together(parts: list[Pixels]) -> Pixels:
    """Pixels that are in any of the parts."""
    if len(parts) == 1:
        return parts[0]
    inside = np.logical_or.reduce([part.mask() for part in parts])
    steps = np.diff(np.pad(inside, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, first = np.nonzero(steps == 1)
    end = np.nonzero(steps == -1)[1]
    return Pixels(parts[0].shape, np.column_stack([rows, first, end]).astype(np.int64))


def _outline(shape: tuple[int, ...], to_sky: Any, step: int | None) -> NDArray[np.float64]:
    """Vertices along the outer edges of the image, counter-clockwise from the first pixel."""
    ny, nx = shape
    numbers = [2 if step is None else max(2, int(np.ceil((n + 1) / step))) for n in (nx, ny)]
    x, y = (np.linspace(-0.5, n - 0.5, number) for n, number in zip((nx, ny), numbers, strict=True))
    sides = [(x[:-1], y[:1]), (x[-1:], y[:-1]), (x[:0:-1], y[-1:]), (x[:1], y[:0:-1])]
    corners = np.concatenate([np.stack(np.broadcast_arrays(*side)) for side in sides], axis=1)
    across, up = corners
    ra, dec = to_sky(across, up, with_bounding_box=False)
    return np.column_stack([np.asarray(ra, float), np.asarray(dec, float)])


def _to_radec(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, z = vectors.T
    sky: NDArray[np.float64] = np.column_stack(
        [np.arctan2(y, x) % (2 * np.pi), np.arctan2(z, np.hypot(x, y))]
    )
    return np.degrees(sky)
