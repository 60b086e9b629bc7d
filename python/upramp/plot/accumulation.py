"""Signal gathered since the start of the exposure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from upramp.plot.style import LEFT, RIGHT, SERIES, require_matplotlib, unit_label
from upramp.tvb.intervals import since_zeroth
from upramp.tvb.levels import interval_stats
from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.tables import strips

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_accumulation"]

Region = tuple[slice, slice]


def plot_accumulation(
    ramps: Ramp | Sequence[Ramp],
    *,
    region: Region | None = None,
    sides: bool | None = None,
    left: Region | None = None,
    right: Region | None = None,
    clip: float | None = 3.0,
    axes: Axes | None = None,
    labels: Sequence[str] | None = None,
) -> Axes:
    """Draw the median accumulated signal of exposures against time; a steady background makes a straight line.

    Parameters
    ----------
    ramps : Ramp or sequence of Ramp
        Exposures, in one unit but for the time.
    region : tuple of slice, optional
        Rows and columns of the readout; by default all that are sensitive to light.
    sides : bool, optional
        Whether to draw the left and right sides too; by default only for a single exposure.
    left, right : tuple of slice, optional
        The two sides; by default the strips of `region` near its edges.
    clip : float or None, optional
        Clip pixels further from the median than this many robust standard deviations of their read.
    axes : matplotlib.axes.Axes, optional
        Axes to draw on; by default those of a new figure.
    labels : sequence of str, optional
        Names in the legend; by default those of the files.

    Returns
    -------
    matplotlib.axes.Axes
        For each exposure a curve of median(R_k) t_k against t_k from read 0 on, R_k being the mean rate up to read
        k, and a thin straight line to its last point.
    """
    require_matplotlib()
    exposures = [ramps] if isinstance(ramps, Ramp) else list(ramps)
    names = [ramp.path.name for ramp in exposures] if labels is None else list(labels)
    if not exposures:
        raise ValueError("ramps is empty, expected exposures")
    if len(names) != len(exposures):
        raise ValueError(f"labels has {len(names)} entries, expected {len(exposures)}, one per exposure")
    units = sorted({ramp.unit.removesuffix("/S") for ramp in exposures})
    if len(units) > 1:
        raise ValueError(f"ramps are in {' and '.join(units)}, expected one unit")
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")[1]
    sides = len(exposures) == 1 if sides is None else sides
    for i, (ramp, name) in enumerate(zip(exposures, names, strict=True)):
        main = "black" if len(exposures) == 1 else SERIES[i % len(SERIES)]
        one, other = strips(ramp, region)
        curves = {"full": (region or ramp.border, name, "s", main)}
        if sides:
            single = len(exposures) == 1
            curves["left"] = left or one, f"{name}: left", "<", LEFT if single else main
            curves["right"] = right or other, f"{name}: right", ">", RIGHT if single else main
        stats = interval_stats(
            since_zeroth(ramp), {key: curve[0] for key, curve in curves.items()}, kind="read", clip=clip
        )
        for key, (_, label, marker, color) in curves.items():
            signal = stats[key].median * ramp.times
            whole = key == "full"
            axes.plot(
                ramp.times,
                signal,
                marker=marker,
                color=color,
                linestyle="-" if whole else ":",
                linewidth=1.4 if whole else 1.0,
                markersize=4.0,
                markerfacecolor=color if whole else "white",
                label=label,
                zorder=3 if whole else 2,
            )
            if whole:
                axes.plot(
                    [0, ramp.times[-1]], [0, signal[-1]], color=color, linestyle="--", linewidth=0.7, zorder=1
                )
    axes.set_xlabel("SAMPTIME (s)")
    axes.set_ylabel(f"median signal ({unit_label(units[0])})")
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(fontsize="small", framealpha=0.85, edgecolor="none")
    return axes
