"""The jump step of stcal: ``detect_jumps_data`` and the two-point search ``find_crs``."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upramp.compat.stcal._cores import count_cores
from upramp.ramps._stack import as_per_pixel, as_stack, as_words
from upramp.ramps.jumps import JumpRule, search_groups
from upramp.ramps.ols import RampBits

__all__ = ["detect_jumps_data", "find_crs", "flag_showers", "flag_snowballs"]

log = logging.getLogger(__name__)

SKIPPED = -99
"""Number of cosmic rays where there were too few groups to look for them."""


def detect_jumps_data(jump_data: Any) -> tuple[NDArray[Any], NDArray[Any], int, int]:
    """Find jumps, and snowballs or showers if asked for, as ``stcal.jump.jump.detect_jumps_data``.

    Parameters
    ----------
    jump_data : JumpData
        Samples, flags, noise and settings. Its gdq, pdq and after_jump_flag_e1 and e2 change in place.

    Returns
    -------
    gdq : (nints, ngroups, ny, nx) ndarray
        Flags of the groups: jump_data.gdq itself, but with showers.
    pdq : (ny, nx) ndarray
        Flags of the pixels: jump_data.pdq itself.
    total_primary_crs : int
        Groups flagged before neighbours and later groups were; -99 if there were too few groups.
    number_extended_events : int
        Snowballs or showers.

    Raises
    ------
    ImportError
        Snowballs or showers are asked for, and stcal is not installed.
    """
    gain, dq, pixel_dq = jump_data.gain_2d, jump_data.gdq, jump_data.pdq
    with np.errstate(invalid="ignore"):
        pixel_dq[~(gain > 0)] |= jump_data.fl_ngv | jump_data.fl_dnu
        noise = jump_data.rnoise_2d * gain
    middle = np.nanmedian(gain)
    jump_data.after_jump_flag_e1 = jump_data.after_jump_flag_dn1 * middle
    jump_data.after_jump_flag_e2 = jump_data.after_jump_flag_dn2 * middle
    threads = count_cores(jump_data.max_cores, jump_data.data.shape[2])
    rule = _rule(
        jump_data,
        thresholds=(jump_data.rejection_thresh, jump_data.four_grp_thresh, jump_data.three_grp_thresh),
        # stcal takes its own number where it does not slice.
        fewest=3 if threads == 1 else jump_data.minimum_groups,
        clear=True,
    )
    primary, _ = _search(jump_data.data, dq, gain, noise, jump_data, rule, threads)
    if primary == SKIPPED:
        # What follows the search follows it here, too.
        bad = dq & (jump_data.fl_dnu | jump_data.fl_sat) != 0
        dq[bad] &= ~np.asarray(jump_data.fl_jump, dq.dtype)
    events = 0
    if jump_data.expand_large_events:
        events = flag_snowballs(dq, jump_data, jump_data)
    if jump_data.find_showers:
        dq, events = flag_showers(dq, pixel_dq, noise, jump_data, searched=primary != SKIPPED)
    return dq, pixel_dq, primary, events


def find_crs(
    data: NDArray[np.float32],
    group_dq: NDArray[Any],
    read_noise: NDArray[np.float32],
    twopt_p: Any,
) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.uint8], int]:
    """Find jumps by two-point differences, as ``stcal.jump.twopoint_difference.find_crs``.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) ndarray of float32
        Samples, electrons. Those saturated or not to be used become NaN in place.
    group_dq : (nints, ngroups, ny, nx) ndarray of int
        Flags, changed in place.
    read_noise : (ny, nx) ndarray of float32
        Noise of the difference of two reads, electrons.
    twopt_p : TwoPointParams
        Settings.

    Returns
    -------
    gdq : ndarray
        group_dq itself.
    row_below_gdq, row_above_gdq : (nints, ngroups, nx) ndarray of uint8
        Flags for the neighbours of the first row and of the last outside the image.
    num_primary_crs : int
        Groups flagged before neighbours and later groups were; -99 if there were too few groups.
    """
    rule = _rule(
        twopt_p,
        thresholds=(twopt_p.normal_rej_thresh, twopt_p.three_diff_rej_thresh, twopt_p.two_diff_rej_thresh),
        fewest=twopt_p.minimum_groups,
        clear=False,
    )
    unusable = group_dq & (twopt_p.fl_dnu | twopt_p.fl_sat) != 0
    primary, edges = _search(data, group_dq, 1.0, read_noise, twopt_p, rule, threads=1)
    nints, ngroups, _, nx = data.shape
    rows = np.zeros((2, nints, ngroups, nx), np.uint8)
    if primary != SKIPPED:
        data[unusable] = np.nan
        for row, places in zip(rows, edges, strict=True):
            row.reshape(-1)[places] = twopt_p.fl_jump
    return group_dq, rows[0], rows[1], primary


def flag_snowballs(dq: NDArray[Any], flags: Any, jump_data: Any) -> int:
    """Extend large events by stcal's own search, in place; returns their number.

    Parameters
    ----------
    dq : (nints, ngroups, ny, nx) ndarray
        Flags.
    flags : RampData or JumpData
        Bits for jumps and saturation.
    jump_data : JumpData
        Settings.
    """
    jump = getattr(flags, "flags_jump_det", None) or flags.fl_jump
    saturated = getattr(flags, "flags_saturated", None) or flags.fl_sat
    _, number = _stcal("snowballs").flag_large_events(dq, jump, saturated, jump_data)
    log.info("Total snowballs = %i", number)
    return int(number)


def flag_showers(
    dq: NDArray[Any], pixel_dq: NDArray[Any], noise: NDArray[Any], jump_data: Any, *, searched: bool
) -> tuple[NDArray[Any], int]:
    """Extend faint events by stcal's own search; returns flags and their number.

    Parameters
    ----------
    dq, pixel_dq : ndarray
        Flags of groups and pixels.
    noise : ndarray
        Noise of the difference of two reads, electrons.
    jump_data : JumpData
        Samples and settings.
    searched : bool
        Whether jumps were looked for: then samples that cannot be used are NaN.
    """
    module = _stcal("showers")
    with np.errstate(invalid="ignore"):
        data = jump_data.data * jump_data.gain_2d
    if searched:
        data[dq & (jump_data.fl_dnu | jump_data.fl_sat) != 0] = np.nan
    flags, number = module.find_faint_extended(data, dq, pixel_dq, noise, jump_data)
    log.info("Total showers = %i", number)
    return flags, int(number)


def _stcal(what: str) -> Any:
    try:
        from stcal.jump import jump
    except ImportError as error:
        message = f"{what} are found by stcal, which cannot be imported ({error}): pip install stcal"
        raise ImportError(message) from error
    return jump


def _rule(settings: Any, *, thresholds: tuple[float, float, float], fewest: int, clear: bool) -> JumpRule:
    after = (
        (settings.after_jump_flag_e1, settings.after_jump_flag_n1),
        (settings.after_jump_flag_e2, settings.after_jump_flag_n2),
    )
    limits = (settings.min_jump_to_flag_neighbors, settings.max_jump_to_flag_neighbors)
    return JumpRule(
        thresholds=thresholds,
        neighbours=limits if settings.flag_4_neighbors else None,
        after=[(float(least), int(groups)) for least, groups in after if groups > 0],
        single_pass=int(settings.min_diffs_single_pass),
        fewest=fewest,
        clip=int(settings.minimum_sigclip_groups),
        across=bool(settings.only_use_ints),
        clear=clear,
    )


def _search(
    data: NDArray[Any],
    dq: NDArray[Any],
    gain: float | NDArray[Any],
    noise: NDArray[Any],
    settings: Any,
    rule: JumpRule,
    threads: int,
) -> tuple[int, list[NDArray[np.int64]]]:
    """Search, and put the flags where they were; the number of jumps, and those at the edges."""
    samples = as_stack("data", data)
    shape = samples.shape[2:]
    bits = RampBits(
        do_not_use=int(settings.fl_dnu), saturated=int(settings.fl_sat), jump=int(settings.fl_jump)
    )
    # Bits of wider words that are not looked at stay where they are.
    narrow = dq.dtype.itemsize <= 2
    words = as_words("gdq", dq if narrow else dq & np.asarray(0xFFFF, dq.dtype), samples.shape)
    found, edges = search_groups(
        samples,
        words,
        gain=as_per_pixel("gain_2d", gain, shape),
        difference_noise=as_per_pixel("read_noise", noise, shape),
        time=np.asarray(settings.dt_group, np.float64),
        reads=0.5 * np.asarray(settings.n_reads_groupdiff, np.float64),
        rule=rule,
        bits=bits,
        threads=threads,
    )
    if found.primary is None:
        log.info("No jumps are looked for: the exposure has fewer usable groups than that needs")
        return SKIPPED, edges
    if narrow:
        dq[...] = found.dq
    else:
        dq[...] = (dq & ~np.asarray(0xFFFF, dq.dtype)) | found.dq.astype(dq.dtype)
    return found.primary, edges
