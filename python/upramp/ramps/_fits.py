"""The methods behind :func:`upramp.ramps.fit`: each gets the same checked ramps and gives the same result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp import _core
from upramp.ramps.casertano import CASERTANO_THRESHOLD, fit_casertano
from upramp.ramps.crcorr import CrcorrParams, fit_crcorr
from upramp.ramps.jumps import JumpRule, find_jumps
from upramp.ramps.likelihood import DqRule, GlsProducts, pattern_of, per_pixel, thresholds
from upramp.ramps.ols import RampBits, fit_ols
from upramp.ramps.ramp_fit import NO_HITS, HitList, RampFit

__all__ = [
    "LIKELIHOOD",
    "Ramps",
    "fit_calwf3",
    "fit_fixsen",
    "fit_likelihood",
    "fit_pieces",
    "search_likelihood",
    "search_twopoint",
]

Times = ArrayLike | Sequence[Sequence[float]]
Sigma = float | tuple[float, float] | None

LIKELIHOOD = ("likelihood", "gains")
"""Searches by likelihood ratios: for any hits, and for those that add charge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramps:
    """Checked ramps: cubes have an axis for integrations in front."""

    cube: NDArray[Any]
    times: Times
    read_noise: ArrayLike
    gain: ArrayLike
    dark: ArrayLike
    dq: NDArray[Any] | None
    bits: RampBits
    mask: NDArray[np.bool_] | None
    hits: list[HitList] | None
    """What a search has found, integration by integration; in `mask` already."""
    threads: int

    @property
    def image(self) -> tuple[int, ...]:
        """(ny, nx)."""
        return self.cube.shape[2:]

    def part(self, k: int) -> tuple[NDArray[Any], NDArray[Any] | None, NDArray[np.bool_] | None]:
        """Cube, flags and mask of an integration."""
        dq, mask = self.dq, self.mask
        return self.cube[k], None if dq is None else dq[k], None if mask is None else mask[k]

    @property
    def bad(self) -> int:
        """Bits that take a sample out."""
        return 0xFFFF & ~(self.bits.jump | self.bits.persistence)

    def with_hits(self, hits: list[HitList]) -> Ramps:
        """Return the ramps with hits masked."""
        nints, nread, ny, nx = self.cube.shape
        mask = np.zeros((nints, nread - 1, ny, nx), bool) if self.mask is None else self.mask.copy()
        for k, found in enumerate(hits):
            mask[k].reshape(nread - 1, ny * nx)[found.after, found.pixel] = True
        return replace(self, mask=mask, hits=hits)

    def sized(self, k: int, pixel: NDArray[Any], after: NDArray[Any], rate: NDArray[Any] | None) -> HitList:
        """Hits of integration `k` with what they added to their differences, given the rates."""
        pixel, after = pixel.astype(np.int64), after.astype(np.int64)
        order = np.lexsort((after, pixel))
        pixel, after = pixel[order], after[order]
        if rate is None:
            return HitList(pixel, after, np.full(pixel.size, np.nan, np.float32))
        y, x = np.divmod(pixel, self.image[1])
        cube = self.cube[k]
        step = cube[after + 1, y, x].astype(np.float64) - cube[after, y, x]
        mean, _, _ = pattern_of(self.times, len(cube))
        return HitList(pixel, after, (step - rate[y, x] * np.diff(mean)[after]).astype(np.float32))


def _run(
    ramps: Ramps,
    k: int,
    search: str | None,
    sigma: Sigma,
    fewest: int,
    rate_guess: ArrayLike | None,
    wanted: GlsProducts,
) -> Any:
    """The kernel of the generalised least squares on an integration."""
    cube, dq, mask = ramps.part(k)
    limits = thresholds(4.5 if sigma is None else sigma) if search in LIKELIHOOD else None
    bits = ramps.bits
    return _core.fit_gls(
        cube,
        None,
        None,
        dq,
        mask,
        np.zeros(len(cube), bool),
        np.ones(len(cube)),
        pattern_of(ramps.times, len(cube)),
        per_pixel("gain", ramps.gain, ramps.image),
        per_pixel("read_noise", ramps.read_noise, ramps.image),
        per_pixel("dark", ramps.dark, ramps.image),
        None if rate_guess is None else per_pixel("rate_guess", rate_guess, ramps.image),
        None if limits is None else (*limits, fewest, search == "gains"),
        DqRule(bad=ramps.bad, lenient=ramps.bad, carried=bits.saturated, hit=bits.jump),
        (0, ramps.image[0], 0, ramps.image[1]),
        wanted,
        threads=ramps.threads,
    )


