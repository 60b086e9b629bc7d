"""Take off what every interval has above the quietest: for crowded fields.

Where sources cover the field, the median of a read is not that of the sky. The difference of two intervals knows
no sources: its median is that of the sky's change alone.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from upramp.tvb.base import interval_levels, quiet_rate, require_levels
from upramp.tvb.corrected import SKY_BAD_DQ, Corrected, subtract
from upramp.tvb.grism import refuse_grism
from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.gls import Removed

__all__ = ["remove_excess"]

log = logging.getLogger(__name__)


def remove_excess(
    ramp: Ramp,
    *,
    region: tuple[slice, slice] | None = None,
    mask: NDArray[np.bool_] | None = None,
    bad_dq: int = SKY_BAD_DQ,
    flat: NDArray[np.float32] | None = None,
    force: bool = False,
    in_place: bool = False,
    threads: int | None = None,
) -> Corrected:
    """Subtract a uniform background's excess over its quietest intervals, read by read.

    Parameters
    ----------
    ramp : Ramp
        Exposure, in counts or rates; it is not changed, unless asked.
    region : tuple of slice, optional
        Rows and columns whose median counts; default all light-sensitive pixels.
    mask : (ny, nx) ndarray of bool, optional
        Pixels to leave out (True).
    bad_dq : int, optional
        DQ bits that exclude a pixel.
    flat : (ny, nx) ndarray of float32, optional
        Flat field of an exposure that has not been flat-fielded.
    force : bool, optional
        Correct grism exposures too.
    in_place : bool, optional
        Change the array of `ramp` instead of a copy.
    threads : int, optional
        Number of threads.

    Returns
    -------
    Corrected
        The zodiacal level of the quiet intervals stays in it.

    Raises
    ------
    ValueError
        A grism exposure without `force`, or no pixel left for a median.

    Notes
    -----
    With D_k = (C_k - C_(k-1)) / dt_k and its mean B over the quiet intervals (see
    :func:`upramp.tvb.base.quiet_rate`), e_k = median(D_k - B) and C_k <- C_k - sum_(j <= k) e_j dt_j.
    """
    refuse_grism(ramp, force=force)
    quiet = quiet_rate(ramp, response=flat, mask=mask, bad_dq=bad_dq, threads=threads)
    excess = interval_levels(
        ramp,
        region,
        response=flat,
        base=quiet.rate,
        mask=mask,
        bad_dq=bad_dq,
        threads=threads,
    )
    require_levels(ramp, excess)
    total = np.concatenate(([0.0], np.cumsum(excess * np.diff(ramp.times))))
    mean = total[-1] / ramp.times[-1]
    rate = np.divide(total, ramp.times, out=np.zeros(ramp.nread), where=ramp.times > 0)
    sci = subtract(ramp, lambda r: rate[r] - mean, flat, threads, in_place=in_place)
    pedestal = np.zeros(ramp.sci.shape[1:], np.float32)
    pedestal[ramp.border] = mean if flat is None else mean * flat[ramp.border]
    level = np.concatenate(([np.nan], quiet.level))
    log.info("%s: excess up to %.3f %s over the quiet intervals", ramp.path, excess.max(), ramp.unit)
    return Corrected(ramp.with_(sci=sci), pedestal, level, rate, varied=Removed(excess - mean, flat))
