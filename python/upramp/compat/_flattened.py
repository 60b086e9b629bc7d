"""make_flattened_ramp_flt as wfc3tools offers it: a RAW file in, flattened IMA and FLT out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upramp._arrays import __version__
from upramp.compat._calwf3 import Trailer, product_root
from upramp.ramps import read_stats
from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.fit import fit_ramp
from upramp.wfc3ir.pipeline import calibrate
from upramp.wfc3ir.products import write_flt, write_ima
from upramp.wfc3ir.references import Refs

__all__ = ["make_flattened_ramp_flt"]

SIGMA = 3.0
"""Limit of a clipping whose limits are not given, standard deviations."""

UNLIMITED = 1000
"""Rounds of clipping where their number is not given: more than it ever takes."""

Subregion = tuple[tuple[int, int], tuple[int, int]]


def make_flattened_ramp_flt(
    raw_file: str | os.PathLike[str],
    stats_subregion: Subregion | None = None,
    stats_method: str = "median",
    sigma_clip: bool = False,
    sigma: float | None = None,
    sigma_upper: float | None = None,
    sigma_lower: float | None = None,
    iters: int | None = None,
    *,
    refs: Refs | str | os.PathLike[str] | None = None,
    parity: bool = True,
) -> None:
    """Calibrate a RAW with the background of every read brought to that of the last.

    Parameters
    ----------
    raw_file : path-like
        RAW file; it is not changed.
    stats_subregion : ((int, int), (int, int)), optional
        ``((xmin, xmax), (ymin, ymax))`` of the readout, from 0, ends excluded; by default all light-sensitive
        pixels.
    stats_method : {"median", "mean"}, optional
        What is taken for the background.
    sigma_clip : bool, optional
        Whether to clip before.
    sigma : float, optional
        Limit of the clipping, standard deviations; 3 where nothing is given.
    sigma_upper, sigma_lower : float, optional
        Limits above and below the median in its place.
    iters : int, optional
        Rounds of clipping; by default until nothing is clipped any more.
    refs : Refs or path-like, optional
        Reference files, or their directory; by default found as the header says, ``iref$`` by the environment
        variable ``iref``.
    parity : bool, optional
        Do exactly as calwf3 does on its own IMA: it fits electrons as if they were DN, which makes ERR about half
        of what it should be. False gives the right ERR and a cosmic-ray threshold that fits the noise.

    Raises
    ------
    ValueError
        A bad argument, or a region without a pixel.
    InputError, ReferenceFileError
        As :func:`upramp.calibrate`.

    Notes
    -----
    Beside ``x_raw.fits`` appear ``flattened_x_ima.fits``, ``flattened_x_flt.fits`` and ``flattened_x.tra``, in
    place of earlier ones. All pixels of the region count, whatever their DQ. R_k <- R_k + s(R_last) - s(R_k) for
    k = 1 … last; the ramp is then fitted as by calwf3, bit for bit.

    See Also
    --------
    upramp.fix_file : the same and other methods, with masks for sources and bad pixels.
    """
    clip = _clip_limits(sigma_clip, sigma, sigma_upper, sigma_lower, iters)
    if stats_method not in ("median", "mean"):
        raise ValueError(f"stats_method is {stats_method!r}, expected median or mean")
    region = None if stats_subregion is None else _slices(stats_subregion)
    source = Path(raw_file)
    root = f"flattened_{product_root(source)}"
    ima, flt, tra = (source.with_name(root + end) for end in ("_ima.fits", "_flt.fits", ".tra"))

    trailer = Trailer(tra)
    trailer.say(f"upramp {__version__}: make_flattened_ramp_flt of {source}")
    try:
        found = refs if isinstance(refs, Refs) else Refs(refs)
        before, _ = calibrate(source, refs=found, omit=("CRCORR",), parity=parity)
        rounds = UNLIMITED if iters is None else iters
        ramp, level = _flatten(before, region, stats_method, clip, rounds)
        fit = fit_ramp(ramp, refs=found, untouched=before, parity=parity)
        cards: dict[str, tuple[object, str]] = {
            "CRCORR": ("COMPLETE", ""),
            "UPRVERS": (__version__, "upramp version"),
            "TVBMETH": ("flatten", "variable background removed by"),
        }
        if level[1:].min() > 0:
            cards["TVBRNG"] = (
                float(level[1:].max() / level[1:].min()),
                "largest over smallest background rate",
            )
        history = (f"upramp {__version__}: make_flattened_ramp_flt, {stats_method}", *fit.notes)
        write_ima(ima, ramp, read_dq=fit.read_dq, cards=cards, history=history, overwrite=True)
        write_flt(flt, fit, ramp, cards=cards, history=history, overwrite=True)
        trailer.say(f"background of reads 1 to last: {np.array2string(level[1:], precision=4)} {ramp.unit}")
        trailer.say(f"{fit.unstable} pixels unstable; {ima} and {flt} written")
    except Exception as error:
        trailer.say(f"failed: {error}")
        raise
    finally:
        if source.parent.is_dir():
            trailer.write()


def _flatten(
    ramp: Ramp,
    region: tuple[slice, slice] | None,
    method: str,
    clip: tuple[float, float] | None,
    rounds: int,
) -> tuple[Ramp, NDArray[np.float64]]:
    """Bring the background rate of every read but the zeroth to that of the last; its rates before."""
    stats = read_stats(ramp.sci, region=region or ramp.border, clip=clip, max_iter=rounds)
    span = np.ones(ramp.nread, np.float32)
    if not ramp.is_rate:
        span[1:] = ramp.times[1:]
    # As in NumPy, a median or mean of single precision is one: with it, every bit of the sum is wfc3tools'.
    level = (stats.median if method == "median" else stats.mean).astype(np.float32) / span
    shift = level[-1] - level
    shift[0] = 0.0
    sci = ramp.sci.copy()
    sci[:, *ramp.border] += (shift * span)[:, None, None]
    return ramp.with_(sci=sci), level.astype(float)


def _clip_limits(
    sigma_clip: bool,
    sigma: float | None,
    upper: float | None,
    lower: float | None,
    iters: int | None,
) -> tuple[float, float] | None:
    """Lower and upper limit of the clipping, None for none."""
    given = {"sigma": sigma, "sigma_upper": upper, "sigma_lower": lower, "iters": iters}
    if not sigma_clip:
        unused = [name for name, value in given.items() if value is not None]
        if unused:
            raise ValueError(f"{', '.join(unused)} given, but sigma_clip is False")
        return None
    for name, value in given.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} is {value!r}, expected a positive number")
    if sigma is None:
        if (upper is None) != (lower is None):
            raise ValueError("only one of sigma_upper and sigma_lower given, expected both, or sigma")
        sigma = SIGMA
    return float(sigma if lower is None else lower), float(sigma if upper is None else upper)


def _slices(subregion: Sequence[Sequence[int]]) -> tuple[slice, slice]:
    try:
        (x0, x1), (y0, y1) = ((int(a), int(b)) for a, b in subregion)
    except (TypeError, ValueError):
        raise ValueError(f"stats_subregion is {subregion!r}, expected ((xmin, xmax), (ymin, ymax))") from None
    return slice(y0, y1), slice(x0, x1)
