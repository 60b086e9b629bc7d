"""Order of the calibration steps that finish a partly calibrated exposure."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from upramp import detector
from upramp.exceptions import InputError, ReferenceFileError
from upramp.ramps.crcorr import bounds
from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.fit import RESET_OVERHEAD, Fit, fit_ramp, last_read
from upramp.wfc3ir.flat import Flat, read_flat
from upramp.wfc3ir.products import Cards
from upramp.wfc3ir.references import Refs, amplifiers

__all__ = ["FINAL_STEPS", "SWITCHES", "Calibrated", "finish", "steps_to_do"]

log = logging.getLogger(__name__)

SWITCHES = (
    "DQICORR",
    "ZSIGCORR",
    "BLEVCORR",
    "ZOFFCORR",
    "NLINCORR",
    "DARKCORR",
    "PHOTCORR",
    "UNITCORR",
    "CRCORR",
    "FLATCORR",
)
"""Calibration switches of WFC3/IR in the order of the steps."""

FINAL_STEPS = ("UNITCORR", "CRCORR", "FLATCORR")
"""Steps that can be done on an IMA."""


class Calibrated(NamedTuple):
    """An exposure carried through the last steps, and what to write into its headers."""

    ramp: Ramp
    fit: Fit
    cards: Cards
    history: tuple[str, ...]


def steps_to_do(
    ramp: Ramp,
    only: Sequence[str] | None = None,
    omit: Sequence[str] | None = None,
    *,
    require: Sequence[str] = (),
) -> tuple[str, ...]:
    """Steps to do, in order: those whose switch is PERFORM, or `only` these, without `omit`.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    only : sequence of str, optional
        Do just these, whatever the header says.
    omit : sequence of str, optional
        Leave these out.
    require : sequence of str, optional
        Do these in any case.

    Raises
    ------
    ValueError
        A name that is no calibration switch.
    InputError
        A step is asked for that cannot be done on this exposure.
    """
    for name in (*(only or ()), *(omit or ())):
        if name not in SWITCHES:
            raise ValueError(f"step is {name!r}, expected one of {', '.join(SWITCHES)}")
    switches = {name: str(ramp.primary.get(name, "OMIT")).strip().upper() for name in SWITCHES}
    for name, value in switches.items():
        if value not in ("PERFORM", "COMPLETE", "SKIPPED", "OMIT", ""):
            raise InputError(f"{ramp.path}: {name} is {value!r}, expected PERFORM, COMPLETE, SKIPPED or OMIT")
    wanted = only if only is not None else [name for name in SWITCHES if switches[name] == "PERFORM"]
    steps = tuple(
        name for name in SWITCHES if name in require or (name in wanted and name not in (omit or ()))
    )
    early = [name for name in steps if name not in FINAL_STEPS]
    if early:
        raise InputError(
            f"{ramp.path}: {', '.join(early)} would have to be done first; give the IMA (calibrated up to the ramp "
            "fit) instead of the RAW"
        )
    return steps


def finish(
    ramp: Ramp,
    steps: Iterable[str] = ("CRCORR",),
    *,
    refs: Refs | None = None,
    crsigma: float | None = None,
    exclude: ArrayLike | str | None = None,
    untouched: Ramp | None = None,
    parity: bool = False,
    threads: int | None = None,
) -> Calibrated:
    """Do the last calibration steps: unit conversion, ramp fit, flat field.

    Parameters
    ----------
    ramp : Ramp
        Exposure; its arrays are not changed.
    steps : iterable of str, optional
        Which of UNITCORR, CRCORR and FLATCORR to do; they are done in this order.
    refs : Refs, optional
        Where to look for reference files.
    crsigma, exclude, untouched, parity, threads : optional
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
    region = bounds(ramp.border, ramp.sci.shape[1:])
    flat: Flat | None = None
    if "FLATCORR" in steps:
        # Everything a step needs is found before the first is done.
        if ramp.in_electrons:
            raise InputError(f"{ramp.path}: FLATCORR asked for, but BUNIT is {ramp.unit}: it has been done")
        flat = read_flat(ramp, refs)
        if flat is None:
            named = {key: str(ramp.primary.get(key, "N/A")).strip() for key in ("PFLTFILE", "DFLTFILE")}
            raise ReferenceFileError(
                f"{ramp.path}: no flat found for FLATCORR ({named}); give its directory (--refs)"
            )
    if "UNITCORR" in steps and not ramp.is_rate:
        ramp = _to_rate(ramp, region)
        cards["UNITCORR"] = "COMPLETE", ""
        history.append("UNITCORR complete.")
    if "CRCORR" in steps:
        fit = fit_ramp(
            ramp,
            crsigma=crsigma,
            exclude=exclude,
            refs=refs,
            untouched=untouched,
            parity=parity,
            threads=threads,
        )
        cards["CRCORR"] = "COMPLETE", ""
        history += ["CRCORR complete.", *fit.notes]
        log.info("%s: %d unstable pixels", ramp.path, fit.unstable)
    else:
        fit = last_read(ramp)
    if flat is not None:
        gain = float(amplifiers(ramp, refs).mean_gain)
        ramp, fit = _divide_flat(ramp, fit, flat, gain, region)
        cards["FLATCORR"] = "COMPLETE", ""
        history += ["FLATCORR complete ...", *flat.history]
    if fit.excluded.any():
        dropped = np.flatnonzero(fit.excluded)
        cards["EXPTIME"] = fit.exptime, ""
        cards["NPOP"] = int(dropped.size), "number of reads left out of the ramp fit"
        cards["POPREADS"] = " ".join(map(str, dropped)), "their SAMPNUM"
    return Calibrated(ramp, fit, cards, tuple(history))


def _to_rate(ramp: Ramp, region: tuple[int, int, int, int]) -> Ramp:
    sci, err = ramp.sci.copy(), ramp.err.copy()
    for r in range(ramp.nread):
        time = np.atleast_1d(ramp.time[r]).ravel().astype(np.float32)
        zeroth = float(ramp.times[1] - RESET_OVERHEAD) if r == 0 and ramp.nread > 1 else None
        detector.to_rate(sci[r], err[r], time, region, zeroth_time=zeroth)
    return ramp.with_(sci=sci, err=err, unit=f"{ramp.unit}/S")


def _divide_flat(
    ramp: Ramp, fit: Fit, flat: Flat, gain: float, region: tuple[int, int, int, int]
) -> tuple[Ramp, Fit]:
    planes = flat.sci, flat.err, flat.dq
    sci, err, dq = ramp.sci.copy(), ramp.err.copy(), fit.read_dq.copy()
    for r in range(ramp.nread):
        detector.divide_flat(sci[r], err[r], dq[r], planes, gain, region)
    product = fit.rate.copy(), fit.err.copy(), fit.dq.copy()
    detector.divide_flat(*product, planes, gain, bounds(None, fit.rate.shape))
    unit = ramp.unit.replace("COUNTS", "ELECTRONS")
    fitted = replace(fit, rate=product[0], err=product[1], dq=product[2], read_dq=dq, unit=unit)
    return ramp.with_(sci=sci, err=err, dq=dq, unit=unit), fitted
