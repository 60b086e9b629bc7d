"""Flag the reads of an exposure whose background is above the quiet level."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upramp.tvb.causes import Interval, Limits, Verdict, judge, name_cause
from upramp.tvb.jitter import Jitter, find_jitter
from upramp.tvb.levels import IntervalStats, interval_stats
from upramp.tvb.noise import SkyNoise, sky_noise
from upramp.tvb.quiet import Excess, Thresholds, find_excess
from upramp.tvb.reference_level import reference_level
from upramp.tvb.satellite import Localised, find_localised
from upramp.tvb.sources import bad_pixels, pixel_pattern, source_mask
from upramp.wfc3ir.exposure import Ramp, read_ramp

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.figure import Figure

__all__ = ["ReadFlags", "flag_reads"]

SIDES = Thresholds(alone=3.6, beside=3.2, between=2.2)
"""For the difference of the sides: stricter, so that the second test adds few false alarms to the first."""
SUMMARY = (
    *("rootname", "filter", "verdict", "advice", "reason"),
    *("quiet", "quiet_error", "low", "high", "range", "max_ratio"),
)
"""What :attr:`ReadFlags.summary` takes over."""
DARK_FLOOR = 0.1
"""e-/s: the least `floor` before the dark current has been subtracted, which is not the same in all reads."""
SHORT = 0.1
"""Intervals shorter than this part of the median do not make the quiet level by themselves: in the first of a long
sequence the detector still settles."""
SMALL, CALIBRATION = 0.015, 0.005
"""If most intervals seem disturbed, all by less than the first part of the level, calibration moves it: then the
second part is added to the errors."""
MEAN_GAIN = 2.35
"""e-/DN, where a RAW header does not tell (the mean of the four amplifiers, WFC3 Data Handbook)."""


@dataclass(frozen=True, slots=True)
class ReadFlags:
    """What :func:`flag_reads` found.

    Attributes
    ----------
    rootname, filter : str
        Exposure.
    path : str
        Its file.
    use : (nread,) ndarray of bool
        Whether the interval that ends with each read, by SAMPNUM, is undisturbed; True for the zeroth.
    verdict : str
        ``none``, ``scattered``, ``helium``, ``both``, ``unknown`` (uniform, but no helium) or ``satellite``.
    advice : str
        ``none`` or a method of ``upramp fix``.
    reason : str
        Why, in one sentence.
    quiet, quiet_error : float
        Quiet rate and its standard error, e-/s.
    low, high : float
        Lowest and highest median rate of an interval, e-/s; where nothing is disturbed both are the quiet
        rate.
    max_ratio : float
        Largest ratio of left to right, of the intervals in which its error is below 5 %; NaN if there is
        none.
    noise : SkyNoise
        Scatter of the sky in the last read or the FLT, compared with its errors.
    table : astropy.table.Table
        One row per read; see :func:`flag_reads`.
    mask : (ny, nx) ndarray of bool
        Sources left out.
    """

    rootname: str
    filter: str
    path: str
    use: NDArray[np.bool_]
    verdict: str
    advice: str
    reason: str
    quiet: float
    quiet_error: float
    low: float
    high: float
    max_ratio: float
    noise: SkyNoise
    table: Table = field(repr=False)
    mask: NDArray[np.bool_] = field(repr=False)

    @property
    def flagged(self) -> list[int]:
        """SAMPNUM of the reads that end a disturbed interval."""
        return [int(k) for k in np.flatnonzero(~self.use)]

    @property
    def range(self) -> float:
        """Largest over smallest rate; NaN if the smallest is not above 0."""
        return self.high / self.low if self.low > 0 else float("nan")

    @property
    def cards(self) -> dict[str, tuple[object, str]]:
        """Header cards: TVBFLAG, and TVBRMAX and TVBRNG where they are numbers."""
        cards: dict[str, tuple[object, str]] = {"TVBFLAG": (self.verdict, "variable background")}
        if np.isfinite(self.max_ratio):
            cards["TVBRMAX"] = round(self.max_ratio, 4), "largest left/right ratio of an interval"
        if np.isfinite(self.range):
            cards["TVBRNG"] = round(self.range, 4), "largest over smallest background rate"
        return cards

    @property
    def summary(self) -> dict[str, Any]:
        """The exposure in plain values, for tables and JSON; None where there is no number."""
        record: dict[str, Any] = {name: getattr(self, name) for name in SUMMARY}
        record |= {"noise_ratio": self.noise.ratio, "bimodality": self.noise.bimodality}
        for name, value in record.items():
            if isinstance(value, float) and not np.isfinite(value):
                record[name] = None
        return record | {"noise_of": self.noise.of, "reads": self.flagged, "file": self.path}

    def plot(self) -> Figure:
        """Draw the levels; see :func:`upramp.tvb.report.plot_flags`."""
        from upramp.tvb.report import plot_flags

        return plot_flags(self)

    def __str__(self) -> str:
        """One line, as ``upramp flag`` prints it."""
        parts = [f"{self.rootname} {self.filter}  TVB {self.verdict}"]
        if self.flagged:
            parts.append(f"reads {ranges(self.flagged)}")
        parts.append(f"rate {self.low:.2f}->{self.high:.2f}" if self.flagged else f"rate {self.quiet:.2f}")
        if np.isfinite(self.max_ratio):
            parts.append(f"L/R {self.max_ratio:.2f}")
        return "  ".join([*parts, f"advise: {self.advice}"])


def ranges(numbers: list[int]) -> str:
    """Write numbers as ``1-5,9``.

    Parameters
    ----------
    numbers : list of int
        In increasing order.
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ",".join("-".join(map(str, run)) for run in runs)


