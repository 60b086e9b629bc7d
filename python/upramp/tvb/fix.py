"""Repair an exposure with variable background: read, correct, fit, write."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upramp._arrays import __version__
from upramp.exceptions import InputError, OutputError
from upramp.io import check_output, table_bytes
from upramp.tvb.flatten import Flattened, flatten_ramp
from upramp.wfc3ir.exposure import Ramp, read_ramp
from upramp.wfc3ir.flat import read_flat
from upramp.wfc3ir.pipeline import Calibrated, finish, steps_to_do
from upramp.wfc3ir.products import product_names, write_flt, write_ima
from upramp.wfc3ir.references import Refs

__all__ = ["Outcome", "calibrate_file", "fix_file"]

log = logging.getLogger(__name__)

UNSTABLE = 32
SUSPICIOUS_UNSTABLE = 0.02
"""Fraction of unstable pixels that no good exposure has: the detector's own are below 1 %."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done to one file.

    Attributes
    ----------
    ima, flt : Path
        Products written.
    seconds : dict of str to float
        Wall time spent to read, compute and write.
    level : (nread,) ndarray of float64 or None
        Background rate of every read before the correction.
    hit_fraction : float
        Fraction of the pixels with a cosmic-ray hit.
    unstable : int
        Pixels with too many hits to be fitted.
    median : float
        Median of the FLT's good pixels.
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
    noise: float
    unit: str


