"""Histogram of the sky: one narrow peak, unless the ramp fit went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from upramp.plot.style import SERIES, require_matplotlib, unit_label
from upramp.tvb.compare import Source, read_product

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_sky"]

BINS = 200
REACH = 6.0
"""Half width of the window, robust standard deviations of the widest image."""


def plot_sky(
    *images: Source,
    region: tuple[slice, slice] | None = None,
    limits: tuple[float, float] | None = None,
    bins: int = BINS,
    labels: Sequence[str] | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draw histograms of the good pixels of images around their sky.

    Where the background varies, the fit breaks a ramp into pieces in some pixels and not in others, and the
    histogram has two or three peaks.

    Parameters
    ----------
    *images : Ramp or path-like
        FLT files; of an IMA file or a `Ramp` the last read is taken, without its border.
    region : tuple of slice, optional
        Rows and columns, counted from the first light-sensitive pixel, as in a FLT file.
    limits : (float, float), optional
        Range of the histogram; by default 6 robust standard deviations about the medians.
    bins : int, optional
        Bins in that range.
    labels : sequence of str, optional
        Names in the legend; by default those of the files.
    axes : matplotlib.axes.Axes, optional
        Axes to draw on; by default those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A histogram of the pixels with DQ 0 for each image, its median dashed; the legend gives median and robust
        standard deviation.
    """
    require_matplotlib()
    if not images:
        raise ValueError("no image given, expected FLT files")
    products = [read_product(image) for image in images]
    names = [product.path.name for product in products] if labels is None else list(labels)
    if len(names) != len(products):
        raise ValueError(f"labels has {len(names)} entries, expected {len(products)}, one per image")
    units = sorted({product.unit for product in products})
    if len(units) > 1:
        raise ValueError(f"images are in {' and '.join(units)}, expected one unit")
    samples = []
    for product in products:
        good = (product.dq == 0) & np.isfinite(product.image)
        where = region or (slice(None), slice(None))
        values = product.image[where][good[where]].astype(float)
        if values.size == 0:
            raise ValueError(f"{product.path}: no pixel of the region is free of DQ flags")
        samples.append(values)
    medians = [float(np.median(values)) for values in samples]
    widths = [
        1.4826 * float(np.median(np.abs(values - median)))
        for values, median in zip(samples, medians, strict=True)
    ]
    if limits is None:
        # A constant image has no scatter: any width will do.
        reach = REACH * max(widths) or 1.0
        limits = min(medians) - reach, max(medians) + reach
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")[1]
    for i, values in enumerate(samples):
        color = SERIES[i % len(SERIES)]
        axes.hist(
            values,
            bins=bins,
            range=limits,
            histtype="step",
            color=color,
            linewidth=1.2,
            label=f"{names[i]}: {medians[i]:.4f}, σ {widths[i]:.4f}",
        )
        axes.axvline(medians[i], color=color, linewidth=0.9, linestyle="--")
    axes.set_xlim(limits)
    axes.set_xlabel(f"signal ({unit_label(units[0])})")
    axes.set_ylabel("pixels per bin")
    axes.legend(fontsize="small", framealpha=0.85, edgecolor="none")
    return axes
