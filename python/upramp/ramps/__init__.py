"""Array API: ramp fits and read statistics on NumPy arrays, without files."""

from __future__ import annotations

from upramp.ramps.average import IntervalMean, average_intervals
from upramp.ramps.bias import covariance_of, rate_bias
from upramp.ramps.casertano import CASERTANO_THRESHOLD, CasertanoFit, fit_casertano
from upramp.ramps.cells import CellLevels, cell_levels
from upramp.ramps.crcorr import CrcorrFit, CrcorrParams, fit_crcorr
from upramp.ramps.differences import Covariance, DifferenceFit, fit_differences, search_differences
from upramp.ramps.fitting import FIT_METHODS, JUMP_METHODS, fit
from upramp.ramps.intervals import Difference, IntervalStats, difference_stats
from upramp.ramps.jumps import JumpRule, TwoPointJumps, find_jumps
from upramp.ramps.large_events import LargeEvents, ShowerRule, SnowballRule, find_showers, find_snowballs
from upramp.ramps.levels import ReadStats, read_stats
from upramp.ramps.likelihood import DqRule, GlsFit, fit_gls
from upramp.ramps.ols import OlsFit, RampBits, RateImages, SegmentImages, fit_ols
from upramp.ramps.ramp_fit import HitList, RampFit

__all__ = [
    "CASERTANO_THRESHOLD",
    "FIT_METHODS",
    "JUMP_METHODS",
    "CasertanoFit",
    "CellLevels",
    "Covariance",
    "CrcorrFit",
    "CrcorrParams",
    "Difference",
    "DifferenceFit",
    "DqRule",
    "GlsFit",
    "HitList",
    "IntervalMean",
    "IntervalStats",
    "JumpRule",
    "LargeEvents",
    "OlsFit",
    "RampBits",
    "RampFit",
    "RateImages",
    "ReadStats",
    "SegmentImages",
    "ShowerRule",
    "SnowballRule",
    "TwoPointJumps",
    "average_intervals",
    "cell_levels",
    "covariance_of",
    "difference_stats",
    "find_jumps",
    "find_showers",
    "find_snowballs",
    "fit",
    "fit_casertano",
    "fit_crcorr",
    "fit_differences",
    "fit_gls",
    "fit_ols",
    "rate_bias",
    "read_stats",
    "search_differences",
]
