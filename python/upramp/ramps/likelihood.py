"""Generalised least squares on the differences between reads, with likelihood-ratio search for hits, on arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp import _core
from upramp._arrays import as_array, as_flags, as_samples, count_threads
from upramp.ramps.crcorr import bounds

__all__ = [
    "DqRule",
    "GlsFit",
    "GlsProducts",
    "fit_gls",
    "jump_mask",
    "jump_sizes",
    "pattern_of",
    "per_pixel",
    "thresholds",
]

Hits = tuple[NDArray[np.uint32], NDArray[np.uint16], NDArray[np.float32]]
"""Pixels (in C order), reads before and sizes of hits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DqRule:
    """How :func:`fit_gls` reads the DQ bits of the samples.

    Parameters
    ----------
    bad : int
        Bits that make a sample unusable.
    lenient : int
        The ones that do so in pixels all of whose samples after the zeroth carry a bad bit (hot pixels).
    carried : int
        Bits that make all later samples unusable as well (saturation).
    zeroth : int
        Bits that keep the zeroth sample out where two later samples in succession are usable.
    cleared : int
        Bits left by an earlier fit: cleared first.
    passing : int
        Bits left by an earlier fit unless every read has them.
    hidden : int
        Bits that stay out of the product's DQ.
    hit : int
        Bits of a hit before the sample: the difference that ends in it is left out, the sample itself is good.
    """

    bad: int = 0xFFFF
    lenient: int = 0xFFFF
    carried: int = 0
    zeroth: int = 0
    cleared: int = 0
    passing: int = 0
    hidden: int = 0
    hit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GlsProducts:
    """What the kernel is to report beside rates."""

    err: bool = False
    variances: bool = False
    goodness: bool = False
    exposure: bool = False
    hits: bool = False
    flags: bool = False
    pedestal: tuple[float, float] | None = None


class GlsFit(NamedTuple):
    """Result of :func:`fit_gls`; images have the shape of the region, rates the unit of the cube per second."""

    rate: NDArray[np.float32]
    """Count rate; NaN where no difference is usable."""
    err: NDArray[np.float32]
    """Uncertainty of `rate`: square root of the two variances' sum."""
    time: NDArray[np.float32]
    """Exposure time of the differences used, seconds."""
    samples: NDArray[np.uint16]
    """Number of samples that the differences used touch."""
    var_poisson: NDArray[np.float32] | None
    """Variance of `rate` from photons and dark current."""
    var_rnoise: NDArray[np.float32] | None
    """Variance of `rate` from read noise."""
    chi2: NDArray[np.float32] | None
    """Chi square of the differences used."""
    dof: NDArray[np.int16] | None
    """Its degrees of freedom: differences used less one; -1 where there is none."""
    jumps: NDArray[np.bool_] | None
    """Differences that the search left out, (nread - 1, ny, nx): a hit fell after read k where jumps[k]."""
    sizes: NDArray[np.float32] | None
    """Signal that each hit added, in the unit of the cube, likewise."""
    dq: NDArray[np.uint16] | None
    """DQ bits of the product."""
    read_dq: NDArray[np.uint16] | None
    """DQ of every read, whole frame, with hits (8192 from the hit read on), spikes (4) and unstable pixels (32)."""
    unstable: int
    """Pixels with four hits or more, where `read_dq` is given."""


