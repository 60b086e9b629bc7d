"""The ramp of an exposure by generalised least squares: what its reads, flags and amplifiers mean to that fit."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from upramp.ramps import CrcorrFit, CrcorrParams, DqRule, fit_gls
from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.references import Amplifiers

__all__ = ["GLS_SIGMA", "Removed", "dark_rate", "fit_differences", "used_intervals"]

GLS_SIGMA = 4.5
"""Default threshold of the search for hits: one false flag in ten thousand ramps of 16 reads."""
NOMINAL_DARK = 0.05
"""Dark current where the exposure does not tell, electrons per second."""
NO_ANSWER_ERR = 1e5
"""Error of a pixel without a usable difference, calwf3's."""
DETECTORPROB, UNSTABLE, SATPIXEL, SPIKE, ZEROSIG, DATAREJECT = 4, 32, 256, 1024, 2048, 8192


class Removed(NamedTuple):
    """A background, alike in all pixels, that was subtracted but for its noise."""

    rates: NDArray[np.float64]
    """Rate between each read and the one before, (nread - 1,), in the unit of the exposure per second."""
    response: NDArray[np.float32] | None
    """Response of the pixels to it, (ny, nx); None: 1."""


def fit_differences(
    ramp: Ramp,
    amps: Amplifiers,
    params: CrcorrParams,
    *,
    excluded: NDArray[np.bool_],
    breaks: NDArray[np.bool_],
    untouched: Ramp | None = None,
    removed: Removed | None = None,
    to_dn: NDArray[np.float32] | None = None,
    threads: int | None = None,
) -> CrcorrFit:
    """Fit the ramp of every pixel by generalised least squares on the differences between reads.

    Parameters
    ----------
    ramp : Ramp
        Exposure. Its noise is taken to be that of amplifiers, photons and dark current; ERR of the reads only tell
        the dark current of pixels with a permanent flag.
    amps : Amplifiers
        Gain, and noise of the difference of two reads (READNSE): a single read has it over the root of two.
    params : CrcorrParams
        Of :func:`upramp.ramps.fit_crcorr`: threshold, bad DQ bits, unit, and rescue by the zeroth read.
    excluded : (nread,) ndarray of bool
        Reads to leave out, with the differences on both sides.
    breaks : (nread,) ndarray of bool
        Reads whose difference to the read before is left out.
    untouched : Ramp, optional
        The exposure before a background was subtracted from `ramp`, whose photon noise remains.
    removed : Removed, optional
        That background in short; then `untouched` tells no photon noise.
    to_dn : (ny, nx) ndarray of float32, optional
        Factor that turns the samples into DN, if they are not.
    threads : int, optional
        Number of threads.

    Returns
    -------
    CrcorrFit
        As of calwf3's fit. SAMP counts the reads that the differences used touch, TIME is their exposure time. A
        pixel without a usable difference has rate 0, error 1e5, SAMP and TIME 0, and 256 in its DQ if it
        saturates, else 4; one saturated in the first read has its zeroth read, as calwf3 gives it.

    Raises
    ------
    ValueError
        `excluded` leaves no two reads in succession.

    Notes
    -----
    The zeroth read, which has been subtracted from the others, is a sample like them, of value 0. Its noise is
    that of the first difference alone. Where it holds a signal (2048) the others, corrected for nonlinearity on
    top of it, are off by its own correction: it is left out unless it makes the only difference.
    """
    if not used_intervals(excluded, breaks).any():
        raise ValueError("exclude leaves no two reads in succession, expected at least two")
    out = excluded.copy()
    subtracted = str(ramp.primary.get("ZOFFCORR", "")).strip().upper() in ("PERFORM", "COMPLETE")
    if ramp.is_rate and not subtracted:
        # Then the zeroth read's rate is over a time of its own, unknown here.
        out[0] = True
    sci, times = ramp.sci, ramp.time.astype(np.float64)
    original = None if untouched is None or untouched.sci is sci else untouched.sci
    scale = np.ones(ramp.nread)
    if times.ndim == 3:
        if ramp.is_rate:
            sci, original = sci * ramp.time, None if original is None else original * ramp.time
        times = ramp.times
    elif ramp.is_rate:
        scale = times.copy()
    if subtracted:
        scale[0] = 0.0
    gain, noise = amps.image(ramp, amps.gain), amps.image(ramp, amps.noise)
    if to_dn is not None:
        gain = gain * to_dn
    made = fit_gls(
        sci,
        times,
        noise / np.float32(math.sqrt(2)),
        gain=gain,
        dark=_dark_image(untouched or ramp, dark_rate(ramp, amps), gain, noise),
        untouched=original if removed is None else None,
        removed=removed,
        dq=ramp.dq,
        rule=DqRule(
            bad=0xFFFF & ~(ZEROSIG | DATAREJECT),
            lenient=params.bad_dq | SPIKE,
            carried=SATPIXEL,
            zeroth=ZEROSIG,
            cleared=DATAREJECT,
            passing=DETECTORPROB | UNSTABLE,
            hidden=SATPIXEL | SPIKE | ZEROSIG | DATAREJECT,
        ),
        mask=np.broadcast_to(breaks[1:, None, None], (ramp.nread - 1, *sci.shape[1:]))
        if breaks.any()
        else None,
        excluded=out,
        scale=scale,
        sigma=params.crsigma,
        # Three differences, of which two agree, tell of a hit in the third: better than to keep it in.
        fewest=2,
        region=ramp.border,
        details=False,
        flags=True,
        threads=threads,
    )
    if made.dq is None or made.read_dq is None:
        raise AssertionError("flags were asked for")
    rate, err, time, samples = made.rate, made.err, made.time, made.samples.astype(np.int16)
    if not ramp.is_rate:
        rate, err = rate * time, err * time
    fit = CrcorrFit(rate, err, made.dq, samples, time, made.read_dq, made.unstable)
    _answer_all(fit, ramp, params, to_dn)
    return fit


