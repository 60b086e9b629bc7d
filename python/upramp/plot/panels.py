"""Every interval of an exposure as an image, with the levels of its two sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from upramp.plot.grid import grid_shape, make_grid, outlined_text, show_image
from upramp.plot.style import LEFT, RIGHT, require_matplotlib, unit_label
from upramp.ramps import IntervalStats
from upramp.ramps.crcorr import bounds
from upramp.tvb.intervals import cumulative_diff, interval_rates, mean_rates, since_zeroth
from upramp.tvb.levels import Kind, interval_stats
from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.tables import strips

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["panel_figure_size", "plot_panels", "robust_limits"]

Region = tuple[slice, slice]

BELOW, ABOVE = 2.5, 4.0
"""How far the grey scale goes beyond the levels, robust standard deviations of a typical interval."""

SIZE = 2.7
"""Inches of a panel."""


def plot_panels(
    ramp: Ramp,
    *,
    kind: Kind = "interval",
    region: Region | None = None,
    left: Region | None = None,
    right: Region | None = None,
    clip: float | None = 3.0,
    limits: tuple[float, float] | None = None,
    columns: int | None = None,
    figure: Figure | SubFigure | None = None,
    axes: Sequence[Axes] | None = None,
) -> Figure | SubFigure:
    """Draw an image of every interval between reads, on one scale, with what the two sides differ by.

    Parameters
    ----------
    ramp : Ramp
        Exposure, of any number of reads and any subarray.
    kind : {"interval", "cumulative", "read"}, optional
        ``interval``: rates between reads; ``cumulative``: the change of the mean rate from read to read, in which
        sources cancel; ``read``: the mean rate up to every read, the zeroth included.
    region : tuple of slice, optional
        Rows and columns of the readout to draw and measure; by default all that are sensitive to light.
    left, right : tuple of slice, optional
        The two sides; by default the strips of `region` near its edges.
    clip : float or None, optional
        Clip pixels further from the median than this many robust standard deviations of their interval.
    limits : (float, float), optional
        Values shown black and white; by default :func:`robust_limits`.
    columns : int, optional
        Panels beside each other, by default up to four.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Empty figure to draw on; by default a new one of a size that suits the number of panels.
    axes : sequence of matplotlib.axes.Axes, optional
        Axes to draw on in place of a figure, one per panel.

    Returns
    -------
    matplotlib.figure.Figure or SubFigure
        Each panel bears SAMPNUM and IMSET of its reads, the length of the interval, its median and the standard
        error of that, the medians of the two sides (in boxes of their colours), their ratio and difference. A ratio
        is given where the right side is above 0.
    """
    require_matplotlib()
    if ramp.nread < 2:
        raise ValueError(f"{ramp.path}: NSAMP is {ramp.nread}; there is no interval to draw")
    y0, y1, x0, x1 = bounds(region or ramp.border, ramp.sci.shape[1:])
    shown = slice(y0, y1), slice(x0, x1)
    one, other = strips(ramp, shown)
    boxes = {"left": left or one, "right": right or other}
    stats = interval_stats(
        ramp if kind == "interval" else since_zeroth(ramp), {"full": shown, **boxes}, kind=kind, clip=clip
    )
    images = {"interval": interval_rates, "cumulative": cumulative_diff, "read": mean_rates}[kind](ramp)
    limits = limits or robust_limits(stats["full"], 1 if kind == "read" else 0)
    count = len(images)
    colorbar = axes is None
    if axes is not None:
        panels = list(axes)
        if len(panels) != count:
            raise ValueError(f"axes has {len(panels)} entries, expected {count}, one per panel")
        figure = panels[0].figure
    else:
        if figure is None:
            from matplotlib import pyplot

            figure = pyplot.figure(figsize=panel_figure_size(count, columns), layout="constrained")
        panels = make_grid(figure, count, columns)[0]
    unit = unit_label(ramp.unit if ramp.is_rate else f"{ramp.unit}/S")
    extent = (x0 - 0.5, x1 - 0.5, y0 - 0.5, y1 - 0.5)
    for i, panel in enumerate(panels):
        drawn = show_image(panel, images[i][shown], limits, extent=extent)
        panel.set_title(_title(ramp, kind, i, stats["full"]), fontsize=8)
        _mark_sides(panel, boxes, {side: float(stats[side].median[i]) for side in boxes})
    if colorbar:
        bar = figure.colorbar(drawn, ax=panels, extend="both", shrink=0.6, aspect=40, pad=0.01)
        bar.set_label(unit)
        name = str(ramp.primary.get("ROOTNAME", "")).strip() or ramp.path.name
        figure.suptitle(f"{name}  {str(ramp.primary.get('FILTER', '')).strip()}  {WORDS[kind]} ({unit})")
    return figure


WORDS = {
    "interval": "rate between reads",
    "cumulative": "change of the mean rate, earlier minus later",
    "read": "mean rate up to each read",
}


def panel_figure_size(count: int, columns: int | None = None) -> tuple[float, float]:
    """Width and height of a figure that suits a number of panels.

    Parameters
    ----------
    count : int
        Panels.
    columns : int, optional
        Panels beside each other.

    Returns
    -------
    (float, float)
        Inches.
    """
    down, across = grid_shape(count, columns)
    return SIZE * across + 0.7, (SIZE + 0.45) * down + 0.3


def robust_limits(stats: IntervalStats, first: int = 0) -> tuple[float, float]:
    """Values to show black and white, common to all intervals.

    Parameters
    ----------
    stats : IntervalStats
        Of the region drawn.
    first : int, optional
        Entry to begin with: a zeroth read holds nothing.

    Returns
    -------
    (float, float)
        From 2.5 typical noises below the lowest median to 4 above the highest, the typical noise being the median
        over the intervals of their robust standard deviations: a single short interval does not set the scale.
        Medians less certain than that noise are left aside.
    """
    level, noise, error = stats.median[first:], stats.robust_std[first:], stats.error[first:]
    known = np.isfinite(level) & np.isfinite(noise)
    if not known.any():
        return 0.0, 1.0
    # A noiseless image has no scale of its own: any will do.
    typical = float(np.median(noise[known])) or 1.0
    sure = known & (error <= typical)
    levels: NDArray[np.float64] = level[sure if sure.any() else known]
    return float(levels.min() - BELOW * typical), float(levels.max() + ABOVE * typical)


def _title(ramp: Ramp, kind: Kind, i: int, stats: IntervalStats) -> str:
    level = f"{stats.median[i]:.4f} ± {stats.error[i]:.4f}"
    if kind == "read":
        return f"SAMPNUM {i}  IMSET {ramp.imset[i]}  {ramp.times[i]:.1f} s\n{level}"
    step = ramp.times[i + 1] - ramp.times[i]
    # Cumulative differences are the earlier minus the later, intervals the later minus the earlier.
    first, second = (i, i + 1) if kind == "cumulative" else (i + 1, i)
    return (
        f"SAMPNUM {first}−{second}  IMSET {ramp.imset[first]}−{ramp.imset[second]}  dt {step:.1f} s\n{level}"
    )


def _mark_sides(axes: Axes, boxes: dict[str, Region], levels: dict[str, float]) -> None:
    """Boxes of the two sides, their levels, ratio and difference."""
    from matplotlib.patches import Rectangle

    for (side, (rows, columns)), color, place in zip(boxes.items(), (LEFT, RIGHT), (0.04, 0.96), strict=True):
        corner = columns.start - 0.5, rows.start - 0.5
        size = columns.stop - columns.start, rows.stop - rows.start
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=color, linewidth=0.9))
        align = "left" if side == "left" else "right"
        outlined_text(axes, (place, 0.5), f"{levels[side]:.3f}", color, 9, ha=align)
    left, right = levels["left"], levels["right"]
    ratio = f"L/R {left / right:.3f}" if right > 0 else "L/R -"
    outlined_text(axes, (0.5, 0.92), ratio, "white", 9)
    outlined_text(axes, (0.5, 0.08), f"L−R {left - right:+.3f}", "white", 9)