def fix_file(
    path: str | os.PathLike[str],
    directory: str | os.PathLike[str] = ".",
    *,
    method: str = "flatten",
    region: tuple[slice, slice] | None = None,
    clip: float | tuple[float, float] | None = None,
    mask: NDArray[np.bool_] | None = None,
    force: bool = False,
    refs: Refs | None = None,
    crsigma: float | None = None,
    exclude: str | None = None,
    parity: bool = False,
    clear_dq: int = 0,
    overwrite: bool = False,
    threads: int | None = None,
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
    refs, crsigma, exclude, parity : optional
        See :func:`upramp.wfc3ir.fit.fit_ramp`.
    clear_dq : int, optional
        DQ bits to clear from every read first. An earlier fit of a bent ramp calls many pixels unstable (32) in
        every read, which looks just like a bad pixel of the detector: 32 gives them a second chance.
    overwrite : bool, optional
        Whether existing products may be replaced; the input never is.
    threads : int, optional
        Number of threads.

    Returns
    -------
    Outcome
    """
    if method != "flatten":
        raise ValueError(f"method is {method!r}, expected 'flatten'")
    clock = [time.perf_counter()]
    ima, flt = _products(Path(path), directory, overwrite=overwrite)
    ramp = _read(path, clear_dq)
    clock.append(time.perf_counter())
    refs = refs or Refs()
    steps = steps_to_do(ramp)
    # A fit is what a corrected ramp is for, whatever the header says of an earlier one.
    steps = tuple(name for name in ("UNITCORR", "CRCORR", "FLATCORR") if name in steps or name == "CRCORR")
    flat = None
    if not ramp.in_electrons and (found := read_flat(ramp, refs)) is not None:
        flat = np.ones(ramp.sci.shape[1:], np.float32)
        flat[ramp.border] = found.sci
    flattened = flatten_ramp(
        ramp, region=region, clip=clip, mask=mask, flat=flat, force=force, threads=threads
    )
    done = finish(
        flattened.ramp,
        steps,
        untouched=ramp,
        refs=refs,
        crsigma=crsigma,
        exclude=exclude,
        parity=parity,
        threads=threads,
    )
    clock.append(time.perf_counter())
    low, high = float(np.nanmin(flattened.level)), float(np.nanmax(flattened.level))
    cards = {
        **done.cards,
        "UPRVERS": (__version__, "upramp version"),
        "TVBMETH": (method, "variable background removed by"),
        **({"TVBRNG": (high / low, "largest over smallest background rate")} if low > 0 else {}),
        **({} if "NPOP" in done.cards else {"NPOP": (0, "number of reads left out of the ramp fit")}),
    }
    history = (
        f"upramp {__version__}: background flattened, {low:.4f} to {high:.4f} per second",
        *done.history,
    )
    _write(done, ima, flt, cards, history, [_reads_table(ramp, flattened, done)], overwrite)
    clock.append(time.perf_counter())
    return _outcome(done, ima, flt, clock, flattened.level)


def calibrate_file(
    path: str | os.PathLike[str],
    directory: str | os.PathLike[str] = ".",
    *,
    only: list[str] | None = None,
    omit: list[str] | None = None,
    refs: Refs | None = None,
    crsigma: float | None = None,
    exclude: str | None = None,
    parity: bool = False,
    clear_dq: int = 0,
    overwrite: bool = False,
    threads: int | None = None,
) -> Outcome:
    """Do the last calibration steps of an IMA and write IMA and FLT.

    Parameters
    ----------
    path : path-like
        IMA file, plain or compressed; it is not changed.
    directory : path-like, optional
        Where the IMA and FLT are written.
    only, omit : list of str, optional
        See :func:`upramp.wfc3ir.pipeline.steps_to_do`.
    refs, crsigma, exclude, parity : optional
        See :func:`upramp.wfc3ir.fit.fit_ramp`.
    clear_dq : int, optional
        DQ bits to clear from every read first. An earlier fit of a bent ramp calls many pixels unstable (32) in
        every read, which looks just like a bad pixel of the detector: 32 gives them a second chance.
    overwrite : bool, optional
        Whether existing products may be replaced; the input never is.
    threads : int, optional
        Number of threads.

    Returns
    -------
    Outcome
    """
    clock = [time.perf_counter()]
    ima, flt = _products(Path(path), directory, overwrite=overwrite)
    ramp = _read(path, clear_dq)
    clock.append(time.perf_counter())
    steps = steps_to_do(ramp, only, omit)
    if not steps:
        raise InputError(f"{ramp.path}: nothing to do: no calibration switch is PERFORM (choose with --only)")
    done = finish(ramp, steps, refs=refs, crsigma=crsigma, exclude=exclude, parity=parity, threads=threads)
    clock.append(time.perf_counter())
    cards = {**done.cards, "UPRVERS": (__version__, "upramp version")}
    _write(done, ima, flt, cards, (f"upramp {__version__}: {', '.join(steps)}", *done.history), [], overwrite)
    clock.append(time.perf_counter())
    return _outcome(done, ima, flt, clock, None)


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


def _products(path: Path, directory: str | os.PathLike[str], *, overwrite: bool) -> tuple[Path, Path]:
    """Names of the products, after making sure that they can be written and are not the input."""
    names = product_names(path, directory)
    for name in names:
        if name.exists() and path.exists() and name.samefile(path):
            raise OutputError(f"{name}: would replace the input; choose another output directory (-o)")
        check_output(name, overwrite=overwrite)
    return names


def _write(
    done: Calibrated,
    ima: Path,
    flt: Path,
    cards: dict[str, tuple[object, str]],
    history: tuple[str, ...],
    tables: list[bytes],
    overwrite: bool,
) -> None:
    options = {"cards": cards, "history": history, "tables": tables, "overwrite": overwrite}
    write_ima(ima, done.ramp, read_dq=done.fit.read_dq, **options)  # type: ignore[arg-type]
    write_flt(flt, done.fit, done.ramp, **options)  # type: ignore[arg-type]


def _reads_table(ramp: Ramp, flattened: Flattened, done: Calibrated) -> bytes:
    unit = f"{ramp.unit.split('/', maxsplit=1)[0].lower()}/s"
    step = np.diff(ramp.times, prepend=0.0)
    return table_bytes(
        {
            "SAMPNUM": (ramp.sampnum.astype(np.int16), None),
            "IMSET": (ramp.imset.astype(np.int16), None),
            "SAMPTIME": (ramp.times, "s"),
            "DELTATIM": (step, "s"),
            "USED": (~done.fit.excluded & (ramp.sampnum > 0), None),
            "MEDIAN": (flattened.level, unit),
            "REMOVED": (flattened.removed, unit),
        },
        "READS",
    )


def _outcome(
    done: Calibrated, ima: Path, flt: Path, clock: list[float], level: NDArray[np.float64] | None
) -> Outcome:
    fit = done.fit
    good = fit.rate[(fit.dq == 0) & np.isfinite(fit.rate)]
    median = float(np.median(good)) if good.size else float("nan")
    y, x = done.ramp.border
    return Outcome(
        ima=ima,
        flt=flt,
        seconds=dict(zip(("read", "compute", "write"), np.diff(clock).tolist(), strict=True)),
        level=level,
        hit_fraction=float(np.mean(fit.read_dq[-1][y, x] & 8192 != 0)),
        unstable=fit.unstable,
        median=median,
        noise=float(1.4826 * np.median(np.abs(good - median))) if good.size else float("nan"),
        unit=fit.unit,
    )
