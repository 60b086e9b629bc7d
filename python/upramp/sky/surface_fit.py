r"""Surfaces of all exposures at once, from their differences.

The sky of exposure i is :math:`\sum_k a_{ik} f_k(u, v)`, with u and v from -1/2 to 1/2 across the exposure,
:math:`f_0 = 1` and the others of zero mean, so that :math:`a_{i0}` is the mean level. Levels are a free parameter
each; the coefficients of the first order have the prior :math:`N(0, \tau_1^2)`, those of the second
:math:`N(0, \tau_2^2)`, with the :math:`\tau` that make the differences most likely: where skies are flat they are
zero, and surfaces cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from upramp.sky.differences import View
from upramp.sky.solve import connected
from upramp.sky.surface import Frame, Surfaces, basis, frames

__all__ = ["Inclined", "most_likely_width", "solve_surfaces"]

_TURNS = 3
"""Turns of finding the widths of both orders."""


class Inclined(NamedTuple):
    """Surfaces, and what they do to the rest."""

    surfaces: Surfaces
    covariance: NDArray[np.float64]
    """Of the offsets, (n, n), without the modes that no overlap shows."""
    spread: NDArray[np.float64]
    """Variance of the difference that is predicted for every pair."""


def solve_surfaces(
    ends: NDArray[np.int64],
    pair: NDArray[np.int64],
    difference: NDArray[np.float64],
    weight: NDArray[np.float64],
    terms: tuple[NDArray[np.float64], NDArray[np.float64]],
    chips: Sequence[View],
    n: int,
) -> Inclined:
    r"""Surfaces of all exposures from the differences of cells.

    With offsets d and the other coefficients s the weighted sum of squares has the matrix
    :math:`((L, C), (C^T, S))`. Offsets eliminated, s has the matrix :math:`K = S - C^T L^+ C`, and with the prior
    :math:`s = (K + \tau^{-2})^{-1} h`.

    Parameters
    ----------
    ends : ndarray, (npair, 2) int64
        Exposures i and j of every pair.
    pair : ndarray, (ncell,) int64
        Pair of every cell.
    difference, weight : ndarray, (ncell,)
        Sky of i less that of j, and the inverse of its variance.
    terms : tuple of two ndarray, (ncell, nterm)
        Terms (:func:`basis`) of the surfaces of i and j there.
    chips : sequence of View
        Chips of the exposures.
    n : int
        Exposures.

    Returns
    -------
    Inclined
        Surfaces; covariance of offsets.
    """
    nterm = terms[0].shape[1]
    order = 1 if nterm == 3 else 2
    shapes = frames(chips, n)
    matrix, right, mean = _normal(ends, pair, difference, weight, terms, n)
    groups = connected(ends, n)
    kind = np.tile(np.array([0, 1, 1, 2, 2, 2])[:nterm], n)
    level, slope = np.flatnonzero(kind == 0), np.flatnonzero(kind)
    inverse = _level_inverse(matrix[np.ix_(level, level)], groups, n)
    across = matrix[np.ix_(level, slope)]
    back = inverse @ across
    reduced = matrix[np.ix_(slope, slope)] - across.T @ back
    pull = right[slope] - back.T @ right[level]
    widths = _widths(reduced, pull, kind[slope])
    prior = np.array([0.0, *widths])[kind[slope]] ** 2
    free = prior > 0
    within = np.zeros_like(reduced)
    within[np.ix_(free, free)] = np.linalg.inv(reduced[np.ix_(free, free)] + np.diag(1 / prior[free]))
    covariance = np.zeros_like(matrix)
    covariance[np.ix_(slope, slope)] = within
    covariance[np.ix_(level, slope)] = -back @ within
    covariance[np.ix_(slope, level)] = -(back @ within).T
    covariance[np.ix_(level, level)] = inverse + back @ within @ back.T
    spread = np.einsum("pk,pk->p", mean @ covariance, mean)
    full = np.zeros(n * nterm)
    full[slope] = within @ pull
    if free.any():
        keep = _without_common(groups, chips, shapes, n, order, 1 + max(k for k, w in enumerate(widths) if w))
        covariance = keep @ covariance @ keep.T
    coefficients = full.reshape(n, nterm)
    coefficients[:, 0] = 0.0
    sigma = np.sqrt(np.maximum(np.diag(covariance), 0.0)).reshape(n, nterm)
    apart = np.setdiff1d(np.arange(n), np.concatenate([*groups, np.empty(0, np.intp)]))
    coefficients[apart] = sigma[apart] = np.nan
    surfaces = Surfaces(order, coefficients, sigma, widths, shapes)
    return Inclined(surfaces, covariance[np.ix_(level, level)], spread)


def _widths(
    matrix: NDArray[np.float64], right: NDArray[np.float64], kind: NDArray[np.intp]
) -> tuple[float, ...]:
    """Widths of the priors of coefficients of the first and the second order, in turn until they agree."""
    orders = range(1, int(kind.max()) + 1)
    widths = dict.fromkeys(orders, 0.0)
    for _ in range(1 if len(orders) == 1 else _TURNS):
        for order in orders:
            mine = np.flatnonzero(kind == order)
            others = np.flatnonzero((kind != order) & np.array([widths[k] > 0 for k in kind.tolist()]))
            information, known = matrix[np.ix_(mine, mine)], right[mine]
            if others.size:
                prior = np.array([widths[k] for k in kind[others].tolist()])
                joint = np.linalg.inv(matrix[np.ix_(others, others)] + np.diag(prior**-2))
                across = matrix[np.ix_(mine, others)] @ joint
                information = information - across @ matrix[np.ix_(others, mine)]
                known = known - across @ right[others]
            values, vectors = np.linalg.eigh((information + information.T) / 2)
            # What no overlap shows has nothing to say.
            values[values < 1e-9 * values.max(initial=0.0)] = 0.0
            widths[order] = most_likely_width(values, vectors.T @ known)
    return tuple(widths.values())


def _normal(
    ends: NDArray[np.int64],
    pair: NDArray[np.int64],
    difference: NDArray[np.float64],
    weight: NDArray[np.float64],
    terms: tuple[NDArray[np.float64], NDArray[np.float64]],
    n: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Matrix and right side of the normal equations, and the mean equation of every pair."""
    nterm = terms[0].shape[1]
    both = np.concatenate([terms[0], -terms[1]], axis=1)
    matrix, right = np.zeros((n * nterm, n * nterm)), np.zeros(n * nterm)
    mean = np.zeros((len(ends), n * nterm))
    order = np.argsort(pair, kind="stable")
    bounds = np.searchsorted(pair[order], np.arange(len(ends) + 1))
    for k, (i, j) in enumerate(ends.tolist()):
        rows = order[bounds[k] : bounds[k + 1]]
        weighted = both[rows] * weight[rows, None]
        unknowns = np.r_[i * nterm : (i + 1) * nterm, j * nterm : (j + 1) * nterm]
        matrix[np.ix_(unknowns, unknowns)] += both[rows].T @ weighted
        right[unknowns] += weighted.T @ difference[rows]
        mean[k, unknowns] = weighted.sum(axis=0) / weight[rows].sum()
    return matrix, right, mean


