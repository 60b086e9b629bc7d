"""Array API: ramp fits and read statistics on NumPy arrays, without files."""

from __future__ import annotations

from upramp.ramps.crcorr import CrcorrFit, CrcorrParams, fit_crcorr
from upramp.ramps.intervals import CellLevels, IntervalMean, average_intervals, cell_levels
from upramp.ramps.levels import ReadStats, read_stats

__all__ = [
    "CellLevels",
    "CrcorrFit",
    "CrcorrParams",
    "IntervalMean",
    "ReadStats",
    "average_intervals",
    "cell_levels",
    "fit_crcorr",
    "read_stats",
]
