"""One pixel in every read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from upramp.plot.style import BEFORE, require_matplotlib, unit_label
from upramp.tvb.intervals import pixel_stack
from upramp.wfc3ir.exposure import Ramp

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_pixel"]

VALUES = {"counts": "accumulated signal", "rate": "mean rate", "interval": "rate between reads"}


def plot_pixel(
    ramp: Ramp,
    x: int,
    y: int,
    *,
    value: str = "counts",
    axes: Axes | None = None,
    label: str | None = None,
    color: str = BEFORE,
) -> Axes:
    """Draw a pixel of every read against time.

    Parameters
    ----------
    ramp : Ramp
        Exposure.
    x, y : int
        Column and row of the readout, from 0, border included.
    value : {"counts", "rate", "interval"}, optional
        Column of :func:`upramp.pixel_stack` to draw: the accumulated signal, the mean rate up to the read, or the
        rate of the interval that ends with it.
    axes : matplotlib.axes.Axes, optional
        Axes to draw on; by default those of a new figure.
    label : str, optional
        Name in the legend.
    color : str, optional
        Colour.

    Returns
    -------
    matplotlib.axes.Axes
        Values with their ERR (counts and rates) as bars; samples with DQ bits are ringed, the bits beside them.
    """
    require_matplotlib()
    if value not in VALUES:
        raise ValueError(f"value is {value!r}, expected one of {', '.join(VALUES)}")
    table = pixel_stack(ramp, x, y)
    times, values = np.asarray(table["samptime"]), np.asarray(table[value], float)
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")[1]
    errors = np.asarray(table["err"], float)
    span = np.where(times > 0, times, 1.0)
    if value == "counts" and ramp.is_rate:
        errors = errors * span
    elif value == "rate" and not ramp.is_rate:
        errors = errors / span
    axes.errorbar(
        times,
        values,
        # Neighbouring intervals share a read: no ERR of the file is theirs.
        None if value == "interval" else errors,
        fmt="o-",
        color=color,
        markersize=4,
        linewidth=1.0,
        elinewidth=0.8,
        label=label or f"x={x}, y={y}",
    )
    flags = np.asarray(table["dq"])
    flagged = (flags != 0) & np.isfinite(values)
    if flagged.any():
        axes.plot(
            times[flagged],
            values[flagged],
            "o",
            markersize=9,
            markerfacecolor="none",
            markeredgecolor="crimson",
            label="DQ set",
        )
        for time, level, bits in zip(times[flagged], values[flagged], flags[flagged], strict=True):
            axes.annotate(
                str(bits),
                (time, level),
                textcoords="offset points",
                xytext=(5, 6),
                fontsize=7,
                color="crimson",
            )
    unit = ramp.unit.removesuffix("/S") + ("" if value == "counts" else "/S")
    axes.set_xlabel("SAMPTIME (s)")
    axes.set_ylabel(f"{VALUES[value]} ({unit_label(unit)})")
    axes.set_title(f"{ramp.path.name}  x={x}, y={y}")
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(fontsize="small", framealpha=0.85, edgecolor="none")
    return axes
