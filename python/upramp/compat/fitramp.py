"""The names of Brandt's fitramp (github.com/t-brandt/fitramp) with its arguments, on upramp's kernel.

>>> from upramp.compat import fitramp
>>> cov = fitramp.Covar([1.0, [2.0, 3.0], 4.0, 5.0, 6.0])
>>> diffs = np.full((4, 1), 7.0)
>>> float(fitramp.fit_ramps(diffs, cov, np.array([10.0])).countrate[0].round(6))
7.0

What is kept: classes, functions, arguments and their defaults, attributes and shapes of the result, float64, masks
that are changed in place. Single-threaded, as a guest should be.

What is mended (docs/ramps.md has the reasons):

* the search takes its first guess from the differences in use, not from all;
* hits in symmetric ramps without signal are found; fitramp has 0/0 there and flags nothing;
* a ramp with three differences in use is not searched, also not at first; fitramp tests that after the first drop;
* rates after two neighbours were dropped are right; fitramp sometimes gives twice the rate;
* ``rescale`` is accepted and without effect: nothing overflows here;
* differences that are not finite are left out, and pixels whose read noise is not have NaN;
* ``calc_bias`` works with NumPy 2.4, and by its closed form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp.ramps.bias import rate_bias
from upramp.ramps.differences import Covariance, fit_differences, search_differences
from upramp.ramps.likelihood import pattern_of

__all__ = ["REPLACEMENTS", "Covar", "Ramp_Result", "fit_ramps", "mask_jumps"]

Floats = NDArray[np.float64]


class Covar:
    """Covariance of the differences between samples.

    Parameters
    ----------
    read_times : sequence of float or of sequences of float
        Time of every sample, or of the reads that it is the mean of.
    pedestal : bool, optional
        Whether the first difference is the first sample over its mean time.
    """

    def __init__(
        self, read_times: ArrayLike | Sequence[float | Sequence[float]], pedestal: bool = False
    ) -> None:
        mean, tau, reads = pattern_of(read_times, len(read_times))  # type: ignore[arg-type]
        self.pedestal = pedestal
        self.mean_t = mean
        self.tau = tau
        self.Nreads = reads.astype(int)
        self.delta_t = dt = np.diff(mean)
        both = dt[1:] * dt[:-1]
        self.alpha_readnoise = (1 / reads[:-1] + 1 / reads[1:]) / dt**2
        self.beta_readnoise = -1 / reads[1:-1] / both
        self.alpha_phnoise = (tau[:-1] + tau[1:] - 2 * mean[:-1]) / dt**2
        self.beta_phnoise = (mean[1:-1] - tau[1:-1]) / both
        if pedestal:
            if not mean[0] > 0:
                raise ValueError(f"read_times begin with {mean[0]}, expected a time after 0 for a pedestal")
            span, count = mean[0], reads[0]
            self.alpha_readnoise = np.append(1 / (count * span**2), self.alpha_readnoise)
            self.beta_readnoise = np.append(-1 / (count * span * dt[0]), self.beta_readnoise)
            self.alpha_phnoise = np.append(tau[0] / span**2, self.alpha_phnoise)
            self.beta_phnoise = np.append((span - tau[0]) / (span * dt[0]), self.beta_phnoise)

    def calc_bias(self, countrates: Floats, sig: float, cvec: Floats, da: float = 1e-7) -> Floats:
        """Bias of the count rate that is fitted with the covariance for a first guess.

        Parameters
        ----------
        countrates : (n,) ndarray
            Count rates at which to tell the bias.
        sig : float
            Read noise.
        cvec : ndarray
            Weights of the differences in the guess, of any sum.
        da : float, optional
            Without effect: the derivative is exact.
        """
        if self.pedestal:
            raise ValueError("Covar has a pedestal, expected one without for the bias")
        return rate_bias(_covariance(self), countrates, sig, cvec)


class Ramp_Result:
    """Answers of :func:`fit_ramps`, named as fitramp names them; None where not asked for."""

    def __init__(self) -> None:
        self.countrate: Any = None
        self.chisq: Any = None
        self.uncert: Any = None
        self.weights: Any = None
        self.pedestal: Any = None
        self.uncert_pedestal: Any = None
        self.covar_countrate_pedestal: Any = None
        self.countrate_twoomit: Any = None
        self.chisq_twoomit: Any = None
        self.uncert_twoomit: Any = None
        self.countrate_oneomit: Any = None
        self.jumpval_oneomit: Any = None
        self.jumpsig_oneomit: Any = None
        self.chisq_oneomit: Any = None
        self.uncert_oneomit: Any = None


def _covariance(cov: Any) -> Covariance:
    """Coefficients of a Covar, of ours or of fitramp's."""
    reads = np.asarray(cov.Nreads)
    if cov.pedestal:
        # The first difference shares the first sample with the second.
        averaged, first = reads[:-1] > 1, float(cov.mean_t[0])
    else:
        averaged, first = reads[1:-1] > 1, 0.0

    def floats(part: ArrayLike) -> Floats:
        return np.ascontiguousarray(part, np.float64)

    return Covariance(
        floats(cov.alpha_readnoise),
        floats(cov.alpha_phnoise),
        floats(cov.beta_readnoise),
        floats(cov.beta_phnoise),
        averaged,
        first,
    )