def search_likelihood(
    ramps: Ramps, search: str, sigma: Sigma, fewest: int, rate_guess: ArrayLike | None
) -> list[HitList]:
    """Hits by likelihood ratios, for a fit by another method."""
    if ramps.cube.shape[1] < 3:
        return [NO_HITS] * len(ramps.cube)
    found = []
    for k in range(len(ramps.cube)):
        made = _run(ramps, k, search, sigma, fewest, rate_guess, GlsProducts(hits=True))
        pixel, after, size = made[5]
        found.append(HitList(pixel.astype(np.int64), after.astype(np.int64), size))
    return found


def search_twopoint(ramps: Ramps, sigma: Sigma) -> list[HitList]:
    """Hits by differences from the median difference of all integrations."""
    if isinstance(sigma, tuple):
        raise ValueError(f"sigma is {sigma}, expected a number for jumps 'twopoint'")
    if ramps.cube.shape[1] < 2:
        return [NO_HITS] * len(ramps.cube)
    rule = JumpRule()
    if sigma is not None:
        # The stricter thresholds of short ramps keep their distance.
        rule = replace(rule, thresholds=(sigma, sigma + 1, sigma + 2))
    made = find_jumps(
        ramps.cube,
        ramps.dq,
        read_noise=ramps.read_noise,
        gain=ramps.gain,
        times=[np.atleast_1d(np.asarray(sample, np.float64)) for sample in ramps.times],  # type: ignore[union-attr]
        rule=rule,
        bits=ramps.bits,
        threads=ramps.threads,
    )
    jumps = made.jumps
    if ramps.dq is not None:
        jumps &= ramps.dq[:, 1:] & ramps.bits.jump == 0
    found = []
    for part in jumps:
        after, pixel = np.nonzero(part.reshape(len(part), -1))
        found.append(HitList(pixel, after, np.full(pixel.size, np.nan, np.float32)))
    return found


def fit_likelihood(
    ramps: Ramps,
    k: int,
    search: str | None,
    sigma: Sigma,
    fewest: int,
    rate_guess: ArrayLike | None,
    prior: tuple[float, float] | None,
    details: bool,
    goodness: bool,
) -> RampFit:
    """Generalised least squares."""
    if ramps.cube.shape[1] == 1:
        return _fit_one_sample(ramps, k, search, prior, details, goodness)
    wanted = GlsProducts(
        err=not details, variances=details, goodness=goodness, hits=search in LIKELIHOOD, pedestal=prior
    )
    rate, err, variances, quality, _, hits, _, pedestal = _run(
        ramps, k, search, sigma, fewest, rate_guess, wanted
    )
    if hits is not None:
        found = HitList(hits[0].astype(np.int64), hits[1].astype(np.int64), hits[2])
    else:
        found = _found(ramps, k, rate)
    return RampFit(
        rate=rate,
        var_poisson=variances[0] if variances else None,
        var_rnoise=variances[1] if variances else None,
        chi2=quality[0] if quality else None,
        dof=quality[1] if quality else None,
        hits=found,
        nread=ramps.cube.shape[1],
        method="gls",
        jump_method=search,
        pedestal=pedestal[0] if pedestal else None,
        pedestal_err=pedestal[1] if pedestal else None,
        pedestal_cov=pedestal[2] if pedestal else None,
        error=err,
    )


def _found(ramps: Ramps, k: int, rate: NDArray[Any]) -> HitList:
    """Hits of a search that was done before, with their sizes."""
    if ramps.hits is None:
        return NO_HITS
    return ramps.sized(k, ramps.hits[k].pixel, ramps.hits[k].after, rate)


def _fit_one_sample(
    ramps: Ramps,
    k: int,
    search: str | None,
    prior: tuple[float, float] | None,
    details: bool,
    goodness: bool,
) -> RampFit:
    """A single sample: no difference, and no rate unless the pedestal is known."""
    cube, dq, _ = ramps.part(k)
    (span,), (tau,), (count,) = pattern_of(ramps.times, 1)
    gain, noise, dark = (
        np.broadcast_to(np.asarray(value, np.float64), ramps.image)
        for value in (ramps.gain, ramps.read_noise, ramps.dark)
    )
    nan = np.full(ramps.image, np.nan, np.float32)
    rate, photon, read = nan, nan, nan
    pedestal = None
    if prior is not None:
        if not span > 0:
            raise ValueError(f"times begin with {span}, expected a time after 0, where a pedestal is fitted")
        good = (
            np.isfinite(cube[0]) & (gain > 0) & np.isfinite(gain + noise + dark) & (noise >= 0) & (dark >= 0)
        )
        if dq is not None:
            good &= dq[0] & ramps.bad == 0
        unit = np.where(good, gain, np.nan)
        value = (cube[0] - prior[0]) / span
        # Nothing known of the pedestal: no rate.
        known = np.isfinite(prior[1])
        rate = np.where(good & known, value, np.nan).astype(np.float32)
        photon = ((np.maximum(value * unit, 0) + dark) * tau / span**2 / unit**2 + 0 * rate).astype(
            np.float32
        )
        read = ((noise**2 / count / unit**2 + prior[1] ** 2) / span**2 + 0 * rate).astype(np.float32)
        told = np.where(np.isnan(rate), np.nan, 1)
        pedestal = [
            (image * told).astype(np.float32)
            for image in (np.float64(prior[0]), np.float64(prior[1]), np.float64(-(prior[1] ** 2) / span))
        ]
    none = np.isnan(rate)
    return RampFit(
        rate=rate,
        var_poisson=photon if details else None,
        var_rnoise=read if details else None,
        chi2=np.where(none, np.float32(np.nan), np.float32(0)) if goodness else None,
        dof=np.full(ramps.image, -1, np.int16) if goodness else None,
        hits=NO_HITS,
        nread=1,
        method="gls",
        jump_method=search,
        pedestal=pedestal[0] if pedestal else None,
        pedestal_err=pedestal[1] if pedestal else None,
        pedestal_cov=pedestal[2] if pedestal else None,
        error=None if details else np.sqrt(photon + read),
    )


