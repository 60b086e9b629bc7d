"""From raw reads to count rates: find what the steps need, check it, take the reads through them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from upramp import detector
from upramp.detector import Linearity
from upramp.exceptions import InputError, ReferenceFileError
from upramp.io import fits
from upramp.ramps.crcorr import bounds
from upramp.wfc3ir import reference_files as files
from upramp.wfc3ir.exposure import Ramp, read_ramp
from upramp.wfc3ir.fit import RESET_OVERHEAD
from upramp.wfc3ir.flat import Flat, read_flat
from upramp.wfc3ir.photometry import load_photometry, photmode, photometry
from upramp.wfc3ir.products import Cards
from upramp.wfc3ir.references import Amplifiers, Refs, amplifiers, rejection
from upramp.wfc3ir.steps import COUNT_STEPS, EARLY_STEPS, steps_to_do

__all__ = ["Needs", "Prepared", "check_references", "gather", "prepare"]

log = logging.getLogger(__name__)

DARK_MEAN_DQ = 956
"""DQ bits of the dark that keep a pixel out of MEANDARK."""


@dataclass(slots=True)
class Needs:
    """What the steps of one exposure need, found and checked."""

    noise: list[bool] = field(default_factory=list)
    """Reads that are to be given errors."""
    amps: Amplifiers | None = None
    mask: NDArray[np.uint16] | None = None
    columns: files.Overscan | None = None
    linearity: Linearity | None = None
    linearity_at: tuple[int, int] = (0, 0)
    dark: files.Dark | None = None
    photometry: dict[str, float] = field(default_factory=dict)
    flat: Flat | None = None
    told: dict[str, files.Reference] = field(default_factory=dict)
    """The files, by keyword."""
    skipped: list[str] = field(default_factory=list)
    """Steps whose reference file only holds a place."""

    def done(self, step: str) -> bool:
        """Whether a step can be done."""
        return step not in self.skipped


class Prepared(NamedTuple):
    """An exposure before its ramp is fitted, and what to write into its headers."""

    ramp: Ramp
    cards: Cards
    history: tuple[str, ...]


def gather(ramp: Ramp, refs: Refs, steps: Sequence[str], *, parity: bool = False) -> Needs:
    """Find, read and check every reference file that the steps need.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    refs : Refs
        Where to look for them.
    steps : sequence of str
        Steps to do.
    parity : bool, optional
        See :func:`upramp.wfc3ir.reference_files.check_fit`; a BLEVCORR whose OSCNTAB only holds a place is called
        complete.

    Returns
    -------
    Needs

    Raises
    ------
    ReferenceFileError
        Lists all that are missing or do not fit, each with the keyword that asked for it.
    """
    needs, problems = _gather(ramp, refs, steps, parity=parity)
    if len(problems) == 1:
        raise ReferenceFileError(problems[0])
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        raise ReferenceFileError(
            f"{ramp.path}: {len(problems)} reference files are missing or do not fit{listed}"
        )
    return needs


def check_references(path: str | os.PathLike[str], refs: Refs) -> list[str]:
    """What is wrong with the reference files that an exposure's PERFORM steps need.

    Parameters
    ----------
    path : path-like
        RAW or IMA file.
    refs : Refs
        Where to look for them.

    Returns
    -------
    list of str
        One message a problem; empty if all are there and fit.
    """
    ramp = read_ramp(path)
    return _gather(ramp, refs, steps_to_do(ramp), parity=False)[1]


def _gather(ramp: Ramp, refs: Refs, steps: Sequence[str], *, parity: bool) -> tuple[Needs, list[str]]:
    needs, problems = Needs(noise=_without_errors(ramp, parity=parity)), []
    raw = any(needs.noise) or any(step in EARLY_STEPS for step in steps)

    opened: list[tuple[str, Path]] = []
    """What the present attempt has opened."""

    def attempt(find: Callable[[], None]) -> None:
        opened.clear()
        try:
            find()
        except (InputError, ReferenceFileError) as error:
            problems.append(str(error))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            # A column, keyword or number that a sound file would have.
            if not opened:
                raise
            keyword, path = opened[-1]
            what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            problems.append(f"{path}: {what} ({keyword} of {ramp.path})")

    def require(keyword: str) -> Path:
        path = refs.require(ramp, keyword)
        opened.append((keyword, path))
        return path

    def reference(keyword: str, read: Callable[[Path], files.Read]) -> tuple[files.Read, Path]:
        path = require(keyword)
        found = files.load(refs, path, read)
        files.check_fit(ramp, keyword, path, found.primary, parity=parity)
        needs.told[keyword] = files.Reference(keyword, refs.name(ramp, keyword), found.primary)
        return found, path

    def refuse_dummy(keyword: str) -> None:
        if needs.told[keyword].dummy:
            raise ReferenceFileError(f"{ramp.path}: {keyword} = {needs.told[keyword].name} is a DUMMY")

    def ccdtab() -> None:
        reference("CCDTAB", files.read_table)
        refuse_dummy("CCDTAB")
        needs.amps = amplifiers(ramp, refs)
        needs.told["CCDTAB"] = needs.told["CCDTAB"]._replace(row=needs.amps.descrip)

    def bpixtab() -> None:
        found, path = reference("BPIXTAB", files.read_table)
        if needs.told["BPIXTAB"].dummy:
            needs.skipped.append("DQICORR")
        else:
            needs.mask = files.bad_pixels(ramp, found, path)

    def oscntab() -> None:
        found, path = reference("OSCNTAB", files.read_table)
        if needs.told["OSCNTAB"].dummy:
            needs.skipped.append("BLEVCORR")
        else:
            needs.columns = files.overscan(ramp, found, path)

    def nlinfile() -> None:
        found, path = reference("NLINFILE", files.read_images)
        if needs.told["NLINFILE"].dummy:
            needs.skipped.append("NLINCORR")
            if "ZSIGCORR" in steps:
                log.warning("%s: ZSIGCORR uses NLINFILE %s, which is a DUMMY", ramp.path, path)
        needs.linearity = files.load_linearity(found, path)
        needs.linearity_at = files.offset(ramp, found, path)

    def darkfile() -> None:
        found, path = reference("DARKFILE", files.read_images)
        if needs.told["DARKFILE"].dummy:
            needs.skipped.append("DARKCORR")
        else:
            offset = ramp.times[0] if "ZOFFCORR" in steps else 0.0
            needs.dark = files.load_dark(ramp, found, path, ramp.times - offset, parity=parity)

    def imphttab() -> None:
        path = require("IMPHTTAB")
        found = load_photometry(refs, path)
        needs.told["IMPHTTAB"] = files.Reference("IMPHTTAB", refs.name(ramp, "IMPHTTAB"), found[0])
        if needs.told["IMPHTTAB"].dummy:
            needs.skipped.append("PHOTCORR")
        else:
            needs.photometry = photometry(photmode(ramp), found, path)

    def crrejtab() -> None:
        reference("CRREJTAB", files.read_table)
        refuse_dummy("CRREJTAB")
        rejection(ramp, refs)

    def flats() -> None:
        if ramp.in_electrons:
            raise InputError(f"{ramp.path}: FLATCORR asked for, but BUNIT is {ramp.unit}: it has been done")
        named = [key for key in ("PFLTFILE", "DFLTFILE", "LFLTFILE") if refs.name(ramp, key)]
        if not named:
            raise ReferenceFileError(
                f"{ramp.path}: FLATCORR asked for, but no flat is named (PFLTFILE, DFLTFILE)"
            )
        for key in named:
            require(key)
        needs.flat = read_flat(ramp, refs, parity=parity)
        if needs.flat is None:
            needs.skipped.append("FLATCORR")

    wanted = {
        ccdtab: raw,
        bpixtab: "DQICORR" in steps,
        oscntab: "BLEVCORR" in steps,
        nlinfile: "NLINCORR" in steps or "ZSIGCORR" in steps,
        imphttab: "PHOTCORR" in steps,
        crrejtab: raw and "CRCORR" in steps,
        flats: "FLATCORR" in steps,
        # The largest comes last: what the others needed on the way is free again.
        darkfile: "DARKCORR" in steps,
    }
    for find, asked in wanted.items():
        if asked:
            attempt(find)
    return needs, problems


def _without_errors(ramp: Ramp, *, parity: bool) -> list[bool]:
    """Reads whose errors are all zero: they have not been given any yet."""
    if ramp.unit != "COUNTS":
        return [False] * ramp.nread
    zero = [_no_errors(ramp, r) for r in range(ramp.nread)]
    if parity and not all(zero):
        # The reference program stops at the first read that has errors.
        first = zero.index(False)
        zero[first:] = [False] * (ramp.nread - first)
    return zero


def _no_errors(ramp: Ramp, read: int) -> bool:
    header = ramp.header("ERR", read)
    if header["NAXIS"] == 0:
        return float(header.get("PIXVALUE", 0.0)) == 0.0
    return not ramp.err[read][ramp.border].any()


def prepare(
    ramp: Ramp, needs: Needs, steps: Sequence[str], *, parity: bool = False, threads: int | None = None
) -> Prepared:
    """Do the steps that come before the ramp fit; the arrays of the exposure are changed in place.

    Parameters
    ----------
    ramp : Ramp
        Exposure in counts, except for DQICORR and PHOTCORR.
    needs : Needs
        Of :func:`gather`.
    steps : sequence of str
        Steps to do; those after UNITCORR are left to :func:`upramp.wfc3ir.pipeline.finish`.
    parity : bool, optional
        Tell HISTORY as calwf3 does.
    threads : int, optional
        Number of threads.

    Returns
    -------
    Prepared

    Raises
    ------
    InputError
        A step that works on counts is asked for on rates; ZSIGCORR of a single read.
    """
    on_counts = [step for step in steps if step in COUNT_STEPS]
    if on_counts and ramp.unit != "COUNTS":
        raise InputError(
            f"{ramp.path}: {', '.join(on_counts)} asked for, but BUNIT is {ramp.unit}, expected COUNTS"
        )
    if ramp.nread < 2 and ("ZSIGCORR" in steps or "CRCORR" in steps):
        raise InputError(f"{ramp.path}: NSAMP is 1, expected at least 2: a single read has no ramp")
    todo = [step for step in steps if needs.done(step)]
    if not any(needs.noise) and not any(step in (*EARLY_STEPS, "UNITCORR") for step in steps):
        return Prepared(ramp, {}, ())
    region = bounds(ramp.border, ramp.sci.shape[1:])
    levels = None
    if "BLEVCORR" in todo and needs.columns is not None:
        levels = detector.reference_levels(ramp.sci, region, needs.columns, threads=threads)
    time, times = ramp.time, ramp.times
    if "ZOFFCORR" in todo:
        time, times = time - time[0], times - times[0]
    to_rate = "UNITCORR" in todo and not ramp.is_rate
    if "UNITCORR" in todo and ramp.is_rate:
        log.warning("%s: UNITCORR asked for, but BUNIT is %s: nothing to do", ramp.path, ramp.unit)
    amps = needs.amps
    dark_means = detector.calibrate_reads(
        ramp.sci,
        ramp.err,
        ramp.dq,
        region,
        bad_pixels=needs.mask,
        zero_signal="ZSIGCORR" in todo,
        levels=levels,
        zero_offset="ZOFFCORR" in todo,
        noise=needs.noise,
        amps=None
        if amps is None
        else (
            [float(amps.gain[a]) for a in "ABCD"],
            [float(amps.noise[a]) for a in "ABCD"],
            amps.corner(ramp),
        ),
        linearity=needs.linearity,
        linearity_at=needs.linearity_at,
        linearize="NLINCORR" in todo,
        darks=None if needs.dark is None else needs.dark.reads,
        darks_at=(region[0], region[2]),
        darks_bad=DARK_MEAN_DQ,
        times=(float(times[1] - RESET_OVERHEAD), [_per_pixel(t) for t in time])
        if to_rate and len(times) > 1
        else None,
        threads=threads,
    )
    done = ramp.with_(
        time=time,
        times=times,
        unit=f"{ramp.unit}/S" if to_rate else ramp.unit,
        headers=_headers(ramp, levels, dark_means),
    )
    return Prepared(done, _cards(ramp, needs, steps), _history(needs, steps, parity=parity))


def _per_pixel(time: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.atleast_1d(time).ravel(), np.float32)


def _headers(
    ramp: Ramp, levels: NDArray[np.float32] | None, dark_means: Sequence[float]
) -> dict[tuple[str, int], fits.Header]:
    """Extension headers with the levels that were subtracted."""
    headers = dict(ramp.headers)
    if levels is None and not dark_means:
        return headers
    for r in range(ramp.nread):
        label = "SCI", ramp.nread - r
        headers[label] = headers[label].copy()
        if levels is not None:
            headers[label]["MEANBLEV"] = float(f"{levels[r]:.7E}")
        if dark_means:
            headers[label]["MEANDARK"] = float(f"{dark_means[r]:.7E}")
    return headers


def _cards(ramp: Ramp, needs: Needs, steps: Sequence[str]) -> dict[str, tuple[object, str]]:
    cards: dict[str, tuple[object, str]] = {}
    for step in (*EARLY_STEPS, "UNITCORR"):
        if step in steps:
            cards[step] = "COMPLETE" if needs.done(step) else "SKIPPED", ""
    if needs.amps is not None:
        for prefix, of in (("ATODGN", needs.amps.gain), ("READNSE", needs.amps.noise)):
            cards |= {prefix + amp: (float(f"{of[amp]:.7E}"), "") for amp in "ABCD"}
        cards["PHOTMODE"] = photmode(ramp), ""
    cards |= {key: (float(f"{np.float32(value):.7E}"), "") for key, value in needs.photometry.items()}
    return cards


def _history(needs: Needs, steps: Sequence[str], *, parity: bool) -> tuple[str, ...]:
    """HISTORY lines in the order of the steps."""
    lines: list[str] = []
    if "CCDTAB" in needs.told:
        lines += ["CCD parameters table:", *needs.told["CCDTAB"].history()]
    with_file = {"DQICORR": "BPIXTAB", "NLINCORR": "NLINFILE", "DARKCORR": "DARKFILE", "PHOTCORR": "IMPHTTAB"}
    for step in (*EARLY_STEPS, "UNITCORR"):
        if step == "NLINCORR" and (parity or any(needs.noise)) and needs.noise:
            lines.append("Uncertainty array initialized.")
        if step not in steps:
            continue
        if step in with_file:
            how = "complete ..." if needs.done(step) else "skipped due to dummy reference file ..."
            lines.append(f"{step} {how}")
            lines += ["  DQ array initialized ..."] if step == "DQICORR" else []
            lines += needs.told[with_file[step]].history()
        elif step == "BLEVCORR":
            how = "complete." if needs.done(step) or parity else "skipped due to dummy reference file ..."
            lines += [f"{step} {how}", "  Overscan region table:", *needs.told["OSCNTAB"].history()]
        else:
            lines.append(f"{step} complete.")
    return tuple(lines)
