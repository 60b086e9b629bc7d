"""The last read minus the first: no fit, and no cosmic ray found."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp.ramps.cells import weights
from upramp.tvb.base import check_times
from upramp.tvb.electrons import noise_of
from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.fit import Fit, parse_reads
from upramp.wfc3ir.references import Refs

__all__ = ["last_minus_first"]


def last_minus_first(
    ramp: Ramp,
    *,
    exclude: ArrayLike | str | None = None,
    refs: Refs | None = None,
    untouched: Ramp | None = None,
) -> Fit:
    """Count rate between the first and the last read, without the intervals of excluded reads.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    exclude : sequence of int, sequence of bool or str, optional
        Reads whose interval is left out, see :func:`upramp.wfc3ir.fit.parse_reads`.
    refs : Refs, optional
        Where to look for CCDTAB and flats, for the noise.
    untouched : Ramp, optional
        The exposure as the pipeline left it, if `ramp` has been edited since.

    Returns
    -------
    Fit
        Cosmic rays are in it: reject them among dithered exposures. DQ are those of the reads used.

    Notes
    -----
    rate = (C_last - C_0 - sum_j (C_j - C_(j-1))) / (t_last - sum_j dt_j) over the excluded reads j, and
    err^2 = (J n^2 + signal + d T) / T^2, all in electrons, with the read noise n of a difference of two reads, J
    unbroken runs of intervals and the dark current d.

    References
    ----------
    .. [1] Brammer 2016, WFC3 ISR 2016-16, section 5.
    """
    check_times(ramp)
    excluded = parse_reads(exclude, ramp.nread)
    used = ~excluded[1:]
    if not used.any():
        raise ValueError(f"{ramp.path}: every read is excluded, expected at least one left")
    electrons, noise, dark = noise_of(ramp, refs, untouched)
    electrons, noise = electrons[ramp.border], noise[ramp.border]
    y, x = ramp.border
    steps = np.diff(ramp.times)
    span = float(steps[used].sum())
    # Reads inside a run of intervals cancel.
    sign = np.concatenate(([0], used.astype(int))) - np.concatenate((used.astype(int), [0]))
    weight = weights(ramp.times, rate=ramp.is_rate)
    total: NDArray[np.float32] = np.zeros(electrons.shape, np.float32)
    for r in np.flatnonzero(sign * weight):
        total += np.float32(sign[r] * weight[r]) * ramp.sci[r][y, x]
    runs = int((sign > 0).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        err = np.sqrt(runs * noise**2 + np.maximum(total * electrons, 0) + dark * span) / electrons
    err[electrons <= 0] = 0.0
    scale = np.float32(1 / span if ramp.is_rate else 1.0)
    ends = np.flatnonzero(sign)
    dq = np.bitwise_or.reduce(ramp.dq[ends][:, y, x], axis=0)
    return Fit(
        rate=total * scale,
        err=err.astype(np.float32) * scale,
        dq=dq,
        samp=np.full(total.shape, used.sum() + 1, np.int16),
        time=np.full(total.shape, span, np.float32),
        read_dq=ramp.dq,
        unit=ramp.unit,
        exptime=span,
        excluded=excluded,
        unstable=0,
        notes=("  last read minus first in place of a ramp fit",),
    )
