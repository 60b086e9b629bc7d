"""Repair an exposure with variable background, from file to file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp._arrays import __version__
from upramp.exceptions import InputError
from upramp.tvb.average import average_intervals
from upramp.tvb.base import interval_levels
from upramp.tvb.corrected import Corrected
from upramp.tvb.difference import last_minus_first
from upramp.tvb.excess import remove_excess
from upramp.tvb.flag import flag_reads
from upramp.tvb.flatten import flatten_ramp
from upramp.tvb.reads import mask_reads, subtract_reads
from upramp.tvb.reads_file import read_flags
from upramp.tvb.surface import remove_columns, remove_plane
from upramp.wfc3ir.calibration import Needs
from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.files import Correction, FileOptions, Outcome, calibrate_file
from upramp.wfc3ir.fit import Fit, parse_reads
from upramp.wfc3ir.flat import read_flat
from upramp.wfc3ir.references import Refs
from upramp.wfc3ir.tables import strips

__all__ = ["METHODS", "fix_file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """What the caller asked for, and the flat of the exposure."""

    reads: NDArray[np.bool_] | None
    region: tuple[slice, slice] | None
    clip: float | tuple[float, float] | None
    mask: NDArray[np.bool_] | None
    force: bool
    refs: Refs
    crsigma: float | None
    threads: int | None
    flat: NDArray[np.float32] | None
    untouched: Ramp
    in_place: bool
    """Whether nobody needs the reads as they came."""


class _Made(NamedTuple):
    corrected: Corrected
    fit: Callable[[Ramp], Fit] | None = None
    """What makes an image of the reads, if no ramp is fitted."""


def _mask_reads(ramp: Ramp, asked: _Setting) -> _Made:
    return _Made(_without(ramp, asked, mask_reads))


def _subtract_reads(ramp: Ramp, asked: _Setting) -> _Made:
    return _Made(_without(ramp, asked, subtract_reads))


def _without(ramp: Ramp, asked: _Setting, leave_out: Callable[..., Corrected]) -> Corrected:
    if asked.reads is None or not asked.reads[1:].any():
        # A table of reads that finds no fault with this exposure.
        return _as_it_is(ramp, asked).corrected
    return leave_out(ramp, asked.reads, threads=asked.threads)


def _as_it_is(ramp: Ramp, asked: _Setting) -> _Made:
    level = interval_levels(ramp, response=asked.flat, mask=asked.mask, threads=asked.threads)
    return _Made(Corrected(ramp, None, np.concatenate(([np.nan], level)), np.zeros(ramp.nread)))


def _flatten(ramp: Ramp, asked: _Setting) -> _Made:
    corrected = flatten_ramp(
        ramp,
        region=asked.region,
        clip=asked.clip,
        mask=asked.mask,
        flat=asked.flat,
        force=asked.force,
        in_place=asked.in_place,
        threads=asked.threads,
    )
    return _Made(corrected)


def _excess(ramp: Ramp, asked: _Setting) -> _Made:
    corrected = remove_excess(
        ramp,
        region=asked.region,
        mask=asked.mask,
        flat=asked.flat,
        force=asked.force,
        in_place=asked.in_place,
        threads=asked.threads,
    )
    return _Made(corrected)


def _column(ramp: Ramp, asked: _Setting) -> _Made:
    corrected = remove_columns(
        ramp, mask=asked.mask, flat=asked.flat, force=asked.force, threads=asked.threads
    )
    return _Made(corrected)


def _plane(ramp: Ramp, asked: _Setting) -> _Made:
    corrected = remove_plane(ramp, mask=asked.mask, flat=asked.flat, force=asked.force, threads=asked.threads)
    return _Made(corrected)


def _last_first(ramp: Ramp, asked: _Setting) -> _Made:
    def fit(reads: Ramp) -> Fit:
        return last_minus_first(reads, exclude=asked.reads, refs=asked.refs, untouched=asked.untouched)

    return _as_it_is(ramp, asked)._replace(fit=fit)


def _average(ramp: Ramp, asked: _Setting) -> _Made:
    # What the intervals have above each other is the background's, not the pixels'.
    corrected = _flatten(ramp, asked).corrected

    def fit(reads: Ramp) -> Fit:
        return average_intervals(
            reads,
            exclude=asked.reads,
            sigma=5.0 if asked.crsigma is None else asked.crsigma,
            refs=asked.refs,
            untouched=asked.untouched,
            threads=asked.threads,
        )

    return _Made(corrected, fit)


_METHODS: dict[str, Callable[[Ramp, _Setting], _Made]] = {
    "mask-reads": _mask_reads,
    "subtract-reads": _subtract_reads,
    "flatten": _flatten,
    "excess": _excess,
    "column": _column,
    "plane": _plane,
    "last-first": _last_first,
    "average": _average,
}
METHODS = (*_METHODS, "auto")
"""Ways to remove a variable background."""

_ADVISED = {**_METHODS, "none": _as_it_is}

TAKE_READS = ("mask-reads", "subtract-reads", "last-first", "average")
"""Methods that ask for reads, or may be given some."""


def fix_file(
    path: str | os.PathLike[str],
    directory: str | os.PathLike[str] = ".",
    *,
    method: str = "flatten",
    reads: ArrayLike | str | None = None,
    region: tuple[slice, slice] | None = None,
    clip: float | tuple[float, float] | None = None,
    mask: NDArray[np.bool_] | None = None,
    force: bool = False,
    **options: Unpack[FileOptions],
) -> Outcome:
    """Remove a variable background from a RAW or an IMA and fit its ramp anew.

    Parameters
    ----------
    path : path-like
        RAW or IMA file, plain or compressed; it is not changed.
    directory : path-like, optional
        Where the IMA and FLT are written.
    method : str, optional
        ``mask-reads`` leaves `reads` out of the fit (:func:`upramp.mask_reads`), ``subtract-reads`` what fell in
        during their intervals (:func:`upramp.subtract_reads`); ``flatten`` takes the change of a uniform background
        out (:func:`upramp.flatten_ramp`), ``excess`` what it has above its quietest intervals, for crowded fields
        (:func:`upramp.remove_excess`); ``column`` and ``plane`` do so for scattered light that depends on the place
        (:func:`upramp.remove_columns`, :func:`upramp.remove_plane`); ``last-first`` and ``average`` fit no ramp
        (:func:`upramp.last_minus_first`, :func:`upramp.average_intervals`, the latter after flattening). ``auto``
        does what :func:`upramp.flag_reads` advises; HISTORY says why.
    reads : sequence of int, sequence of bool or str, optional
        SAMPNUM of bad reads, see :func:`upramp.wfc3ir.fit.parse_reads`, or the name of a table of
        :func:`upramp.write_flags` (``.ecsv`` or ``.csv``) whose ``use`` tells; ``mask-reads`` and
        ``subtract-reads`` need them, ``last-first`` and ``average`` leave their intervals out.
    region, clip : optional
        See :func:`upramp.flatten_ramp`.
    mask : (ny, nx) ndarray of bool, optional
        Pixels that do not speak for the sky (True), with the border.
    force : bool, optional
        Correct grism exposures too.
    **options
        See :func:`upramp.wfc3ir.files.calibrate_file`.

    Returns
    -------
    Outcome

    Raises
    ------
    ValueError
        An unknown method, or reads missing or given to a method that has no use for them.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
    if reads is not None and method not in TAKE_READS:
        raise ValueError(f"reads (--reads) are given, but method {method} has no use for them")
    if reads is None and method in TAKE_READS[:2]:
        raise ValueError(f"reads (--reads) are missing: method {method} asks which")
    threads = options.get("threads")
    if method == "mask-reads" and options.get("parity") and reads is not None:
        # As one does by hand for calwf3: the reads are marked, and the program does the rest.
        mark = partial(_named, reads=reads)
        return calibrate_file(path, directory, mark=mark, require=("CRCORR",), **options)

    def correct(ramp: Ramp, refs: Refs, needs: Needs) -> Correction:
        flat = _pattern(ramp, refs, needs)
        asked = _Setting(
            reads=None if reads is None else _named(ramp, reads),
            region=region,
            clip=clip,
            mask=mask,
            force=force,
            refs=refs,
            crsigma=options.get("crsigma"),
            threads=threads,
            flat=flat,
            untouched=ramp,
            # The flat of an exposure in electrons may have to be read back from it.
            in_place=not ramp.in_electrons,
        )
        # Before the reads are changed.
        sides = _sides(ramp, asked)
        if method != "auto":
            return _correction(method, _METHODS[method](ramp, asked), *sides)
        flags = flag_reads(_on_the_sky(ramp, flat), mask=mask, threads=threads)
        made = _ADVISED[flags.advice](ramp, replace(asked, reads=~flags.use))
        done = _correction(flags.advice, made, *sides)
        why = f"  {flags.verdict}: {flags.reason}"
        return done._replace(cards={**done.cards, **flags.cards}, history=(*done.history, why))

    return calibrate_file(path, directory, correct=correct, **options)


