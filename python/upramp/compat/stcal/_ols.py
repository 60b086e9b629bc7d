"""Ordinary least squares of stcal: ``ramp_fit_data`` and the C extension's ``ols_slope_fitter``."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upramp.compat.stcal._cores import count_cores
from upramp.compat.stcal._likely import LEAST_GROUPS, likely_ramp_fit
from upramp.ramps._stack import as_image, as_stack, as_words
from upramp.ramps.ols import OlsFit, RampBits, RateImages, SegmentImages, fit_groups

__all__ = ["ols_slope_fitter", "ramp_fit_data"]

log = logging.getLogger(__name__)

Products = tuple[dict[str, Any] | None, dict[str, Any] | None, dict[str, Any] | None]


def ramp_fit_data(
    ramp_data: Any,
    save_opt: bool,
    readnoise_2d: NDArray[np.float32],
    gain_2d: NDArray[np.float32],
    algorithm: str,
    weighting: str,
    max_cores: str,
) -> Products:
    """Fit the ramps of an exposure, as ``stcal.ramp_fitting.ramp_fit.ramp_fit_data``.

    Parameters
    ----------
    ramp_data : RampData
        Samples, flags and times. Flags of suppressed ramps, and the groups that are fitted, change in place.
    save_opt : bool
        Whether to give what is known of every segment.
    readnoise_2d : (ny, nx) ndarray of float32
        Noise of the difference of two frames, DN. For 'OLS_C' it is changed in place to electrons per group.
    gain_2d : (ny, nx) ndarray of float32
        Electrons per DN.
    algorithm : str
        'LIKELY', for ramps of four groups and more; anything else is 'OLS_C'.
    weighting : str
        'optimal'.
    max_cores : str
        See stcal: number of threads.

    Returns
    -------
    image_info, integ_info, opt_info : dict or None
        Rates of the exposure, of the integrations, and of the segments; all None if there is nothing to fit.

    Raises
    ------
    ValueError, TypeError
        An argument that stcal would refuse, too.
    """
    if algorithm.upper() == "LIKELY":
        ngroups = ramp_data.data.shape[1]
        if ngroups >= LEAST_GROUPS:
            return likely_ramp_fit(ramp_data, readnoise_2d, gain_2d)
        log.info(
            "LIKELY needs %d groups, got %d: the ramp fitting algorithm is being changed to OLS_C",
            LEAST_GROUPS,
            ngroups,
        )
    with np.errstate(invalid="ignore", over="ignore"):
        readnoise_2d *= gain_2d / np.sqrt(2.0 * ramp_data.nframes)
    threads = count_cores(max_cores, ramp_data.data.shape[2])
    suppress = bool(ramp_data.suppress_one_group_ramps)
    if ramp_data.instrument_name == "MIRI" and ramp_data.data.shape[1] > 1:
        if suppress:
            _suppress_lone_groups(ramp_data)
            suppress = False
        if not _drop_unusable_groups(ramp_data):
            return None, None, None
    if np.all(ramp_data.groupdq[:, 0] & ramp_data.flags_saturated):
        # The fit would suppress lone groups on its way.
        if suppress:
            _suppress_lone_groups(ramp_data)
        return None, None, None
    if ramp_data.drop_frames1 is None:
        ramp_data.drop_frames1 = 0
    return _fit(ramp_data, gain_2d, readnoise_2d, weighting, save_opt, suppress=suppress, threads=threads)


def ols_slope_fitter(
    ramp_data: Any,
    gain_2d: NDArray[np.float32],
    readnoise_2d: NDArray[np.float32],
    weighting: str,
    save_opt: bool,
) -> Products:
    """Fit ramps as the C extension ``stcal.ramp_fitting.slope_fitter.ols_slope_fitter``, in one thread.

    Parameters
    ----------
    ramp_data : RampData
        Samples, flags and times.
    gain_2d : (ny, nx) ndarray of float32
        Electrons per DN.
    readnoise_2d : (ny, nx) ndarray of float32
        Noise of a group, electrons.
    weighting : str
        'optimal'.
    save_opt : bool
        Whether to give what is known of every segment.

    Returns
    -------
    image_info, integ_info, opt_info : dict or None
        Rates of the exposure, of the integrations, and of the segments.

    Raises
    ------
    ValueError, TypeError
        Another weighting, or arrays of other types than the extension takes.
    """
    return _fit(ramp_data, gain_2d, readnoise_2d, weighting, save_opt, suppress=False, threads=1)


def _fit(
    ramp_data: Any,
    gain_2d: NDArray[Any],
    readnoise_2d: NDArray[Any],
    weighting: str,
    save_opt: bool,
    *,
    suppress: bool,
    threads: int,
) -> Products:
    if weighting != "optimal":
        raise ValueError(f"weighting is {weighting!r}, expected 'optimal'")
    zeroframe = ramp_data.zeroframe
    _expect_types(
        data=(ramp_data.data, np.float32),
        groupdq=(ramp_data.groupdq, np.uint8),
        pixeldq=(ramp_data.pixeldq, np.uint32),
        average_dark_current=(ramp_data.average_dark_current, np.float32),
        gain_2d=(gain_2d, np.float32),
        readnoise_2d=(readnoise_2d, np.float32),
        zeroframe=(zeroframe, np.float32),
    )
    data = as_stack("data", ramp_data.data)
    nints, _, ny, nx = data.shape
    original = ramp_data.orig_gdq
    fit = fit_groups(
        data,
        as_words("groupdq", ramp_data.groupdq, data.shape),
        original=None if original is None else as_words("orig_gdq", original, data.shape),
        pixel_dq=as_image("pixeldq", ramp_data.pixeldq, np.uint32, (ny, nx)),
        zeroframe=None
        if zeroframe is None
        else as_image("zeroframe", zeroframe, np.float32, (nints, ny, nx)),
        gain=as_image("gain_2d", gain_2d, np.float32, (ny, nx)),
        group_noise=as_image("readnoise_2d", readnoise_2d, np.float32, (ny, nx)),
        dark=as_image("average_dark_current", ramp_data.average_dark_current, np.float32, (ny, nx)),
        # The extension keeps times in single precision.
        group_time=float(np.float32(ramp_data.group_time)),
        frame_time=float(np.float32(ramp_data.frame_time)),
        nframes=ramp_data.nframes,
        pedestal=((ramp_data.nframes + 1) / 2 + (ramp_data.drop_frames1 or 0))
        / (ramp_data.nframes + ramp_data.groupgap),
        bits=_bits(ramp_data),
        suppress=suppress,
        lone_first=not ramp_data.suppress_one_group_ramps,
        integrations=True,
        segments=bool(save_opt),
        parity=True,
        threads=threads,
    )
    if suppress and len(fit.suppressed):
        integration, y, x = fit.suppressed.T
        ramp_data.groupdq[integration, :, y, x] |= np.uint8(ramp_data.flags_do_not_use)
    assert fit.integrations is not None
    return _as_dict(fit), _as_dict(fit.integrations), _segments_as_dict(fit.segments)


def _bits(ramp_data: Any) -> RampBits:
    return RampBits(
        do_not_use=int(ramp_data.flags_do_not_use),
        saturated=int(ramp_data.flags_saturated),
        jump=int(ramp_data.flags_jump_det),
        persistence=int(ramp_data.flags_persistence),
        charge_loss=int(ramp_data.flags_chargeloss or 0),
        no_gain=int(ramp_data.flags_no_gain_val),
    )


def _as_dict(images: OlsFit | RateImages) -> dict[str, Any]:
    return {
        "slope": images.rate,
        "dq": images.dq,
        "var_poisson": images.var_poisson,
        "var_rnoise": images.var_rnoise,
        "err": images.err,
    }


def _segments_as_dict(images: SegmentImages | None) -> dict[str, Any] | None:
    if images is None:
        return None
    return {
        "slope": images.rate,
        "sigslope": images.sigma_rate,
        "var_poisson": images.var_poisson,
        "var_rnoise": images.var_rnoise,
        "yint": images.intercept,
        "sigyint": images.sigma_intercept,
        "pedestal": images.pedestal,
        "weights": images.weight,
        "crmag": images.hits,
    }


def _expect_types(**arrays: tuple[NDArray[Any] | None, type[np.generic]]) -> None:
    for name, (array, wanted) in arrays.items():
        # Any byte order will do.
        if array is not None and array.dtype.newbyteorder("=") != wanted:
            raise TypeError(f"{name} has dtype {array.dtype}, expected {np.dtype(wanted)}")


def _suppress_lone_groups(ramp_data: Any) -> None:
    """Flag ramps with a single good group as not to be used."""
    kept = ~np.uint8(ramp_data.flags_persistence)
    for dq in ramp_data.groupdq:
        lone = np.count_nonzero((dq & kept) == 0, axis=0) == 1
        dq[:, lone] |= np.uint8(ramp_data.flags_do_not_use)


def _drop_unusable_groups(ramp_data: Any) -> bool:
    """Cut off MIRI's first groups and its last if no pixel can use them; whether two groups or more are left."""
    dq, unusable = ramp_data.groupdq, ramp_data.flags_do_not_use
    first, last = 0, dq.shape[1]
    while first < last and np.all(dq[:, first] & unusable):
        first += 1
        if first < last:
            # What is now the first group begins the ramp: there is nothing it could have jumped from.
            dq[:, first] &= ~np.uint8(ramp_data.flags_jump_det)
    if first < last and np.all(dq[:, last - 1] & unusable):
        last -= 1
    if last - first < 2:
        log.warning("MIRI ramps need two groups that can be used, got %d: nothing is fitted", last - first)
        return False
    ramp_data.data = ramp_data.data[:, first:last]
    ramp_data.groupdq = dq[:, first:last]
    if ramp_data.orig_gdq is not None:
        ramp_data.orig_gdq = ramp_data.orig_gdq[:, first:last]
    return True
