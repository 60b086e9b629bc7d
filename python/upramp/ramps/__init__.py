"""Array API: ramp fits and read statistics on NumPy arrays, without files."""

from __future__ import annotations

from upramp.ramps.crcorr import CrcorrFit, CrcorrParams, fit_crcorr
from upramp.ramps.intervals import CellLevels, IntervalMean, average_intervals, cell_levels
from upramp.ramps.levels import ReadStats, read_stats
from upramp.ramps.likelihood import DqRule, GlsFit, fit_gls

__all__ = [
    "CellLevels",
    "CrcorrFit",
    "CrcorrParams",
    "DqRule",
    "GlsFit",
    "IntervalMean",
    "ReadStats",
    "average_intervals",
    "cell_levels",
    "fit_crcorr",
    "fit_gls",
    "read_stats",
]
