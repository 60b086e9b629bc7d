"""The graph of overlaps: exposures where they point, pairs by how well they agree, before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upramp.plot.style import SERIES, require_matplotlib
from upramp.sky import SkyImage, SkyResult, footprint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_sky_graph"]

NAMED = 40
"""Exposures that are numbered in the figure."""
CLOSE = 0.04
"""Exposures that share a label, in units of the extent of all."""


def plot_sky_graph(result: SkyResult, *, figure: Figure | None = None) -> Figure:
    """Draw exposures on the sky and the differences of those that overlap, before they are matched and after.

    Parameters
    ----------
    result : SkyResult
        What a method that matches overlaps found.
    figure : matplotlib.figure.Figure, optional
        Empty figure to draw on; by default a new one of 11 by 5 inches.

    Returns
    -------
    matplotlib.figure.Figure
        North up and east left, arcminutes. A dot is an exposure, in the colour of its group, an open one overlaps
        no other; a line is a pair, broad where it has many pixels, its colour the difference of both skies in
        surface brightness. Exposures are numbered in the order given, from 0.

    Raises
    ------
    ValueError
        The method did not match overlaps.
    """
    require_matplotlib()
    if result.matched is None:
        raise ValueError(f"method is {result.method!r}, expected one that matches overlaps to have a graph")
    if figure is None:
        from matplotlib import pyplot

        figure = pyplot.figure(figsize=(11, 5))
    figure.set_layout_engine("constrained")
    outlines = [
        [footprint(image.wcs(c), chip.shape) for c, chip in enumerate(image.chips)] for image in result.images
    ]
    corners, centres = _to_plane(outlines)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    pairs = result.residuals
    for axes, column, title in ((left, "difference", "before"), (right, "residual", "after")):
        _draw_pairs(axes, pairs, np.asarray(pairs[column], float), centres, _unit(result.images))
        _draw_exposures(axes, corners, centres, result.matched.groups)
        rms = float(np.sqrt(np.nanmean(np.square(pairs[column])))) if len(pairs) else 0.0
        axes.set_title(f"{title}: {len(pairs)} pairs, rms {rms:.3g}", fontsize=10)
        axes.set_xlabel("east (arcmin)")
        axes.set_aspect("equal")
    left.set_ylabel("north (arcmin)")
    left.invert_xaxis()
    return figure


def _draw_pairs(
    axes: Axes, pairs: Any, values: NDArray[np.float64], centres: NDArray[np.float64], unit: str
) -> None:
    """Lines between exposures, those that fit worst on top."""
    from matplotlib.collections import LineCollection

    order = np.argsort(np.nan_to_num(np.abs(values)), kind="stable")
    ends = np.column_stack([pairs["i"], pairs["j"]]).astype(int)[order]
    pixels = np.sqrt(0.5 * (np.asarray(pairs["n_i"], float) + np.asarray(pairs["n_j"], float)))[order]
    reach = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    lines = LineCollection(
        list(centres[ends]),
        array=values[order],
        cmap="coolwarm",
        linewidths=0.8 + 3 * pixels / max(float(pixels.max(initial=0.0)), 1.0),
        zorder=2,
    )
    lines.set_clim(-reach, reach)
    axes.add_collection(lines)
    bar = axes.figure.colorbar(lines, ax=axes, shrink=0.85, pad=0.02)
    bar.set_label(f"difference of skies ({unit})", fontsize=9)
    bar.ax.tick_params(labelsize=8)


def _draw_exposures(
    axes: Axes,
    corners: list[NDArray[np.float64]],
    centres: NDArray[np.float64],
    groups: tuple[tuple[int, ...], ...],
) -> None:
    for outline in corners:
        axes.fill(*outline.T, facecolor="0.5", alpha=0.04, edgecolor="none", zorder=1)
        axes.plot(*np.concatenate([outline, outline[:1]]).T, color="0.75", linewidth=0.5, zorder=1)
    for number, group in enumerate(groups):
        color, alone = SERIES[number % len(SERIES)], len(group) == 1
        label = f"group {number + 1}: " + ("no overlap" if alone else f"{len(group)} exposures")
        axes.plot(
            *centres[list(group)].T,
            linestyle="none",
            marker="o",
            markersize=6,
            markeredgecolor=color,
            markerfacecolor="white" if alone else color,
            label=label if len(groups) > 1 else None,
            zorder=3,
        )
    if len(centres) <= NAMED:
        for place, label in _labels(centres):
            axes.annotate(
                label, (place[0], place[1]), xytext=(5, 5), textcoords="offset points", fontsize=7, zorder=4
            )
    if len(groups) > 1:
        axes.legend(fontsize=8, framealpha=0.85, edgecolor="none")


def _labels(centres: NDArray[np.float64]) -> list[tuple[NDArray[np.float64], str]]:
    """Numbers of exposures; those of dithers too close to be told apart stand together."""
    close = CLOSE * float(np.ptp(centres, axis=0).max(initial=0.0))
    found: list[tuple[NDArray[np.float64], list[int]]] = []
    for number, place in enumerate(centres):
        for other, numbers in found:
            if np.hypot(*(place - other)) <= close:
                numbers.append(number)
                break
        else:
            found.append((place, [number]))
    return [(place, ", ".join(map(str, numbers))) for place, numbers in found]


def _to_plane(
    outlines: list[list[NDArray[np.float64]]],
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Outlines of chips and centres of exposures about the middle of all, arcmin to the east and north."""

    def vectors(sky: NDArray[np.float64]) -> NDArray[np.float64]:
        ra, dec = np.radians(sky).T
        return np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])

    chips = [[vectors(outline) for outline in exposure] for exposure in outlines]
    centres = np.array([np.concatenate(exposure).mean(axis=0) for exposure in chips])
    middle = centres.mean(axis=0)
    if np.linalg.norm(middle) < 1e-6:  # all around the sky
        middle = centres[0]
    middle /= np.linalg.norm(middle)
    pole = np.array([0.0, 0.0, 1.0]) if abs(middle[2]) < 1 - 1e-12 else np.array([1.0, 0.0, 0.0])
    east = np.cross(pole, middle)
    east /= np.linalg.norm(east)
    # Orthographic: any place of the sky has one, and near the middle it is true to scale.
    plane = np.degrees(np.column_stack([east, np.cross(middle, east)])) * 60
    return [chip @ plane for exposure in chips for chip in exposure], centres @ plane


def _unit(images: tuple[SkyImage, ...]) -> str:
    flux = any(chip.sensitivity is not None for image in images for chip in image.chips)
    scaled = all(chip.scale is not None for image in images for chip in image.chips)
    quantum = "flux" if flux else "data units per s"
    kinds = {image.bunit.upper().split("/")[0].strip() for image in images}
    if not flux and kinds <= {"ELECTRONS", "ELECTRON", "E-"}:
        quantum = "e$^-$ s$^{-1}$"
    return quantum + (" arcsec$^{-2}$" if scaled else " pixel$^{-1}$")