def fit_gls(
    cube: ArrayLike,
    times: ArrayLike | Sequence[Sequence[float]],
    read_noise: ArrayLike,
    *,
    gain: ArrayLike = 1.0,
    dark: ArrayLike = 0.0,
    untouched: ArrayLike | None = None,
    removed: tuple[ArrayLike, ArrayLike | None] | None = None,
    dq: ArrayLike | None = None,
    rule: DqRule | None = None,
    mask: ArrayLike | None = None,
    excluded: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    sigma: float | tuple[float, float] | None = 4.5,
    fewest: int = 3,
    region: tuple[slice, slice] | None = None,
    details: bool = True,
    sizes: bool = False,
    flags: bool = False,
    threads: int | None = None,
) -> GlsFit:
    r"""Fit the ramp of every pixel by generalised least squares on differences, leaving out hits.

    Parameters
    ----------
    cube : (nread, ny, nx) array_like of float32, float64 or uint16
        Samples (reads, or means of several reads) in order of time.
    times : (nread,) array_like of float, or sequence of sequences of float
        Time of every sample, seconds; or the times of the reads that each sample is the mean of.
    read_noise : float or (ny, nx) array_like
        Noise of one read, electrons (of the difference of two reads: divide by the root of two).
    gain : float or (ny, nx) array_like, optional
        Electrons per unit of the cube. Pixels where it is not positive have no answer.
    dark : float or (ny, nx) array_like, optional
        Dark current, or other charge, that has been subtracted from the cube but whose noise remains, electrons
        per second.
    untouched : (nread, ny, nx) array_like of float32, optional
        The cube before a variable background was subtracted from it: the noise is that of these samples.
    removed : (array_like, array_like or None), optional
        The same in short, where the background was alike in all pixels: its rate between each read and the one
        before, (nread - 1,), in the unit of the cube per second, and the response of the pixels to it, (ny, nx);
        None: 1. Not looked at if `untouched` is given.
    dq : (nread, ny, nx) array_like of uint8, uint16 or int16, optional
        DQ bits of every sample.
    rule : DqRule, optional
        What they mean; by default any bit makes a sample unusable.
    mask : (nread - 1, ny, nx) array_like of bool, optional
        Differences to leave out.
    excluded : (nread,) array_like of bool, optional
        Samples to leave out of every fit. Both differences that touch one go; none is taken across it.
    scale : (nread,) array_like of float, optional
        Factors that make the samples accumulate: their times if the cube holds rates. A 0 for the zeroth read
        says that it is zero, whatever the cube holds.
    sigma : float, (float, float) or None, optional
        Threshold of the search: a hit must be so unlikely as this deviation of a normal distribution; or the least
        falls of chi square for one difference and for two. None does not search.
    fewest : int, optional
        Nothing is left out of a ramp of so few differences (2 or more).
    region : tuple of slice, optional
        Rows and columns to fit (default all).
    details : bool, optional
        Whether to give var_poisson, var_rnoise, chi2, dof and jumps.
    sizes : bool, optional
        Whether to give the sizes of the hits.
    flags : bool, optional
        Whether to give dq and read_dq, with the bits of WFC3/IR.
    threads : int, optional
        Number of threads; default the cores this process may use. The result does not depend on it.

    Returns
    -------
    GlsFit
        What was not asked for is None.

    Raises
    ------
    ValueError, TypeError
        An argument of the wrong shape, type or range; the message names it.

    See Also
    --------
    upramp.ramps.fit_crcorr : what calwf3 does.

    Notes
    -----
    For differences :math:`d` with covariance :math:`C` (read noise of neighbours is anticorrelated, photon noise
    of averaged reads correlated) and weights :math:`w`, 1 where a difference is used,

    .. math:: a = \frac{w^T C^{-1} d}{w^T C^{-1} w}, \qquad \sigma_a^2 = \frac{1}{w^T C^{-1} w}.

    A difference is left out if chi square falls by more than the threshold without it; two neighbours go together
    if the sample they share is a mean of several reads. C depends on the rate: in the search it is that of the
    median of the usable differences, in the final fit that which the search found. The last `fewest` differences
    are always left: which of two is wrong could not be told, and of three only if the two others agree.

    Differs from fitramp and stcal's LIKELY, whose masks and rates it otherwise gives
    (``tests/golden/test_likelihood.py``): the median is over usable differences (theirs calls most ramps that
    saturate early hit), a ramp of three differences is not searched, and hits in symmetric ramps without signal
    are found. For errors against simulated truth see ``tests/test_gls.py`` and docs/quality.md.

    References
    ----------
    .. [1] Brandt 2024, PASP 136, 045004 (fit) and 045005 (hits).
    """
    data = as_samples("cube", cube, 3)
    nread, *image = data.shape
    shape = tuple(image)
    flagged = None if dq is None else as_flags("dq", dq, data.shape)
    left_out = None if mask is None else as_array("mask", mask, bool, 3, (nread - 1, *shape), copy=False)
    out = np.zeros(nread, bool) if excluded is None else as_array("excluded", excluded, bool, 1, (nread,))
    factors = np.ones(nread) if scale is None else as_array("scale", scale, np.float64, 1, (nread,))
    limits = thresholds(sigma)
    wanted = GlsProducts(
        err=True, variances=details, goodness=details, exposure=True, hits=details or sizes, flags=flags
    )
    rate, err, variances, goodness, exposure, hits, reported, _ = _core.fit_gls(
        data,
        None if untouched is None else as_samples("untouched", untouched, 3, data.shape),
        None if removed is None else _removed(removed, nread, shape),
        flagged,
        left_out,
        out,
        factors,
        pattern_of(times, nread),
        per_pixel("gain", gain, shape),
        per_pixel("read_noise", read_noise, shape),
        per_pixel("dark", dark, shape),
        None,
        None if limits is None else (*limits, fewest, False),
        rule or DqRule(),
        bounds(region, shape),
        wanted,
        threads=count_threads(threads),
    )
    if err is None or exposure is None:
        raise AssertionError("both were asked for")
    var_poisson, var_rnoise = variances or (None, None)
    chi2, dof = goodness or (None, None)
    product_dq, read_dq, unstable = reported or (None, None, 0)
    found = (nread - 1, *rate.shape)
    return GlsFit(
        rate=rate,
        err=err,
        time=exposure[0],
        samples=exposure[1],
        var_poisson=var_poisson,
        var_rnoise=var_rnoise,
        chi2=chi2,
        dof=dof,
        jumps=jump_mask(hits, found) if hits is not None and details else None,
        sizes=jump_sizes(hits, found) if hits is not None and sizes else None,
        dq=product_dq,
        read_dq=read_dq,
        unstable=unstable,
    )