def _sides(ramp: Ramp, asked: _Setting) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Level of every interval at the left and at the right."""
    left, right = (
        np.concatenate(([np.nan], interval_levels(ramp, strip, response=asked.flat, threads=asked.threads)))
        for strip in strips(ramp)
    )
    return left, right


def _correction(
    method: str, made: _Made, left: NDArray[np.float64], right: NDArray[np.float64]
) -> Correction:
    """What the files shall tell."""
    corrected = made.corrected
    known = corrected.level[np.isfinite(corrected.level)]
    low, high = (float(known.min()), float(known.max())) if known.size else (np.nan, np.nan)
    cards: dict[str, tuple[object, str]] = {"TVBMETH": (method, "variable background removed by")}
    if low > 0:
        cards["TVBRNG"] = high / low, "largest over smallest background rate"
    both = np.isfinite(left) & np.isfinite(right)
    if both.any() and right[both].min() > 0:
        cards["TVBRMAX"] = (
            float((left[both] / right[both]).max()),
            "largest ratio of left to right background",
        )
    if made.fit is not None:
        cards["IMA2FLT"] = 1, "no ramp fit"
        cards["CRCORR"] = "OMIT", ""
    history = f"upramp {__version__}: background {method}, {low:.4f} to {high:.4f} per second"
    return Correction(
        corrected.straight,
        corrected.level,
        left,
        right,
        corrected.removed,
        cards,
        (history,),
        pedestal=corrected.pedestal,
        exclude=corrected.exclude,
        breaks=corrected.breaks,
        # Bad reads are left out of calwf3's own fit; its test for hits, though, fades on a bright background.
        fit_method="calwf3" if method == "mask-reads" else "gls",
        varied=corrected.varied,
        fit=made.fit,
    )


def _named(ramp: Ramp, reads: ArrayLike | str) -> NDArray[np.bool_]:
    """Bad reads of an exposure, as listed or as a table says."""
    if not (isinstance(reads, (str, Path)) and str(reads).lower().endswith((".ecsv", ".csv"))):
        return parse_reads(reads, ramp.nread)
    use = read_flags(reads)
    root = str(ramp.primary.get("ROOTNAME", "")).strip().lower()
    if root not in use:
        raise InputError(f"{reads}: does not list exposure {root or 'without ROOTNAME'} ({ramp.path})")
    if use[root].size != ramp.nread:
        raise InputError(f"{reads}: lists {use[root].size} reads of {root}, but {ramp.path} has {ramp.nread}")
    return ~use[root]


def _on_the_sky(ramp: Ramp, flat: NDArray[np.float32] | None) -> Ramp:
    """The exposure as if flat-fielded, to look at its sky."""
    if flat is None:
        return ramp
    with np.errstate(divide="ignore", invalid="ignore"):
        return ramp.with_(sci=ramp.sci / flat)


def _pattern(ramp: Ramp, refs: Refs, needs: Needs) -> NDArray[np.float32] | None:
    """The flat that a uniform background carries in an exposure before flat-fielding, if it is at hand."""
    if ramp.in_electrons:
        return None
    flat = needs.flat if needs.flat is not None else read_flat(ramp, refs)
    if flat is None:
        return None
    image = np.ones(ramp.sci.shape[1:], np.float32)
    image[ramp.border] = flat.sci
    return image
