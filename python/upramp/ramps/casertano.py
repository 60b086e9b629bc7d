"""Weighted least squares with Casertano's weights, and his search for hits, on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp import _core
from upramp._arrays import as_array, as_flags, as_samples, count_threads
from upramp.ramps.likelihood import pattern_of, per_pixel

__all__ = ["CASERTANO_THRESHOLD", "CasertanoFit", "fit_casertano"]

CASERTANO_THRESHOLD = (5.5, 1 / 3)
"""Threshold at 1 e-/s, and its fall per decade of the rate, up to 10,000 e-/s."""


class CasertanoFit(NamedTuple):
    """Result of :func:`fit_casertano`; images are (ny, nx), rates in the unit of the cube per second."""

    rate: NDArray[np.float32]
    """Count rate; NaN where no two usable samples follow one another."""
    var_poisson: NDArray[np.float32]
    """Variance of `rate` from photons."""
    var_rnoise: NDArray[np.float32]
    """Variance of `rate` from read noise."""
    hits: tuple[NDArray[np.uint32], NDArray[np.uint16]]
    """Pixels (in C order) and samples that the search took out, each with the sample after it."""


def fit_casertano(
    cube: ArrayLike,
    times: ArrayLike | Sequence[Sequence[float]],
    read_noise: ArrayLike,
    *,
    gain: ArrayLike = 1.0,
    dq: ArrayLike | None = None,
    bad: int = 0xFFFF,
    hit: int = 0,
    mask: ArrayLike | None = None,
    threshold: tuple[float, float] | None = None,
    power: float | None = None,
    threads: int | None = None,
) -> CasertanoFit:
    r"""Fit the ramp of every pixel with Casertano's weights.

    Parameters
    ----------
    cube : (nread, ny, nx) array_like of float32, float64 or uint16
        Samples (reads, or means of several reads) in order of time.
    times : (nread,) array_like of float, or sequence of sequences of float
        Time of every sample, seconds; or the times of the reads that each sample is the mean of.
    read_noise : float or (ny, nx) array_like
        Noise of one read, electrons.
    gain : float or (ny, nx) array_like, optional
        Electrons per unit of the cube. Pixels where it is not positive have no answer.
    dq : (nread, ny, nx) array_like of uint8, uint16 or int16, optional
        DQ bits of every sample.
    bad : int, optional
        Bits that make a sample unusable; samples that are not finite are, too.
    hit : int, optional
        Bits of a hit before a sample: the ramp is broken in front of it, the sample itself is good.
    mask : (nread - 1, ny, nx) array_like of bool, optional
        Differences across which the ramp is broken.
    threshold : (float, float), optional
        Threshold of the search for hits at 1 e-/s, and its fall per decade; see :data:`CASERTANO_THRESHOLD`. None
        does not search.
    power : float, optional
        Power of the weights: 0 gives every read the same, large ones leave the ends alone. By default it grows with
        the signal to noise.
    threads : int, optional
        Number of threads; default the cores this process may use. The result does not depend on it.

    Returns
    -------
    CasertanoFit

    Raises
    ------
    ValueError, TypeError
        An argument of the wrong shape, type or range; the message names it.

    See Also
    --------
    upramp.ramps.fit_gls : optimal weights, and a search that finds more.

    Notes
    -----
    Weights are :math:`w_i = \frac{(1 + P) N_i}{1 + P N_i} |2 (t_i - t_{mid}) / (t_b - t_a)|^P` with a power P that
    grows from 0 to 10 with the signal to noise of the ramp. Pieces of a broken ramp are averaged by their read
    noise. Agrees with stcal's ols_cas22, which Roman used, to its float32 rounding
    (``tests/golden/test_casertano.py``). Differs where read noise is 0 (the peer's rate is 0) and where a sample is
    NaN (the peer drops the piece it is in).

    References
    ----------
    .. [1] Casertano 2022, Roman-STScI-000394, Determining the best-fitting slope and its uncertainty.
    """
    data = as_samples("cube", cube, 3)
    nread, *image = data.shape
    shape = tuple(image)
    (rate, var_poisson, var_rnoise), pixel, sample = _core.fit_casertano(
        data,
        None if dq is None else as_flags("dq", dq, data.shape),
        bad,
        hit,
        None if mask is None else as_array("mask", mask, bool, 3, (max(nread - 1, 0), *shape), copy=False),
        pattern_of(times, nread),
        per_pixel("gain", gain, shape),
        per_pixel("read_noise", read_noise, shape),
        threshold,
        power,
        threads=count_threads(threads),
    )
    return CasertanoFit(rate, var_poisson, var_rnoise, (pixel, sample))