def jump_mask(hits: Hits, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Differences that the search left out, as a cube.

    Parameters
    ----------
    hits : tuple of ndarray
        Pixels, reads before and sizes of the hits.
    shape : tuple of int
        Shape of the differences, (nread - 1, ny, nx).
    """
    pixel, after, _ = hits
    mask = np.zeros(shape, bool)
    mask.reshape(shape[0], -1)[after, pixel] = True
    return mask


def jump_sizes(hits: Hits, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Signal that each hit added, as a cube; 0 where there is none.

    Parameters
    ----------
    hits : tuple of ndarray
        Pixels, reads before and sizes of the hits.
    shape : tuple of int
        Shape of the differences, (nread - 1, ny, nx).
    """
    pixel, after, size = hits
    sizes = np.zeros(shape, np.float32)
    sizes.reshape(shape[0], -1)[after, pixel] = size
    return sizes


def _removed(
    removed: tuple[ArrayLike, ArrayLike | None], nread: int, shape: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float32] | None]:
    rates, response = removed
    image = None if response is None else as_array("response", response, np.float32, 2, shape)
    return as_array("removed", rates, np.float64, 1, (nread - 1,)), image


def thresholds(sigma: float | tuple[float, float] | None) -> tuple[float, float] | None:
    """Least falls of chi square for one and for two parameters, as unlikely as `sigma` of a normal distribution.

    Parameters
    ----------
    sigma : float, (float, float) or None
        Deviation; a pair or None comes back itself.

    Examples
    --------
    >>> one, two = thresholds(4.5)
    >>> one, round(two, 1)
    (20.25, 23.8)
    """
    if sigma is None or isinstance(sigma, tuple):
        return sigma
    if not (sigma > 0 and math.isfinite(sigma)):
        raise ValueError(f"sigma is {sigma}, expected a positive number")
    tail = math.erfc(sigma / math.sqrt(2))
    # Far out, where the tail underflows, by its asymptotic form.
    two = -2 * math.log(tail) if tail > 0 else sigma**2 + 2 * math.log(sigma * math.sqrt(math.pi / 2))
    return float(sigma) ** 2, two


def pattern_of(
    times: ArrayLike | Sequence[Sequence[float]], nread: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean time, variance time and number of reads of every sample.

    Parameters
    ----------
    times : array_like of float, or sequence of sequences of float
        Time of every sample, or of the reads that it is the mean of, seconds.
    nread : int
        Number of samples.
    """
    try:
        reads = [np.atleast_1d(np.asarray(sample, np.float64)) for sample in times]  # type: ignore[union-attr]
    except TypeError:
        raise TypeError(f"times is {times!r}, expected one time, or one list of times, a sample") from None
    if len(reads) != nread:
        raise ValueError(f"times has length {len(reads)}, expected {nread}")
    for r, sample in enumerate(reads):
        if sample.ndim != 1 or sample.size == 0:
            raise ValueError(f"times[{r}] has shape {sample.shape}, expected at least one time")
        if np.any(np.diff(sample) <= 0):
            raise ValueError(f"times[{r}] is {sample}, expected times that increase")
    counts = np.array([sample.size for sample in reads], np.float64)
    mean = np.array([sample.mean() for sample in reads])
    # sum of (2 (N - k) + 1) t_k over N^2, k from 1.
    variance = np.array([(np.arange(2 * t.size - 1, 0, -2) * t).sum() / t.size**2 for t in reads], np.float64)
    return mean, variance, counts


def per_pixel(name: str, value: ArrayLike, shape: tuple[int, ...]) -> float | NDArray[np.float32]:
    """Return a number as it is, an image as float32.

    Parameters
    ----------
    name : str
        Argument to name in messages.
    value : float or array_like
        What the caller passed.
    shape : tuple of int
        Shape of an image.
    """
    if np.ndim(value) == 0:
        return float(np.asarray(value))
    return as_array(name, value, np.float32, 2, shape)
