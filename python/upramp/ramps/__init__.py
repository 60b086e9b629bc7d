"""Array API: ramp fits and read statistics on NumPy arrays, without files."""

from __future__ import annotations

from upramp.ramps.average import IntervalMean, average_intervals
from upramp.ramps.cells import CellLevels, cell_levels
from upramp.ramps.crcorr import CrcorrFit, CrcorrParams, fit_crcorr
from upramp.ramps.intervals import Difference, IntervalStats, difference_stats
from upramp.ramps.jumps import JumpRule, TwoPointJumps, find_jumps
from upramp.ramps.large_events import LargeEvents, ShowerRule, SnowballRule, find_showers, find_snowballs
from upramp.ramps.levels import ReadStats, read_stats
from upramp.ramps.likelihood import DqRule, GlsFit, fit_gls
from upramp.ramps.ols import OlsFit, RampBits, RateImages, SegmentImages, fit_ols

__all__ = [
    "CellLevels",
    "CrcorrFit",
    "CrcorrParams",
    "Difference",
    "DqRule",
    "GlsFit",
    "IntervalMean",
    "IntervalStats",
    "JumpRule",
    "LargeEvents",
    "OlsFit",
    "RampBits",
    "RateImages",
    "ReadStats",
    "SegmentImages",
    "ShowerRule",
    "SnowballRule",
    "TwoPointJumps",
    "average_intervals",
    "cell_levels",
    "difference_stats",
    "find_jumps",
    "find_showers",
    "find_snowballs",
    "fit_crcorr",
    "fit_gls",
    "fit_ols",
    "read_stats",
]
