"""Overlaps on the sphere: exact integer arithmetic as reference for areas, skypac's own outlines for the rest."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.wcs import WCS, Sip
from numpy.typing import NDArray

from upramp import _core
from upramp.sky import Outline, Pixels, fill_polygon, find_overlaps, footprint, polygon_area

Vectors = NDArray[np.float64]
Whole = tuple[int, int, int]


def dot(a: Whole, b: Whole) -> int:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Whole, b: Whole) -> Whole:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def whole(polygon: Vectors) -> list[Whole]:
    """Vertices as whole numbers, exact but for 2^-80, counter-clockwise."""
    found: list[Whole] = []
    for vertex in polygon.tolist():
        ratios = [x.as_integer_ratio() for x in vertex]
        x, y, z = (above * 2**80 // below for above, below in ratios)
        found.append((x, y, z))
    turn = sum(dot(found[0], cross(b, c)) for b, c in pairwise(found[1:]))
    return found if turn >= 0 else found[::-1]


def exact_area(first: Vectors, second: Vectors) -> float:
    """Solid angle of the intersection of two convex polygons; rounded once per triangle, at the end."""
    kept, clip = whole(first), whole(second)
    for start, end in zip(clip, clip[1:] + clip[:1], strict=True):
        normal = cross(start, end)
        sides = [dot(normal, p) for p in kept]
        cut: list[Whole] = []
        for k, b in enumerate(kept):
            a, side_a, side_b = kept[k - 1], sides[k - 1], sides[k]
            if (side_a < 0 < side_b) or (side_b < 0 < side_a):
                p = [abs(side_a) * y + abs(side_b) * x for x, y in zip(a, b, strict=True)]
                shift = max(0, max(abs(x) for x in p).bit_length() - 400)  # keeps 120 digits
                cut.append((p[0] >> shift, p[1] >> shift, p[2] >> shift))
            if side_b >= 0:
                cut.append(b)
        kept = cut
    total = 0.0
    for b, c in pairwise(kept[1:]):
        a = kept[0]
        lengths = [math.isqrt(dot(v, v)) for v in (a, b, c)]
        scale = lengths[0] * lengths[1] * lengths[2]
        under = scale + dot(a, b) * lengths[2] + dot(b, c) * lengths[0] + dot(c, a) * lengths[1]
        total += 2 * math.atan2(dot(a, cross(b, c)) / scale, under / scale)
    return total


def our_area(first: Vectors, second: Vectors) -> float:
    starts = np.array([0, len(first), len(first) + len(second)])
    ends, areas, *_ = _core.find_overlaps(np.concatenate([first, second]), starts, np.array([0, 1]), 1)
    assert ends.tolist() in ([], [[0, 1]])
    return float(areas.sum())


def frame(rng: np.random.Generator, place: int) -> Vectors:
    """Axes east, north and out somewhere; at the poles and at the wrap of the right ascension now and then."""
    ra, dec = rng.uniform(0, 2 * np.pi), np.arcsin(rng.uniform(-1, 1))
    if place == 1:
        ra, dec = rng.normal(scale=1e-4), rng.normal(scale=1e-4)
    if place == 2:
        dec = rng.choice([-1, 1]) * (np.pi / 2 - abs(rng.normal(scale=1e-4)))
    out = [np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)]
    east = [-np.sin(ra), np.cos(ra), 0]
    return np.array([east, np.cross(out, east), out])


def on_sky(plane: Vectors, axes: Vectors) -> Vectors:
    vectors = np.column_stack([plane, np.ones(len(plane))]) @ axes
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def ring(rng: np.random.Generator, size: float, n: int = 4) -> Vectors:
    """A convex polygon of about `size` in the tangent plane."""
    angles = np.arange(n) * 2 * np.pi / n + rng.uniform(0, 0.6, n)
    return size * np.column_stack([np.cos(angles), rng.uniform(0.3, 1) * np.sin(angles)])


def random_pairs(count: int) -> Iterator[tuple[Vectors, Vectors, str]]:
    rng = np.random.default_rng(5)
    kinds = ["shifted", "identical", "reversed", "nearly", "touching", "contained", "containing", "corner"]
    for k in range(count):
        kind = kinds[k % len(kinds)]
        size = 10 ** rng.uniform(-4, -0.5)
        axes = frame(rng, k // len(kinds) % 3)
        plane = ring(rng, size)
        first = on_sky(plane, axes)
        other = plane
        if kind == "shifted":
            other = ring(rng, size * 10 ** rng.uniform(-1, 1)) + rng.normal(scale=size, size=2)
        if kind == "contained":
            other = plane * rng.uniform(0.1, 0.9)
        if kind == "containing":
            other = plane * rng.uniform(1.1, 3)
        if kind == "nearly":
            other = plane + rng.normal(scale=1e-12, size=plane.shape)
        second = on_sky(other, axes)
        if kind == "reversed":
            second = np.roll(first, rng.integers(4), axis=0)[::-1].copy()
        if kind == "touching":  # a triangle on the other side of an edge
            apex = (plane[0] + plane[1]) * rng.uniform(1, 3)
            second = np.array([first[0], first[1], on_sky(apex[None], axes)[0]])
        if kind == "corner":
            second = on_sky(2 * plane[2] - plane, axes)
            second[2] = first[2]
        yield first, second, kind


def test_areas_of_ten_thousand_pairs() -> None:
    met = 0
    for first, second, kind in random_pairs(10_000):
        ours, exact = our_area(first, second), exact_area(first, second)
        around = np.linalg.norm(second - np.roll(second, 1, axis=0), axis=1).sum()
        # Slivers between edges that touch are as wide as the rounding of a unit vector.
        assert abs(ours - exact) <= 1e-9 * exact + 1e-15 * around, kind
        if kind in ("identical", "reversed", "contained"):
            whole_one = float(_core.polygon_areas(second, np.array([0, len(second)]))[0])
            assert ours == pytest.approx(whole_one, rel=1e-9)
        met += ours > 0
    assert 5000 < met < 9000


def test_concave_footprints() -> None:
    rng = np.random.default_rng(6)
    for k in range(100):
        axes = frame(rng, k % 3)
        stars = [
            ring(rng, 0.01, 9) * rng.uniform(0.2, 1, (9, 1)) + rng.normal(scale=0.004, size=2)
            for _ in range(2)
        ]
        polygons = [on_sky(star, axes) for star in stars]
        # Signed triangles from any point make up the polygon; here from the tangent point.
        exact = 0.0
        out = on_sky(np.zeros((1, 2)), axes)[0]
        fans = [
            [np.array([out, a, b]) for a, b in zip(p, np.roll(p, -1, axis=0), strict=True)] for p in polygons
        ]
        for a in fans[0]:
            for b in fans[1]:
                sign = np.sign(np.linalg.det(a)) * np.sign(np.linalg.det(b))
                exact += sign * exact_area(a, b)
        assert our_area(*polygons) == pytest.approx(exact, rel=1e-9, abs=1e-17)


def test_pixels_are_those_of_skypac(shared: Path) -> None:
    cases = json.loads((shared / "golden" / "sky" / "region_fill_cases.json").read_text())["cases"]
    assert len(cases) == 8
    for case in cases:
        pixels = fill_polygon(case["vertices"], tuple(case["shape"]))
        rows = [[y, first, end - 1, end - first] for y, first, end in pixels.spans.tolist()]
        assert rows == case["rows"]
        assert pixels.count == pixels.mask().sum() == sum(row[3] for row in case["rows"])


def simulated_wcs(ra: float, dec: float, angle: float, size: int) -> WCS:
    """WFC3/IR, strongly distorted."""
    wcs = WCS(naxis=2)
    turn = np.radians(angle)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [size / 2, size / 2]
    wcs.wcs.cd = np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * 0.13 / 3600
    a, b = np.zeros((3, 3)), np.zeros((3, 3))
    a[1, 1], b[0, 2], b[2, 0] = 2.4e-5, 3.0e-5, 7e-6
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    wcs.wcs.set()
    return wcs


@pytest.fixture(scope="module")
def nebula(shared: Path) -> tuple[dict[str, Any], list[Outline]]:
    """Footprints of the 18 exposures, and their WCS as the tool that simulates them writes it."""
    spec = importlib.util.spec_from_file_location("sim_mosaic", shared / "tools" / "sim_mosaic.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    folder = shared / "golden" / "sky"
    truth = json.loads((folder / "ir_nebula.json").read_text())["truth"]
    n = truth["size"]
    chips = [
        Outline(
            WCS(tool.make_wcs_header(tool.IR_SIP, n, n, e["ra"], e["dec"], e["pa"], (n / 2, n / 2))), (n, n)
        )
        for e in truth["exposures"]
    ]
    return json.loads((folder / "footprints_ir_nebula.json").read_text()), chips


def test_footprints_overlaps_and_outlines(nebula: tuple[dict[str, Any], list[Outline]]) -> None:
    golden, chips = nebula
    for chip, corners, area in zip(chips, golden["corners"], golden["area"], strict=True):
        ours = footprint(chip.wcs, chip.shape)
        np.testing.assert_allclose(ours, np.array(corners)[:, :4].T, rtol=0, atol=1e-12)
        # Theirs is a difference of angles of order one.
        assert polygon_area(ours) == pytest.approx(area, abs=3e-15)
    found = find_overlaps(chips, threads=1)
    assert [(o.i, o.j) for o in found] == [(p["i"], p["j"]) for p in golden["pairs"]]
    for overlap, pair in zip(found, golden["pairs"], strict=True):
        assert overlap.area == pytest.approx(pair["area_sr"], abs=3e-15)
        (polygon,) = overlap.polygons
        ra, dec = np.radians(np.array(pair["vertices"][0])[:, :-1])
        theirs = np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
        apart = np.linalg.norm(theirs[:, None] - polygon, axis=2)
        assert polygon.shape == theirs.shape
        assert max(apart.min(axis=0).max(), apart.min(axis=1).max()) < 2e-15
        for outline, pixels in ((pair["pix_i"], overlap.pixels_i), (pair["pix_j"], overlap.pixels_j)):
            wanted = fill_polygon(np.array(outline[0]).T, pixels.shape)
            differ = int((wanted.mask() != pixels.mask()).sum())
            # Their corners are 3e-7 pixels off the halves they stand for, which may round the other way.
            assert differ <= 1


def test_threads_and_order_change_nothing(nebula: tuple[dict[str, Any], list[Outline]]) -> None:
    _, chips = nebula
    one = find_overlaps(chips, threads=1)
    many = find_overlaps(chips, threads=3)
    back = find_overlaps(chips[::-1], threads=1)
    pixels = {(o.i, o.j): (o.area, o.pixels_i.count, o.pixels_j.count) for o in one}
    assert {(o.i, o.j): (o.area, o.pixels_i.count, o.pixels_j.count) for o in many} == pixels
    last = len(chips) - 1
    assert {(last - o.j, last - o.i) for o in back} == set(pixels)
    for o in back:
        area, count_i, count_j = pixels[last - o.j, last - o.i]
        assert o.area == pytest.approx(area, rel=1e-12)
        assert (o.pixels_j.count, o.pixels_i.count) == (count_i, count_j)


def test_every_pair_is_found_among_many() -> None:
    """The sweep misses none: all pairs one by one give the same areas."""
    rng = np.random.default_rng(7)
    polygons = [on_sky(ring(rng, 10 ** rng.uniform(-2.5, -0.7)), frame(rng, k % 4)) for k in range(150)]
    groups = rng.integers(0, 100, len(polygons))
    starts = np.arange(0, 4 * len(polygons) + 1, 4)
    ends, areas, *_ = _core.find_overlaps(np.concatenate(polygons), starts, groups, 2)
    found = {(int(i), int(j)): float(area) for (i, j), area in zip(ends, areas, strict=True)}
    assert len(found) > 100
    for i in range(len(polygons)):
        for j in range(i + 1, len(polygons)):
            area = our_area(polygons[i], polygons[j]) if groups[i] != groups[j] else 0
            assert found.get((i, j), 0) == area


def test_chips_of_an_exposure_never_meet() -> None:
    chips = [Outline(simulated_wcs(10, 89.99, 20 * k, 100), (100, 90), exposure=k // 2) for k in range(4)]
    found = find_overlaps(chips)
    assert [(o.i, o.j) for o in found] == [(0, 2), (0, 3), (1, 2), (1, 3)]
    for o in found:
        scale = np.radians(0.13 / 3600) ** 2
        # The rule adds up to a pixel at the right and the top.
        assert o.area / scale == pytest.approx(o.pixels_i.count, rel=0.03)
        assert o.pixels_i.shape == (100, 90)


def test_a_polygon_of_ones_own() -> None:
    wcs = simulated_wcs(359.999, 0, 0, 200)
    corners = footprint(wcs, (200, 200))
    notched = [*corners[:3], np.mean(np.unwrap(corners, period=360, axis=0), axis=0), corners[3]]
    found = find_overlaps([Outline(wcs, (200, 200)), Outline(wcs, (200, 200), polygon=notched)])
    assert found[0].area == pytest.approx(0.75 * polygon_area(corners), rel=0.01)
    assert len(found[0].polygons) == 3
    assert found[0].pixels_i.count == pytest.approx(0.75 * 200**2, rel=0.02)


def test_nothing_to_find() -> None:
    assert find_overlaps([]) == []
    alone = Outline(simulated_wcs(10, 0, 0, 50), (50, 50))
    assert find_overlaps([alone]) == []
    assert find_overlaps([alone, Outline(simulated_wcs(190, 0, 0, 50), (50, 50))]) == []
    assert isinstance(fill_polygon([], (4, 4)), Pixels)
    assert fill_polygon([(np.nan, 1)] * 3, (4, 4)).count == 0


def test_refused() -> None:
    good = simulated_wcs(10, 0, 0, 50)
    with pytest.raises(ValueError, match="chip 1: wcs has no two celestial axes"):
        find_overlaps([Outline(good, (50, 50)), Outline(WCS(naxis=2), (50, 50))])
    with pytest.raises(ValueError, match="chip 0: wcs has no two celestial axes"):
        find_overlaps([Outline(None, (50, 50))])
    with pytest.raises(ValueError, match=r"chip 0: shape is \(0, 50\)"):
        find_overlaps([Outline(good, (0, 50))])
    with pytest.raises(ValueError, match=r"chip 0: .*smaller than a hemisphere"):
        find_overlaps([Outline(good, (50, 50), polygon=[(0, 0), (120, 0), (240, 0)])])
    with pytest.raises(ValueError, match=r"polygon has shape \(2, 3\)"):
        polygon_area([(1, 2, 3), (4, 5, 6)])
    with pytest.raises(ValueError, match="threads is 0"):
        find_overlaps([], threads=0)
