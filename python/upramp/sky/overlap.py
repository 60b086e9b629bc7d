"""Where exposures overlap on the sphere, and which pixels of each lie there.

The footprint of a chip is the polygon of its four corners through its full WCS, its edges great circles; a pair
overlaps where the intersection of two footprints has an area. Pixels inside are told by the scan-line rule of
stsci.skypac and stcal: vertices rounded to whole pixels, both ends of every row and the top row included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from astropy.wcs import NoConvergence
from numpy.typing import ArrayLike, NDArray

from upramp import _core
from upramp._arrays import as_array, count_threads

__all__ = ["Outline", "Overlap", "Pixels", "fill_polygon", "find_overlaps", "footprint", "polygon_area"]


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """An image on the sky: its WCS and how far it reaches.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Its full WCS, SIP and table distortions included.
    shape : (int, int)
        Its shape (ny, nx).
    exposure : int, optional
        Exposure it belongs to: chips of one exposure never make a pair. By default it is its own.
    polygon : array_like, (n, 2), optional
        Footprint as right ascension and declination in degrees: a simple polygon, convex or not, smaller than a
        hemisphere. By default its four corners (see :func:`footprint`).
    """

    wcs: Any
    shape: tuple[int, int]
    exposure: int | None = None
    polygon: ArrayLike | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Pixels of an image, row by row.

    Attributes
    ----------
    shape : (int, int)
        Shape of the image.
    spans : ndarray, (n, 3) int64
        Row, first column, end of columns (exclusive); sorted, spans of a row apart.
    """

    shape: tuple[int, int]
    spans: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of pixels."""
        return int((self.spans[:, 2] - self.spans[:, 1]).sum())

    def mask(self) -> NDArray[np.bool_]:
        """True where a pixel is inside, in the shape of the image."""
        edges = np.zeros((self.shape[0], self.shape[1] + 1), dtype=np.int8)
        rows, first, end = self.spans.T
        # Spans of a row are apart: no place is marked twice.
        edges[rows, first] = 1
        edges[rows, end] = -1
        return np.cumsum(edges, axis=1, dtype=np.int8)[:, :-1].view(np.bool_)


class Overlap(NamedTuple):
    """The region two chips share."""

    i: int
    """First chip, its place in the list."""
    j: int
    """Second chip, after the first."""
    area: float
    """Solid angle, steradian."""
    pixels_i: Pixels
    """Pixels of the first chip inside."""
    pixels_j: Pixels
    """Pixels of the second."""
    polygons: tuple[NDArray[np.float64], ...]
    """Convex pieces of the region, unit vectors (n, 3) counter-clockwise; one if both footprints are convex."""


def footprint(wcs: Any, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Corners of an image on the sky.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Its full WCS, two celestial axes.
    shape : (int, int)
        Its shape (ny, nx).

    Returns
    -------
    ndarray, (4, 2) float64
        Right ascension and declination in degrees of the outer corners of the corner pixels, (-0.5, -0.5),
        (nx - 0.5, -0.5), (nx - 0.5, ny - 0.5) and (-0.5, ny - 0.5) counted from zero.

    Raises
    ------
    ValueError
        No celestial WCS, or corners that are not on the sky.
    """
    if wcs is None or not getattr(wcs, "has_celestial", False) or wcs.naxis != 2:
        raise ValueError("wcs has no two celestial axes, expected a WCS of an image of the sky")
    ny, nx = shape
    if ny < 1 or nx < 1:
        raise ValueError(f"shape is {shape}, expected at least one pixel")
    x = np.array([-0.5, nx - 0.5, nx - 0.5, -0.5])
    y = np.array([-0.5, -0.5, ny - 0.5, ny - 0.5])
    corners = np.column_stack(wcs.all_pix2world(x, y, 0))
    if not np.isfinite(corners).all():
        raise ValueError(f"corners of the image are {corners.tolist()}, expected places on the sky")
    return corners


