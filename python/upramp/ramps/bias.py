"""Bias of a rate that is fitted with the covariance for a guess made of the same data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp.ramps.differences import Covariance
from upramp.ramps.likelihood import pattern_of

__all__ = ["covariance_of", "rate_bias"]


def covariance_of(times: ArrayLike | Sequence[Sequence[float]]) -> Covariance:
    """Covariance of the differences between the samples of a read pattern.

    Parameters
    ----------
    times : (nread,) array_like of float, or sequence of sequences of float
        Time of every sample, seconds; or the times of the reads that each sample is the mean of.

    Returns
    -------
    Covariance

    Examples
    --------
    >>> covariance_of([0.0, 1.0, 3.0]).read
    array([2. , 0.5])
    """
    mean, tau, count = pattern_of(times, len(times))  # type: ignore[arg-type]
    dt = np.diff(mean)
    both = dt[1:] * dt[:-1]
    return Covariance(
        read=(1 / count[:-1] + 1 / count[1:]) / dt**2,
        photon=(tau[:-1] + tau[1:] - 2 * mean[:-1]) / dt**2,
        read_next=-1 / count[1:-1] / both,
        photon_next=(mean[1:-1] - tau[1:-1]) / both,
        averaged=count[1:-1] > 1,
    )


def rate_bias(
    covariance: Covariance, rates: ArrayLike, read_noise: float, guess_weights: ArrayLike
) -> NDArray[np.float64]:
    r"""Bias of the rate fitted with the covariance for a first guess, if that guess is linear in the differences.

    Parameters
    ----------
    covariance : Covariance
        Of the differences; see :func:`covariance_of`.
    rates : array_like of float
        Count rates at which to tell the bias, electrons per second.
    read_noise : float
        Noise of one read, electrons.
    guess_weights : (n,) array_like of float
        Weights of the differences in the guess, of any sum: all 1 for their mean.

    Returns
    -------
    (nrate,) ndarray of float64
        Mean of fitted rate less true rate, electrons per second: subtract it.

    Notes
    -----
    With weights :math:`w(a)` of the fit, :math:`c` of the guess (of sum 1, negative guesses taken as 0), covariance
    C and :math:`s^2 = c^T C c`,

    .. math:: \frac12 \left[1 + \mathrm{erf}\frac{a}{\sqrt 2 s}\right] c^T C \frac{dw}{da}.

    A guess with the weights of the fit itself has none, since :math:`C w` is constant and the weights sum to 1 at
    any rate. :func:`fit_gls` and :func:`fit` fit twice, the second time with the rate of the first, and so need no
    correction: what is left is below 0.1 % of the error (``tests/test_ramp_fit.py``).

    References
    ----------
    .. [1] Brandt 2024, PASP 136, 045004.
    """
    c = np.asarray(guess_weights, np.float64)
    c = c / c.sum()

    def matrix(diagonal: NDArray[np.float64], neighbours: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.diag(diagonal) + np.diag(neighbours, 1) + np.diag(neighbours, -1)

    read = read_noise**2 * matrix(covariance.read, covariance.read_next)
    photon = matrix(covariance.photon, covariance.photon_next)
    made = []
    for rate in np.atleast_1d(np.asarray(rates, np.float64)):
        full = read + rate * photon
        u = np.linalg.solve(full, np.ones(len(c)))
        du = -np.linalg.solve(full, photon @ u)
        dw = du / u.sum() - u * du.sum() / u.sum() ** 2
        spread = math.sqrt(c @ full @ c)
        made.append(float(c @ full @ dw) * 0.5 * (1 + math.erf(rate / (spread * math.sqrt(2)))))
    return np.array(made)
