"""Level of the background in every interval between reads, in regions of an exposure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from upramp.exceptions import InputError
from upramp.ramps import IntervalStats, difference_stats
from upramp.tvb.corrected import SKY_BAD_DQ
from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.tables import holds_offset, strips

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["IntervalStats", "Kind", "LeftRight", "interval_stats", "lr_medians", "read_stats"]

Kind = Literal["interval", "cumulative", "read"]
Region = tuple[slice, slice]

STATISTICS = ("npix", "median", "mean", "mode", "std", "robust_std", "error")
"""Names of the statistics, as in :class:`IntervalStats`."""


def default_regions(ramp: Ramp) -> dict[str, Region]:
    """Regions measured unless others are asked for.

    Parameters
    ----------
    ramp : Ramp
        Exposure.

    Returns
    -------
    dict of str to tuple of slice
        ``full``, the light-sensitive pixels, and ``left`` and ``right``, its strips where scattered light differs
        most (:func:`upramp.wfc3ir.tables.strips`).
    """
    left, right = strips(ramp)
    return {"full": ramp.border, "left": left, "right": right}


def differences(ramp: Ramp, kind: Kind) -> list[tuple[int, float, int, float]]:
    """Reads and weights that make the images of a kind: see :func:`interval_stats`.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    kind : {"interval", "cumulative", "read"}
        What to measure.
    """
    times = ramp.times
    span = np.where(times > 0, times, 1.0)
    per_read = np.ones_like(times) if ramp.is_rate else 1.0 / span
    if kind == "read":
        return [(k, float(per_read[k]), k, 0.0) for k in range(ramp.nread)]
    if kind == "cumulative":
        # The weight of the later read is negative: earlier minus later.
        return [(k - 1, float(per_read[k - 1]), k, float(per_read[k])) for k in range(1, ramp.nread)]
    if kind != "interval":
        raise ValueError(f"kind is {kind!r}, expected 'interval', 'cumulative' or 'read'")
    steps = np.diff(times)
    if not (steps > 0).all():
        listed = ", ".join(f"{time:g}" for time in times)
        raise InputError(f"{ramp.path}: SAMPTIME does not grow from read to read: {listed}")
    total = times if ramp.is_rate else np.ones_like(times)
    first = 0 if holds_offset(ramp) else 1
    return [
        (k, float(total[k] / steps[k - 1]), k - 1, float(total[k - 1] / steps[k - 1]) if k > first else 0.0)
        for k in range(1, ramp.nread)
    ]


def interval_stats(
    ramp: Ramp,
    regions: Mapping[str, Region] | None = None,
    *,
    kind: Kind = "interval",
    clip: float | None = 3.0,
    max_iter: int = 5,
    bad_dq: int = SKY_BAD_DQ,
    mask: NDArray[np.bool_] | None = None,
    pattern: NDArray[np.float32] | None = None,
    threads: int | None = None,
) -> dict[str, IntervalStats]:
    """Measure every interval between reads in several regions, in one pass over the exposure.

    Parameters
    ----------
    ramp : Ramp
        Exposure, in counts or rates.
    regions : mapping of str to tuple of slice, optional
        Rows and columns of the readout by name; default ``full`` (all light-sensitive pixels), ``left`` and
        ``right`` (:func:`upramp.wfc3ir.tables.strips`).
    kind : {"interval", "cumulative", "read"}, optional
        ``interval``: D_k = (C_k - C_(k-1)) / (t_k - t_(k-1)) of the accumulated signals C, k = 1 … nread - 1.
        ``cumulative``: R_(k-1) - R_k of the rates R = C / t since the zeroth read, earlier minus later, likewise.
        ``read``: R_k, k = 0 … nread - 1. A rate of the zeroth read, whose time is 0, is what is stored.
    clip : float or None, optional
        Clip pixels further from the median than this many robust standard deviations of that interval; None keeps
        all. The limit follows the noise of the interval: a fixed rate would cut into the noise of short ones.
    max_iter : int, optional
        Rounds of clipping at most.
    bad_dq : int, optional
        DQ bits that exclude a pixel if set in either read.
    mask : (ny, nx) ndarray of bool, optional
        Pixels to leave out (True), for instance :func:`upramp.tvb.sources.source_mask`.
    pattern : (ny, nx) ndarray of float32, optional
        Image to take off every interval first, such as :func:`upramp.tvb.sources.pixel_pattern`; NaN leaves a pixel
        out.
    threads : int, optional
        Number of threads; the answer does not depend on it.

    Returns
    -------
    dict of str to IntervalStats
        Statistics by the name of the region, arrays of shape (n,), in the unit of `ramp` per second: n is
        nread - 1 for intervals and cumulative differences (entry k - 1 ends with read k), nread for reads.

    Raises
    ------
    ValueError
        Another kind, or a region outside the image.
    InputError
        SAMPTIME does not grow from read to read.

    Notes
    -----
    Differences of single precision are taken as :func:`upramp.wfc3ir.tables.interval_rates` takes them, bit for
    bit (``tests/test_levels.py::test_medians_are_those_of_stored_intervals``), but none is stored.

    References
    ----------
    .. [1] Pirzkal & Ryan 2018, WFC3 ISR 2018-05, eq. 3.
    """
    named = dict(default_regions(ramp) if regions is None else regions)
    found = difference_stats(
        ramp.sci,
        differences(ramp, kind),
        ramp.dq,
        regions=list(named.values()),
        bad_dq=bad_dq,
        mask=mask,
        pattern=pattern,
        clip=clip,
        max_iter=max_iter,
        threads=threads,
    )
    return dict(zip(named, found, strict=True))


class LeftRight(NamedTuple):
    """Result of :func:`lr_medians`, arrays of shape (nread - 1,), in the unit of the exposure per second."""

    left: NDArray[np.float64]
    """Median of the left strip."""
    right: NDArray[np.float64]
    """Median of the right strip."""
    ratio: NDArray[np.float64]
    """Left over right; NaN where the right is not above 0."""
    difference: NDArray[np.float64]
    """Left minus right."""
    error: NDArray[np.float64]
    """Standard error of the difference."""


def lr_medians(
    ramp: Ramp,
    lhs: Region | None = None,
    rhs: Region | None = None,
    *,
    kind: Kind = "interval",
    clip: float | None = 3.0,
    bad_dq: int = SKY_BAD_DQ,
    mask: NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> LeftRight:
    """Compare the left and right sides of every interval, where scattered Earth light differs most.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    lhs, rhs : tuple of slice, optional
        Rows and columns of the two sides; default :func:`upramp.wfc3ir.tables.strips`.
    kind, clip, bad_dq, mask, threads : optional
        See :func:`interval_stats`.

    Returns
    -------
    LeftRight
    """
    left, right = strips(ramp)
    stats = interval_stats(
        ramp,
        {"left": lhs or left, "right": rhs or right},
        kind=kind,
        clip=clip,
        bad_dq=bad_dq,
        mask=mask,
        threads=threads,
    )
    one, other = stats["left"], stats["right"]
    return LeftRight(
        one.median,
        other.median,
        _ratio(one.median, other.median),
        one.median - other.median,
        np.hypot(one.error, other.error),
    )


def _ratio(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """`one` over `other` where that is above 0; a rate lost in the noise makes no ratio."""
    above = other > 0
    return np.divide(one, other, out=np.full_like(one, np.nan), where=above)


def read_stats(
    ramp: Ramp,
    regions: Mapping[str, Region] | None = None,
    stat: str | Sequence[str] = "median",
    clip: float | None = 3.0,
    units: Literal["rate", "counts"] = "rate",
    *,
    kind: Kind = "interval",
    bad_dq: int = SKY_BAD_DQ,
    mask: NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> Table:
    """Statistics of every read as a table.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    regions : mapping of str to tuple of slice, optional
        Rows and columns of the readout by name; default ``full``, ``left`` and ``right``.
    stat : str or sequence of str, optional
        Any of ``npix``, ``median``, ``mean``, ``mode``, ``std``, ``robust_std``, ``error``.
    clip : float or None, optional
        Clipping limit in robust standard deviations of the interval.
    units : {"rate", "counts"}, optional
        Per second, or gathered in the interval (``kind="interval"``) or since the zeroth read
        (``kind="read"``).
    kind, bad_dq, mask, threads : optional
        See :func:`interval_stats`.

    Returns
    -------
    astropy.table.Table
        One row per read in time order: ``sampnum``, ``imset``, ``samptime`` (s), ``dt`` (s), the length of the
        interval that ends with the read, then a column ``<region>_<stat>`` for each pair. NaN (and ``npix`` 0)
        for the zeroth read, which ends no interval. Regions called ``left`` and ``right`` add ``ratio`` (left
        over right) and ``difference`` (left minus right) of their medians, or of the first of `stat` that is a
        level if the median is not asked for.

    Raises
    ------
    ValueError
        An unknown statistic or unit, or ``units="counts"`` of cumulative differences, which are rates.
    """
    wanted = (stat,) if isinstance(stat, str) else tuple(stat)
    for name in wanted:
        if name not in STATISTICS:
            raise ValueError(f"stat is {name!r}, expected one of {', '.join(STATISTICS)}")
    if units not in ("rate", "counts"):
        raise ValueError(f"units is {units!r}, expected 'rate' or 'counts'")
    if units == "counts" and kind == "cumulative":
        raise ValueError("units is 'counts', expected 'rate' for kind 'cumulative', a difference of rates")
    from astropy.table import Table

    stats = interval_stats(ramp, regions, kind=kind, clip=clip, bad_dq=bad_dq, mask=mask, threads=threads)
    # Headers give microseconds; more digits are noise of the subtraction.
    steps = np.diff(ramp.times, prepend=ramp.times[:1]).round(6)
    span = steps if kind == "interval" else ramp.times
    scale = np.where(span > 0, span, 1.0) if units == "counts" else np.ones(ramp.nread)
    word = "electron" if ramp.in_electrons else "ct"
    unit = word if units == "counts" else f"{word} / s"
    table = Table(
        {"sampnum": ramp.sampnum, "imset": ramp.imset, "samptime": ramp.times, "dt": steps},
        units={"samptime": "s", "dt": "s"},
    )

    def column(region: str, name: str) -> NDArray[Any]:
        values: NDArray[Any] = getattr(stats[region], name)
        if len(values) < ramp.nread:
            values = np.concatenate([np.array([0 if name == "npix" else np.nan], values.dtype), values])
        return values if name == "npix" else values * scale

    for region in stats:
        for name in wanted:
            table[f"{region}_{name}"] = column(region, name)
            if name != "npix":
                table[f"{region}_{name}"].unit = unit
    if {"left", "right"} <= set(stats):
        level = next((name for name in ("median", *wanted) if name in wanted and name in LEVELS), "median")
        one, other = (np.asarray(column(side, level), np.float64) for side in ("left", "right"))
        table["ratio"] = _ratio(one, other)
        table["difference"] = one - other
        table["difference"].unit = unit
    table.meta["file"] = str(ramp.path)
    return table


LEVELS = ("median", "mean", "mode")
"""Statistics that are a level of the background."""
