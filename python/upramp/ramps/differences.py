"""Generalised least squares on differences whose covariance is given: what Brandt's fitramp works on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp import _core
from upramp._arrays import as_array, count_threads

__all__ = ["Covariance", "DifferenceFit", "fit_differences", "search_differences"]

Floats = NDArray[np.float64]


class Covariance(NamedTuple):
    """Covariance of differences: squared read noise times one part, plus count rate times the other."""

    read: Floats
    """Of the squared read noise, on the diagonal, (n,)."""
    photon: Floats
    """Of the count rate, on the diagonal, (n,)."""
    read_next: Floats
    """Of the squared read noise, between neighbours, (n - 1,)."""
    photon_next: Floats
    """Of the count rate, between neighbours, (n - 1,)."""
    averaged: NDArray[np.bool_]
    """Whether neighbours share a sample that is the mean of several reads, (n - 1,)."""
    first: float = 0.0
    """Mean time of the first sample, seconds, if the first difference is that sample over this time; else 0."""


class DifferenceFit(NamedTuple):
    """Result of :func:`fit_differences`; everything is float64, by pixel."""

    rate: Floats
    """Count rate, (npixel,); NaN without a usable difference."""
    err: Floats
    """Its uncertainty."""
    chi2: Floats
    """Chi square."""
    weights: Floats
    """Weights of the differences, (n, npixel); empty with a pedestal."""
    pedestal: list[Floats]
    """Pedestal, its uncertainty, and its covariance with the rate, (1, npixel) each, if asked for; else empty."""
    one: list[Floats]
    """Without each difference: rate, uncertainty, chi square, charge of a hit over its time, its uncertainty."""
    two: list[Floats]
    """Without each two neighbours: rate, uncertainty, chi square, (n - 1, npixel)."""


def fit_differences(
    diffs: ArrayLike,
    covariance: Covariance,
    read_noise: ArrayLike,
    rate_guess: ArrayLike,
    *,
    used: ArrayLike | None = None,
    priors: tuple[ArrayLike, ArrayLike] | None = None,
    tables: bool = False,
    threads: int | None = None,
) -> DifferenceFit:
    """Fit differences between samples.

    Parameters
    ----------
    diffs : (n, npixel) array_like of float
        Differences of samples over the time between them, electrons per second.
    covariance : Covariance
        Their covariance.
    read_noise : (npixel,) array_like of float
        Noise of one read, electrons.
    rate_guess : (npixel,) array_like of float
        Count rate that the covariance is taken for, electrons per second.
    used : (n, npixel) array_like of bool, optional
        Differences to use (default all).
    priors : (array_like, array_like), optional
        Value and uncertainty of the pedestal of every pixel: then the first difference is the first sample over its
        mean time, and the pedestal is fitted. An infinite uncertainty says that nothing is known.
    tables : bool, optional
        Whether to tell what the fit would be without each difference, and without each two neighbours.
    threads : int, optional
        Number of threads; the result does not depend on it.

    Returns
    -------
    DifferenceFit

    Raises
    ------
    ValueError, TypeError
        An argument of the wrong shape or type, or both `priors` and `tables`.
    """
    data = _as_table("diffs", diffs)
    size = data.shape[1]
    images, weights, pedestal, one, two = _core.fit_differences(
        data,
        None if used is None else as_array("used", used, bool, 2, data.shape),
        as_array("read_noise", read_noise, np.float64, 1, (size,)),
        as_array("rate_guess", rate_guess, np.float64, 1, (size,)),
        covariance,
        None
        if priors is None
        else (
            as_array("priors[0]", priors[0], np.float64, 1, (size,)),
            as_array("priors[1]", priors[1], np.float64, 1, (size,)),
        ),
        tables=tables,
        threads=count_threads(threads),
    )
    rate, err, chi2 = (image[0] for image in images)
    return DifferenceFit(rate, err, chi2, weights, pedestal, one, two)


def search_differences(
    diffs: ArrayLike,
    covariance: Covariance,
    read_noise: ArrayLike,
    *,
    used: ArrayLike | None = None,
    thresholds: tuple[float, float] = (20.25, 23.8),
    fewest: int = 3,
    threads: int | None = None,
) -> tuple[NDArray[np.bool_], Floats]:
    """Search differences for hits by likelihood ratios; see :func:`upramp.ramps.fit_gls`.

    Parameters
    ----------
    diffs : (n, npixel) array_like of float
        Differences of samples over the time between them, electrons per second.
    covariance : Covariance
        Their covariance.
    read_noise : (npixel,) array_like of float
        Noise of one read, electrons.
    used : (n, npixel) array_like of bool, optional
        Differences to use (default all).
    thresholds : (float, float), optional
        Least falls of chi square for one difference and for two.
    fewest : int, optional
        Nothing is left out of a ramp of so few differences.
    threads : int, optional
        Number of threads; the result does not depend on it.

    Returns
    -------
    used : (n, npixel) ndarray of bool
        Differences left in use.
    rate : (npixel,) ndarray of float64
        Count rate without the others, with the covariance of the search.
    """
    data = _as_table("diffs", diffs)
    return _core.search_differences(
        data,
        None if used is None else as_array("used", used, bool, 2, data.shape),
        as_array("read_noise", read_noise, np.float64, 1, (data.shape[1],)),
        covariance,
        (*thresholds, fewest),
        threads=count_threads(threads),
    )


def _as_table(name: str, value: ArrayLike) -> Floats:
    """Differences by pixels; as_array's message speaks of images."""
    if np.ndim(value) != 2:
        raise ValueError(f"{name} has shape {np.shape(value)}, expected (ndiffs, npix)")
    return as_array(name, value, np.float64, 2)
