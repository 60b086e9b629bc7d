"""Level of the background up the ramp."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from upramp.plot.style import LEFT, RIGHT, require_matplotlib, unit_label
from upramp.wfc3ir.tables import sample_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from upramp.wfc3ir.exposure import Ramp

__all__ = ["plot_ramp"]


def plot_ramp(
    ramp: Ramp,
    *,
    region: tuple[slice, slice] | None = None,
    axes: Axes | None = None,
    label: str | None = None,
    color: str | None = None,
) -> Axes:
    """Draw the median rate of every interval between reads against the time of the read that ends it.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    region : tuple of slice, optional
        Rows and columns of the readout; by default all that are sensitive to light.
    axes : matplotlib.axes.Axes, optional
        Axes to draw on; by default those of a new figure.
    label : str, optional
        Name of the exposure in the legend.
    color : str, optional
        One colour for all three curves, to tell exposures on the same axes apart.

    Returns
    -------
    matplotlib.axes.Axes
        With three curves: the whole region (squares), its left strip (<) and its right strip (>).
    """
    require_matplotlib()
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")[1]
    table = sample_table(ramp, region=region)[1:]
    times = np.asarray(table["samptime"])
    prefix = "" if label is None else f"{label}: "
    for column, name, marker, own in (
        ("median", "all columns", "s", "black"),
        ("left", "left", "<", LEFT),
        ("right", "right", ">", RIGHT),
    ):
        main = column == "median"
        axes.plot(
            times,
            np.asarray(table[column]),
            marker=marker,
            color=color or own,
            linestyle="-" if main else ":",
            linewidth=1.6 if main else 1.0,
            markersize=4.5 if main else 4.0,
            markerfacecolor=(color or own) if main else "white",
            zorder=3 if main else 2,
            label=prefix + name,
        )
    axes.set_xlabel("SAMPTIME (s)")
    unit = ramp.unit if ramp.is_rate else f"{ramp.unit}/S"
    axes.set_ylabel(f"median rate ({unit_label(unit)})")
    # From the start of the exposure, with room for a marker of a first read a second later.
    axes.set_xlim(left=-0.02 * ramp.times[-1])
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(fontsize="small", framealpha=0.85, edgecolor="none")
    return axes