def fit_pieces(ramps: Ramps, k: int, method: str, search: str | None, sigma: Sigma) -> RampFit:
    """Casertano's weights, or the same for every read, in pieces between hits."""
    cube, dq, mask = ramps.part(k)
    threshold = None
    if search == "casertano":
        threshold = sigma if isinstance(sigma, tuple) else (sigma or CASERTANO_THRESHOLD[0], 1 / 3)
    if dq is not None and ramps.bits.saturated and (dq & ramps.bits.saturated).any():
        # What follows a saturated sample is of no use either.
        dq = dq | (np.bitwise_or.accumulate(dq, axis=0) & dq.dtype.type(ramps.bits.saturated))
    made = fit_casertano(
        cube,
        ramps.times,
        ramps.read_noise,
        gain=ramps.gain,
        dq=dq,
        bad=ramps.bad,
        hit=ramps.bits.jump,
        mask=mask,
        threshold=threshold,
        power=0.0 if method == "uniform" else None,
        threads=ramps.threads,
    )
    found = _found(ramps, k, made.rate) if threshold is None else ramps.sized(k, *made.hits, made.rate)
    return RampFit(
        rate=made.rate,
        var_poisson=made.var_poisson,
        var_rnoise=made.var_rnoise,
        chi2=None,
        dof=None,
        hits=found,
        nread=len(cube),
        method=method,
        jump_method=search,
    )


def fit_fixsen(ramps: Ramps, search: str | None, single: bool) -> RampFit:
    """Fixsen's weights in segments between hits, as stcal's OLS_C."""
    nints, nread = ramps.cube.shape[:2]
    frame_time, group_time, nframes, groupgap = even_spacing(ramps.times, nread)
    bits, dq = ramps.bits, ramps.dq
    if ramps.mask is not None:
        dq = (
            np.zeros(ramps.cube.shape, np.uint8 if bits.jump < 256 else np.uint16)
            if dq is None
            else dq.copy()
        )
        dq[:, 1:] |= ramps.mask * dq.dtype.type(bits.jump)
    made = fit_ols(
        ramps.cube,
        group_time=group_time,
        read_noise=ramps.read_noise,
        gain=ramps.gain,
        dark=_per_unit(ramps.dark, ramps.gain),
        dq=dq,
        bits=bits,
        nframes=nframes,
        groupgap=groupgap,
        frame_time=frame_time,
        threads=ramps.threads,
    )
    found = NO_HITS
    images = made.integrations
    if images is None:
        raise AssertionError("integrations were asked for")
    if ramps.hits is not None:
        parts = [_found(ramps, k, images.rate[k]) for k in range(nints)]
        size = images.rate[0].size
        found = HitList(
            np.concatenate([part.pixel + k * size for k, part in enumerate(parts)]),
            np.concatenate([part.after for part in parts]),
            np.concatenate([part.size for part in parts]),
        )

    def result(of: Any, hits: HitList, mean: RampFit | None) -> RampFit:
        return RampFit(
            rate=of.rate,
            var_poisson=of.var_poisson,
            var_rnoise=of.var_rnoise,
            chi2=None,
            dof=None,
            hits=hits,
            nread=nread,
            method="fixsen",
            jump_method=search,
            error=of.err,
            mean=mean,
        )

    if single:
        return result(made, found, None)
    return result(images, found, result(made, NO_HITS, None))


