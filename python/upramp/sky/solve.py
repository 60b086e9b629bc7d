r"""Offsets that make overlapping exposures agree: weighted linear least squares, one connected group at a time.

Every pair of exposures that overlap measures the difference of their skies, :math:`s_{ij} = s_i - s_j`. The
offsets :math:`d` minimise :math:`\sum w_{ij} (d_i - d_j - s_{ij})^2` with :math:`\sum d = 0` in every connected
group, which is the solution of least norm. With :math:`w = W^2`, W the mean number of pixels of the
two sides, this is the solution of stsci.skypac and stcal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Pair", "Solution", "connected", "merge_pairs", "solve_offsets"]

_ANCHORS = ("down", "up", "mean")


class Pair(NamedTuple):
    """Sky of two exposures inside their overlap, surface brightness in one unit for all."""

    i: int
    """First exposure."""
    j: int
    """Second exposure."""
    sky_i: float
    """Sky of the first inside the overlap."""
    n_i: float
    """Pixels it was measured on."""
    sky_j: float
    """Sky of the second."""
    n_j: float
    """Its pixels."""
    area: float = 0.0
    """Solid angle of the overlap, steradian."""


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Result of :func:`solve_offsets`; brightness has the unit of the pairs.

    Attributes
    ----------
    offsets : ndarray, (n,) float64
        Sky of every exposure relative to the anchor; NaN for one without a usable pair.
    raw : ndarray, (n,) float64
        Before anchoring: zero mean in every group.
    covariance : ndarray, (n, n) float64
        Covariance of `raw`. Zero between groups; NaN for exposures without a pair, and in groups without a
        redundant pair unless the uncertainty of the pairs was given.
    groups : tuple of tuple of int
        Exposures connected by overlaps, each group sorted, the groups by their first member. Levels of different
        groups cannot be compared.
    isolated : tuple of int
        Exposures without a usable pair.
    residuals : ndarray, (npair,) float64
        ``(sky_i - sky_j) - (d_i - d_j)`` of every pair; NaN where it was not usable.
    """

    offsets: NDArray[np.float64]
    raw: NDArray[np.float64]
    covariance: NDArray[np.float64]
    groups: tuple[tuple[int, ...], ...]
    isolated: tuple[int, ...]
    residuals: NDArray[np.float64]

    @property
    def sigma(self) -> NDArray[np.float64]:
        """Uncertainty of every offset with respect to the mean of its group."""
        return np.sqrt(np.diag(self.covariance))


def merge_pairs(pairs: Iterable[Pair]) -> list[Pair]:
    r"""One pair per two exposures, from those of their chips.

    Parameters
    ----------
    pairs : iterable of Pair
        Chip pairs, `i` and `j` naming the exposures, in either order.

    Returns
    -------
    list of Pair
        Sorted by (i, j), i < j, with :math:`s_i = \sum s n / \sum n` over the chip pairs, likewise j; areas add.
        Pairs without pixels on one side in all chips are left out.

    Raises
    ------
    ValueError
        A pair of an exposure with itself.

    Examples
    --------
    >>> merge_pairs([Pair(0, 1, 2.0, 30, 1.0, 10), Pair(1, 0, 3.0, 10, 6.0, 10)])
    [Pair(i=0, j=1, sky_i=3.0, n_i=40.0, sky_j=2.0, n_j=20.0, area=0.0)]
    """
    sums: dict[tuple[int, int], list[float]] = {}
    for number, pair in enumerate(pairs):
        i, j, sky_i, n_i, sky_j, n_j, area = pair
        if i == j:
            raise ValueError(f"pair {number} is of exposure {i} with itself, expected two exposures")
        if i > j:
            i, j, sky_i, n_i, sky_j, n_j = j, i, sky_j, n_j, sky_i, n_i
        total = sums.setdefault((i, j), [0.0] * 5)
        # Without pixels there is no sky, whatever stands in its place (NaN for one).
        added = (sky_i * n_i if n_i > 0 else 0.0, n_i, sky_j * n_j if n_j > 0 else 0.0, n_j, area)
        for k, value in enumerate(added):
            total[k] += value
    return [
        Pair(i, j, float(b_i / n_i), n_i, float(b_j / n_j), n_j, area)
        for (i, j), (b_i, n_i, b_j, n_j, area) in sorted(sums.items())
        if n_i > 0 and n_j > 0
    ]


