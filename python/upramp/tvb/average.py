"""A count rate without a line: the robust mean of what the intervals between reads gathered."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from upramp import ramps
from upramp.tvb.base import check_times
from upramp.tvb.corrected import SKY_BAD_DQ
from upramp.tvb.electrons import noise_of
from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.fit import Fit, parse_reads
from upramp.wfc3ir.references import Refs

__all__ = ["average_intervals"]


def average_intervals(
    ramp: Ramp,
    *,
    exclude: ArrayLike | str | None = None,
    sigma: float = 4.0,
    bad_dq: int = SKY_BAD_DQ,
    refs: Refs | None = None,
    untouched: Ramp | None = None,
    threads: int | None = None,
) -> Fit:
    """Average the intervals between reads, pixel by pixel, without those that stick out.

    Parameters
    ----------
    ramp : Ramp
        Exposure. A background that varies should have been straightened
        (:func:`upramp.flatten_ramp`), or its changes stick out too.
    exclude : sequence of int, sequence of bool or str, optional
        Reads whose interval is left out, see :func:`upramp.wfc3ir.fit.parse_reads`.
    sigma : float, optional
        Threshold for outliers.
    bad_dq : int, optional
        DQ bits that leave out a sample, unless the pixel has them in every read.
    refs : Refs, optional
        Where to look for CCDTAB and flats, for the noise.
    untouched : Ramp, optional
        The exposure as the pipeline left it, if `ramp` has been edited since.
    threads : int, optional
        Number of threads.

    Returns
    -------
    Fit
        Cosmic rays are flagged 8192 in `read_dq` as a ramp fit does. `rate` is in the unit of `ramp`.

    See Also
    --------
    upramp.ramps.average_intervals : the same on arrays, with the equations.
    """
    check_times(ramp)
    excluded = parse_reads(exclude, ramp.nread)
    if excluded[1:].all():
        raise ValueError(f"{ramp.path}: every read is excluded, expected at least one left")
    electrons, noise = noise_of(ramp, refs, untouched)
    # Hits of an earlier fit are looked for anew.
    made = ramps.average_intervals(
        ramp.sci,
        ramp.dq & np.uint16(~8192 & 0xFFFF),
        ramp.times,
        electrons,
        noise,
        rate=ramp.is_rate,
        excluded=excluded,
        sigma=sigma,
        bad_dq=bad_dq,
        region=ramp.border,
        threads=threads,
    )
    factor = np.float32(1.0) if ramp.is_rate else made.time
    return Fit(
        rate=made.rate * factor,
        err=made.err * factor,
        dq=made.dq,
        samp=made.samp,
        time=made.time,
        read_dq=made.read_dq,
        unit=ramp.unit,
        exptime=float(np.diff(ramp.times)[~excluded[1:]].sum()),
        excluded=excluded,
        unstable=0,
        notes=(f"  robust mean of intervals at {sigma:g} sigma in place of a ramp fit",),
    )