def flag_reads(
    ramp: Ramp | str | os.PathLike[str],
    ratio: float = 1.1,
    delta: float = 0.1,
    change: float = 2.0,
    jitter: Jitter | str | os.PathLike[str] | None = None,
    *,
    floor: float = 0.0,
    thresholds: Thresholds | None = None,
    mask: NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> ReadFlags:
    """Find the reads of an exposure whose background is disturbed, and name the cause.

    Parameters
    ----------
    ramp : Ramp or path-like
        Exposure: an IMA, in counts or rates, or a RAW, whose reference pixels are then used.
    ratio : float, optional
        A significant excess on the left is scattered light above this ratio of left to right …
    delta : float, optional
        … or above this difference, e-/s.
    change : float, optional
        A uniform excess is helium if the rate changes by more than this factor, in a filter that passes its
        line.
    jitter : Jitter or path-like, optional
        Jitter file (``_jit.fits``) of the exposure: adds columns of the limb angle and the Earth's shadow.
    floor : float, optional
        Excess, e-/s, below which a read is used even if the excess is significant. 0 flags all that is
        significant: the level of a million pixels is known to a few 1e-4 e-/s. Before DARKCORR it is 0.1 at least.
    thresholds : Thresholds, optional
        Significance from which a read is disturbed.
    mask : (ny, nx) ndarray of bool, optional
        Sources (True); default :func:`upramp.tvb.sources.source_mask`.
    threads : int, optional
        Number of threads.

    Returns
    -------
    ReadFlags
        Its table has one row per read in time order: ``sampnum``, ``imset``, ``samptime``, ``dt`` (s),
        ``use``, ``cause`` (empty, ``scattered``, ``uniform``, ``both``, ``satellite``, ``faint`` or ``no
        pixels``), ``median``, ``error``, ``left``, ``right`` (e-/s), ``ratio``, ``difference``, ``excess``
        (e-/s above the quiet level), ``sigma`` (its significance), ``sigma_lr`` (that of the difference of
        the sides), ``trail`` (pixels in crowded places) and, from a jitter file, ``limb_angle``,
        ``bright_limb`` and ``shadow``. Values belong to the interval that ends with the read.

    Raises
    ------
    InputError
        The file cannot be read, or SAMPTIME does not grow.
    ValueError
        A limit that is not positive.

    Notes
    -----
    Levels are compared on the same pixels in every interval: those that no read flags and no source covers,
    with what each pixel has of its own taken off (:func:`upramp.tvb.sources.pixel_pattern`). The test is that
    of :func:`upramp.tvb.quiet.find_excess`, once for the level and once for the difference of left and right.
    Its errors hold read noise, photon noise and the noise of subtracted reference pixels. See docs/flag.md
    for the rules and their measured rates of detection and false alarm.
    """
    for name, value in (("ratio", ratio), ("delta", delta), ("change", change)):
        if not value > 0:
            raise ValueError(f"{name} is {value}, expected a positive number")
    ramp = ramp if isinstance(ramp, Ramp) else read_ramp(ramp)
    if jitter is not None and not isinstance(jitter, Jitter):
        jitter = find_jitter(ramp, jitter)
    limits = Limits(ratio, delta, change)
    bad = bad_pixels(ramp)
    pattern = pixel_pattern(ramp, bad=bad)
    sources = source_mask(ramp, bad=bad, pattern=pattern) if mask is None else mask
    levels = _measure(ramp, sources, bad, pattern, threads)
    trails = find_localised(ramp, pattern, sources)
    dt = np.diff(ramp.times)
    scale = float(np.nanmedian(levels.median["full"])) if np.isfinite(levels.median["full"]).any() else 0.0
    whole = _find(
        levels.mean["full"],
        levels.error["full"],
        dt,
        levels.read_variance,
        thresholds or Thresholds(),
        trails.found,
        scale,
    )
    sides = _find(
        levels.mean["left"] - levels.mean["right"],
        np.hypot(levels.error["left"], levels.error["right"]),
        dt,
        levels.side_variance,
        SIDES,
        trails.found,
        scale,
    )
    if str(ramp.primary.get("DARKCORR", "")).strip() != "COMPLETE":
        floor = max(floor, DARK_FLOOR)
    disturbed = (whole.disturbed & (whole.rate > floor)) | (sides.disturbed & (sides.rate > floor))
    known = np.isfinite(levels.mean["full"])
    moving = _moves(ramp, trails)
    if moving:
        trails, disturbed = trails._replace(found=np.zeros_like(known)), np.zeros_like(known)
    use = known & ~disturbed & ~trails.found
    excess = {side: _above(levels.mean[side], levels.error[side], use) for side in ("left", "right")}
    ratios = _ratios(levels.median)
    causes = [
        name_cause(
            Interval(
                ratios[k],
                sides.rate[k],
                np.hypot(sides.error[k], sides.quiet_error),
                excess["left"][k],
                excess["right"][k],
                levels.error["right"][k],
                bool(trails.found[k]),
                bool(disturbed[k]),
            ),
            limits,
        )
        if known[k]
        else "no pixels"
        for k in range(len(dt))
    ]
    filter_name = str(ramp.primary.get("FILTER", "")).strip().upper()
    quiet = _quiet_median(levels, use, whole)
    if moving:
        verdict = Verdict(
            "unknown", "none", "sources move from read to read; the level says little of the sky"
        )
    elif known.any():
        verdict = judge(causes, whole.rate, quiet, dt, use, filter_name, limits)
    else:
        verdict = Verdict("unknown", "none", "no pixel is left to measure the background: all are flagged")
    return _report(
        ramp, verdict, levels, whole, sides, ratios, trails.npix, causes, use, quiet, sources, jitter
    )


def _moves(ramp: Ramp, trails: Localised) -> bool:
    """Whether the sources move (a spatial scan, or lost guiding): then most intervals hold light of their own."""
    scan = str(ramp.primary.get("SCAN_TYP", "N")).strip().upper()
    return scan not in ("N", "") or bool(trails.found.size > 2 and 2 * trails.found.sum() > trails.found.size)


def _find(
    level: NDArray[np.float64],
    error: NDArray[np.float64],
    dt: NDArray[np.float64],
    variance: float,
    thresholds: Thresholds,
    trails: NDArray[np.bool_],
    scale: float,
) -> Excess:
    """Find the intervals above the quiet level, with what calibration does to it in mind."""
    known = np.isfinite(level) & ~trails
    short = dt < SHORT * np.median(dt)
    found = find_excess(level, error, dt, variance, thresholds, trails)
    if known[~short].any() and not (known & ~short & ~found.disturbed).any():
        found = find_excess(level, error, dt, variance, thresholds, trails | short)
        known &= ~short
    counted = found.disturbed & known
    if 2 * counted.sum() > known.sum() and found.rate[counted].max() < SMALL * scale:
        error = np.hypot(error, CALIBRATION * scale)
        found = find_excess(level, error, dt, variance, thresholds, ~known)
    return found


@dataclass(frozen=True, slots=True)
class _Levels:
    """Levels in electrons per second, by region."""

    median: Mapping[str, NDArray[np.float64]]
    mean: Mapping[str, NDArray[np.float64]]
    error: Mapping[str, NDArray[np.float64]]
    median_error: NDArray[np.float64]
    read_variance: float
    side_variance: float


def _gain(ramp: Ramp) -> float:
    """Electrons per unit of the exposure."""
    if ramp.in_electrons:
        return 1.0
    gains = [ramp.primary.get(f"ATODGN{amplifier}") for amplifier in "ABCD"]
    numbers = [float(gain) for gain in gains if isinstance(gain, (int, float)) and gain > 0]
    return float(np.mean(numbers)) if len(numbers) == 4 else MEAN_GAIN


def _measure(
    ramp: Ramp,
    sources: NDArray[np.bool_],
    bad: NDArray[np.bool_],
    pattern: NDArray[np.float32],
    threads: int | None,
) -> _Levels:
    gain, dt = _gain(ramp), np.diff(ramp.times)
    hidden = sources | bad
    if hidden[ramp.border].mean() > 0.9:
        hidden = bad  # a field without sky: the pattern still takes its sources off
    plain = interval_stats(ramp, mask=hidden, threads=threads)
    own = interval_stats(ramp, mask=hidden, pattern=pattern, threads=threads)
    reference = reference_level(ramp)
    # The border of an IMA is stored in the gain of its unit, as counts.
    drift = np.diff(reference.level) / dt * gain
    full = plain["full"]
    pixel_variance = _read_noise(full, dt, gain, drift)
    border = reference.variance * gain**2

    def error(stats: IntervalStats, common: float) -> NDArray[np.float64]:
        own_noise = stats.robust_std * gain / np.sqrt(np.maximum(stats.npix, 1))
        found: NDArray[np.float64] = np.sqrt(own_noise**2 + 2 * common / dt**2)
        return np.where(stats.npix > 0, found, np.nan)

    # The noise that reference pixels left is the same in both strips and leaves their difference.
    npix = np.maximum(np.median(full.npix), 1.0)
    counts = [np.maximum(np.median(plain[side].npix), 1.0) for side in ("left", "right")]
    return _Levels(
        median={name: stats.median * gain - drift for name, stats in plain.items()},
        mean={name: stats.mean * gain - drift for name, stats in own.items()},
        error={name: error(stats, border if name == "full" else 0.0) for name, stats in plain.items()},
        median_error=np.hypot(full.error * gain, np.sqrt(2 * border) / dt),
        read_variance=pixel_variance / npix + border,
        side_variance=pixel_variance * sum(1 / count for count in counts),
    )


def _read_noise(
    stats: IntervalStats, dt: NDArray[np.float64], gain: float, drift: NDArray[np.float64]
) -> float:
    """Variance of one read of a pixel, electrons squared: half of that of an interval without its photons."""
    photons = np.maximum(stats.median * gain - drift, 0.0) * dt
    known = stats.npix > 0
    if not known.any():
        return 0.0
    return max(0.5 * float(np.median(((stats.robust_std * gain * dt) ** 2 - photons)[known])), 0.0)


def _above(
    level: NDArray[np.float64], error: NDArray[np.float64], use: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Level above its weighted mean over the quiet intervals, or over its minimum if none is quiet."""
    quiet = use & np.isfinite(level) & (error > 0)
    if not quiet.any():
        return level - (np.nanmin(level) if np.isfinite(level).any() else np.nan)
    weight = error[quiet] ** -2.0
    return level - float((level[quiet] * weight).sum() / weight.sum())


def _ratios(median: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    left, right = median["left"], median["right"]
    return np.divide(left, right, out=np.full_like(left, np.nan), where=right > 0)


def _quiet_median(levels: _Levels, use: NDArray[np.bool_], whole: Excess) -> float:
    """Quiet level on the scale of the medians: the mean of residuals has another zero point."""
    median, error = levels.median["full"], levels.median_error
    quiet = use & np.isfinite(median) & (error > 0)
    if not quiet.any():
        quiet = np.isfinite(median) & ~whole.disturbed & (error > 0)
    if not quiet.any():
        return float(np.nanmin(median)) if np.isfinite(median).any() else float("nan")
    weight = error[quiet] ** -2.0
    return float((median[quiet] * weight).sum() / weight.sum())


def _report(
    ramp: Ramp,
    verdict: Verdict,
    levels: _Levels,
    whole: Excess,
    sides: Excess,
    ratios: NDArray[np.float64],
    trail: NDArray[np.int64],
    causes: list[str],
    use: NDArray[np.bool_],
    quiet: float,
    sources: NDArray[np.bool_],
    jitter: Jitter | None,
) -> ReadFlags:
    from astropy.table import Table

    def padded(values: NDArray[np.float64], first: float = np.nan) -> NDArray[np.float64]:
        return np.concatenate([[first], values])

    rate, median = "electron / s", levels.median
    used = np.concatenate([[True], use])
    columns = {
        "sampnum": (ramp.sampnum, None),
        "imset": (ramp.imset, None),
        "samptime": (ramp.times, "s"),
        "dt": (np.diff(ramp.times, prepend=ramp.times[0]).round(6), "s"),
        "use": (used, None),
        "cause": (np.array(["", *causes], dtype="U9"), None),
        "median": (padded(median["full"]), rate),
        "error": (padded(levels.median_error), rate),
        "left": (padded(median["left"]), rate),
        "right": (padded(median["right"]), rate),
        "ratio": (padded(ratios), None),
        "difference": (padded(median["left"] - median["right"]), rate),
        "excess": (padded(whole.rate), rate),
        "sigma": (padded(whole.significance), None),
        "sigma_lr": (padded(sides.significance), None),
        "trail": (np.concatenate([[0], trail]), None),
    }
    table = Table({name: values for name, (values, _) in columns.items()})
    for name, (_, unit) in columns.items():
        table[name].unit = unit
    if jitter is not None:
        for name, (values, unit) in jitter.at_reads(ramp).items():
            table[name] = values
            table[name].unit = unit
    sure = levels.error["right"] < 0.05 * np.abs(median["right"])
    sure &= np.isfinite(ratios)
    # A short read, flagged for its neighbours, may be anywhere.
    known = np.isfinite(levels.median_error)
    certain = levels.median_error < 5 * np.median(levels.median_error[known]) if known.any() else known
    disturbed = ~use & np.isfinite(median["full"]) & certain
    rates = np.append(median["full"][disturbed], quiet)
    return ReadFlags(
        rootname=str(ramp.primary.get("ROOTNAME", ramp.path.name.split("_")[0])).strip().lower(),
        filter=str(ramp.primary.get("FILTER", "?")).strip(),
        path=str(ramp.path),
        use=used,
        verdict=verdict.word,
        advice=verdict.advice,
        reason=verdict.reason,
        quiet=quiet,
        quiet_error=whole.quiet_error,
        low=float(np.nanmin(rates)) if np.isfinite(rates).any() else float("nan"),
        high=float(np.nanmax(rates)) if np.isfinite(rates).any() else float("nan"),
        max_ratio=float(ratios[sure].max()) if sure.any() else float("nan"),
        noise=sky_noise(ramp, sources),
        table=table,
        mask=sources,
    )
