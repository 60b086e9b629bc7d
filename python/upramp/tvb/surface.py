"""Scattered light: subtract what every interval has above the quietest, as a profile over columns or as a plane.

Light of the bright Earth that is scattered inside the telescope falls on one side of the detector more than on the
other, and fades from read to read. Its shape in each interval is measured on the difference to the quiet
intervals, which knows no sources.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upramp.ramps.cells import cell_levels
from upramp.ramps.crcorr import bounds
from upramp.tvb.base import quiet_rate
from upramp.tvb.corrected import SKY_BAD_DQ, Corrected, subtract
from upramp.tvb.grism import refuse_grism
from upramp.wfc3ir.exposure import Ramp

__all__ = ["remove_columns", "remove_plane"]

log = logging.getLogger(__name__)

KNOT_SPACING = 50
"""Columns between the knots of a profile."""
CELLS = 16
"""Cells on a side whose medians define a plane."""
CLIP = 3.0
ROUNDS = 3


def remove_columns(
    ramp: Ramp,
    *,
    mask: NDArray[np.bool_] | None = None,
    bad_dq: int = SKY_BAD_DQ,
    flat: NDArray[np.float32] | None = None,
    force: bool = False,
    threads: int | None = None,
) -> Corrected:
    """Subtract scattered light that depends on the column, read by read.

    Parameters
    ----------
    ramp : Ramp
        Exposure, in counts or rates; it is not changed.
    mask : (ny, nx) ndarray of bool, optional
        Pixels to leave out (True).
    bad_dq : int, optional
        DQ bits that exclude a pixel.
    flat : (ny, nx) ndarray of float32, optional
        Flat field of an exposure that has not been flat-fielded.
    force : bool, optional
        Correct grism exposures too.
    threads : int, optional
        Number of threads.

    Returns
    -------
    Corrected
        The level of the quiet intervals stays in it.

    Raises
    ------
    ValueError
        A grism exposure without `force`.

    Notes
    -----
    For every interval, the medians over the rows of D_k - B (see :func:`upramp.tvb.excess.remove_excess`) are
    fitted, weighted by the number of pixels, with a cubic spline that has a knot every 50 columns; outliers
    beyond 3 sigma are left out.
    """
    refuse_grism(ramp, force=force)
    quiet = quiet_rate(ramp, response=flat, mask=mask, bad_dq=bad_dq, threads=threads)
    _, _, x0, x1 = bounds(ramp.border, ramp.sci.shape[1:])
    found = cell_levels(
        ramp.sci,
        ramp.dq,
        ramp.times,
        rate=ramp.is_rate,
        response=flat,
        base=quiet.rate,
        mask=mask,
        bad_dq=bad_dq,
        region=ramp.border,
        columns=range(x0, x1 + 1),
        threads=threads,
    )
    basis = spline_basis(x1 - x0, max((x1 - x0) // KNOT_SPACING, 1))
    shape = [
        basis @ fit_robustly(basis, median[0], npix[0])
        for median, npix in zip(found.median, found.npix, strict=True)
    ]
    return _corrected(ramp, quiet.level, np.array(shape)[:, None, :], lambda image: image, flat)


def remove_plane(
    ramp: Ramp,
    *,
    mask: NDArray[np.bool_] | None = None,
    bad_dq: int = SKY_BAD_DQ,
    flat: NDArray[np.float32] | None = None,
    force: bool = False,
    threads: int | None = None,
) -> Corrected:
    """Subtract scattered light that is linear in column and row, read by read.

    Parameters
    ----------
    ramp : Ramp
        Exposure, in counts or rates; it is not changed.
    mask, bad_dq, flat, force, threads : optional
        See :func:`remove_columns`.

    Returns
    -------
    Corrected
        The level of the quiet intervals stays in it.

    Raises
    ------
    ValueError
        A grism exposure without `force`.

    Notes
    -----
    For every interval, the medians of D_k - B (see :func:`upramp.tvb.excess.remove_excess`) in 16 x 16 cells are
    fitted, weighted by the number of pixels, with a + b x + c y; outliers beyond 3 sigma are left out.
    """
    refuse_grism(ramp, force=force)
    quiet = quiet_rate(ramp, response=flat, mask=mask, bad_dq=bad_dq, threads=threads)
    y0, y1, x0, x1 = bounds(ramp.border, ramp.sci.shape[1:])
    rows, columns = (
        np.linspace(start, stop, min(CELLS, stop - start) + 1).round().astype(int)
        for start, stop in ((y0, y1), (x0, x1))
    )
    found = cell_levels(
        ramp.sci,
        ramp.dq,
        ramp.times,
        rate=ramp.is_rate,
        response=flat,
        base=quiet.rate,
        mask=mask,
        bad_dq=bad_dq,
        region=ramp.border,
        rows=rows.tolist(),
        columns=columns.tolist(),
        threads=threads,
    )

    def scaled(edges: NDArray[np.int_], start: int, stop: int) -> NDArray[np.float64]:
        # Middle of each cell, from -1 at the first pixel to 1 at the last.
        middle = 0.5 * (edges[1:] + edges[:-1] - 1)
        return np.asarray(2 * (middle - start) / (stop - 1 - start) - 1)

    y, x = np.meshgrid(scaled(rows, y0, y1), scaled(columns, x0, x1), indexing="ij")
    basis = np.stack([np.ones(y.size), x.ravel(), y.ravel()], axis=1)
    terms = np.array(
        [
            fit_robustly(basis, median.ravel(), npix.ravel())
            for median, npix in zip(found.median, found.npix, strict=True)
        ]
    )
    every_x, every_y = np.linspace(-1, 1, x1 - x0), np.linspace(-1, 1, y1 - y0)[:, None]

    def image(term: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(term[0] + term[1] * every_x + term[2] * every_y)

    return _corrected(ramp, quiet.level, terms, image, flat)


def _corrected(
    ramp: Ramp,
    level: NDArray[np.float64],
    excess: NDArray[np.float64],
    image: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    flat: NDArray[np.float32] | None,
) -> Corrected:
    """Take off the excess of every interval, given by numbers that `image` turns linearly into an image."""
    steps = np.diff(ramp.times).reshape(-1, *[1] * (excess.ndim - 1))
    total = np.concatenate((np.zeros_like(excess[:1]), np.cumsum(excess * steps, axis=0)))
    mean = total[-1] / ramp.times[-1]
    sci = subtract(ramp, lambda r: image(total[r] / ramp.times[r] - mean), flat)
    pedestal = np.zeros(ramp.sci.shape[1:], np.float32)
    pedestal[ramp.border] = image(mean)
    if flat is not None:
        pedestal *= flat
    removed = [0.0, *(float(np.median(image(total[r] / ramp.times[r]))) for r in range(1, ramp.nread))]
    return Corrected(ramp.with_(sci=sci), pedestal, np.concatenate(([np.nan], level)), np.array(removed))


def spline_basis(size: int, pieces: int) -> NDArray[np.float64]:
    """Cubic B-splines of equal knot spacing, at whole numbers.

    Parameters
    ----------
    size : int
        Number of places, 0 to size - 1.
    pieces : int
        Number of polynomial pieces.

    Returns
    -------
    basis : (size, pieces + 3) ndarray of float64
        Each row sums to 1.

    Notes
    -----
    Recursion of de Boor (1972) and Cox (1972) from splines of degree 0.
    """
    place = np.linspace(0.0, pieces, size)[:, None] if size > 1 else np.zeros((1, 1))
    knots = np.arange(-3.0, pieces + 4.0)
    # The last place belongs to the last piece.
    piece = np.minimum(np.floor(place), pieces - 1)
    basis: NDArray[np.float64] = (piece == knots[:-1]).astype(float)
    for degree in range(1, 4):
        left = (place - knots[: -degree - 1]) / degree * basis[:, :-1]
        right = (knots[degree + 1 :] - place) / degree * basis[:, 1:]
        basis = left + right
    return basis


def fit_robustly(
    basis: NDArray[np.float64], values: NDArray[np.float64], npix: NDArray[Any]
) -> NDArray[np.float64]:
    """Weighted linear least squares, outliers left out.

    Parameters
    ----------
    basis : (n, m) ndarray of float64
        Functions at the n places.
    values : (n,) ndarray of float64
        Medians; NaN is left out.
    npix : (n,) ndarray of int
        Pixels behind each: their weights.

    Returns
    -------
    coefficients : (m,) ndarray of float64
        The shortest solution where the places do not determine them all.
    """
    good = np.isfinite(values) & (npix > 0)
    weight = np.sqrt(npix.astype(float))
    coefficients = np.zeros(basis.shape[1])
    for _ in range(ROUNDS):
        if not good.any():
            break
        root = weight[good]
        solved = np.linalg.lstsq(basis[good] * root[:, None], values[good] * root, rcond=None)
        coefficients = np.asarray(solved[0], float)
        residual = np.where(good, (values - basis @ coefficients) * weight, np.nan)
        scatter = 1.4826 * np.nanmedian(np.abs(residual))
        kept = good & (np.abs(residual) <= CLIP * scatter)
        if scatter == 0 or kept.sum() <= basis.shape[1] or np.array_equal(kept, good):
            break
        good = kept
    return coefficients
