"""Fit the ramp of an exposure."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp.exceptions import InputError
from upramp.ramps import CrcorrParams, fit_crcorr
from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.flat import response
from upramp.wfc3ir.gls import GLS_SIGMA, Removed, fit_differences, used_intervals
from upramp.wfc3ir.references import Refs, amplifiers, rejection

__all__ = ["FIT_METHODS", "RESET_OVERHEAD", "Fit", "fit_ramp", "last_read", "parse_reads"]

log = logging.getLogger(__name__)

FIT_METHODS = ("calwf3", "gls")
"""Ways to fit a ramp."""

RESET_OVERHEAD = 0.020535
"""Seconds by which the zeroth read's exposure is shorter than the time to the first read."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Count-rate image of an exposure, light-sensitive pixels only.

    Attributes
    ----------
    rate, err : (ny, nx) ndarray of float32
        Count rate and uncertainty in `unit`.
    dq : (ny, nx) ndarray of uint16
        DQ bits.
    samp : (ny, nx) ndarray of int16
        Reads used.
    time : (ny, nx) ndarray of float32
        Exposure time covered, seconds.
    read_dq : (nread, ny + 10, nx + 10) ndarray of uint16
        DQ of all reads with cosmic-ray hits (8192), spikes (4) and unstable pixels (32) added.
    unit : str
        BUNIT of `rate`.
    exptime : float
        Exposure time of a pixel without hits, seconds.
    excluded : (nread,) ndarray of bool
        Reads that were left out.
    breaks : (nread,) ndarray of bool or None
        Reads before which the ramp was cut on demand.
    unstable : int
        Pixels with too many hits to be fitted.
    notes : tuple of str
        How the noise was known, for HISTORY.
    """

    rate: NDArray[np.float32]
    err: NDArray[np.float32]
    dq: NDArray[np.uint16]
    samp: NDArray[np.int16]
    time: NDArray[np.float32]
    read_dq: NDArray[np.uint16]
    unit: str
    exptime: float
    excluded: NDArray[np.bool_]
    unstable: int
    notes: tuple[str, ...] = ()
    breaks: NDArray[np.bool_] | None = None

    @property
    def dropped(self) -> NDArray[np.bool_]:
        """Reads that were left out, or whose interval was, (nread,)."""
        return self.excluded if self.breaks is None else self.excluded | self.breaks


def fit_ramp(
    ramp: Ramp,
    *,
    method: str = "calwf3",
    crsigma: float | None = None,
    bad_dq: int | None = None,
    exclude: ArrayLike | str | None = None,
    breaks: ArrayLike | None = None,
    refs: Refs | None = None,
    untouched: Ramp | None = None,
    removed: Removed | None = None,
    parity: bool = False,
    threads: int | None = None,
) -> Fit:
    """Fit the ramp of every pixel, rejecting cosmic rays.

    Parameters
    ----------
    ramp : Ramp
        Exposure with at least two reads.
    method : {"calwf3", "gls"}, optional
        calwf3's fit and rejection (default), or generalised least squares on the differences between reads with
        likelihood-ratio search, whose test does not fade as the sky brightens.
    crsigma : float, optional
        Rejection threshold, sigma; default from CRREJTAB if at hand, else 4; 4.5 for "gls".
    bad_dq : int, optional
        DQ bits that always exclude a sample; default from CRREJTAB if at hand, else 256.
    exclude : sequence of int, sequence of bool or str, optional
        Reads to leave out, by SAMPNUM, as a mask of length nread, or as text (see :func:`parse_reads`). The fit
        does not span the gap that they leave: what fell in meanwhile stays out of it too. With `parity` it does.
    breaks : sequence of int, sequence of bool or str, optional
        Reads before which something fell in that no line may span, given likewise; they themselves are used.
    refs : Refs, optional
        Where to look for CRREJTAB, CCDTAB and the flats.
    untouched : Ramp, optional
        The exposure as the pipeline left it, if `ramp` has been edited since: an exposure in electrons is turned
        back into DN for the fit's noise by the flat, from reference files or read back from these errors (see
        :func:`upramp.wfc3ir.flat.flat_from_errors`). "gls" takes its photon noise from these reads.
    removed : Removed, optional
        Background, alike in all pixels, that was subtracted: "gls" then takes its photon noise from here.
    parity : bool, optional
        Do exactly as calwf3 3.7.3, faults included: in particular fit electrons as if they were DN, which
        makes ERR of an exposure in electrons about half of what it should be.
    threads : int, optional
        Number of threads; default the cores this process may use.

    Returns
    -------
    Fit

    Raises
    ------
    InputError
        NSAMP is 1.
    ValueError
        No read left (no two in succession for "gls"), or an argument out of range.

    See Also
    --------
    upramp.ramps.fit_crcorr, upramp.ramps.fit_gls : the same on arrays, with the equations.
    """
    if method not in FIT_METHODS:
        raise ValueError(f"method is {method!r}, expected one of {', '.join(FIT_METHODS)}")
    gls = method == "gls"
    if gls and parity:
        raise ValueError("method is 'gls' and parity True: only the fit 'calwf3' can do exactly as calwf3")
    if ramp.nread < 2:
        raise InputError(
            f"{ramp.path}: NSAMP is {ramp.nread}; a ramp needs at least one read after the zeroth"
        )
    refs = refs or Refs()
    table_sigma, table_dq = (4.0, 256) if None not in (crsigma, bad_dq) else rejection(ramp, refs)
    amps = amplifiers(ramp, refs)
    excluded = parse_reads(exclude, ramp.nread)
    asked = parse_reads(breaks, ramp.nread)
    cuts = _breaks(excluded, asked, parity=parity)
    notes: tuple[str, ...] = ()
    to_dn, flat = None, None
    if ramp.in_electrons and not parity:
        to_dn, flat, source = response(untouched or ramp, refs, amps)
        notes = (f"  noise from gain {amps.mean_gain:.4f} e-/DN, {source}",)
    if gls:
        table_sigma = GLS_SIGMA
    params = CrcorrParams(
        crsigma=table_sigma if crsigma is None else crsigma,
        bad_dq=table_dq if bad_dq is None else bad_dq,
        gain=float(amps.mean_gain),
        rate=ramp.is_rate,
        zeroth_rescue=str(ramp.primary.get("ZSIGCORR", "")).strip().upper() in ("PERFORM", "COMPLETE"),
        zeroth_time=float(np.float32(ramp.times[1] - RESET_OVERHEAD)),
        parity=parity,
    )
    if gls:
        made = fit_differences(
            ramp,
            amps,
            params,
            excluded=excluded,
            breaks=asked,
            untouched=untouched,
            removed=removed,
            to_dn=to_dn,
            threads=threads,
        )
        notes = (f"  generalised least squares on differences, hits at {params.crsigma:g} sigma", *notes)
    else:
        made = fit_crcorr(
            ramp.sci,
            ramp.err,
            ramp.dq,
            ramp.time,
            params,
            excluded=excluded,
            breaks=cuts,
            to_dn=to_dn,
            region=ramp.border,
            threads=threads,
        )
    err = made.err
    if flat is not None:
        # The pipeline adds the flat's own error after the fit; a re-fit must not lose it.
        part = np.divide(made.rate * flat.err, flat.sci, out=np.zeros_like(err), where=flat.sci != 0)
        err = np.hypot(err, part)
    exptime = _covered(ramp.times, excluded, cuts)
    if gls:
        exptime = float(np.diff(ramp.times)[used_intervals(excluded, asked)].sum())
    return Fit(
        rate=made.rate,
        err=err,
        dq=made.dq,
        samp=made.samp,
        time=made.time,
        read_dq=made.read_dq,
        unit=ramp.unit,
        exptime=exptime,
        excluded=excluded,
        unstable=made.unstable,
        notes=notes,
        breaks=asked,
    )


def _breaks(excluded: NDArray[np.bool_], asked: NDArray[np.bool_], *, parity: bool) -> NDArray[np.bool_]:
    """Reads before which the ramp is cut: where it was asked for, and after a gap."""
    if parity:
        return asked
    after_gap = ~excluded[1:] & excluded[:-1]
    # A ramp that begins late has no gap.
    first = int(np.argmin(excluded[1:]))
    after_gap[: first + 1] = False
    return asked | np.concatenate(([False], after_gap))


def _covered(times: NDArray[np.float64], excluded: NDArray[np.bool_], breaks: NDArray[np.bool_]) -> float:
    """Exposure time of a pixel without hits: up to each read used, without what is cut out."""
    used = np.flatnonzero(~excluded[1:]) + 1
    start = times[np.concatenate(([used[0] - 1], used[:-1]))]
    return float((times[used] - start)[~breaks[used]].sum())


def last_read(ramp: Ramp) -> Fit:
    """The last read in place of a fit, as the pipeline does where CRCORR is omitted.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    """
    y, x = ramp.border
    shape = ramp.sci[-1][y, x].shape

    def plane(of: NDArray[np.generic]) -> NDArray[np.generic]:
        return of[-1][y, x].copy() if of.ndim == 3 else np.full(shape, of[-1])

    return Fit(
        rate=ramp.sci[-1][y, x].copy(),
        err=ramp.err[-1][y, x].copy(),
        dq=ramp.dq[-1][y, x].copy(),
        samp=plane(ramp.samp).astype(np.int16),
        time=plane(ramp.time).astype(np.float32),
        read_dq=ramp.dq,
        unit=ramp.unit,
        exptime=float(ramp.times[-1]),
        excluded=np.zeros(ramp.nread, bool),
        unstable=0,
    )


def parse_reads(reads: ArrayLike | str | None, nread: int) -> NDArray[np.bool_]:
    """Reads as a mask.

    Parameters
    ----------
    reads : sequence of int, sequence of bool, str or None
        SAMPNUM in time order (0 is the zeroth read), a mask, or text such as ``"1-5,9"``; with the prefix
        ``imset:`` the numbers are IMSET numbers (EXTVER, the last read is 1).
    nread : int
        Number of reads.

    Returns
    -------
    mask : (nread,) ndarray of bool

    Examples
    --------
    >>> parse_reads("imset:11-15", 16).nonzero()[0]
    array([1, 2, 3, 4, 5])
    """
    mask = np.zeros(nread, bool)
    if reads is None:
        return mask
    if isinstance(reads, str):
        numbers, by_imset = _numbers(reads)
        chosen = np.array([nread - n if by_imset else n for n in numbers], dtype=int)
    else:
        array = np.asarray(reads)
        if array.dtype == bool:
            if array.shape != mask.shape:
                raise ValueError(f"exclude has shape {array.shape}, expected ({nread},)")
            return array
        if array.size and array.dtype.kind not in "iu":
            raise TypeError(f"exclude has dtype {array.dtype}, expected whole numbers or a mask")
        chosen = array.ravel().astype(int)
    wrong = chosen[(chosen < 0) | (chosen >= nread)]
    if wrong.size:
        raise ValueError(f"exclude names read {int(wrong[0])}, expected SAMPNUM 0 to {nread - 1}")
    mask[chosen] = True
    return mask


def _numbers(text: str) -> tuple[list[int], bool]:
    body = text.removeprefix("imset:")
    numbers: list[int] = []
    for part in filter(None, body.replace(" ", "").split(",")):
        first, dash, last = part.partition("-")
        try:
            low, high = int(first), int(last if dash else first)
        except ValueError:
            raise ValueError(f"reads are {text!r}, expected numbers and ranges such as '1-5,9'") from None
        numbers += range(low, high + 1)
    return numbers, body != text
