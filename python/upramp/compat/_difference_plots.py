"""The figures of the notebooks on time-variable background."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp.compat._differences import (
    Corners,
    Triple,
    check_cube,
    compute_diff_imas,
    get_median_fullframe_lhs_rhs,
    get_std_fullframe_lhs_rhs,
    read_wfc3,
    region_slices,
)
from upramp.plot.grid import make_grid, outlined_text, show_image
from upramp.plot.style import LEFT, RIGHT, require_matplotlib
from upramp.ramps import read_stats
from upramp.wfc3ir.exposure import BORDER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "panel_plot",
    "plot_ima_difference_subplots",
    "plot_ima_subplots",
    "plot_ramp",
    "plot_ramp_subplots",
]

CLIP = 3.0
"""Limit beyond which a pixel is a source, standard deviations of its own interval."""

INCHES = 3.2
"""Size of a panel."""


def plot_ramp(
    ima: str,
    integ_time: ArrayLike,
    median_diff_fullframe: ArrayLike,
    median_diff_lhs: ArrayLike,
    median_diff_rhs: ArrayLike,
) -> Axes:
    """Draw the level of every interval but the first against the time of the read that ends it.

    Parameters
    ----------
    ima : str
        Title, usually the name of the file.
    integ_time : (NSAMP,) array_like
        Times of the reads, seconds.
    median_diff_fullframe, median_diff_lhs, median_diff_rhs : (NSAMP - 1,) array_like
        Medians of the differences.

    Returns
    -------
    matplotlib.axes.Axes
        The current axes, on which it is drawn.
    """
    require_matplotlib()
    from matplotlib import pyplot

    axes = pyplot.gca()
    times = np.asarray(integ_time, float)
    # The notebooks draw on figures of a page and of a wall.
    size = max(6.0, pyplot.gcf().get_figwidth() / 2)
    first = 1 if times.size > 2 else 0
    for values, name, label, marker, color, scale in (
        (median_diff_fullframe, "median_diff_fullframe", "Full Frame", "s", "black", 1.0),
        (median_diff_lhs, "median_diff_lhs", "LHS", "<", "orange", 0.8),
        (median_diff_rhs, "median_diff_rhs", "RHS", ">", "green", 0.8),
    ):
        levels = _levels(name, values, times.size - 1)
        axes.plot(
            times[1 + first :],
            levels[first:],
            marker,
            markersize=scale * size,
            color=color,
            label=label,
        )
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.grid(visible=True)
    axes.set(xlabel="SAMPTIME [s]", ylabel=r"$\mu$ [e-/s]", title=ima)
    axes.legend(loc=0)
    return axes


def panel_plot(
    cube: ArrayLike,
    integ_time: ArrayLike,
    median_diff_full_frame: ArrayLike,
    median_diff_lhs: ArrayLike,
    median_diff_rhs: ArrayLike,
    standard_dev_fullframe: ArrayLike,
    standard_dev_lhs: ArrayLike,
    standard_dev_rhs: ArrayLike,
    diff_method: str,
) -> Figure:
    """Draw the difference image of every interval but the first, with its level left and right.

    Parameters
    ----------
    cube : (ny, nx, NSAMP) array_like
        Rates in time order, of any size and number of reads.
    integ_time : (NSAMP,) array_like
        Times of the reads, seconds.
    median_diff_full_frame, median_diff_lhs, median_diff_rhs : (NSAMP - 1,) array_like
        Medians of the differences.
    standard_dev_fullframe, standard_dev_lhs, standard_dev_rhs : (NSAMP - 1,) array_like
        Their standard deviations.
    diff_method : {"instantaneous", "cumulative"}
        As of :func:`compute_diff_imas`.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each of the NSAMP - 2 intervals (the only one of two reads); the level above, the IMSETs and the
        time between them below.
    """
    require_matplotlib()
    from matplotlib import pyplot

    rates = check_cube(cube)
    times = np.asarray(integ_time, float)
    differences = compute_diff_imas(rates, times, diff_method)
    count = differences.shape[2]
    if count == 0:
        raise ValueError("cube holds one read: there is no difference to draw")
    numbers = {
        name: _levels(name, values, count)
        for name, values in (
            ("median_diff_full_frame", median_diff_full_frame),
            ("median_diff_lhs", median_diff_lhs),
            ("median_diff_rhs", median_diff_rhs),
            ("standard_dev_fullframe", standard_dev_fullframe),
            ("standard_dev_lhs", standard_dev_lhs),
            ("standard_dev_rhs", standard_dev_rhs),
        )
    }
    full, left, right, full_std, left_std, right_std = numbers.values()
    shown = range(1 if count > 1 else 0, count)
    figure, panels = _panels(pyplot.figure(), len(shown))
    for axes, k in zip(panels, shown, strict=True):
        drawn = show_image(axes, differences[:, :, k], _zscale(differences[:, :, k]))
        bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.9)
        bar.ax.tick_params(labelsize=7)
        axes.set_title(rf"$\mu = ${full[k]:.2f}±{full_std[k]:.2f} e-/s", fontsize=10)
        imset = count + 1 - k
        axes.set_xlabel(
            rf"SCI[{imset}-{imset - 1}], $\Delta t = ${times[k + 1] - times[k]:.2f} sec", fontsize=9
        )
        outlined_text(axes, (0.18, 0.5), f"{left[k]:.3f}\n±\n{left_std[k]:.3f}", "orange", 8)
        outlined_text(axes, (0.82, 0.5), f"{right[k]:.3f}\n±\n{right_std[k]:.3f}", "orange", 8)
        ratio = left[k] / right[k] if right[k] != 0 else np.nan
        outlined_text(axes, (0.5, 0.88), f"Ratio = {ratio:.2f}", "white", 9)
        outlined_text(axes, (0.5, 0.25), rf"$\Delta = ${left[k] - right[k]:.2f}", "limegreen", 9)
    return figure


def plot_ima_subplots(ima_filename: str | os.PathLike[str], vmin: float, vmax: float) -> Figure:
    """Draw every read of an exposure on one scale.

    Parameters
    ----------
    ima_filename : path-like
        IMA file of any size and number of reads.
    vmin, vmax : float
        Rates shown black and white.

    Returns
    -------
    matplotlib.figure.Figure
    """
    require_matplotlib()
    from matplotlib import pyplot

    cube, _ = read_wfc3(ima_filename)
    count = cube.shape[2]
    figure, panels = _panels(pyplot.figure(), count)
    for read, axes in enumerate(panels):
        drawn = show_image(axes, cube[:, :, read], (vmin, vmax))
        bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.9)
        bar.ax.tick_params(labelsize=7)
        axes.set_title(f"SCI, {count - read}", fontsize=10)
    figure.suptitle(Path(ima_filename).name)
    return figure


def plot_ramp_subplots(
    ima_files: Sequence[str | os.PathLike[str]],
    difference_method: str,
    ylims: Sequence[float],
    exclude_sources: bool,
    lhs_region: Corners,
    rhs_region: Corners,
) -> Figure:
    """Draw :func:`plot_ramp` of several exposures side by side.

    Parameters
    ----------
    ima_files : sequence of path-like
        IMA files.
    difference_method : {"instantaneous", "cumulative"}
        As of :func:`compute_diff_imas`.
    ylims : (float, float)
        Range of the rates drawn.
    exclude_sources : bool
        Clip pixels beyond 3 standard deviations of their own difference image before its medians.
    lhs_region, rhs_region : dict
        As of :func:`get_median_fullframe_lhs_rhs`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    require_matplotlib()
    from matplotlib import pyplot

    files = [ima_files] if isinstance(ima_files, (str, os.PathLike)) else list(ima_files)
    if not files:
        raise ValueError("ima_files is empty, expected the names of IMA files")
    figure = pyplot.figure(figsize=(7 * len(files), 5), layout="constrained")
    for i, name in enumerate(files):
        cube, times = read_wfc3(name)
        differences = compute_diff_imas(cube, times, difference_method)
        if exclude_sources:
            medians = _clipped_medians(differences, lhs_region, rhs_region)
        else:
            medians = get_median_fullframe_lhs_rhs(differences, lhs_region, rhs_region)
        pyplot.sca(figure.add_subplot(1, len(files), i + 1))
        axes = plot_ramp(Path(name).name, times, *medians)
        axes.set_ylim(ylims[0], ylims[1])
    return figure


