"""Ramp fits and jumps of stcal 1.20, the engine of the JWST and Roman pipelines, with its arguments.

>>> from upramp.compat.stcal import detect_jumps_data, ramp_fit_data  # doctest: +SKIP
>>> with upramp.accelerate("stcal"):  # doctest: +SKIP
...     jwst.pipeline.Detector1Pipeline.call("x_uncal.fits")

Arguments are stcal's own objects (``RampData``, ``JumpData``, ``TwoPointParams``), or any others with the same
attributes: stcal itself is needed only where snowballs or showers are asked for. What stcal changes in place is
changed in place: the read noise, scaled to electrons per group; flags of suppressed ramps and of jumps; groups cut
off MIRI ramps; thresholds and pixel flags of the jump step; and samples that :func:`find_crs` makes NaN. Work that
`max_cores` gives to processes is given to as many threads.

What differs, and why, is listed in docs/ramps_ols.md.
"""

from __future__ import annotations

from upramp.compat.stcal._jump import detect_jumps_data, find_crs
from upramp.compat.stcal._likely import likely_ramp_fit
from upramp.compat.stcal._ols import ols_slope_fitter, ramp_fit_data

__all__ = ["detect_jumps_data", "find_crs", "likely_ramp_fit", "ols_slope_fitter", "ramp_fit_data"]
