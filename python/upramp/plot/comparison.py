"""Before and after a correction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from upramp.plot.ramp import plot_ramp
from upramp.plot.style import AFTER, BEFORE, require_matplotlib, unit_label
from upramp.wfc3ir.exposure import BORDER, Ramp, read_ramp

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from upramp.tvb.compare import Comparison, Source

__all__ = ["draw_histograms", "draw_ramps", "image_limits", "plot_comparison"]

WIDEST = 44
"""Characters of a file name that fit above an image."""

BINS = 200
"""Bins of the histogram."""

REACH = 6.0
"""Half width of the histogram, robust standard deviations of the wider image."""


def plot_comparison(
    comparison: Comparison,
    *,
    ramps: tuple[Source, Source] | None = None,
    figure: Figure | None = None,
    hist_range: tuple[float, float] | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw two images on one scale, their sky, what was measured and, where known, their ramps.

    Parameters
    ----------
    comparison : Comparison
        What :func:`upramp.tvb.compare.compare` found; only its region is drawn.
    ramps : pair of Ramp or path-like, optional
        Exposures (or their IMA files) to draw up the ramp; by default those of the comparison, which a
        comparison of FLT files lacks.
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

        figure = pyplot.figure(figsize=(10, 7))
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
    grid = figure.add_gridspec(2, 1, height_ratios=(1.6, 1.0))
    upper = grid[0].subgridspec(1, 2)
    _draw_images(figure, [figure.add_subplot(upper[i]) for i in range(2)], comparison, limits)
    ramps = ramps or comparison.ramps
    ratios = (1.6, 1.0) if ramps is None else (1.0, 1.0, 1.0)
    lower = grid[1].subgridspec(1, len(ratios), width_ratios=ratios)
    panels = [figure.add_subplot(lower[i]) for i in range(len(ratios))]
    draw_histograms(panels[0], comparison, hist_range)
    if ramps is not None:
        draw_ramps(panels[1], comparison, ramps)
    _draw_numbers(panels[-1], comparison)
    return figure


def _draw_images(
    figure: Figure, axes: Sequence[Axes], comparison: Comparison, limits: tuple[float, float] | None
) -> None:
    limits = limits or image_limits(comparison)
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
        name = label if len(label) <= WIDEST else "…" + label[1 - WIDEST :]
        panel.set_title(f"{name}   {stats.exptime:.1f} s", fontsize=10, color=color)
        panel.set_xlabel("x (pixels)", fontsize=9)
        panel.tick_params(labelsize=8)
    axes[0].set_ylabel("y (pixels)", fontsize=9)
    axes[1].tick_params(labelleft=False)
    bar = figure.colorbar(shown, ax=axes, extend="both", shrink=0.9, aspect=30, pad=0.01)
    bar.set_label(unit_label(comparison.unit))
    bar.ax.tick_params(labelsize=8)


def image_limits(comparison: Comparison) -> tuple[float, float]:
    """Values shown black and white: zscale of the good pixels of both images.

    Parameters
    ----------
    comparison : Comparison
        What was measured.

    Returns
    -------
    (float, float)
    """
    from astropy.visualization import ZScaleInterval

    both = np.concatenate([image[comparison.good] for image in comparison.images])
    low, high = ZScaleInterval().get_limits(both)
    return float(low), float(high)


def draw_histograms(axes: Axes, comparison: Comparison, limits: tuple[float, float] | None) -> None:
    """Draw the histograms of both images.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where.
    comparison : Comparison
        What was measured.
    limits : (float, float) or None
        Range; None for 6 robust standard deviations about the medians.
    """
    from matplotlib.colors import to_rgba

    if limits is None:
        medians = [stats.median for stats in comparison.stats]
        # A constant image has no scatter: any width will do.
        width = REACH * max(stats.robust_std for stats in comparison.stats) or 1.0
        limits = (min(medians) - width, max(medians) + width)
    for image, stats, color, name in zip(
        comparison.images, comparison.stats, (BEFORE, AFTER), ("before", "after"), strict=True
    ):
        values = image[comparison.good]
        axes.hist(
            values,
            bins=BINS,
            range=limits,
            histtype="stepfilled",
            facecolor=to_rgba(color, 0.25),
            edgecolor=color,
            linewidth=1.1,
            label=name,
        )
        axes.axvline(stats.median, color=color, linewidth=0.9, linestyle="--")
    axes.set_xlim(limits)
    axes.set_xlabel(f"signal ({unit_label(comparison.unit)})", fontsize=9)
    axes.set_ylabel("pixels per bin", fontsize=9)
    axes.set_title("sky (dashed: medians)", fontsize=10)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, frameon=False)


def draw_ramps(axes: Axes, comparison: Comparison, ramps: tuple[Source, Source]) -> None:
    """Draw the level up both ramps, in the region compared.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where.
    comparison : Comparison
        What was measured.
    ramps : pair of Ramp or path-like
        Exposures.
    """
    from matplotlib.lines import Line2D

    rows, columns = comparison.region
    region = (
        slice(rows.start + BORDER, rows.stop + BORDER),
        slice(columns.start + BORDER, columns.stop + BORDER),
    )
    for source, color, name in zip(ramps, (BEFORE, AFTER), ("before", "after"), strict=True):
        ramp = source if isinstance(source, Ramp) else read_ramp(source)
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
    axes.set_title("up the ramp", fontsize=10)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    axes.tick_params(labelsize=8)


def _draw_numbers(axes: Axes, comparison: Comparison) -> None:
    axes.axis("off")
    axes.set_title(f"{comparison.stats[0].n_good} pixels without flags in both", fontsize=10)
    lines = [("", "before", "after", "change"), *comparison.rows()]
    for i, line in enumerate(lines):
        height = 0.97 - 0.97 * i / (len(lines) - 1)
        for text, x, color in zip(
            line, (0.0, 0.57, 0.79, 1.0), ("black", BEFORE, AFTER, "black"), strict=True
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
    axes.plot([0, 1], [0.925, 0.925], color="0.6", linewidth=0.8, transform=axes.transAxes)
    axes.set(xlim=(0, 1), ylim=(0, 1))