def _level_inverse(
    matrix: NDArray[np.float64], groups: Sequence[NDArray[np.intp]], n: int
) -> NDArray[np.float64]:
    """Pseudo-inverse of the matrix of the offsets: zero mean in every group."""
    inverse = np.zeros((n, n))
    for group in groups:
        part = matrix[np.ix_(group, group)]
        lift = np.trace(part) / len(group)
        inverse[np.ix_(group, group)] = np.linalg.inv(part + lift / len(group)) - 1 / (lift * len(group))
    return (inverse + inverse.T) / 2


def _without_common(
    groups: Sequence[NDArray[np.intp]],
    chips: Sequence[View],
    shapes: Sequence[Frame],
    n: int,
    order: int,
    common: int,
) -> NDArray[np.float64]:
    """Projection that takes out of all coefficients what a whole group has in common on the sky, to an order."""
    # Mean squares of the terms over an exposure: what is taken out is a fit to the sky, not to numbers.
    square = np.array([1, 1 / 12, 1 / 12, 1 / 180, 1 / 144, 1 / 180][: 3 if order == 1 else 6])
    nterm = len(square)
    keep = np.eye(n * nterm)
    for group in groups:
        mine = [chip for chip in chips if chip.image in group]
        centre = np.sum([chip.nodes.mean(axis=(0, 1)) for chip in mine], axis=0)
        centre /= np.linalg.norm(centre)
        axes = np.linalg.svd(centre[None])[2][1:]
        reach = max(np.abs(chip.nodes @ axes.T).max() for chip in mine)
        columns = np.zeros((n * nterm, 3 if common == 1 else 6))
        for number in group:
            own = [chip for chip in mine if chip.image == number]
            places = np.concatenate([_places(chip, shapes[number]) for chip in own])
            vectors = np.concatenate([chip.nodes.reshape(-1, 3) for chip in own])
            sky = basis(vectors @ axes.T / (vectors @ centre)[:, None] / reach, common)
            fit = np.linalg.lstsq(basis(places, order), sky, rcond=None)[0]
            columns[number * nterm : (number + 1) * nterm] = fit
        metric = columns * np.tile(square, n)[:, None]
        keep -= columns @ np.linalg.solve(metric.T @ columns, metric.T)
    return keep