def solve_offsets(
    pairs: Sequence[Pair],
    n: int | None = None,
    *,
    weights: ArrayLike | None = None,
    sigma: ArrayLike | None = None,
    anchor: Literal["down", "up", "mean"] = "down",
    per_group: bool = False,
) -> Solution:
    r"""Offsets of exposures from the differences of their skies in pairs.

    Minimises :math:`\sum w_{ij} [d_i - d_j - (s_i - s_j)]^2`. With L the weighted Laplacian of the graph of pairs
    and A its incidence matrix, :math:`d = L^+ A^T w s`, and :math:`L^+ A^T w V w A L^+` is the covariance, V the
    variances of the pairs. They are `sigma` squared if given, else :math:`s_0^2 / w`, :math:`s_0^2` the weighted
    sum of squared residuals per degree of freedom of the group.

    Parameters
    ----------
    pairs : sequence of Pair
        At most one per two exposures (see :func:`merge_pairs`). One whose skies are not finite or that has no
        pixels on one side is not used.
    n : int, optional
        Number of exposures; as many as the pairs name by default.
    weights : array_like, (npair,), optional
        Weight of every squared residual, positive; the square of the mean of both numbers of pixels by default.
    sigma : array_like, (npair,), optional
        Uncertainty of every ``sky_i - sky_j``; it makes the covariance absolute and changes no offset.
    anchor : {"down", "up", "mean"}
        What is zero: the faintest exposure, the brightest, or the mean of every group.
    per_group : bool
        Anchor every group on its own; by default one shift is common to all groups, as skypac has it.

    Returns
    -------
    Solution
        Offsets, covariance, groups and residuals.

    Raises
    ------
    ValueError
        An exposure outside 0 ... n - 1, a pair with itself, weights or sigma of another length or not positive.

    References
    ----------
    The function that stsci.skypac and stcal minimise (``skymatch``). Unlike theirs the solution does not hang on
    the numerical rank of one matrix: groups are found in the graph.

    Examples
    --------
    >>> pairs = [Pair(0, 1, 3.0, 100, 1.0, 100), Pair(1, 2, 1.0, 50, 2.0, 50), Pair(3, 4, 5.0, 9, 4.0, 9)]
    >>> found = solve_offsets(pairs, per_group=True)
    >>> found.groups, found.offsets.round(12).tolist()
    (((0, 1, 2), (3, 4)), [2.0, 0.0, 1.0, 1.0, 0.0])
    """
    if anchor not in _ANCHORS:
        raise ValueError(f"anchor is {anchor!r}, expected one of {', '.join(_ANCHORS)}")
    ends, skies, pixels, n = _columns(pairs, n)
    difference = skies[:, 0] - skies[:, 1]
    used = np.isfinite(difference) & (pixels > 0).all(axis=1)
    weight = _positive("weights", weights, used) if weights is not None else pixels.mean(axis=1) ** 2
    variance = None if sigma is None else _positive("sigma", sigma, used) ** 2

    groups = connected(ends[used], n)
    group_of = np.full(n, -1)
    position = np.zeros(n, dtype=np.intp)
    for number, group in enumerate(groups):
        group_of[group] = number
        position[group] = np.arange(len(group))
    raw = np.full(n, np.nan)
    covariance = np.zeros((n, n))
    isolated = np.flatnonzero(group_of < 0)
    covariance[isolated, :] = covariance[:, isolated] = np.nan
    # One sort instead of one search per group: there may be many.
    order = np.flatnonzero(used)
    order = order[np.argsort(group_of[ends[order, 0]], kind="stable")]
    bounds = np.searchsorted(group_of[ends[order, 0]], np.arange(len(groups) + 1))
    for number, group in enumerate(groups):
        rows = order[bounds[number] : bounds[number + 1]]
        given = None if variance is None else variance[rows]
        raw[group], covariance[np.ix_(group, group)] = _solve_group(
            position[ends[rows]], difference[rows], weight[rows], given, len(group)
        )
    residuals = np.where(used, difference - (raw[ends[:, 0]] - raw[ends[:, 1]]), np.nan)
    return Solution(
        offsets=_anchored(raw, groups, anchor, per_group),
        raw=raw,
        covariance=covariance,
        groups=tuple(tuple(group.tolist()) for group in groups),
        isolated=tuple(isolated.tolist()),
        residuals=residuals,
    )


