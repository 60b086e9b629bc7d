"""From file to file: read an exposure, correct it, finish its calibration, write the products."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp._arrays import __version__
from upramp.exceptions import InputError, OutputError
from upramp.io import check_output, table_bytes
from upramp.ramps import read_stats
from upramp.wfc3ir.calibration import Needs, gather, prepare
from upramp.wfc3ir.exposure import Ramp, read_ramp
from upramp.wfc3ir.fit import Fit, fit_ramp, parse_reads
from upramp.wfc3ir.gls import Removed
from upramp.wfc3ir.pipeline import Calibrated, finish
from upramp.wfc3ir.products import Cards, product_names, write_flt, write_ima
from upramp.wfc3ir.references import Cache, Refs
from upramp.wfc3ir.steps import steps_to_do

__all__ = ["Correction", "FileOptions", "Outcome", "calibrate_file"]

log = logging.getLogger(__name__)

UNSTABLE, BLOB, BADREAD, DATAREJECT = 32, 512, 1024, 8192
SMALL_CACHE = 1 << 22
"""Bytes of decoded references kept where no other exposure will want them: the tables, not the images."""
SUSPICIOUS_UNSTABLE = 0.02
"""Fraction of unstable pixels that no good exposure has: the detector's own are below 1 %."""


class Correction(NamedTuple):
    """What a correction makes of an exposure before its ramp is fitted."""

    ramp: Ramp
    """The exposure with a background that is constant in time."""
    level: NDArray[np.float64]
    """Background rate of every read before, (nread,)."""
    left: NDArray[np.float64]
    """The same near the left edge."""
    right: NDArray[np.float64]
    """The same near the right edge."""
    removed: NDArray[np.float64]
    """Rate taken from every read, (nread,), the pedestal included."""
    cards: Cards
    """Primary cards that tell of it."""
    history: tuple[str, ...]
    """HISTORY lines that tell of it."""
    pedestal: NDArray[np.float32] | None = None
    """Rate to take off the fit and the reads, (ny, nx), in the exposure's unit per second."""
    exclude: NDArray[np.bool_] | None = None
    """Reads to leave out of the fit, (nread,)."""
    breaks: NDArray[np.bool_] | None = None
    """Reads before which the ramp is cut, (nread,)."""
    varied: Removed | None = None
    """What was taken off in each interval, if all pixels had the same."""
    fit_method: str = "calwf3"
    """Ramp fit that suits it."""
    fit: Callable[[Ramp], Fit] | None = None
    """What makes an image of the reads, in place of a ramp fit."""