def _places(chip: View, shape: Frame) -> NDArray[np.float64]:
    """(u, v) of the nodes of a chip."""
    my, mx = chip.nodes.shape[:2]
    y, x = np.meshgrid(
        np.linspace(0, chip.shape[0] - 1, my), np.linspace(0, chip.shape[1] - 1, mx), indexing="ij"
    )
    return shape.place(chip.chip, np.column_stack([x.ravel(), y.ravel()]))


def most_likely_width(values: NDArray[np.float64], amplitudes: NDArray[np.float64]) -> float:
    r"""Width of the prior of independent coefficients that makes what was measured most likely.

    Parameters
    ----------
    values : ndarray, (m,)
        Information on every coefficient, its inverse variance :math:`\lambda`.
    amplitudes : ndarray, (m,)
        :math:`\lambda` times the estimate without a prior.

    Returns
    -------
    float
        :math:`\tau` where :math:`\sum [z^2 \tau^2 / (1 + \tau^2 \lambda) - \ln(1 + \tau^2 \lambda)]` is largest; 0
        unless that exceeds its value at 0, which is 0, by more than 2.

    References
    ----------
    MacKay 1992, Neural Computation 4, 415: the evidence of a prior.

    Examples
    --------
    >>> most_likely_width(np.array([100.0, 100.0]), np.array([5.0, -3.0]))  # noise
    0.0
    >>> round(most_likely_width(np.array([1e6, 1e6]), np.array([2e6, -2e6])), 3)
    2.0
    """
    seen = values > 0
    values, amplitudes = values[seen], amplitudes[seen]
    if not values.size:
        return 0.0

    def evidence(width: NDArray[np.float64]) -> NDArray[np.float64]:
        gain = np.square(width)[:, None]
        total: NDArray[np.float64] = (
            gain * amplitudes**2 / (1 + gain * values) - np.log1p(gain * values)
        ).sum(axis=1)
        return total

    low, high = (
        -3.0 - 0.5 * np.log10(values.max()),
        3.0 + 0.5 * np.log10((amplitudes**2 / values**2).max() + 1e-300),
    )
    grid = np.linspace(min(low, high - 1), max(low + 1, high), 200)
    for _ in range(3):
        best = int(np.argmax(evidence(10**grid)))
        step = grid[1] - grid[0]
        peak = grid[best]
        grid = np.linspace(peak - step, peak + step, 41)
    width = float(10**peak)
    # Less than one more parameter is worth.
    return width if evidence(np.array([width]))[0] > 2 else 0.0
