"""Skies that are not flat: the terms of a plane or a surface of the second order, and their coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upramp.sky.differences import View

__all__ = ["Frame", "Surfaces", "basis", "frames"]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Coordinates in which the surface of an exposure is written.

    Attributes
    ----------
    matrix : ndarray, (nchip, 2, 2) float64
        Of every chip.
    origin : ndarray, (nchip, 2) float64
        Place (x, y) of a pixel of chip m has (u, v) = matrix[m] @ (x, y) + origin[m].
    """

    matrix: NDArray[np.float64]
    origin: NDArray[np.float64]

    def place(self, chip: int, place: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels (x, y) of a chip, from 0, as (u, v).

        Parameters
        ----------
        chip : int
            Chip of the exposure.
        place : ndarray, (..., 2)
            Pixels.

        Returns
        -------
        ndarray, (..., 2) float64
            From -1/2 to 1/2 across the exposure.
        """
        found: NDArray[np.float64] = place @ self.matrix[chip].T + self.origin[chip]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Surfaces:
    r"""The sky of every exposure as a surface, surface brightness: :math:`\sum_k a_k f_k(u, v)`.

    Attributes
    ----------
    order : int
        1 for planes, 2 for surfaces of the second order.
    coefficients : ndarray, (n, nterm) float64
        Of 1, u, v (and u² - 1/12, u v, v² - 1/12); the first is the mean level, zero here: offsets have it. NaN for
        exposures without a pair.
    sigma : ndarray, (n, nterm) float64
        Their uncertainties, where planes common to all exposures of a group are left out: no overlap shows these.
    widths : tuple of float
        Standard deviation of the coefficients of each order that the differences ask for; 0 where skies have none.
    frames : tuple of Frame
        Coordinates of every exposure.
    """

    order: int
    coefficients: NDArray[np.float64]
    sigma: NDArray[np.float64]
    widths: tuple[float, ...]
    frames: tuple[Frame, ...]

    def image(self, exposure: int, chip: int, shape: tuple[int, int]) -> NDArray[np.float64]:
        """The surface of a chip above the mean level of its exposure.

        Parameters
        ----------
        exposure, chip : int
            Exposure, and chip within it.
        shape : (int, int)
            Its shape (ny, nx).

        Returns
        -------
        ndarray, (ny, nx) float64
            Surface brightness.
        """
        y, x = np.mgrid[: shape[0], : shape[1]]
        place = self.frames[exposure].place(chip, np.stack([x, y], axis=-1).astype(np.float64))
        found: NDArray[np.float64] = basis(place, self.order) @ np.nan_to_num(self.coefficients[exposure])
        return found


def frames(chips: Sequence[View], n: int) -> tuple[Frame, ...]:
    """Coordinates of exposures, straight continuations of those of their first chips.

    Parameters
    ----------
    chips : sequence of View
        Chips, those of an exposure in order.
    n : int
        Exposures.

    Returns
    -------
    tuple of Frame
        Of every exposure.
    """
    found = []
    for number in range(n):
        mine = [chip for chip in chips if chip.image == number]
        matrices, origins = zip(*(_linear(mine[0], chip) for chip in mine), strict=True)
        matrix, origin = np.array(matrices), np.array(origins)
        # Corner pixels of all chips, to centre and scale what lies between them.
        corners = np.concatenate(
            [
                np.array([(x, y) for x in (0, chip.shape[1] - 1) for y in (0, chip.shape[0] - 1)]) @ a.T + b
                for chip, a, b in zip(mine, matrix, origin, strict=True)
            ]
        )
        low, high = corners.min(axis=0), corners.max(axis=0)
        size = high - low + 1
        found.append(Frame(matrix / size[:, None], (origin - (low + high) / 2) / size))
    return tuple(found)


def _linear(first: View, chip: View) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels of the first chip, straight on, at pixels of another: matrix and origin."""
    if chip is first:
        return np.eye(2), np.zeros(2)
    centre = first.nodes.mean(axis=(0, 1))
    axes = np.linalg.svd(centre[None])[2][1:]
    fits = []
    for view in (first, chip):
        vectors = view.nodes.reshape(-1, 3)
        plane = (vectors @ axes.T) / (vectors @ centre)[:, None]
        my, mx = view.nodes.shape[:2]
        y, x = np.meshgrid(
            np.linspace(0, view.shape[0] - 1, my), np.linspace(0, view.shape[1] - 1, mx), indexing="ij"
        )
        terms = np.column_stack([x.ravel(), y.ravel(), np.ones(x.size)])
        fits.append(np.linalg.lstsq(terms, plane, rcond=None)[0].T)
    back = np.linalg.inv(fits[0][:, :2])
    return back @ fits[1][:, :2], back @ (fits[1][:, 2] - fits[0][:, 2])


def basis(place: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """Terms of a surface, the first 1 and the others of zero mean over a square.

    Parameters
    ----------
    place : ndarray, (..., 2)
        (u, v) from -1/2 to 1/2.
    order : int
        0, 1 or 2.

    Returns
    -------
    ndarray, (..., nterm) float64
        1; u, v; u² - 1/12, u v, v² - 1/12.
    """
    u, v = place[..., 0], place[..., 1]
    terms = [np.ones_like(u)]
    if order > 0:
        terms += [u, v]
    if order > 1:
        terms += [u * u - 1 / 12, u * v, v * v - 1 / 12]
    return np.stack(terms, axis=-1)
