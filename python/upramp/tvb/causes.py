"""Names for a background that varies, and what to do about it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["HELIUM_FILTERS", "Limits", "Verdict", "judge", "name_cause"]

HELIUM_FILTERS = ("F105W", "F110W", "G102", "G141")
"""Filters and grisms that pass the He I line at 1083 nm (WFC3 Data Handbook 7.10); G141 only at its edge."""

GRISMS = ("G102", "G141")
SURE = 3.0
"""Significance from which a part of the excess is named."""
UNIFORM = 0.5
"""Excess on the right over that on the left from which a part of it is called uniform: scattered light falls to a
tenth of itself across the field."""
ENOUGH_TIME = 0.4
"""Fraction of the exposure time that must be left for reads to be masked where nothing else helps …"""
MOST_TIME = 0.6
"""… and where scattered light can be subtracted instead: with less left, masking adds a third to the noise."""
ENOUGH_READS = 3
"""Intervals that must be left for reads to be masked."""


class Limits(NamedTuple):
    """When a significant excess gets a name."""

    ratio: float = 1.1
    """Left over right, above which light is scattered."""
    delta: float = 0.1
    """Left minus right, e-/s, above which light is scattered; also the uniform excess worth a word."""
    change: float = 2.0
    """Largest over smallest rate, above which a uniform background is helium."""


class Interval(NamedTuple):
    """What is known of one disturbed interval; rates in e-/s."""

    ratio: float
    """Left over right."""
    difference: float
    """Left minus right, less that of the quiet intervals."""
    difference_error: float
    """Its standard error."""
    left: float
    """Excess of the left strip."""
    right: float
    """Excess of the right strip."""
    right_error: float
    """Its standard error."""
    localised: bool
    """Whether a trail or glint was found."""
    disturbed: bool
    """Whether the level or the difference of the sides is above the quiet one."""


class Verdict(NamedTuple):
    """Result of :func:`judge`."""

    word: str
    """``none``, ``scattered``, ``helium``, ``both``, ``unknown`` or ``satellite``."""
    advice: str
    """``none`` or a method of ``upramp fix``."""
    reason: str
    """Why, in one sentence."""


def name_cause(interval: Interval, limits: Limits) -> str:
    """Name what disturbs one interval.

    Parameters
    ----------
    interval : Interval
        What was measured.
    limits : Limits
        When an excess gets a name.

    Returns
    -------
    str
        ``scattered``: significantly more light on the left, by the ratio or by the difference. ``uniform``: the
        right has significantly more too. ``both``; ``satellite``: a trail or glint and none of these; ``faint``:
        above the quiet level, but neither; empty if quiet.
    """
    sided = interval.difference > SURE * interval.difference_error and (
        interval.ratio > limits.ratio or interval.difference > limits.delta
    )
    uniform = interval.right > SURE * interval.right_error and interval.right > UNIFORM * interval.left
    if interval.localised:
        return "satellite"
    if not interval.disturbed:
        return ""
    if sided:
        return "both" if uniform else "scattered"
    return "uniform" if uniform else "faint"


def judge(
    causes: list[str],
    excess: NDArray[np.float64],
    quiet: float,
    dt: NDArray[np.float64],
    use: NDArray[np.bool_],
    filter_name: str,
    limits: Limits,
) -> Verdict:
    """Judge an exposure by its intervals.

    Parameters
    ----------
    causes : list of str
        :func:`name_cause` of every interval.
    excess : (n,) ndarray of float64
        Rate above the quiet one, e-/s.
    quiet : float
        Quiet rate, e-/s.
    dt : (n,) ndarray of float64
        Lengths of the intervals, seconds.
    use : (n,) ndarray of bool
        Intervals that are not disturbed.
    filter_name : str
        Filter or grism.
    limits : Limits
        When an excess gets a name.

    Returns
    -------
    Verdict
    """
    kinds = np.array(causes, dtype=object)
    scattered = bool(np.isin(kinds, ("scattered", "both")).any())
    uniform = np.isin(kinds, ("uniform", "both"))
    rise = float(excess[uniform].max()) if uniform.any() else 0.0
    large = rise > 0 and (quiet + rise > limits.change * quiet)
    helium_line = filter_name in HELIUM_FILTERS
    trails = int((kinds == "satellite").sum())
    grism = filter_name in GRISMS
    left = use & np.isfinite(excess)
    enough = _enough(left, dt)
    small = left | (np.isfinite(excess) & (excess < limits.delta))
    hint = ""
    if not enough and _enough(small, dt):
        hint = f"; --floor {limits.delta:g} lets faint light pass and keeps more"
    kept = f"{int(left.sum())} of {len(dt)} intervals, {dt[left].sum():.0f} of {dt.sum():.0f} s, are quiet"
    if scattered:
        both = large and helium_line
        word = "both" if both else "scattered"
        if enough and (grism or dt[left].sum() >= MOST_TIME * dt.sum()):
            return Verdict(word, "mask-reads", f"brighter at the left; {kept}")
        return Verdict(word, "none" if grism else "column", f"brighter at the left; only {kept}{hint}")
    if rise > 0 and (large or rise > limits.delta):
        change = f"{(quiet + rise) / quiet:.1f} times" if quiet > 0 else "far above"
        if large and helium_line:
            text = f"uniform, up to {change} the quiet level, in a filter that passes He I 1083 nm"
            word = "helium"
        elif large:
            text = f"uniform, up to {change} the quiet level, but {filter_name} does not pass He I 1083 nm"
            word = "unknown"
        else:
            text = f"uniform, {rise:.2f} e-/s, but less than {limits.change:g} times the quiet level"
            text += "; perhaps He I 1083 nm" if helium_line else ""
            word = "unknown"
        if not grism:
            return Verdict(word, "flatten", text)
        # A constant per read cannot take out the pattern that a grism makes of a line.
        return Verdict(
            word, "mask-reads" if enough else "none", f"{text}; a grism cannot be flattened; {kept}"
        )
    if trails:
        reads = "one read" if trails == 1 else f"{trails} reads"
        return Verdict("satellite", "subtract-reads", f"a trail or glint in {reads}")
    if (kinds == "faint").any() or uniform.any():
        largest = float(np.nanmax(np.where(use, -np.inf, excess)))
        return Verdict("none", "none", f"significant but small: at most {largest:.3f} e-/s")
    return Verdict("none", "none", "no read is above the quiet level")


def _enough(left: NDArray[np.bool_], dt: NDArray[np.float64]) -> bool:
    """Whether the intervals left make an exposure of their own."""
    return bool(left.sum() >= ENOUGH_READS and dt[left].sum() >= ENOUGH_TIME * dt.sum())
