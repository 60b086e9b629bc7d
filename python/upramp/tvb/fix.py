"""Repair an exposure with variable background, from file to file."""

from __future__ import annotations

import os
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from upramp._arrays import __version__
from upramp.ramps import read_stats
from upramp.tvb.flatten import SKY_BAD_DQ, flatten_ramp
from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.files import Correction, FileOptions, Outcome, calibrate_file
from upramp.wfc3ir.flat import read_flat
from upramp.wfc3ir.references import Refs
from upramp.wfc3ir.tables import strips

__all__ = ["METHODS", "fix_file"]

METHODS = ("flatten",)
"""Ways to remove a variable background."""


def fix_file(
    path: str | os.PathLike[str],
    directory: str | os.PathLike[str] = ".",
    *,
    method: str = "flatten",
    region: tuple[slice, slice] | None = None,
    clip: float | tuple[float, float] | None = None,
    mask: NDArray[np.bool_] | None = None,
    force: bool = False,
    **options: Unpack[FileOptions],
) -> Outcome:
    """Remove a variable background from an IMA and fit its ramp anew.

    Parameters
    ----------
    path : path-like
        IMA file, plain or compressed; it is not changed.
    directory : path-like, optional
        Where the IMA and FLT are written.
    method : {"flatten"}, optional
        How: see :func:`upramp.tvb.flatten.flatten_ramp`.
    region, clip, mask, force : optional
        See :func:`upramp.tvb.flatten.flatten_ramp`.
    **options
        See :func:`upramp.wfc3ir.files.calibrate_file`.

    Returns
    -------
    Outcome
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
    threads = options.get("threads")

    def correct(ramp: Ramp, refs: Refs) -> Correction:
        made = flatten_ramp(
            ramp,
            region=region,
            clip=clip,
            mask=mask,
            flat=_pattern(ramp, refs),
            force=force,
            threads=threads,
        )
        low, high = float(np.nanmin(made.level)), float(np.nanmax(made.level))
        cards: dict[str, tuple[object, str]] = {"TVBMETH": (method, "variable background removed by")}
        if low > 0:
            cards["TVBRNG"] = high / low, "largest over smallest background rate"
        history = f"upramp {__version__}: background flattened, {low:.4f} to {high:.4f} per second"
        left, right = (_level(ramp, strip, threads) for strip in strips(ramp))
        return Correction(made.ramp, made.level, left, right, made.removed, cards, (history,))

    return calibrate_file(path, directory, correct=correct, **options)


def _level(ramp: Ramp, region: tuple[slice, slice], threads: int | None) -> NDArray[np.float64]:
    """Median rate of every read in a region; NaN for the zeroth, which has none."""
    stats = read_stats(ramp.sci, ramp.dq, bad_dq=SKY_BAD_DQ, region=region, threads=threads)
    level = stats.median if ramp.is_rate else stats.median / np.where(ramp.times > 0, ramp.times, 1.0)
    level[0] = np.nan
    return level


def _pattern(ramp: Ramp, refs: Refs) -> NDArray[np.float32] | None:
    """The flat that a uniform background carries in an exposure before flat-fielding, if it is at hand."""
    flat = None if ramp.in_electrons else read_flat(ramp, refs)
    if flat is None:
        return None
    image = np.ones(ramp.sci.shape[1:], np.float32)
    image[ramp.border] = flat.sci
    return image
