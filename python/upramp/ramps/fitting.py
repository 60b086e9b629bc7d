"""One function for all ramp fits and searches for hits: any method with any search that goes with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp._arrays import as_array, as_samples, count_threads
from upramp.ramps._fits import (
    LIKELIHOOD,
    Ramps,
    fit_calwf3,
    fit_fixsen,
    fit_likelihood,
    fit_pieces,
    search_likelihood,
    search_twopoint,
)
from upramp.ramps._stack import as_words
from upramp.ramps.ols import RampBits
from upramp.ramps.ramp_fit import RampFit, stack_fits

__all__ = ["FIT_METHODS", "JUMP_METHODS", "fit"]

FIT_METHODS = ("gls", "fixsen", "uniform", "calwf3", "casertano")
"""Ways to fit a ramp."""
JUMP_METHODS = ("likelihood", "gains", "twopoint", "calwf3", "casertano")
"""Ways to search for hits."""

Method = Literal["gls", "fixsen", "uniform", "calwf3", "casertano"]
Jumps = Literal["auto", "likelihood", "gains", "twopoint", "calwf3", "casertano"]
Times = ArrayLike | Sequence[Sequence[float]]


def fit(
    cube: ArrayLike,
    times: Times | None = None,
    read_noise: ArrayLike | None = None,
    *,
    read_pattern: Sequence[Sequence[int]] | None = None,
    read_time: float = 1.0,
    gain: ArrayLike = 1.0,
    dark: ArrayLike = 0.0,
    dq: ArrayLike | None = None,
    flags: RampBits | None = None,
    mask: ArrayLike | None = None,
    method: Method = "gls",
    jumps: Jumps | None = "auto",
    sigma: float | tuple[float, float] | None = None,
    fewest: int = 3,
    rate_guess: ArrayLike | None = None,
    pedestal: bool | tuple[float, float] = False,
    details: bool = True,
    goodness: bool = False,
    threads: int | None = None,
) -> RampFit:
    r"""Fit the ramp of every pixel of any up-the-ramp detector, leaving out hits.

    Parameters
    ----------
    cube : (nread, ny, nx) or (nints, nread, ny, nx) array_like of float32, float64 or uint16
        Samples (reads, or groups that are means of several reads) in order of time. Read where they lie, whatever
        the strides; other types are converted.
    times : (nread,) array_like of float, or sequence of sequences of float
        Time of every sample, seconds; or the times of the reads that each sample is the mean of.
    read_noise : float or (ny, nx) array_like
        Noise of one read, electrons (of the difference of two reads: divide by the root of two).
    read_pattern : sequence of sequence of int, optional
        Instead of `times`: the numbers of the reads that each sample is the mean of.
    read_time : float, optional
        Seconds from one read to the next, with `read_pattern`.
    gain : float or (ny, nx) array_like, optional
        Electrons per unit of the cube. Pixels where it is not a positive number have no rate.
    dark : float or (ny, nx) array_like, optional
        Dark current, or other charge, that has been subtracted but whose noise remains, electrons per second.
    dq : array_like of uint8 or uint16, optional
        DQ bits of every sample, shaped as the cube.
    flags : RampBits, optional
        Meaning of the bits; by default that of JWST and Roman. Saturation also takes out what follows; a jump takes
        out the difference that ends in the flagged sample; persistence takes out nothing; every other bit takes out
        the sample.
    mask : array_like of bool, optional
        Differences to leave out, shaped as the cube but for one sample less.
    method : {"gls", "fixsen", "uniform", "calwf3", "casertano"}, optional
        The fit, see Notes.
    jumps : {"auto", "likelihood", "gains", "twopoint", "calwf3", "casertano"} or None, optional
        The search for hits; None: none. "auto" is calwf3's own for calwf3, else "likelihood". "gains" is the
        likelihood search for hits that add charge to a rate that is not negative: about half the false ones, far
        fewer where there is no signal.
    sigma : float or (float, float), optional
        Threshold of the search: deviation of a normal distribution as unlikely as a hit must be (default 4.5; 4 for
        "twopoint" and "calwf3"); for "likelihood" and "gains" two numbers are the least falls of chi square for one
        difference and for two; for "casertano" the threshold at 1 e-/s and its fall per decade.
    fewest : int, optional
        The likelihood search leaves nothing out of a ramp of so few differences (2 or more).
    rate_guess : float or (ny, nx) array_like, optional
        Count rate that the likelihood search takes the noise for, in the unit of the cube per second; by default
        the median of the usable differences.
    pedestal : bool or (float, float), optional
        Fit the signal at time 0 too ("gls" only); two numbers: what is known of it, value and uncertainty in the
        unit of the cube.
    details : bool, optional
        Whether to give the two variances. Without, only rates, errors and hits are kept.
    goodness : bool, optional
        Whether to give chi square and degrees of freedom ("gls" only).
    threads : int, optional
        Number of threads; default the cores this process may use. The result does not depend on it.

    Returns
    -------
    RampFit

    Raises
    ------
    ValueError, TypeError
        An argument of the wrong shape, type or range, or two that do not go together; the message names it.

    See Also
    --------
    upramp.ramps.fit_gls : all options of the generalised least squares.
    upramp.ramps.fit_ols : all options of Fixsen's weights.
    upramp.fit_ramp : WFC3/IR exposures.

    Notes
    -----
    ========== ========================================================================= =============
    method     weights of the samples                                                    times
    ========== ========================================================================= =============
    gls        optimal at every rate, by the covariance of the differences (Brandt 2024) any
    fixsen     by signal to noise in segments between hits, as stcal's OLS_C             evenly spaced
    uniform    the same for every read, in pieces between hits                           any
    calwf3     as calwf3's CRCORR, with its own search                                   single reads
    casertano  by signal to noise in pieces between hits (Casertano 2022)                any
    ========== ========================================================================= =============

    Defined answers at the edges: a ramp without two usable samples in succession has the rate NaN, with all of
    errors, variances and chi square, and -1 degrees of freedom ("fixsen": see :func:`fit_ols`; with a known
    pedestal, "gls" needs one usable sample). So has a pixel whose gain is 0, negative or not a number, or whose
    read noise is negative or not a number. A sample that is not a finite number is unusable. Without read noise the
    errors are those of the photons. Nothing is searched in ramps of `fewest` differences. Integrations are fitted
    one by one, but for "fixsen", which takes the photon noise from the median of all; :meth:`RampFit.combine`
    averages them.

    Examples
    --------
    >>> import numpy as np
    >>> from upramp.ramps import fit
    >>> ramp = np.arange(10.0)[:, None, None] * 20 + 500 * (np.arange(10) >= 4)[:, None, None]
    >>> made = fit(ramp, times=np.arange(10) * 10.0, read_noise=12.0)
    >>> float(made.rate[0, 0].round(5)), made.jumps[:, 0, 0].nonzero()[0], made.sizes[3, 0, 0].round(3)
    (2.0, array([3]), np.float32(500.0))
    """
    if method not in FIT_METHODS:
        raise ValueError(f"method is {method!r}, expected one of {', '.join(FIT_METHODS)}")
    search = ("calwf3" if method == "calwf3" else "likelihood") if jumps == "auto" else jumps
    _check_search(method, search)
    if read_noise is None:
        raise TypeError("read_noise is missing")
    data, words, left_out, single = _checked(cube, dq, mask)
    ramps = Ramps(
        cube=data,
        times=_times(times, read_pattern, read_time),
        read_noise=read_noise,
        gain=gain,
        dark=dark,
        dq=words,
        bits=flags or RampBits(),
        mask=left_out,
        hits=None,
        threads=count_threads(threads),
    )
    if pedestal is not False and method != "gls":
        raise ValueError(f"pedestal is {pedestal!r}, expected False for method {method!r}")
    if goodness and method != "gls":
        raise ValueError(f"goodness is True, expected False for method {method!r}")
    prior = None if pedestal is False else (0.0, math.inf) if pedestal is True else pedestal
    options = (sigma, fewest, rate_guess)
    if search == "twopoint":
        ramps = ramps.with_hits(search_twopoint(ramps, sigma))
    elif search in LIKELIHOOD and method != "gls":
        ramps = ramps.with_hits(search_likelihood(ramps, search, *options))
    if method == "fixsen":
        return fit_fixsen(ramps, search, single)
    parts = []
    for k in range(len(ramps.cube)):
        if method == "gls":
            part = fit_likelihood(ramps, k, search, *options, prior, details, goodness)
        elif method == "calwf3":
            part = fit_calwf3(ramps, k, search, sigma)
        else:
            part = fit_pieces(ramps, k, method, search, sigma)
        parts.append(part)
    return stack_fits(parts, single)


def _check_search(method: str, search: str | None) -> None:
    if search is not None and search not in JUMP_METHODS:
        raise ValueError(f"jumps is {search!r}, expected None, 'auto', or one of {', '.join(JUMP_METHODS)}")
    if "calwf3" in (method, search) and (method != "calwf3" or search not in ("calwf3", None)):
        raise ValueError(
            f"jumps is {search!r} and method {method!r}: calwf3's search is part of its fit, expected both or none"
        )
    if search == "casertano" and method not in ("casertano", "uniform"):
        raise ValueError(f"jumps is 'casertano', expected method 'casertano' or 'uniform', got {method!r}")


def _times(times: Times | None, read_pattern: Sequence[Sequence[int]] | None, read_time: float) -> Times:
    if (times is None) == (read_pattern is None):
        raise TypeError("expected either times or read_pattern")
    if times is not None:
        return times
    if not (read_time > 0 and math.isfinite(read_time)):
        raise ValueError(f"read_time is {read_time}, expected a positive number of seconds")
    return [[read_time * number for number in np.atleast_1d(reads)] for reads in read_pattern or ()]


def _checked(
    cube: ArrayLike,
    dq: ArrayLike | None,
    mask: ArrayLike | None,
) -> tuple[NDArray[Any], NDArray[Any] | None, NDArray[np.bool_] | None, bool]:
    """Cube, flags and mask with an axis for integrations, and whether it is new."""
    ndim = np.ndim(cube)
    if ndim not in (3, 4):
        raise ValueError(
            f"cube has shape {np.shape(cube)}, expected (nread, ny, nx) or (nints, nread, ny, nx)"
        )
    data: NDArray[Any] = as_samples("cube", cube, ndim)
    if data.size == 0:
        raise ValueError(f"cube has shape {data.shape}, expected at least one sample of one pixel")
    if dq is not None and np.shape(dq) != data.shape:
        raise ValueError(f"dq has shape {np.shape(dq)}, expected {data.shape}")
    left_out = None
    if mask is not None:
        shape = (*data.shape[:-3], data.shape[-3] - 1, *data.shape[-2:])
        left_out = as_array("mask", mask, bool, ndim, shape, copy=False)
    single = ndim == 3
    if single:
        data, left_out = data[None], None if left_out is None else left_out[None]
    return data, None if dq is None else as_words("dq", dq, data.shape), left_out, single
