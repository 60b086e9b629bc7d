"""A CCD frame before and after its reduction."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upramp.plot.style import AFTER, BEFORE, require_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from upramp.ccd import CcdImage, Detector

__all__ = ["plot_reduction"]

BINS = 200
REACH = 5.0
"""Half width of the grey scale and the histogram, robust standard deviations about the median."""


def plot_reduction(
    raw: str | os.PathLike[str] | NDArray[Any],
    reduced: CcdImage,
    *,
    detector: Detector | None = None,
    cutout: tuple[slice, slice] | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw a raw frame and what it was reduced to, and the histograms of both.

    Parameters
    ----------
    raw : path-like or array_like
        Raw frame.
    reduced : CcdImage
        What :func:`upramp.ccd.reduce` made of it.
    detector : Detector, optional
        How the frame was read out; default: as its header says.
    cutout : tuple of slice, optional
        Rows and columns of the reduced frame to draw; default all.
    figure : matplotlib.figure.Figure, optional
        Empty figure to draw on; by default a new one of 11 by 7 inches.

    Returns
    -------
    matplotlib.figure.Figure
        Grey from 5 robust standard deviations below to 5 above the median; masked pixels of the result are blue.
    """
    require_matplotlib()
    from matplotlib import colormaps

    from upramp.ccd import Detector
    from upramp.ccd.calibrated import header_of
    from upramp.ccd.frames import open_frames
    from upramp.ccd.sections import find_layout

    detector = detector or Detector()
    with open_frames([raw], ext=detector.ext, memory=1 << 62) as (opened, _):
        header = header_of(opened[0])
        layout = find_layout(header, opened[0].shape, detector.overscan, detector.trim, opened[0].name)
        before = opened[0].image()[layout.trim]
    if before.shape != reduced.data.shape:
        raise ValueError(f"raw has shape {before.shape}, expected {reduced.data.shape}, that of the result")
    where = cutout or (slice(None), slice(None))
    before = before[where]
    after = np.where(reduced.dq[where] == 0, reduced.data[where], np.float32(np.nan))
    if figure is None:
        from matplotlib import pyplot

        figure = pyplot.figure(figsize=(11, 7))
    figure.set_layout_engine("constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(2.2, 1))
    colours = colormaps["gray"].with_extremes(bad="#9ecae1")
    panels = (("raw", before, "adu", BEFORE), ("reduced", after, reduced.unit, AFTER))
    for column, (label, image, unit, colour) in enumerate(panels):
        known = image[np.isfinite(image)].astype(np.float64)
        middle = float(np.median(known)) if known.size else 0.0
        sigma = 1.4826 * float(np.median(np.abs(known - middle))) if known.size else 0.0
        low, high = middle - REACH * (sigma or 1.0), middle + REACH * (sigma or 1.0)
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(image, origin="lower", cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        axes.set_title(f"{label}: {middle:.5g}, σ {sigma:.3g} {unit}", fontsize="medium")
        axes = figure.add_subplot(grid[1, column])
        axes.hist(known, bins=BINS, range=(low, high), histtype="step", color=colour)
        axes.axvline(middle, color=colour, linewidth=0.9, linestyle="--")
        axes.set_xlim(low, high)
        axes.set_xlabel(unit)
        axes.set_ylabel("pixels per bin")
    figure.suptitle(f"{header.get('OBJECT', '')} {Path(reduced.name).name}".strip(), fontsize="medium")
    return figure
