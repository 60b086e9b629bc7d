"""Sky values of exposures by several methods, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from upramp.plot.style import SERIES, require_matplotlib, unit_label
from upramp.sky import SkyImage, SkyResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_sky_values"]

MARKERS = "osD^v"
NAMED = 40
"""Exposures whose names still fit below the axis."""
SPREAD = 0.3
"""How far apart the chips of an exposure are drawn, exposures."""


def plot_sky_values(
    result: SkyResult, *, methods: Sequence[str] | None = None, axes: Axes | None = None
) -> Axes:
    """Draw the sky of every exposure by every method that was computed.

    Parameters
    ----------
    result : SkyResult
        What :func:`upramp.sky.match_sky` found; with ``method="all"`` there are four values a chip.
    methods : sequence of str, optional
        Methods to draw; by default all.
    axes : matplotlib.axes.Axes, optional
        Axes to draw on; by default those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Values in the data units of the files; where some are rates and some counts, per second. Bars of ``match``
        are one standard deviation with respect to the mean of the group, from the misfit of the pairs.

    Raises
    ------
    ValueError
        A method was not computed.
    """
    require_matplotlib()
    names = list(result.methods) if methods is None else list(methods)
    for name in names:
        if name not in result.methods:
            raise ValueError(f"methods has {name!r}, expected of those computed: {', '.join(result.methods)}")
    images = result.images
    if axes is None:
        from matplotlib import pyplot

        width = min(max(6.0, 2.5 + 0.28 * len(images)), 16.0)
        axes = pyplot.subplots(figsize=(width, 4.5), layout="constrained")[1]
    mixed = len({image.units for image in images}) > 1
    scales = [_per_second(image) if mixed else 1.0 for image in images]
    places = [
        number + SPREAD * (c - (len(image.chips) - 1) / 2) / max(len(image.chips) - 1, 1)
        for number, image in enumerate(images)
        for c in range(len(image.chips))
    ]
    for k, name in enumerate(names):
        values = [
            value * scale
            for found, scale in zip(result.methods[name], scales, strict=True)
            for value in found
        ]
        axes.errorbar(
            places,
            values,
            yerr=_bars(result, scales) if name == "match" else None,
            linestyle="none",
            marker=MARKERS[k % len(MARKERS)],
            markersize=5,
            elinewidth=0.9,
            color=SERIES[k % len(SERIES)],
            label=name,
        )
    axes.set_xlim(-0.6, len(images) - 0.4)
    if len(images) <= NAMED:
        axes.set_xticks(range(len(images)), [image.rootname for image in images])
        axes.tick_params(axis="x", labelrotation=90, labelsize=8)
    else:
        axes.set_xlabel("exposure, in the order given")
    unit = next((image.bunit for image in images if not mixed or image.units == "rate"), "")
    axes.set_ylabel(f"sky ({unit_label(unit)})" if unit else "sky")
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    # Above the axes: there is no corner that values leave free.
    axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize="small", frameon=False, ncols=len(names)
    )
    return axes


def _per_second(image: SkyImage) -> float:
    return 1 / image.exptime if image.units == "counts" and image.exptime else 1.0


def _bars(result: SkyResult, scales: Sequence[float]) -> list[float] | None:
    """Uncertainty of the matched sky of every chip; None where nothing tells."""
    if result.matched is None:
        return None
    sigma = np.nan_to_num(np.asarray(result.matched.solution.sigma, float))
    if not sigma.any():
        return None
    return [
        float(sigma[number]) / chip.factor * scale
        for number, (image, scale) in enumerate(zip(result.images, scales, strict=True))
        for chip in image.chips
    ]
