"""Figures. Every function returns what it drew; none shows, saves or changes a global setting."""

from __future__ import annotations

from upramp.plot.comparison import plot_comparison
from upramp.plot.ramp import plot_ramp
from upramp.plot.style import MatplotlibMissingError

__all__ = ["MatplotlibMissingError", "plot_comparison", "plot_ramp"]
