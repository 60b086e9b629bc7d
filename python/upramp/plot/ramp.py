"""Level of the background up the ramp."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

from upramp.plot.style import LEFT, RIGHT, require_matplotlib, unit_label
from upramp.tvb.intervals import since_zeroth
from upramp.tvb.levels import Kind, interval_stats
from upramp.wfc3ir.tables import strips

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from upramp.wfc3ir.exposure import Ramp

__all__ = ["LEVEL_OF", "plot_ramp", "plot_ramps"]

Region = tuple[slice, slice]

LEVEL_OF = {"interval": "rate", "cumulative": "change of the mean rate", "read": "mean rate"}
"""What the images of a kind hold, in words."""


def plot_ramp(
    ramp: Ramp,
    *,
    region: Region | None = None,
    left: Region | None = None,
    right: Region | None = None,
    kind: Kind = "interval",
    stat: str = "median",
    clip: float | None = None,
    errors: bool = False,
    axes: Axes | None = None,
    label: str | None = None,
    color: str | None = None,
) -> Axes:
    """Draw the level of every interval between reads against the time of the read that ends it.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    region : tuple of slice, optional
        Rows and columns of the readout; by default all that are sensitive to light.
    left, right : tuple of slice, optional
        The two sides; by default the strips of `region` near its edges (:func:`upramp.wfc3ir.tables.strips`).
    kind : {"interval", "cumulative", "read"}, optional
        See :func:`upramp.tvb.levels.interval_stats`.
    stat : str, optional
        Statistic of :class:`upramp.ramps.IntervalStats` to draw.
    clip : float, optional
        Clip pixels further from the median than this many robust standard deviations of their interval.
    errors : bool, optional
        Draw the standard error of the whole region's level as bars.
    axes : matplotlib.axes.Axes, optional
        Axes to draw on; by default those of a new figure.
    label : str, optional
        Name of the exposure in the legend.
    color : str, optional
        One colour for all three curves, to tell exposures on the same axes apart.

    Returns
    -------
    matplotlib.axes.Axes
        With three curves: the whole region (squares), its left side (<) and its right side (>).
    """
    require_matplotlib()
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")[1]
    one, other = strips(ramp, region)
    regions = {"full": region or ramp.border, "left": left or one, "right": right or other}
    source = ramp if kind == "interval" else since_zeroth(ramp)
    stats = interval_stats(source, regions, kind=kind, clip=clip)
    # The zeroth read holds no exposure, so has no level.
    times, first = ramp.times[1:], 1 if kind == "read" else 0
    prefix = "" if label is None else f"{label}: "
    for name, words, marker, own in (
        ("full", "all columns", "s", "black"),
        ("left", "left", "<", LEFT),
        ("right", "right", ">", RIGHT),
    ):
        main = name == "full"
        axes.plot(
            times,
            getattr(stats[name], stat)[first:],
            marker=marker,
            color=color or own,
            linestyle="-" if main else ":",
            linewidth=1.6 if main else 1.0,
            markersize=4.5 if main else 4.0,
            markerfacecolor=(color or own) if main else "white",
            zorder=3 if main else 2,
            label=prefix + words,
        )
    if errors:
        levels, bars = getattr(stats["full"], stat)[first:], stats["full"].error[first:]
        axes.errorbar(times, levels, bars, fmt="none", ecolor=color or "black", elinewidth=1.0, zorder=2.5)
    axes.set_xlabel("SAMPTIME (s)")
    unit = ramp.unit if ramp.is_rate else f"{ramp.unit}/S"
    axes.set_ylabel(f"{stat.replace('_', ' ')} {LEVEL_OF[kind]} ({unit_label(unit)})")
    # From the start of the exposure, with room for a marker of a first read a second later.
    axes.set_xlim(left=-0.02 * ramp.times[-1])
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(fontsize="small", framealpha=0.85, edgecolor="none")
    return axes


def plot_ramps(
    ramps: Sequence[Ramp],
    *,
    labels: Sequence[str] | None = None,
    limits: tuple[float, float] | None = None,
    figure: Figure | SubFigure | None = None,
    **options: Any,
) -> Figure | SubFigure:
    """Draw exposures side by side, usually one with variable background beside one without.

    Parameters
    ----------
    ramps : sequence of Ramp
        Exposures.
    labels : sequence of str, optional
        Their titles; by default the names of their files.
    limits : (float, float), optional
        Range of the levels; by default one that holds all.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Empty figure to draw on; by default a new one.
    **options
        Keywords of :func:`plot_ramp`.

    Returns
    -------
    matplotlib.figure.Figure or SubFigure
        With axes of one scale, one for each exposure.
    """
    require_matplotlib()
    if not ramps:
        raise ValueError("ramps is empty, expected exposures")
    if labels is not None and len(labels) != len(ramps):
        raise ValueError(f"labels has {len(labels)} entries, expected {len(ramps)}, one per exposure")
    if figure is None:
        from matplotlib import pyplot

        figure = pyplot.figure(figsize=(5.5 * len(ramps), 4.5), layout="constrained")
    panels = figure.subplots(1, len(ramps), sharey=True, squeeze=False)[0]
    for axes, ramp, label in zip(panels, ramps, labels or repeat(None), strict=False):
        plot_ramp(ramp, axes=axes, **options)
        axes.set_title(label or ramp.path.name)
        axes.label_outer()
    if limits is not None:
        panels[0].set_ylim(*limits)
    return figure