def _each(name: str, value: ArrayLike, size: int) -> Floats:
    array = np.asarray(value, np.float64)
    if array.size not in (1, size):
        raise ValueError(f"{name} has shape {array.shape}, expected a number or ({size},)")
    return np.ascontiguousarray(np.broadcast_to(array.reshape(-1), (size,)))


def fit_ramps(
    diffs: Floats,
    Cov: Covar,
    sig: ArrayLike,
    countrateguess: ArrayLike | None = None,
    diffs2use: NDArray[Any] | None = None,
    detect_jumps: bool = False,
    resetval: ArrayLike = 0,
    resetsig: ArrayLike = math.inf,
    rescale: bool = True,
) -> Ramp_Result:
    """Fit ramps to differences, as ``fitramp.fit_ramps``.

    Parameters
    ----------
    diffs : (ndiffs, npix) ndarray
        Differences of samples over the time between them.
    Cov : Covar
        Their covariance.
    sig : float or (npix,) ndarray
        Read noise.
    countrateguess : (npix,) array_like, optional
        Count rates that the covariance is taken for; by default the mean of the differences in use, if positive.
    diffs2use : (ndiffs, npix) ndarray, optional
        1 where a difference is to be used, else 0.
    detect_jumps : bool, optional
        Whether to tell the fits without single differences and without neighbours.
    resetval, resetsig : float or (npix,) ndarray, optional
        What is known of the pedestal: value and uncertainty.
    rescale : bool, optional
        Without effect.

    Returns
    -------
    Ramp_Result
    """
    if Cov.pedestal and detect_jumps:
        raise ValueError("detect_jumps is True, expected False where Cov has a pedestal")
    data = np.asarray(diffs, np.float64)
    size = data.shape[-1]
    used = np.ones(data.shape, bool) if diffs2use is None else np.asarray(diffs2use) != 0
    if countrateguess is None:
        rest = slice(1, None) if Cov.pedestal else slice(None)
        count = used[rest].sum(axis=0)
        guess = np.where(used, data, 0)[rest].sum(axis=0) / np.maximum(count, 1)
        guess = np.maximum(guess, 0)
    else:
        guess = _each("countrateguess", countrateguess, size)
    priors = (_each("resetval", resetval, size), _each("resetsig", resetsig, size)) if Cov.pedestal else None
    fit = fit_differences(
        data,
        _covariance(Cov),
        _each("sig", sig, size),
        guess,
        used=used,
        priors=priors,
        tables=detect_jumps,
        threads=1,
    )
    made = Ramp_Result()
    made.countrate, made.chisq, made.uncert = fit.rate, fit.chi2, fit.err
    if Cov.pedestal:
        made.pedestal, made.uncert_pedestal, made.covar_countrate_pedestal = (row[0] for row in fit.pedestal)
    else:
        made.weights = fit.weights
    if detect_jumps:
        made.countrate_oneomit, made.uncert_oneomit, made.chisq_oneomit = fit.one[:3]
        made.jumpval_oneomit, made.jumpsig_oneomit = fit.one[3:]
        made.countrate_twoomit, made.uncert_twoomit, made.chisq_twoomit = fit.two
    return made


def mask_jumps(
    diffs: Floats,
    Cov: Covar,
    sig: ArrayLike,
    threshold_oneomit: float = 20.25,
    threshold_twoomit: float = 23.8,
    diffs2use: NDArray[Any] | None = None,
) -> tuple[NDArray[Any], Floats]:
    """Search for hits, as ``fitramp.mask_jumps``.

    Parameters
    ----------
    diffs : (ndiffs, npix) ndarray
        Differences of samples over the time between them.
    Cov : Covar
        Their covariance, without a pedestal.
    sig : float or (npix,) ndarray
        Read noise.
    threshold_oneomit, threshold_twoomit : float, optional
        Least falls of chi square for one difference and for two.
    diffs2use : (ndiffs, npix) ndarray, optional
        1 where a difference is to be used, else 0; changed in place.

    Returns
    -------
    diffs2use : (ndiffs, npix) ndarray
        1 where a difference is to be used; the argument itself, if there was one.
    countrates : (npix,) ndarray
        Count rates without the others.
    """
    if Cov.pedestal:
        raise ValueError("Cov has a pedestal, expected one without for the search")
    data = np.asarray(diffs, np.float64)
    if diffs2use is None:
        diffs2use = np.ones(data.shape, np.uint8)
    left, rate = search_differences(
        data,
        _covariance(Cov),
        _each("sig", sig, data.shape[-1]),
        used=np.asarray(diffs2use) != 0,
        thresholds=(threshold_oneomit, threshold_twoomit),
        threads=1,
    )
    diffs2use *= left.astype(diffs2use.dtype)
    return diffs2use, rate


REPLACEMENTS = (
    ("fitramp", "Covar", Covar),
    ("fitramp", "Ramp_Result", Ramp_Result),
    ("fitramp", "fit_ramps", fit_ramps),
    ("fitramp", "mask_jumps", mask_jumps),
)
"""Module, attribute and replacement, for :func:`upramp.accelerate`."""
