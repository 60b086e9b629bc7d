"""Order of the calibration steps: those that need the raw reads, then ramp fit and flat field."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp import detector
from upramp.detector import Planes
from upramp.ramps.crcorr import bounds
from upramp.wfc3ir.calibration import Needs, gather, prepare
from upramp.wfc3ir.exposure import Ramp, read_ramp
from upramp.wfc3ir.fit import Fit, fit_ramp, last_read
from upramp.wfc3ir.flat import Flat
from upramp.wfc3ir.pedestal import lower_fit, lower_reads
from upramp.wfc3ir.products import Cards
from upramp.wfc3ir.references import Refs, amplifiers
from upramp.wfc3ir.steps import steps_to_do

__all__ = ["Calibrated", "calibrate", "finish"]

log = logging.getLogger(__name__)


class Calibrated(NamedTuple):
    """An exposure carried through the last steps, and what to write into its headers."""

    ramp: Ramp
    fit: Fit
    cards: Cards
    history: tuple[str, ...]


def finish(
    ramp: Ramp,
    steps: Iterable[str] = ("CRCORR",),
    *,
    refs: Refs | None = None,
    needs: Needs | None = None,
    fit: Callable[[Ramp], Fit] | None = None,
    pedestal: NDArray[np.float32] | None = None,
    parity: bool = False,
    threads: int | None = None,
) -> Calibrated:
    """Do the last calibration steps: ramp fit and flat field.

    Parameters
    ----------
    ramp : Ramp
        Exposure; FLATCORR and `pedestal` change its arrays in place.
    steps : iterable of str, optional
        Which of CRCORR and FLATCORR to do, in this order; others are ignored.
    refs : Refs, optional
        Where to look for reference files.
    needs : Needs, optional
        Of :func:`upramp.wfc3ir.calibration.gather`; default what FLATCORR needs.
    fit : callable, optional
        What CRCORR does; default :func:`upramp.wfc3ir.fit.fit_ramp`.
    pedestal : (ny, nx) ndarray of float32, optional
        Rate to take off the fit and the reads, in the unit of the exposure per second, before FLATCORR.
    parity, threads : optional
        See :func:`upramp.wfc3ir.fit.fit_ramp`.

    Returns
    -------
    Calibrated

    Raises
    ------
    ReferenceFileError
        FLATCORR is to be done and no flat is at hand.
    InputError
        FLATCORR is to be done on an exposure that has had it.
    """
    refs, steps = refs or Refs(), tuple(steps)
    cards: dict[str, tuple[object, str]] = {}
    history: list[str] = []
    if needs is None:
        needs = gather(ramp, refs, [step for step in steps if step == "FLATCORR"], parity=parity)
    if "CRCORR" in steps:
        done = fit(ramp) if fit is not None else fit_ramp(ramp, refs=refs, parity=parity, threads=threads)
        cards["CRCORR"] = "COMPLETE", ""
        history += ["CRCORR complete.", *done.notes]
        log.info("%s: %d unstable pixels", ramp.path, done.unstable)
    else:
        done = last_read(ramp)
    if pedestal is not None:
        lower_reads(ramp, pedestal)
        done = lower_fit(done, ramp, pedestal)
    if "FLATCORR" in steps:
        if needs.flat is not None:
            gain = float(amplifiers(ramp, refs).mean_gain)
            ramp, done = _divide_flat(ramp, done, needs.flat, gain, threads)
            history += ["FLATCORR complete ...", *needs.flat.history]
        else:
            history.append("FLATCORR skipped due to dummy reference file ...")
        cards["FLATCORR"] = "COMPLETE" if needs.flat is not None else "SKIPPED", ""
    if done.dropped.any():
        dropped = np.flatnonzero(done.dropped)
        cards["EXPTIME"] = done.exptime, ""
        cards["NPOP"] = int(dropped.size), "number of reads left out of the ramp fit"
        cards["POPREADS"] = " ".join(map(str, dropped)), "their SAMPNUM"
    return Calibrated(ramp, done, cards, tuple(history))


def calibrate(
    exposure: Ramp | str | os.PathLike[str],
    *,
    refs: Refs | None = None,
    only: Sequence[str] | None = None,
    omit: Sequence[str] | None = None,
    fit_method: str = "calwf3",
    crsigma: float | None = None,
    exclude: ArrayLike | str | None = None,
    parity: bool = False,
    threads: int | None = None,
) -> tuple[Ramp, Fit]:
    """Calibrate an exposure from where its switches say it stands.

    Parameters
    ----------
    exposure : Ramp or path-like
        RAW or IMA; neither file nor arrays are changed.
    refs : Refs, optional
        Where to look for reference files.
    only, omit : sequence of str, optional
        See :func:`upramp.wfc3ir.steps.steps_to_do`.
    fit_method : {"calwf3", "gls"}, optional
        `method` of :func:`upramp.wfc3ir.fit.fit_ramp`.
    crsigma, exclude, parity, threads : optional
        See :func:`upramp.wfc3ir.fit.fit_ramp`.

    Returns
    -------
    ramp : Ramp
        The calibrated reads; the primary header tells what was done.
    fit : Fit
        The count-rate image.

    Raises
    ------
    ReferenceFileError
        Lists every reference file that is missing or does not fit.
    InputError
        The exposure cannot be calibrated so.

    Examples
    --------
    >>> ramp, fit = calibrate("x_raw.fits", refs=Refs("refs"))  # doctest: +SKIP
    """
    refs = refs or Refs()
    ramp = exposure if isinstance(exposure, Ramp) else read_ramp(exposure)
    if ramp is exposure:
        ramp = ramp.with_(
            sci=np.array(ramp.sci, np.float32, order="C"),
            err=np.array(ramp.err, np.float32, order="C"),
            dq=np.array(ramp.dq, np.uint16, order="C"),
        )
    steps = steps_to_do(ramp, only, omit)
    needs = gather(ramp, refs, steps, parity=parity)
    prepared = prepare(ramp, needs, steps, parity=parity, threads=threads)
    done = finish(
        prepared.ramp,
        steps,
        refs=refs,
        needs=needs,
        fit=partial(
            fit_ramp,
            method=fit_method,
            crsigma=crsigma,
            exclude=exclude,
            refs=refs,
            parity=parity,
            threads=threads,
        ),
        parity=parity,
        threads=threads,
    )
    primary = ramp.primary.copy()
    for keyword, (value, comment) in {**prepared.cards, **done.cards}.items():
        primary.set(keyword, value, comment or None)
    for line in (*prepared.history, *done.history):
        primary.add_history(line)
    return done.ramp.with_(primary=primary, dq=done.fit.read_dq), done.fit


def _divide_flat(ramp: Ramp, fit: Fit, flat: Flat, gain: float, threads: int | None) -> tuple[Ramp, Fit]:
    planes = Planes(flat.sci, flat.err, flat.dq)
    region = bounds(ramp.border, ramp.sci.shape[1:])
    detector.divide_flat(ramp.sci, ramp.err, fit.read_dq, planes, gain, region, threads=threads)
    product = fit.rate[None], fit.err[None], fit.dq[None]
    detector.divide_flat(*product, planes, gain, bounds(None, fit.rate.shape), threads=threads)
    unit = ramp.unit.replace("COUNTS", "ELECTRONS")
    return ramp.with_(dq=fit.read_dq, unit=unit), replace(fit, unit=unit)