def polygon_area(polygon: ArrayLike) -> float:
    """Solid angle of a simple polygon of great-circle arcs.

    Parameters
    ----------
    polygon : array_like, (n, 2)
        Right ascension and declination of the vertices in degrees, in either sense.

    Returns
    -------
    float
        Steradian.

    Raises
    ------
    ValueError
        Not (n, 2), not finite, or a hemisphere and more.

    Notes
    -----
    The sum of the spherical excesses of a fan of triangles, tan(E / 2) = a . (b x c) / (1 + a . b + b . c + c . a)
    (Eriksson 1990, Mathematics Magazine 63, 184).

    Examples
    --------
    >>> polygon_area([(0, 0), (90, 0), (0, 90)]) / np.pi  # an octant
    0.5
    """
    vectors = _vectors("polygon", polygon)
    return float(_core.polygon_areas(vectors, np.array([0, len(vectors)]))[0])


def fill_polygon(vertices: ArrayLike, shape: tuple[int, int]) -> Pixels:
    """Pixels of an image inside a polygon, by the rule of stsci.skypac and stcal.

    Parameters
    ----------
    vertices : array_like, (n, 2)
        Vertices (x, y) in pixels, the centre of the first pixel (0, 0).
    shape : (int, int)
        Shape of the image (ny, nx).

    Returns
    -------
    Pixels
        Bit for bit those that ``region.Polygon(...).scan`` of either package fills.

    Notes
    -----
    Vertices are rounded to whole pixels. A row y takes the edges with ymin <= y < ymax, the last row those of the
    row before; pixels from the first to the second meeting (rounded up), both included, are inside.

    Examples
    --------
    >>> fill_polygon([(0, 0), (3, 0), (0, 3)], (5, 5)).mask().astype(int).sum(axis=1).tolist()
    [4, 3, 2, 1, 0]
    """
    corners = np.ascontiguousarray(vertices, dtype=np.float64).reshape(-1, 2)
    (pixels,) = _fill(corners, np.array([0, len(corners)]), np.array([0, 1]), [shape], 1)
    return pixels


def find_overlaps(chips: Sequence[Outline], *, threads: int | None = None) -> list[Overlap]:
    """Find all overlaps of chips of different exposures, and their pixels.

    Parameters
    ----------
    chips : sequence of Outline
        Images on the sky, in any order, anywhere.
    threads : int, optional
        Threads to use; all available ones by default. They change no result.

    Returns
    -------
    list of Overlap
        In the order of (i, j), i < j; pairs that only touch are none.

    Raises
    ------
    ValueError
        A chip without celestial WCS, without pixels or with a polygon that is none; the message has its number.

    Notes
    -----
    Pairs are found by their bounding caps in a sweep over the sky, not one by one. Intersections are by clipping
    unit vectors against the sides of convex parts (Sutherland and Hodgman 1974), which no identical, touching or
    contained footprint upsets.

    References
    ----------
    Footprints and pixels: ``skyline`` and ``region`` of stsci.skypac 1.0.12, with corners at -0.5 and n - 0.5.
    """
    threads = count_threads(threads)
    vectors = []
    for number, chip in enumerate(chips):
        try:
            polygon = footprint(chip.wcs, chip.shape) if chip.polygon is None else chip.polygon
            vectors.append(_vectors("polygon", polygon))
            _core.polygon_areas(vectors[-1], np.array([0, len(vectors[-1])]))
        except ValueError as error:
            raise ValueError(f"chip {number}: {error}") from error
    if not vectors:
        return []
    exposures = _exposures(chips)
    ends, areas, vertices, starts, pieces = _core.find_overlaps(
        np.concatenate(vectors), _running([len(v) for v in vectors]), exposures, threads
    )
    sides = []
    for side in (0, 1):
        pixels = _to_pixels(chips, ends[:, side], vertices, starts[pieces])
        shapes = [chips[chip].shape for chip in ends[:, side]]
        sides.append(_fill(pixels, starts, pieces, shapes, threads))
    polygons = np.split(vertices, starts[1:-1]) if len(ends) else []
    return [
        Overlap(
            int(i),
            int(j),
            float(areas[k]),
            sides[0][k],
            sides[1][k],
            tuple(polygons[pieces[k] : pieces[k + 1]]),
        )
        for k, (i, j) in enumerate(ends)
    ]


