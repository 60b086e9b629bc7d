"""Before and after a correction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from upramp.plot.ramp import plot_ramp
from upramp.plot.style import AFTER, BEFORE, require_matplotlib, unit_label
from upramp.wfc3ir.exposure import BORDER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from upramp.tvb.compare import Comparison

__all__ = ["plot_comparison"]

BINS = 200
"""Bins of the histogram."""

REACH = 6.0
"""Half width of the histogram, robust standard deviations of the wider image."""


def plot_comparison(
    comparison: Comparison,
    *,
    figure: Figure | None = None,
    hist_range: tuple[float, float] | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw two images on one scale, their sky, what was measured and, where known, their ramps.

    Parameters
    ----------
    comparison : Comparison
        What :func:`upramp.tvb.compare.compare` found; only its region is drawn.
    figure : matplotlib.figure.Figure, optional
        Empty figure to draw on; by default a new one of 10 by 7 inches.
    hist_range : (float, float), optional
        Range of the histogram, in the unit of the images; by default 6 robust standard deviations about the
        medians.
    limits : (float, float), optional
        Values shown black and white; by default those of zscale for the good pixels of both images.

    Returns
    -------
    matplotlib.figure.Figure
    """
    require_matplotlib()
    if figure is None:
        from matplotlib import pyplot

        figure = pyplot.figure(figsize=(10, 7), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=(1.35, 1.0))
    upper = grid[0].subgridspec(1, 2)
    _draw_images(figure, [figure.add_subplot(upper[i]) for i in range(2)], comparison, limits)
    ratios = (1.6, 1.0) if comparison.ramps is None else (1.0, 1.0, 1.0)
    lower = grid[1].subgridspec(1, len(ratios), width_ratios=ratios)
    panels = [figure.add_subplot(lower[i]) for i in range(len(ratios))]
    _draw_histograms(panels[0], comparison, hist_range)
    if comparison.ramps is not None:
        _draw_ramps(panels[1], comparison)
    _draw_numbers(panels[-1], comparison)
    return figure


def _draw_images(
    figure: Figure, axes: Sequence[Axes], comparison: Comparison, limits: tuple[float, float] | None
) -> None:
    from astropy.visualization import ZScaleInterval

    if limits is None:
        both = np.concatenate([image[comparison.good] for image in comparison.images])
        limits = ZScaleInterval().get_limits(both)
    rows, columns = comparison.region
    for panel, image, label, stats, color in zip(
        axes, comparison.images, comparison.labels, comparison.stats, (BEFORE, AFTER), strict=True
    ):
        shown = panel.imshow(
            image[comparison.region],
            origin="lower",
            cmap="gray",
            vmin=limits[0],
            vmax=limits[1],
            extent=(columns.start - 0.5, columns.stop - 0.5, rows.start - 0.5, rows.stop - 0.5),
        )
        panel.set_title(f"{label}   {stats.exptime:.1f} s", fontsize=10, color=color)
        panel.tick_params(labelsize=8)
    bar = figure.colorbar(shown, ax=axes, extend="both", shrink=0.9, aspect=30, pad=0.01)
    bar.set_label(unit_label(comparison.unit))
    bar.ax.tick_params(labelsize=8)


def _draw_histograms(axes: Axes, comparison: Comparison, limits: tuple[float, float] | None) -> None:
    if limits is None:
        medians = [stats.median for stats in comparison.stats]
        # A constant image has no scatter: any width will do.
        width = REACH * max(stats.robust_std for stats in comparison.stats) or 1.0
        limits = (min(medians) - width, max(medians) + width)
    for image, stats, color, name in zip(
        comparison.images, comparison.stats, (BEFORE, AFTER), ("before", "after"), strict=True
    ):
        values = image[comparison.good]
        axes.hist(values, bins=BINS, range=limits, histtype="stepfilled", color=color, alpha=0.25)
        axes.hist(values, bins=BINS, range=limits, histtype="step", color=color, linewidth=1.1, label=name)
        axes.axvline(stats.median, color=color, linewidth=0.9, linestyle="--")
    axes.set_xlim(limits)
    axes.set_xlabel(f"signal ({unit_label(comparison.unit)})")
    axes.set_ylabel("pixels per bin")
    axes.set_title("sky (dashed: medians)", fontsize=10)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, frameon=False)


def _draw_ramps(axes: Axes, comparison: Comparison) -> None:
    from matplotlib.lines import Line2D

    assert comparison.ramps is not None
    rows, columns = comparison.region
    region = (
        slice(rows.start + BORDER, rows.stop + BORDER),
        slice(columns.start + BORDER, columns.stop + BORDER),
    )
    for ramp, color, name in zip(comparison.ramps, (BEFORE, AFTER), ("before", "after"), strict=True):
        plot_ramp(ramp, region=region, axes=axes, label=name, color=color)
    # Six curves need but four words: two colours, two markers.
    keys = [Line2D([], [], color=color, linewidth=1.6) for color in (BEFORE, AFTER)]
    keys += [
        Line2D([], [], color="0.4", linestyle=":", marker=marker, markersize=4, markerfacecolor="white")
        for marker in "<>"
    ]
    axes.legend(
        keys, ["before", "after", "left", "right"], fontsize=8, ncols=2, framealpha=0.85, edgecolor="none"
    )
    axes.set_title("median rate between reads", fontsize=10)
    axes.set_ylabel(axes.get_ylabel().removeprefix("median rate of the interval (").removesuffix(")"))
    axes.tick_params(labelsize=8)


def _draw_numbers(axes: Axes, comparison: Comparison) -> None:
    axes.axis("off")
    axes.set_title(f"{comparison.stats[0].n_good} pixels without flags", fontsize=10)
    lines = [("", "before", "after", "change"), *comparison.rows()]
    for i, line in enumerate(lines):
        height = 0.97 - 0.97 * i / (len(lines) - 1)
        for text, x, color in zip(
            line, (0.0, 0.58, 0.8, 1.04), ("black", BEFORE, AFTER, "black"), strict=True
        ):
            axes.text(
                x,
                height,
                text,
                color=color,
                fontsize=8,
                fontweight="bold" if i == 0 else "normal",
                ha="left" if x == 0 else "right",
                va="center",
                transform=axes.transAxes,
            )