class FileOptions(TypedDict, total=False):
    """Options of :func:`calibrate_file` that corrections pass through."""

    refs: Refs | None
    fit_method: str | None
    crsigma: float | None
    exclude: ArrayLike | str | None
    clear_dq: int
    parity: bool
    overwrite: bool
    threads: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done to one file.

    Attributes
    ----------
    ima, flt : Path
        Products written.
    seconds : dict of str to float
        Wall time spent to read, to find and read the references, to compute and to write.
    level : (nread,) ndarray of float64 or None
        Background rate of every read before a correction.
    hit_fraction : float
        Fraction of the pixels with a cosmic-ray hit.
    unstable : int
        Pixels with too many hits to be fitted.
    median : float
        Median of the FLT's good pixels.
    exptime : (float, float)
        Exposure time before and after, seconds.
    nread, dropped : int
        Reads, the zeroth included, and those of them left out.
    blobs : float
        Fraction of the pixels that a permanent blob darkens (512).
    noise : float
        Their robust standard deviation (1.4826 times the median absolute deviation).
    unit : str
        Unit of the FLT.
    """

    ima: Path
    flt: Path
    seconds: dict[str, float]
    level: NDArray[np.float64] | None
    hit_fraction: float
    unstable: int
    median: float
    exptime: tuple[float, float]
    nread: int
    dropped: int
    blobs: float
    noise: float
    unit: str


def calibrate_file(
    path: str | os.PathLike[str],
    directory: str | os.PathLike[str] = ".",
    *,
    only: Sequence[str] | None = None,
    omit: Sequence[str] | None = None,
    correct: Callable[[Ramp, Refs, Needs], Correction] | None = None,
    refs: Refs | None = None,
    fit_method: str | None = None,
    crsigma: float | None = None,
    exclude: ArrayLike | str | None = None,
    clear_dq: int = 0,
    mark: Callable[[Ramp], NDArray[np.bool_]] | None = None,
    require: Sequence[str] = (),
    parity: bool = False,
    overwrite: bool = False,
    threads: int | None = None,
    names: tuple[Path, Path] | None = None,
) -> Outcome:
    """Calibrate a RAW or an IMA from where its switches say it stands, and write IMA and FLT.

    Parameters
    ----------
    path : path-like
        RAW or IMA file, plain or compressed; it is not changed.
    directory : path-like, optional
        Where the IMA and FLT are written.
    only, omit : sequence of str, optional
        See :func:`upramp.wfc3ir.steps.steps_to_do`.
    correct : callable, optional
        Correction of the reads before the fit; with it the ramp is fitted whatever the header says.
    refs : Refs, optional
        Where to look for reference files.
    fit_method : {"calwf3", "gls"}, optional
        `method` of :func:`upramp.wfc3ir.fit.fit_ramp`; default what suits the correction, else its own.
    crsigma, exclude : optional
        See :func:`upramp.wfc3ir.fit.fit_ramp`.
    clear_dq : int, optional
        DQ bits to clear from every read first. An earlier fit of a bent ramp calls many pixels unstable (32) in
        every read, which looks just like a bad pixel of the detector: 32 gives them a second chance.
    mark : callable, optional
        Tells which reads (by SAMPNUM, a mask) to flag as bad (1024) first, as one does by hand for calwf3.
    require : sequence of str, optional
        Steps to do whatever the header says.
    parity : bool, optional
        See :func:`upramp.wfc3ir.fit.fit_ramp`.
    overwrite : bool, optional
        Whether existing products may be replaced; the input never is.
    threads : int, optional
        Number of threads.
    names : (Path, Path), optional
        IMA and FLT to write instead of those that `path` and `directory` make.

    Returns
    -------
    Outcome

    Raises
    ------
    ReferenceFileError
        Lists every reference file that is missing or does not fit; nothing has been written.
    """
    clock = [time.perf_counter()]
    ima, flt = _products(Path(path), names or product_names(Path(path), directory), overwrite=overwrite)
    untouched = _read(path, clear_dq)
    if mark is not None:
        untouched.dq[mark(untouched)] |= BADREAD
    clock.append(time.perf_counter())
    refs = refs or Refs(cache=Cache(SMALL_CACHE))
    steps = steps_to_do(untouched, only, omit, require=require if correct is None else ("CRCORR",))
    if not steps:
        raise InputError(f"{path}: nothing to do: no calibration switch is PERFORM (choose with --only)")
    needs = gather(untouched, refs, steps, parity=parity)
    clock.append(time.perf_counter())
    prepared = prepare(untouched, needs, steps, parity=parity, threads=threads)
    # The largest reference by far; unless shared, its memory is wanted for the fit.
    needs.dark = None
    untouched = prepared.ramp
    correction = correct(untouched, refs, needs) if correct is not None else None
    fit = partial(
        fit_ramp,
        method=fit_method or ("calwf3" if correction is None or parity else correction.fit_method),
        crsigma=crsigma,
        exclude=_either(untouched.nread, exclude, None if correction is None else correction.exclude),
        breaks=None if correction is None else correction.breaks,
        refs=refs,
        untouched=untouched,
        removed=None if correction is None else correction.varied,
        parity=parity,
        threads=threads,
    )
    done = finish(
        untouched if correction is None else correction.ramp,
        steps,
        refs=refs,
        needs=needs,
        fit=fit if correction is None or correction.fit is None else correction.fit,
        pedestal=None if correction is None else correction.pedestal,
        parity=parity,
        threads=threads,
    )
    done = done._replace(cards={**prepared.cards, **done.cards}, history=(*prepared.history, *done.history))
    clock.append(time.perf_counter())
    _write(done, correction, ima, flt, overwrite=overwrite, threads=threads)
    clock.append(time.perf_counter())
    median, noise = _sky(done.fit)
    y, x = done.ramp.border
    return Outcome(
        ima=ima,
        flt=flt,
        seconds=dict(zip(("read", "references", "compute", "write"), np.diff(clock).tolist(), strict=True)),
        level=None if correction is None else correction.level,
        hit_fraction=float(np.mean(done.fit.read_dq[-1][y, x] & DATAREJECT != 0)),
        unstable=done.fit.unstable,
        median=median,
        exptime=(float(untouched.times[-1]), done.fit.exptime),
        nread=untouched.nread,
        dropped=int(done.fit.dropped.sum()),
        blobs=float(np.mean(done.fit.dq & BLOB != 0)),
        noise=noise,
        unit=done.fit.unit,
    )


def _either(nread: int, *reads: ArrayLike | str | None) -> NDArray[np.bool_]:
    """Reads that any of these name."""
    chosen = np.zeros(nread, bool)
    for each in reads:
        chosen |= parse_reads(each, nread)
    return chosen


def _products(path: Path, names: tuple[Path, Path], *, overwrite: bool) -> tuple[Path, Path]:
    """Names of the products, after making sure that they can be written and are not the input."""
    for name in names:
        if name.exists() and path.exists() and name.samefile(path):
            raise OutputError(f"{name}: would replace the input; choose another output directory (-o)")
        check_output(name, overwrite=overwrite)
    return names


def _read(path: str | os.PathLike[str], clear_dq: int) -> Ramp:
    """The exposure, with DQ bits cleared or a warning that they may have to be."""
    if not 0 <= clear_dq <= 0xFFFF:
        raise ValueError(f"clear_dq is {clear_dq}, expected DQ bits (0 to 65535)")
    ramp = read_ramp(path)
    if clear_dq:
        return ramp.with_(dq=ramp.dq & np.uint16(~clear_dq & 0xFFFF))
    if str(ramp.primary.get("CRCORR", "")).strip().upper() == "COMPLETE":
        y, x = ramp.border
        unstable = float(np.mean(np.bitwise_and.reduce(ramp.dq[:, y, x], axis=0) & UNSTABLE != 0))
        if unstable > SUSPICIOUS_UNSTABLE:
            log.warning(
                "%s: %.1f %% of the pixels are flagged unstable (32), perhaps by an earlier fit of a bent ramp; "
                "clear_dq=32 (--clear-dq 32) gives them a second chance",
                ramp.path,
                100 * unstable,
            )
    return ramp


def _write(
    done: Calibrated,
    correction: Correction | None,
    ima: Path,
    flt: Path,
    *,
    overwrite: bool,
    threads: int | None,
) -> None:
    cards = {**done.cards, "UPRVERS": (__version__, "upramp version")}
    history = (f"upramp {__version__}", *done.history)
    tables = []
    if correction is not None:
        cards = {"NPOP": (0, "number of reads left out of the ramp fit"), **cards, **correction.cards}
        history = (*correction.history, *history)
        tables = [_reads_table(correction, done)]
    write_ima(
        ima,
        done.ramp,
        read_dq=done.fit.read_dq,
        threads=threads,
        cards=cards,
        history=history,
        tables=tables,
        overwrite=overwrite,
    )
    write_flt(flt, done.fit, done.ramp, cards=cards, history=history, tables=tables, overwrite=overwrite)


def _reads_table(correction: Correction, done: Calibrated) -> bytes:
    ramp = correction.ramp
    return table_bytes(
        {
            "SAMPNUM": (ramp.sampnum.astype(np.int16), None),
            "IMSET": (ramp.imset.astype(np.int16), None),
            "SAMPTIME": (ramp.times, "s"),
            "DELTATIM": (np.diff(ramp.times, prepend=0.0), "s"),
            "USED": (~done.fit.dropped & (ramp.sampnum > 0), None),
            "MEDIAN": (correction.level, None),
            "LEFT": (correction.left, None),
            "RIGHT": (correction.right, None),
            "REMOVED": (correction.removed, None),
        },
        "READS",
        # The FITS standard has no electrons among its units of columns.
        {"BUNIT": (f"{ramp.unit.removesuffix('/S')}/S", "unit of MEDIAN, LEFT, RIGHT and REMOVED")},
    )


def _sky(fit: Fit) -> tuple[float, float]:
    """Median and robust standard deviation of the good pixels; NaN without any."""
    median = float(read_stats(fit.rate[None], fit.dq[None]).median[0])
    off = np.abs(fit.rate - np.float32(median))
    return median, float(1.4826 * read_stats(off[None], fit.dq[None]).median[0])