def _columns(
    pairs: Sequence[Pair], n: int | None
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64], int]:
    """Exposures, skies and pixels of the pairs, each (npair, 2), checked; and the number of exposures."""
    ends = np.array([(pair.i, pair.j) for pair in pairs], dtype=np.intp).reshape(-1, 2)
    skies = np.array([(pair.sky_i, pair.sky_j) for pair in pairs], dtype=np.float64).reshape(-1, 2)
    pixels = np.array([(pair.n_i, pair.n_j) for pair in pairs], dtype=np.float64).reshape(-1, 2)
    if n is None:
        n = int(ends.max(initial=-1)) + 1
    for number, (i, j) in enumerate(ends.tolist()):
        if not (0 <= i < n and 0 <= j < n):
            raise ValueError(f"pair {number} is of exposures {i} and {j}, expected 0 to {n - 1}")
        if i == j:
            raise ValueError(f"pair {number} is of exposure {i} with itself, expected two exposures")
    return ends, skies, pixels, n


def _positive(name: str, values: ArrayLike, used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Numbers of the pairs, those of the used ones positive."""
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != used.shape:
        raise ValueError(f"{name} has shape {numbers.shape}, expected {used.shape}: one per pair")
    wrong = used & ~((numbers > 0) & np.isfinite(numbers))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(f"{name}[{first}] is {numbers[first]}, expected a positive number")
    return numbers


def connected(ends: NDArray[np.intp], n: int) -> list[NDArray[np.intp]]:
    """Groups of exposures that pairs connect, by union-find.

    Parameters
    ----------
    ends : ndarray, (npair, 2)
        Exposures of the pairs.
    n : int
        Exposures.

    Returns
    -------
    list of ndarray
        Sorted members of every group of two and more, by first member.
    """
    parent = list(range(n))

    def root(member: int) -> int:
        while parent[member] != member:
            parent[member] = parent[parent[member]]  # halves the way for the next search
            member = parent[member]
        return member

    for i, j in ends.tolist():
        first, second = sorted((root(i), root(j)))
        parent[second] = first  # the smallest member leads: the order of pairs decides nothing
    found: dict[int, list[int]] = {}
    for member in range(n):
        found.setdefault(root(member), []).append(member)
    return [np.array(group, dtype=np.intp) for group in found.values() if len(group) > 1]


def _solve_group(
    ends: NDArray[np.intp],
    difference: NDArray[np.float64],
    weight: NDArray[np.float64],
    variance: NDArray[np.float64] | None,
    n: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offsets with zero mean of one connected group, and their covariance."""
    i, j = ends.T
    scaled = weight / weight.max()
    inverse = _laplacian_inverse(ends, scaled, n)
    offsets = np.zeros(n)
    # The second pass takes up what rounding left of the first.
    for _ in range(2):
        misfit = scaled * (difference - (offsets[i] - offsets[j]))
        offsets += inverse @ (np.bincount(i, misfit, n) - np.bincount(j, misfit, n))
        offsets -= offsets.mean()
    if variance is None:
        freedom = len(difference) - (n - 1)
        chi2 = float(np.sum(scaled * (difference - (offsets[i] - offsets[j])) ** 2))
        return offsets, inverse * (chi2 / freedom if freedom > 0 else np.nan)
    if np.allclose(scaled * variance, scaled[0] * variance[0]):
        return offsets, inverse * (scaled[0] * variance[0])
    return offsets, inverse @ _laplacian(ends, scaled**2 * variance, n) @ inverse


def _laplacian(ends: NDArray[np.intp], weight: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Sum over the pairs of weight (e_i - e_j)(e_i - e_j)^T."""
    i, j = ends.T
    matrix = np.zeros((n, n))
    np.add.at(matrix, (i, j), -weight)
    np.add.at(matrix, (j, i), -weight)
    np.fill_diagonal(matrix, -matrix.sum(axis=1))
    return matrix


def _laplacian_inverse(ends: NDArray[np.intp], weight: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Pseudo-inverse: the null space of a connected graph is the constant, which is lifted and taken off again."""
    matrix = _laplacian(ends, weight, n)
    lift = np.trace(matrix) / n
    inverse = np.linalg.inv(matrix + lift / n) - 1 / (lift * n)
    return np.asarray((inverse + inverse.T) / 2)


def _anchored(
    raw: NDArray[np.float64], groups: list[NDArray[np.intp]], anchor: str, per_group: bool
) -> NDArray[np.float64]:
    """Offsets with the anchor at zero."""
    offsets = raw.copy()
    if anchor == "mean" or not groups:
        return offsets
    extreme = np.min if anchor == "down" else np.max
    for group in groups if per_group else [np.concatenate(groups)]:
        offsets[group] -= extreme(raw[group])
    return offsets
