"""Figures. Every function returns what it drew; none shows, saves or changes a global setting."""

from __future__ import annotations

from upramp.plot.accumulation import plot_accumulation
from upramp.plot.ccd import plot_reduction
from upramp.plot.comparison import plot_comparison
from upramp.plot.panels import plot_panels
from upramp.plot.pixel import plot_pixel
from upramp.plot.ramp import plot_ramp, plot_ramps
from upramp.plot.sky import plot_sky
from upramp.plot.sky_graph import plot_sky_graph
from upramp.plot.sky_values import plot_sky_values
from upramp.plot.style import MatplotlibMissingError

__all__ = [
    "MatplotlibMissingError",
    "plot_accumulation",
    "plot_comparison",
    "plot_panels",
    "plot_pixel",
    "plot_ramp",
    "plot_ramps",
    "plot_reduction",
    "plot_sky",
    "plot_sky_graph",
    "plot_sky_values",
]
