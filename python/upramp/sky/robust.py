r"""Skies that agree where exposures overlap, from differences of pixels: the engine ``robust``.

Where m exposures see the same sky, their m (m - 1) / 2 differences repeat each other's noise. With
:math:`\omega_i` the inverse of noise variance times pixel area of exposure i, the information that a cell of the
pair (i, j) adds is

.. math:: q = \Omega\, \frac{\omega_i \omega_j}{\sum_k \omega_k},

:math:`\Omega` the solid angle of its pixels and the sum over all exposures that see it. For with these weights the
sum over pairs of :math:`q D_{ij}^2` is that of the exposures about the mean sky of the cell,
:math:`\sum_i \Omega\, \omega_i (B_i - \bar B)^2`: least squares of the differences are those of the pixels, and
the inverse of their matrix is the covariance of the offsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from upramp.sky.differences import Cells, View
from upramp.sky.solve import Pair, Solution, solve_offsets
from upramp.sky.surface import Frame, Surfaces, basis, frames
from upramp.sky.surface_fit import solve_surfaces

__all__ = ["Difference", "Robust", "solve_differences"]

Anchor = Literal["down", "up", "mean"]

_ROUNDS = 4
"""Rounds of reweighting."""
_LIMIT = 3.0
"""Standard deviations from which on cells and pairs lose weight."""
_SETTLED = 0.02
"""Weights that change by less have settled."""
_NEAR = 48.0
"""Pixels within which cells are neighbours."""
_FEW = 30
"""Fewer neighbours tell nothing about noise."""
_OUTLIER = 5.0
"""Standard deviations from which on a pair is told to be an outlier."""


class Difference(NamedTuple):
    """How much brighter one exposure is than another where they overlap, surface brightness."""

    i: int
    """First exposure."""
    j: int
    """Second exposure, after the first."""
    difference: float
    """Sky of the first less that of the second."""
    sigma: float
    """Its uncertainty from the noise."""
    n: int
    """Pixels it was measured on."""
    clipped: int
    """Pixels left out as outliers."""
    area: float
    """Solid angle of the overlap, steradian."""
    residual: float
    """What the solution leaves of it."""
    chi2: float
    """The square of the residual in units of its variance; NaN where no other pair checks this one."""
    outlier: bool
    """Whether it disagrees with the others by 5 standard deviations and more."""


@dataclass(frozen=True, slots=True, eq=False)
class Robust:
    """Solution from differences.

    Attributes
    ----------
    differences : tuple of Difference
        Pairs of exposures, sorted.
    solution : Solution
        Offsets and their covariance.
    surfaces : Surfaces or None
        Planes, if these were asked for.
    noise_ratio : float
        Scatter of neighbouring cells in units of what the noise of pixels makes expect, 1 at least.
    floor : float
        Standard deviation of differences beyond their noise, surface brightness: what loops of pairs miss.
    """

    differences: tuple[Difference, ...]
    solution: Solution
    surfaces: Surfaces | None
    noise_ratio: float
    floor: float


@dataclass(slots=True)
class _Equations:
    """Cells as equations of exposures: difference = sky of i - sky of j."""

    ends: NDArray[np.int64]
    """Exposures of every pair, (npair, 2), i < j."""
    pair: NDArray[np.int64]
    """Pair of every cell."""
    difference: NDArray[np.float64]
    variance: NDArray[np.float64]
    weight: NDArray[np.float64]
    """Information of every cell."""
    terms: tuple[NDArray[np.float64], NDArray[np.float64]]
    """Terms of the surfaces of both exposures at every cell, (ncell, nterm) each."""
    count: NDArray[np.int64]
    """Pixels of every pair."""
    clipped: NDArray[np.int64]
    """Pixels left out of every pair."""
    area: NDArray[np.float64]
    """Solid angle of every pair."""

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over the cells of every pair."""
        return np.bincount(self.pair, values, len(self.ends)).astype(np.float64)