def _per_unit(dark: ArrayLike, gain: ArrayLike) -> float | NDArray[np.float32]:
    """Dark current in the unit of the cube; 0 where there is no gain."""
    if np.ndim(dark) == 0 and np.ndim(gain) == 0:
        return float(np.asarray(dark)) / float(np.asarray(gain)) if np.asarray(gain) > 0 else 0.0
    gain = np.asarray(gain, np.float32)
    good = gain > 0
    return np.where(good, np.asarray(dark, np.float32) / np.where(good, gain, 1), 0).astype(np.float32)


def even_spacing(times: Times, nread: int) -> tuple[float, float, int, int]:
    """Frame time, group time, frames in a group and frames dropped between groups.

    Parameters
    ----------
    times : array_like or sequence of sequences
        Time of every sample, or of the reads that it is the mean of.
    nread : int
        Number of samples.
    """
    mean, _, count = pattern_of(times, nread)
    frames = [np.atleast_1d(np.asarray(sample, np.float64)) for sample in times]  # type: ignore[union-attr]
    step = np.diff(mean)
    inside = np.concatenate([np.diff(sample) for sample in frames])
    even = np.ptp(count) == 0 and all(
        part.size == 0 or np.ptp(part) < 1e-4 * abs(part[0]) for part in (step, inside)
    )
    if not even:
        raise ValueError(
            "times are not evenly spaced, as method 'fixsen' needs them: 'gls' or 'casertano' take any"
        )
    nframes = int(count[0])
    if not step.size:
        group_time = float(frames[0][-1])
        return group_time / nframes, group_time, nframes, 0
    group_time = float(step[0])
    frame_time = float(inside[0]) if inside.size else group_time
    return frame_time, group_time, nframes, round(group_time / frame_time) - nframes


def fit_calwf3(ramps: Ramps, k: int, search: str | None, sigma: Sigma) -> RampFit:
    """Straight lines between hits, as calwf3 has it."""
    cube, dq, mask = ramps.part(k)
    mean, _, count = pattern_of(ramps.times, len(cube))
    if (count > 1).any():
        raise ValueError("times give several reads a sample, expected single reads for method 'calwf3'")
    if mask is not None:
        raise ValueError("mask is given, expected none for method 'calwf3'")
    gain, noise = (
        np.broadcast_to(np.asarray(value, np.float64), ramps.image)
        for value in (ramps.gain, ramps.read_noise)
    )
    good = (gain > 0) & np.isfinite(gain) & (noise >= 0) & np.isfinite(noise)
    unit = np.where(good, gain, 1)
    if len(cube) == 1:
        nan = np.full(ramps.image, np.nan, np.float32)
        return _errors_alone(ramps, nan, nan, NO_HITS, search)
    # Electrons since the first sample, whose noise is in all others.
    counts = ((cube.astype(np.float64) - cube[0]) * unit).astype(np.float32)
    noise = np.where(good, noise, 1)
    err = np.sqrt(2 * noise**2 + np.maximum(np.nan_to_num(counts), 0)).astype(np.float32)
    words = np.where(np.isfinite(counts), 0, 1024).astype(np.uint16)
    if dq is not None:
        bits = ramps.bits
        flags = dq.astype(np.uint16)
        words |= np.where(flags & bits.saturated, 256, 0).astype(np.uint16)
        words |= np.where(flags & (ramps.bad & ~bits.saturated), 1024, 0).astype(np.uint16)
    if isinstance(sigma, tuple):
        raise ValueError(f"sigma is {sigma}, expected a number for jumps 'calwf3'")
    crsigma = 1e30 if search is None else 4.0 if sigma is None else sigma
    made = fit_crcorr(
        np.nan_to_num(counts),
        err,
        words,
        (mean - mean[0]).astype(np.float32),
        CrcorrParams(crsigma=crsigma, gain=1.0, rate=False, zeroth_rescue=False),
        threads=ramps.threads,
    )
    flagged = made.read_dq & 8192 != 0
    none = ~good | (made.samp <= 1) | (made.time <= 0)
    seconds = np.where(none, 1, made.time) * unit
    rate = np.where(none, np.nan, made.rate / seconds).astype(np.float32)
    after, y, x = np.nonzero(flagged[1:] & ~flagged[:-1])
    hits = ramps.sized(k, y * ramps.image[1] + x, after, rate)
    err = np.where(none, np.nan, made.err / seconds).astype(np.float32)
    return _errors_alone(ramps, rate, err, hits, search)


def _errors_alone(
    ramps: Ramps, rate: NDArray[np.float32], err: NDArray[np.float32], hits: HitList, search: str | None
) -> RampFit:
    """Answers of calwf3's fit, which does not tell photons from read noise."""
    return RampFit(
        rate=rate,
        var_poisson=None,
        var_rnoise=None,
        chi2=None,
        dof=None,
        hits=hits,
        nread=ramps.cube.shape[1],
        method="calwf3",
        jump_method=search,
        error=err,
    )
