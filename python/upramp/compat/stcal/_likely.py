"""Likelihood fit of stcal: ``likely_ramp_fit``."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upramp.compat.stcal._jump import flag_snowballs
from upramp.ramps.likelihood import fit_gls, thresholds

__all__ = ["LEAST_GROUPS", "likely_ramp_fit"]

log = logging.getLogger(__name__)

LEAST_GROUPS = 4
"""Shorter ramps are not fitted by likelihood."""
SIGMA = (20.25, 23.8)
"""Least falls of chi square for one difference and for two, where no threshold is given."""
IMAGES = ("slope", "dq", "var_poisson", "var_rnoise", "err", "chisq")


def likely_ramp_fit(
    ramp_data: Any,
    readnoise_2d: NDArray[np.float32],
    gain_2d: NDArray[np.float32],
    jump_data: Any = None,
) -> tuple[dict[str, Any], dict[str, Any], None]:
    """Find jumps and fit ramps by likelihood, as ``stcal.ramp_fitting.likely_fit.likely_ramp_fit``.

    Parameters
    ----------
    ramp_data : RampData
        Samples, flags and times. Flags of the jumps found are added to its groupdq in place.
    readnoise_2d : (ny, nx) ndarray of float32
        Noise of the difference of two frames, DN.
    gain_2d : (ny, nx) ndarray of float32
        Electrons per DN.
    jump_data : JumpData, optional
        If its `expand_large_events` is set, stcal's own search for snowballs extends the jumps.

    Returns
    -------
    image_info, integ_info : dict
        Rates of the exposure and of the integrations, with chi square.
    opt_info : None
        As there.

    Raises
    ------
    ValueError
        Fewer than four groups.
    """
    nints, ngroups, *shape = ramp_data.data.shape
    if ngroups < LEAST_GROUPS:
        raise ValueError(
            f"ramp_data has {ngroups} groups, expected {LEAST_GROUPS} or more for a likelihood fit"
        )
    times, first_read = _read_times(ramp_data, ngroups)
    info: dict[str, Any] = {name: np.zeros((nints, *shape), np.float32) for name in IMAGES}
    info["dq"] = info["dq"].astype(np.uint32)
    gain = np.asarray(gain_2d, np.float32)
    with np.errstate(invalid="ignore"):
        noise = np.asarray(readnoise_2d, np.float32) / np.float32(math.sqrt(2)) * gain
        dark = np.asarray(ramp_data.average_dark_current, np.float32) * gain
    limit = ramp_data.rejection_threshold
    search = thresholds(SIGMA if limit is None else float(limit))
    jump = np.uint8(ramp_data.flags_jump_det)
    for k in range(nints):
        data, dq = ramp_data.data[k], ramp_data.groupdq[k].copy()
        if first_read:
            frame, nframes = ramp_data.zeroframe[k], ramp_data.nframes
            rest = (data[0] * nframes - frame) / (nframes - 1)
            data = np.concatenate([frame[None], rest[None], data[1:]])
            dq = np.concatenate([dq[:1], dq])
        before = dq.astype(np.uint16)
        # As there, jumps are looked for without the noise of the dark current, which the fit then has.
        fit = fit_gls(data, times, noise, gain=gain, dq=before, sigma=search, threads=1)
        assert fit.jumps is not None
        mask = fit.jumps
        dq[1:][mask] |= jump
        snowballs = getattr(jump_data, "expand_large_events", False)
        if snowballs:
            flag_snowballs(dq[None], ramp_data, jump_data)
            mask = mask | (dq[1:] & jump != 0)
        if snowballs or dark.any():
            fit = fit_gls(
                data, times, noise, gain=gain, dark=dark, dq=before, mask=mask, sigma=None, threads=1
            )
        ramp_data.groupdq[k] |= dq[-ngroups:]
        images = (fit.rate, _pixel_dq(ramp_data, dq), fit.var_poisson, fit.var_rnoise, fit.err, fit.chi2)
        for name, image in zip(IMAGES, images, strict=True):
            info[name][k] = image
    return _combine(info, ramp_data), info, None


def _read_times(ramp_data: Any, ngroups: int) -> tuple[Sequence[Any], bool]:
    """Times of the reads of every group, and whether the first read is a group of its own (the zeroth frame)."""
    if ramp_data.read_pattern is not None:
        times = [np.atleast_1d(np.asarray(group, float)) for group in ramp_data.read_pattern]
    else:
        step = ramp_data.nframes + ramp_data.groupgap
        reads = np.arange(1, ramp_data.nframes + 1)
        times = [(reads + k * step) * ramp_data.frame_time for k in range(ngroups)]
    if ramp_data.zeroframe is None:
        return times, False
    if times[0].size < 2:
        log.warning("Zero frame is present, but the first group has < 2 reads: it is ignored")
        return times, False
    return [times[0][:1], times[0][1:], *times[1:]], True


def _pixel_dq(ramp_data: Any, dq: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Flags of an integration: those of the pixel, with what its groups say."""
    saturated, jump, unusable = (
        np.uint32(flag)
        for flag in (ramp_data.flags_saturated, ramp_data.flags_jump_det, ramp_data.flags_do_not_use)
    )
    flags = np.array(ramp_data.pixeldq, np.uint32)
    flags[np.all(dq & np.uint8(saturated | unusable), axis=0)] |= unusable
    flags |= np.bitwise_or.reduce(dq, axis=0).astype(np.uint32) & (saturated | jump)
    return flags


def _combine(info: dict[str, Any], ramp_data: Any) -> dict[str, Any]:
    """Rates of the exposure: weighted means over integrations, with the photon noise of the mean rate."""
    if len(info["slope"]) == 1:
        return {name: images[0] for name, images in info.items()}
    rates, reads = info["slope"], info["var_rnoise"]
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        slope = np.nanmedian(rates, axis=0)
        for _ in range(2):
            scale = slope / rates
            scale[~(np.isfinite(scale) & (scale >= 0))] = 0
            photons = info["var_poisson"] * scale
            weight = 1 / (photons + reads)
            weight /= np.nansum(weight, axis=0)
            slope = _sum(rates * weight)
        var_poisson, var_rnoise = _sum(photons * weight**2), _sum(reads * weight**2)
    unusable = np.uint32(ramp_data.flags_do_not_use)
    dq = np.bitwise_or.reduce(info["dq"], axis=0) & ~unusable
    dq[np.all(info["dq"] & unusable, axis=0)] |= unusable
    return {
        "slope": slope,
        "dq": dq,
        "var_poisson": var_poisson,
        "var_rnoise": var_rnoise,
        "err": np.sqrt(var_poisson + var_rnoise),
        "chisq": info["chisq"].sum(axis=0),
    }


def _sum(values: NDArray[Any]) -> NDArray[Any]:
    """Sum over integrations of what is a number; not a number where there is none."""
    total: NDArray[Any] = np.nansum(values, axis=0)
    total[np.all(np.isnan(values), axis=0)] = np.nan
    return total
