"""Array API: ramp fits and read statistics on NumPy arrays, without files."""

from __future__ import annotations

from upramp.ramps.crcorr import CrcorrFit, CrcorrParams, fit_crcorr
from upramp.ramps.levels import ReadStats, read_stats

__all__ = ["CrcorrFit", "CrcorrParams", "ReadStats", "fit_crcorr", "read_stats"]
