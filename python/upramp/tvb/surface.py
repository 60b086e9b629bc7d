"""Scattered light: subtract what every interval has above the quietest, as a profile over columns or as a plane.

Light of the bright Earth that is scattered inside the telescope falls on one side of the detector more than on the
other, and fades from read to read. Its shape in each interval is measured on the difference to the quiet
intervals, which knows no sources. What the quiet intervals have of that very shape is taken off as well: light
that has not faded altogether by then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from upramp.ramps.cells import cell_levels
from upramp.ramps.crcorr import bounds
from upramp.tvb.base import check_times, quiet_rate
from upramp.tvb.corrected import SKY_BAD_DQ, Corrected, subtract
from upramp.tvb.grism import refuse_grism
from upramp.tvb.sources import source_mask
from upramp.wfc3ir.exposure import Ramp

__all__ = ["remove_columns", "remove_plane"]

log = logging.getLogger(__name__)

KNOT_SPACING = 50
"""Columns between the knots of a profile: fewer would follow the noise of a small field."""
BANDS = 8
"""Bands of rows in which the profile is measured."""
CELLS = 16
"""Cells on a side whose medians define a plane."""
CLIP = 3.0
ROUNDS = 3
SURE = 5.0
"""Significance from which the shape of the scattered light is known to be left in the quiet intervals."""


def remove_columns(
    ramp: Ramp,
    *,
    mask: NDArray[np.bool_] | None = None,
    bad_dq: int = SKY_BAD_DQ,
    flat: NDArray[np.float32] | None = None,
    force: bool = False,
    threads: int | None = None,
) -> Corrected:
    """Subtract scattered light that depends on the column, and linearly on the row, read by read.

    Parameters
    ----------
    ramp : Ramp
        Exposure, in counts or rates; it is not changed.
    mask : (ny, nx) ndarray of bool, optional
        Sources (True); default :func:`upramp.tvb.sources.source_mask`.
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
    For every interval, the medians of D_k - B (see :func:`upramp.tvb.excess.remove_excess`) over eight bands of
    rows are fitted, weighted by the number of pixels, with c(x) + y d(x), both cubic splines that have a knot every
    50 columns; outliers beyond 3 sigma are left out.
    """
    y0, y1, x0, x1 = bounds(ramp.border, ramp.sci.shape[1:])
    spline = spline_basis(x1 - x0, max((x1 - x0) // KNOT_SPACING, 1))
    rows = _edges(y0, y1, BANDS)
    heights = _scaled(rows, y0, y1)
    basis = np.concatenate([np.hstack([spline, height * spline]) for height in heights])
    every_y = np.linspace(-1, 1, y1 - y0)[:, None]

    def image(terms: NDArray[np.float64]) -> NDArray[np.float64]:
        level, slope = terms.reshape(2, -1) @ spline.T
        return np.asarray(level + every_y * slope)

    grid = Grid(basis, image, rows.tolist(), range(x0, x1 + 1))
    return _take_off(ramp, grid, mask, bad_dq, flat, force=force, threads=threads)


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
    y0, y1, x0, x1 = bounds(ramp.border, ramp.sci.shape[1:])
    rows, columns = _edges(y0, y1, CELLS), _edges(x0, x1, CELLS)
    y, x = np.meshgrid(_scaled(rows, y0, y1), _scaled(columns, x0, x1), indexing="ij")
    basis = np.stack([np.ones(y.size), x.ravel(), y.ravel()], axis=1)
    every_x, every_y = np.linspace(-1, 1, x1 - x0), np.linspace(-1, 1, y1 - y0)[:, None]

    def image(terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(terms[0] + terms[1] * every_x + terms[2] * every_y)

    grid = Grid(basis, image, rows.tolist(), columns.tolist())
    return _take_off(ramp, grid, mask, bad_dq, flat, force=force, threads=threads)


def _edges(start: int, stop: int, cells: int) -> NDArray[np.int_]:
    """Edges of at most so many cells of about the same size."""
    return np.linspace(start, stop, min(cells, stop - start) + 1).round().astype(int)


def _scaled(edges: NDArray[np.int_], start: int, stop: int) -> NDArray[np.float64]:
    """Middle of each cell, from -1 at the first pixel to 1 at the last."""
    middle = 0.5 * (edges[1:] + edges[:-1] - 1)
    return np.asarray(2 * (middle - start) / (stop - 1 - start) - 1)


class Grid(NamedTuple):
    """Cells whose medians are fitted, and the functions that are fitted to them."""

    basis: NDArray[np.float64]
    """Functions at the cells, row by row: (cells, m)."""
    image: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    """Image of the light-sensitive pixels (or what broadcasts to it) from the m coefficients."""
    rows: Sequence[int] | None = None
    """Edges of the cells; None: all rows."""
    columns: Sequence[int] | None = None
    """Likewise."""


def _take_off(
    ramp: Ramp,
    grid: Grid,
    mask: NDArray[np.bool_] | None,
    bad_dq: int,
    flat: NDArray[np.float32] | None,
    *,
    force: bool,
    threads: int | None,
) -> Corrected:
    """Measure the surface of every interval and subtract it."""
    refuse_grism(ramp, force=force)
    check_times(ramp)
    if mask is None:
        with np.errstate(divide="ignore", invalid="ignore"):
            mask = source_mask(ramp if flat is None else ramp.with_(sci=ramp.sci / flat))
    quiet = quiet_rate(ramp, response=flat, mask=mask, bad_dq=bad_dq, threads=threads)
    excess, whole = (
        cell_levels(
            ramp.sci,
            ramp.dq,
            ramp.times,
            rate=ramp.is_rate,
            response=flat,
            base=base,
            mask=mask,
            bad_dq=bad_dq,
            region=ramp.border,
            rows=grid.rows,
            columns=grid.columns,
            threads=threads,
        )
        for base in (quiet.rate, None)
    )
    steps = np.diff(ramp.times)
    npix = excess.npix.reshape(steps.size, -1)
    terms = np.array(
        [
            fit_robustly(grid.basis, median.ravel(), count)
            for median, count in zip(excess.median, npix, strict=True)
        ]
    )
    weight = steps * quiet.used / steps[quiet.used].sum()
    with np.errstate(invalid="ignore"):
        rest = (whole.median.reshape(steps.size, -1) * weight[:, None]).sum(axis=0)
    terms += _left_over(grid.basis, steps @ terms / steps.sum(), rest, npix.min(axis=0))

    total = np.concatenate((np.zeros_like(terms[:1]), np.cumsum(terms * steps[:, None], axis=0)))
    mean = total[-1] / ramp.times[-1]
    sci = subtract(ramp, lambda r: grid.image(total[r] / ramp.times[r] - mean), flat, threads)
    pedestal = np.zeros(ramp.sci.shape[1:], np.float32)
    pedestal[ramp.border] = grid.image(mean)
    if flat is not None:
        pedestal *= flat
    removed = [0.0, *(float(np.median(grid.image(total[r] / ramp.times[r]))) for r in range(1, ramp.nread))]
    level = np.concatenate(([np.nan], quiet.level))
    log.info("%s: surfaces up to %.3f %s subtracted", ramp.path, max(removed), ramp.unit)
    return Corrected(ramp.with_(sci=sci), pedestal, level, np.array(removed))


def _left_over(
    basis: NDArray[np.float64],
    shape: NDArray[np.float64],
    rest: NDArray[np.float64],
    npix: NDArray[np.int64],
) -> NDArray[np.float64]:
    """What the quiet intervals still have of the mean shape of the excess: coefficients.

    Their medians `rest` are fitted with a constant and the shape. Only what rises above the darkest place is taken:
    a constant cannot be told from the sky.
    """
    nothing = np.zeros_like(shape)
    profile = basis @ shape
    good = np.isfinite(rest) & (npix > 0)
    if good.sum() < 3 or np.ptp(profile[good]) == 0:
        return nothing
    model = np.stack([np.ones(profile.size), profile], axis=1)
    offset, part = fit_robustly(model, rest, np.where(good, npix, 0))
    residual = (rest - offset - part * profile)[good]
    scatter = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
    error = scatter / (float(np.std(profile[good])) * np.sqrt(good.sum()))
    if part <= SURE * error:
        return nothing
    # The functions add up to a constant: with ones for all coefficients, or for the first.
    constant = np.linalg.lstsq(basis, np.ones(profile.size), rcond=None)[0]
    return np.asarray(part * (shape - profile.min() * constant))


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
        # Normal equations: splines make them well-conditioned.
        weighted = basis[good] * npix[good, None]
        solved = np.linalg.lstsq(weighted.T @ basis[good], weighted.T @ values[good], rcond=None)
        coefficients = np.asarray(solved[0], float)
        residual = np.where(good, (values - basis @ coefficients) * weight, np.nan)
        scatter = 1.4826 * np.nanmedian(np.abs(residual))
        kept = good & (np.abs(residual) <= CLIP * scatter)
        if scatter == 0 or kept.sum() <= basis.shape[1] or np.array_equal(kept, good):
            break
        good = kept
    return coefficients