def used_intervals(excluded: NDArray[np.bool_], breaks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Intervals that enter a fit, shape (nread - 1,).

    Parameters
    ----------
    excluded : (nread,) ndarray of bool
        Reads that are left out, and the intervals on both sides with them.
    breaks : (nread,) ndarray of bool
        Reads whose interval since the read before is left out.
    """
    used: NDArray[np.bool_] = ~(excluded[1:] | excluded[:-1] | breaks[1:])
    return used


def dark_rate(ramp: Ramp, amps: Amplifiers) -> float:
    """Dark current that has been subtracted and whose noise remains, electrons per second.

    Parameters
    ----------
    ramp : Ramp
        Exposure; MEANDARK of the last read tells.
    amps : Amplifiers
        Gains.
    """
    mean = ramp.header("SCI", ramp.nread - 1).get("MEANDARK")
    if isinstance(mean, (int, float)) and not isinstance(mean, bool) and mean > 0 and ramp.times[-1] > 0:
        return float(mean) * float(amps.mean_gain) / float(ramp.times[-1])
    return NOMINAL_DARK


def _dark_image(
    ramp: Ramp, rate: float, gain: NDArray[np.float32], noise: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Dark current of every pixel, e-/s: for those with a permanent flag what their ERR tell, hot ones among them.

    The pipeline's ERR of a read is that of its signal before the dark was subtracted, so that
    (err gain)^2 - noise^2 less the signal is the dark; for others it would be the nonlinearity as well.
    """
    image: NDArray[np.float32] = np.full(ramp.sci.shape[1:], rate, np.float32)
    static = ramp.dq[1] & ramp.dq[-1] & ~np.uint16(SATPIXEL | SPIKE | ZEROSIG | DATAREJECT)
    y, x = np.nonzero(static)
    # The last read before saturation; the first after the zeroth at least.
    whole = np.logical_and.accumulate(ramp.dq[:, y, x] & SATPIXEL == 0, axis=0).sum(axis=0)
    last = np.maximum(whole - 1, 1)
    span = ramp.times[last]
    to_electrons = gain[y, x].astype(np.float64) * (span if ramp.is_rate else 1.0)
    all_light = (ramp.err[last, y, x] * to_electrons) ** 2 - noise[y, x].astype(np.float64) ** 2
    dark = (all_light - np.maximum(ramp.sci[last, y, x] * to_electrons, 0)) / span
    image[y, x] = np.where(np.isfinite(dark), np.maximum(dark, rate), rate)
    return image


def _answer_all(fit: CrcorrFit, ramp: Ramp, params: CrcorrParams, to_dn: NDArray[np.float32] | None) -> None:
    """Give the pixels without a usable difference what they are to have; in place."""
    nothing = np.isnan(fit.rate)
    if not nothing.any():
        return
    y, x = ramp.border
    flags = ramp.dq[:, y, x]
    rescued = nothing & (flags[1] & SATPIXEL != 0) & params.zeroth_rescue
    blind = nothing & ~rescued
    saturated = np.bitwise_or.reduce(flags[:, blind], axis=0) & SATPIXEL != 0
    fit.rate[blind], fit.err[blind] = 0.0, NO_ANSWER_ERR
    fit.dq[blind] |= np.where(saturated, np.uint16(SATPIXEL), np.uint16(DETECTORPROB))
    if to_dn is not None:
        # No response at all (flat field 0): 0, as after flat-fielding.
        fit.err[blind & (to_dn[y, x] == 0)] = 0.0
    fit.rate[rescued], fit.err[rescued] = ramp.sci[0, y, x][rescued], ramp.err[0, y, x][rescued]
    fit.dq[rescued] = fit.read_dq[0, y, x][rescued] & np.uint16(0xFFFF & ~ZEROSIG)
    fit.samp[rescued], fit.time[rescued] = 1, params.zeroth_time
