"""Leave out bad reads: all they hold, or just what fell in since the read before."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp.tvb.base import interval_levels
from upramp.tvb.corrected import Corrected
from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.fit import parse_reads

__all__ = ["mask_reads", "subtract_reads"]


def mask_reads(ramp: Ramp, reads: ArrayLike | str, *, threads: int | None = None) -> Corrected:
    """Leave reads out of the fit: neither they nor what fell in while they were taken count.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    reads : sequence of int, sequence of bool or str
        Reads, see :func:`upramp.wfc3ir.fit.parse_reads`.
    threads : int, optional
        Number of threads.

    Returns
    -------
    Corrected
        The same reads, with `exclude` set for the fit.

    Notes
    -----
    Reads at the start or the end of the ramp shorten it. Reads in between leave a gap that no line spans: the
    slopes on both sides are averaged.
    """
    exclude = _chosen(ramp, reads)
    return Corrected(ramp, None, _levels(ramp, threads), np.zeros(ramp.nread), exclude=exclude)


def subtract_reads(ramp: Ramp, reads: ArrayLike | str, *, threads: int | None = None) -> Corrected:
    """Take out what fell in during the interval that ends with each of these reads, and keep the reads.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    reads : sequence of int, sequence of bool or str
        Reads, see :func:`upramp.wfc3ir.fit.parse_reads`.
    threads : int, optional
        Number of threads.

    Returns
    -------
    Corrected
        The same reads, with `breaks` set for the fit.

    Notes
    -----
    A satellite that crosses in one interval leaves its light in every read that follows. With the ramp cut
    before the first of these, any constant amount of light drops out of the fit, which is what subtracting it
    would do; the errors are those of the pieces. :func:`upramp.last_minus_first` with `exclude` is the plain
    subtraction without a fit.
    """
    return Corrected(ramp, None, _levels(ramp, threads), np.zeros(ramp.nread), breaks=_chosen(ramp, reads))


def _chosen(ramp: Ramp, reads: ArrayLike | str) -> NDArray[np.bool_]:
    chosen = parse_reads(reads, ramp.nread)
    if not chosen[1:].any():
        raise ValueError(f"{ramp.path}: no read is named, expected SAMPNUM 1 to {ramp.nread - 1}")
    if chosen[1:].all():
        raise ValueError(f"{ramp.path}: every read is named, expected at least one left to fit")
    return chosen


def _levels(ramp: Ramp, threads: int | None) -> NDArray[np.float64]:
    return np.concatenate(([np.nan], interval_levels(ramp, threads=threads)))
