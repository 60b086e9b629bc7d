"""Array API: ramp fits and read statistics on NumPy arrays, without files."""

from __future__ import annotations

from upramp.ramps.crcorr import CrcorrFit, CrcorrParams, fit_crcorr
from upramp.ramps.intervals import Difference, IntervalStats, difference_stats
from upramp.ramps.levels import ReadStats, read_stats

__all__ = [
    "CrcorrFit",
    "CrcorrParams",
    "Difference",
    "IntervalStats",
    "ReadStats",
    "difference_stats",
    "fit_crcorr",
    "read_stats",
]
