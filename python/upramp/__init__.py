"""Infrared exposures, read by read: fits, cosmic rays and variable background.

>>> import upramp
>>> ramp = upramp.read_ramp("x_ima.fits")  # doctest: +SKIP
>>> flat = upramp.flatten_ramp(ramp)  # doctest: +SKIP
>>> fit = flat.fit(untouched=ramp, method="gls")  # doctest: +SKIP
>>> upramp.write_flt("x_flt.fits", fit, like=ramp)  # doctest: +SKIP
"""

from __future__ import annotations

from upramp._arrays import __version__
from upramp.ccd.cosmics import detect_cosmics
from upramp.compat.accelerate import accelerate
from upramp.exceptions import InputError, NetworkError, OutputError, ReferenceFileError, UprampError
from upramp.tvb.average import average_intervals
from upramp.tvb.compare import Comparison, compare
from upramp.tvb.corrected import Corrected
from upramp.tvb.difference import last_minus_first
from upramp.tvb.excess import remove_excess
from upramp.tvb.fix import fix_file
from upramp.tvb.flag import ReadFlags, flag_reads
from upramp.tvb.flatten import flatten_ramp
from upramp.tvb.intervals import cumulative_diff, interval_rates, pixel_stack
from upramp.tvb.levels import IntervalStats, LeftRight, interval_stats, lr_medians, read_stats
from upramp.tvb.reads import mask_reads, subtract_reads
from upramp.tvb.reads_file import read_flags, write_flags
from upramp.tvb.sources import source_mask
from upramp.tvb.surface import remove_columns, remove_plane
from upramp.wfc3ir.exposure import Ramp, read_ramp
from upramp.wfc3ir.files import Outcome, calibrate_file
from upramp.wfc3ir.fit import Fit, fit_ramp
from upramp.wfc3ir.pipeline import calibrate
from upramp.wfc3ir.products import write_flt, write_ima
from upramp.wfc3ir.references import Refs
from upramp.wfc3ir.tables import inventory, sample_table

__all__ = [
    "Comparison",
    "Corrected",
    "Fit",
    "InputError",
    "IntervalStats",
    "LeftRight",
    "NetworkError",
    "Outcome",
    "OutputError",
    "Ramp",
    "ReadFlags",
    "ReferenceFileError",
    "Refs",
    "UprampError",
    "__version__",
    "accelerate",
    "average_intervals",
    "calibrate",
    "calibrate_file",
    "compare",
    "cumulative_diff",
    "detect_cosmics",
    "fit_ramp",
    "fix_file",
    "flag_reads",
    "flatten_ramp",
    "interval_rates",
    "interval_stats",
    "inventory",
    "last_minus_first",
    "lr_medians",
    "mask_reads",
    "pixel_stack",
    "read_flags",
    "read_ramp",
    "read_stats",
    "remove_columns",
    "remove_excess",
    "remove_plane",
    "sample_table",
    "source_mask",
    "subtract_reads",
    "write_flags",
    "write_flt",
    "write_ima",
]