def plot_ima_difference_subplots(
    ima_filename: str | os.PathLike[str],
    difference_method: str,
    lhs_region: Corners,
    rhs_region: Corners,
) -> Figure:
    """Draw :func:`panel_plot` of a file.

    Parameters
    ----------
    ima_filename : path-like
        IMA file of any size and number of reads.
    difference_method : {"instantaneous", "cumulative"}
        As of :func:`compute_diff_imas`.
    lhs_region, rhs_region : dict
        As of :func:`get_median_fullframe_lhs_rhs`; they are drawn as boxes.

    Returns
    -------
    matplotlib.figure.Figure
    """
    require_matplotlib()
    from matplotlib.patches import Rectangle

    cube, times = read_wfc3(ima_filename)
    differences = compute_diff_imas(cube, times, difference_method)
    figure = panel_plot(
        cube,
        times,
        *get_median_fullframe_lhs_rhs(differences, lhs_region, rhs_region),
        *get_std_fullframe_lhs_rhs(differences, lhs_region, rhs_region),
        difference_method,
    )
    for axes in figure.axes:
        if not axes.images or axes.get_label() == "<colorbar>":
            continue
        for corners, color in ((lhs_region, LEFT), (rhs_region, RIGHT)):
            x, y = corners["x0"] - 0.5, corners["y0"] - 0.5
            width, height = corners["x1"] - corners["x0"], corners["y1"] - corners["y0"]
            axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=color, linewidth=0.8))
    figure.suptitle(Path(ima_filename).name)
    return figure


def _panels(figure: Figure, count: int) -> tuple[Figure, list[Axes]]:
    figure.set_layout_engine("constrained")
    axes, (rows, columns) = make_grid(figure, count)
    figure.set_size_inches(INCHES * columns, INCHES * rows)
    return figure, axes


def _levels(name: str, values: ArrayLike, count: int) -> NDArray[np.float64]:
    levels = np.asarray(values, float)
    if levels.shape != (count,):
        raise ValueError(f"{name} has shape {levels.shape}, expected ({count},), one value per difference")
    return levels


def _zscale(image: NDArray[np.float64]) -> tuple[float, float]:
    from astropy.visualization import ZScaleInterval

    if not np.isfinite(image).any():
        return 0.0, 1.0
    low, high = ZScaleInterval().get_limits(image)
    return float(low), float(high)


def _clipped_medians(cube: NDArray[np.float64], lhs_region: Corners, rhs_region: Corners) -> Triple:
    planes = np.ascontiguousarray(np.moveaxis(cube, -1, 0), np.float32)
    shape = planes.shape[1:]
    full, left, right = (
        read_stats(planes, region=region, clip=CLIP).median
        for region in (
            (slice(BORDER, -BORDER), slice(BORDER, -BORDER)),
            region_slices("lhs_region", lhs_region, shape),
            region_slices("rhs_region", rhs_region, shape),
        )
    )
    return full, left, right