class _Fit(NamedTuple):
    """What a set of weights leads to."""

    solution: Solution
    surfaces: Surfaces | None
    predicted: NDArray[np.float64]
    """Difference of every cell."""
    spread: NDArray[np.float64]
    """Variance of the predicted difference of every pair."""


def solve_differences(
    cells: Cells, chips: Sequence[View], n: int, *, order: int = 0, anchor: Anchor = "down"
) -> Robust:
    r"""Offsets, and surfaces if asked for, that make exposures agree.

    Parameters
    ----------
    cells : Cells
        Differences (:func:`~upramp.sky.measure_differences`).
    chips : sequence of View
        Their chips.
    n : int
        Number of exposures.
    order : int, optional
        0 for offsets; 1 for planes, 2 for surfaces of the second order besides.
    anchor : {'down', 'up', 'mean'}, optional
        What is zero (:func:`~upramp.sky.solve_offsets`).

    Returns
    -------
    Robust
        Solution.

    Raises
    ------
    ValueError
        `order` is not 0, 1 or 2.

    Notes
    -----
    Variances of cells are those of pixel noise, times what neighbouring cells scatter by. Cells and pairs more
    than 3 standard deviations off lose weight (Huber 1964). What loops of pairs miss beyond that noise is added in
    quadrature to every pair, so that uncertainties hold where noise is not all there is. On simulated mosaics pulls
    have a standard deviation of 0.9 to 1.1 (``python -m upramp.bench.sky_quality``).

    References
    ----------
    Huber 1964, Annals of Mathematical Statistics 35, 73.
    """
    if order not in (0, 1, 2):
        raise ValueError(f"order is {order}, expected 0, 1 or 2")
    ratio = _noise_ratio(cells)
    equations = _equations(cells, chips, n, ratio, order)
    weight = equations.weight
    near, trust, floor = np.ones_like(weight), np.ones(len(equations.ends)), 0.0
    for _ in range(_ROUNDS):
        before = near, trust, floor
        pulled = trust / (1 + floor**2 * equations.sum(weight * near))
        used = weight * near * pulled[equations.pair]
        fit = _fit(equations, used, chips, n, order, anchor)
        total = equations.sum(used)
        level = equations.sum(used * equations.difference) / total
        residual = level - equations.sum(used * fit.predicted) / total
        variance = equations.sum(used**2 * equations.variance) / total**2
        freedom = np.clip(1 - fit.spread / (variance + floor**2), 0, 1)
        # A pair that is the only link of two parts of a mosaic is met exactly.
        checked = freedom > 1e-6
        floor = _floor(residual[checked], variance[checked], freedom[checked])
        pull = np.full(len(level), np.nan)
        pull[checked] = residual[checked] / np.sqrt((variance + floor**2)[checked] * freedom[checked])
        trust = _huber(np.nan_to_num(pull))
        near = _huber(_pulls(equations, used, fit.predicted + residual[equations.pair]))
        if floor == before[2] and all(
            np.allclose(new, old, atol=_SETTLED) for new, old in zip((near, trust), before[:2], strict=True)
        ):
            break
    columns = (
        *(level, np.sqrt(variance), equations.count, equations.clipped, equations.area, residual, pull**2),
        np.abs(np.nan_to_num(pull)) > _OUTLIER,
    )
    rows = zip(equations.ends.tolist(), *(column.tolist() for column in columns), strict=True)
    differences = tuple(Difference(ends[0], ends[1], *numbers) for ends, *numbers in rows)
    return Robust(differences, fit.solution, fit.surfaces, ratio, floor)