def overlapping(
    polygons: Sequence[ArrayLike], exposures: Sequence[int], threads: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which footprints overlap, without their pixels.

    Parameters
    ----------
    polygons : sequence of array_like, (n, 2)
        Footprints, right ascension and declination in degrees.
    exposures : sequence of int
        Exposure of every footprint; those of one make no pair.
    threads : int
        Threads to use.

    Returns
    -------
    ends : ndarray, (npair, 2) int64
        Places (i, j), i < j, in order.
    areas : ndarray, (npair,) float64
        Solid angles of their overlaps, steradian.
    """
    if not len(polygons):
        return np.empty((0, 2), np.int64), np.empty(0)
    vectors = [_vectors("polygon", polygon) for polygon in polygons]
    starts = _running([len(v) for v in vectors])
    ends, areas, *_ = _core.find_overlaps(
        np.concatenate(vectors), starts, np.array(exposures, dtype=np.int64), threads
    )
    return ends, areas


def _vectors(name: str, polygon: ArrayLike) -> NDArray[np.float64]:
    """Unit vectors (n, 3) of (ra, dec) in degrees."""
    sky = as_array(name, polygon, np.float64, 2)
    if sky.shape[1] != 2 or not np.isfinite(sky).all():
        raise ValueError(f"{name} has shape {sky.shape}, expected (n, 2) finite numbers: ra, dec in degrees")
    ra, dec = np.radians(sky).T
    return np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def _exposures(chips: Sequence[Outline]) -> NDArray[np.int64]:
    """Exposure of every chip; one that names none is given a number of its own."""
    named = [chip.exposure for chip in chips if chip.exposure is not None]
    free = max(named, default=-1) + 1
    return np.array(
        [free + k if c.exposure is None else c.exposure for k, c in enumerate(chips)], dtype=np.int64
    )


def _running(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _to_pixels(
    chips: Sequence[Outline],
    owners: NDArray[np.int64],
    vertices: NDArray[np.float64],
    bounds: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Pixel places of the vertices of every overlap in the image of its owner, one call of its WCS per chip."""
    x, y, z = vertices.T
    sky = np.degrees(np.column_stack([np.arctan2(y, x) % (2 * np.pi), np.arctan2(z, np.hypot(x, y))]))
    owner = np.repeat(owners, np.diff(bounds))
    order = np.argsort(owner, kind="stable")
    pixels = np.empty((len(vertices), 2))
    first = np.flatnonzero(np.diff(owner[order], prepend=-1))
    for rows in np.split(order, first[1:]):
        if not len(rows):
            continue
        number = owner[rows[0]]
        try:
            # Corners of a chip are halfway between pixels: what the iteration leaves, with its default tolerance,
            # decides which way they are rounded, here as in skypac.
            places = chips[number].wcs.all_world2pix(*sky[rows].T, 0)
        except NoConvergence as error:
            raise ValueError(f"chip {number}: its WCS cannot be inverted at {sky[rows].tolist()}") from error
        pixels[rows] = np.column_stack(places)
    return pixels


def _fill(
    corners: NDArray[np.float64],
    starts: NDArray[np.int64],
    pieces: NDArray[np.int64],
    shapes: Sequence[tuple[int, int]],
    threads: int,
) -> list[Pixels]:
    """Pixels inside every polygon."""
    sizes = np.array(shapes, dtype=np.int64).reshape(-1, 2)
    spans, bounds = _core.fill_polygons(corners, starts, pieces, sizes, threads)
    return [Pixels(shape, spans[a:b]) for shape, a, b in zip(shapes, bounds[:-1], bounds[1:], strict=True)]