def _equations(cells: Cells, chips: Sequence[View], n: int, ratio: float, order: int) -> _Equations:
    """Cells of chips as equations of exposures."""
    exposure = np.array([chip.image for chip in chips], dtype=np.int64)
    members = exposure[cells.pairs].reshape(-1, 2)
    variance = ratio**2 * cells.variance
    weight = _share(cells, chips) / variance
    usable = np.isfinite(weight) & (variance > 0)
    turned = members[:, 0] > members[:, 1]
    members[turned] = members[turned, ::-1]
    real = np.bincount(cells.pair[usable], minlength=len(members)) > 0
    keys, merged = np.unique(members[real] @ np.array([n, 1]), return_inverse=True)
    ends = np.column_stack(np.divmod(keys, n))
    rows = np.full(len(members), -1)
    rows[real] = merged
    pair = rows[cells.pair[usable]]
    terms = np.ones((usable.sum(), 1)), np.ones((usable.sum(), 1))
    if order:
        shapes = frames(chips, n)
        both = [_terms(cells, chips, shapes, side, order)[usable] for side in (0, 1)]
        swap = turned[cells.pair[usable]][:, None]
        terms = np.where(swap, both[1], both[0]), np.where(swap, both[0], both[1])
    return _Equations(
        ends=ends,
        pair=pair,
        difference=np.where(turned, -1.0, 1.0)[cells.pair[usable]] * cells.mean[usable],
        variance=variance[usable],
        weight=weight[usable],
        terms=terms,
        count=np.bincount(pair, cells.count[usable], len(ends)).astype(np.int64),
        clipped=np.bincount(rows[real], cells.clipped[real], len(ends)).astype(np.int64),
        area=np.bincount(rows[real], cells.areas[real], len(ends)).astype(np.float64),
    )


def _terms(
    cells: Cells, chips: Sequence[View], shapes: Sequence[Frame], side: int, order: int
) -> NDArray[np.float64]:
    """Terms of the surfaces of the first or second exposures at every cell."""
    chip = cells.pairs[cells.pair, side]
    matrix = np.array([shapes[view.image].matrix[view.chip] for view in chips])
    origin = np.array([shapes[view.image].origin[view.chip] for view in chips])
    place = cells.place_j if side else cells.place_i
    return basis(np.einsum("nij,nj->ni", matrix[chip], place) + origin[chip], order)


def _share(cells: Cells, chips: Sequence[View]) -> NDArray[np.float64]:
    """Part of its information that a cell adds: that of its pair to that of all exposures that see it."""
    partners: list[set[int]] = [set() for _ in chips]
    for i, j in cells.pairs.tolist():
        partners[i].add(j)
        partners[j].add(i)
    information = 1 / (cells.noise**2 * np.array([chip.pixel_area for chip in chips]))
    information[~np.isfinite(information)] = 0.0
    sides = np.array([_sides(chip.corners) for chip in chips])
    first, second = cells.pairs[cells.pair].T
    total = np.zeros(len(first))
    order = np.argsort(first, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(first[order])) + 1):
        if not len(rows):
            continue
        i = first[rows[0]]
        others = sorted(partners[i])
        directions = _directions(chips[i], cells.place_i[rows])
        height = (directions @ sides[others].reshape(-1, 3).T).reshape(len(rows), len(others), 4)
        inside = (height >= 0).all(axis=2)
        total[rows] = information[i] + inside @ information[others]
    pair = information[first] + information[second]
    with np.errstate(divide="ignore", invalid="ignore"):
        share: NDArray[np.float64] = pair / np.maximum(total, pair)
    return share


def _sides(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normals of the sides of a footprint, inwards: (4, 3)."""
    ra, dec = np.radians(corners).T
    vectors = np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    normals = np.cross(vectors, np.roll(vectors, -1, axis=0))
    inwards: NDArray[np.float64] = normals * np.sign(normals @ vectors.mean(axis=0))[:, None]
    return inwards


def _directions(chip: View, place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Directions of pixels of a chip, good to tell who sees them: (n, 3)."""
    my, mx = chip.nodes.shape[:2]
    u = place[:, 0] * (mx - 1) / (chip.shape[1] - 1)
    v = place[:, 1] * (my - 1) / (chip.shape[0] - 1)
    nearest: NDArray[np.float64] = chip.nodes[np.rint(v).astype(np.intp), np.rint(u).astype(np.intp)]
    return nearest


def _noise_ratio(cells: Cells) -> float:
    """Scatter of the differences of three cells in a row about a line, in units of their noise; 1 at least."""
    step = np.hypot(*np.diff(cells.place_i, axis=0).T) < _NEAR
    row = (cells.pair[2:] == cells.pair[:-2]) & step[1:] & step[:-1]
    mean, variance = cells.mean, cells.variance
    bend = mean[2:] - 2 * mean[1:-1] + mean[:-2]
    pull = bend / np.sqrt(variance[2:] + 4 * variance[1:-1] + variance[:-2])
    pull = pull[row & np.isfinite(pull)]
    if len(pull) < _FEW:
        return 1.0
    pull = pull[np.abs(pull) < _LIMIT * 1.4826 * np.median(np.abs(pull))]
    # The standard deviation of a normal distribution cut at three of its own is 0.9866.
    return max(1.0, float(np.sqrt(np.mean(pull**2)) / 0.9866))


def _fit(
    equations: _Equations,
    weight: NDArray[np.float64],
    chips: Sequence[View],
    n: int,
    order: int,
    anchor: Anchor,
) -> _Fit:
    """Least squares with given weights."""
    i, j = equations.ends.T
    total = equations.sum(weight)
    inclined = np.zeros_like(weight)
    surfaces, covariance, spread = None, None, None
    if order:
        surfaces, covariance, spread = solve_surfaces(
            equations.ends, equations.pair, equations.difference, weight, equations.terms, chips, n
        )
        slopes = np.nan_to_num(surfaces.coefficients)
        inclined = np.einsum("nk,nk->n", equations.terms[0], slopes[i[equations.pair]])
        inclined -= np.einsum("nk,nk->n", equations.terms[1], slopes[j[equations.pair]])
    level = equations.sum(weight * (equations.difference - inclined)) / total
    pairs = [
        Pair(ends[0], ends[1], value, number, 0.0, number)
        for ends, value, number in zip(
            equations.ends.tolist(), level.tolist(), equations.count.tolist(), strict=True
        )
    ]
    solution = solve_offsets(pairs, n, weights=total, sigma=1 / np.sqrt(total), anchor=anchor)
    if covariance is not None:
        solution = replace(solution, covariance=covariance)
    if spread is None:
        c = solution.covariance
        spread = c[i, i] + c[j, j] - 2 * c[i, j]
    offsets = solution.raw
    return _Fit(solution, surfaces, (offsets[i] - offsets[j])[equations.pair] + inclined, spread)


def _huber(pull: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of values so many standard deviations off."""
    return _LIMIT / np.maximum(np.abs(pull), _LIMIT)


def _pulls(
    equations: _Equations, weight: NDArray[np.float64], expected: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far cells are from what is expected, in units of the scatter of their pair where that exceeds noise."""
    pull = (equations.difference - expected) / np.sqrt(equations.variance)
    scatter = equations.sum(weight * pull**2) / equations.sum(weight)
    return pull / np.sqrt(np.maximum(scatter, 1.0))[equations.pair]


def _floor(
    residual: NDArray[np.float64], variance: NDArray[np.float64], freedom: NDArray[np.float64]
) -> float:
    """Standard deviation that differences have beyond their noise, for residuals to be as large as they are."""
    beyond = 0.0
    for _ in range(_ROUNDS):
        # Outliers count as if they were at the limit.
        square = np.minimum(residual**2, _LIMIT**2 * (variance + beyond) * freedom) / variance
        excess = float(np.sum(square - freedom))
        # Within three standard deviations of none, it is none.
        if excess <= 3 * np.sqrt(2 * np.sum(freedom**2)):
            return float(np.sqrt(beyond)) if beyond else 0.0
        beyond = excess / float(np.sum(freedom / variance))
    return float(np.sqrt(beyond))
