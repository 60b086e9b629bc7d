"""CCD frames: combined, reduced."""

from __future__ import annotations

from upramp.ccd.combine import Combined, combine
from upramp.ccd.detector import Detector
from upramp.ccd.flat import FlatLimits, Flats, master_flat
from upramp.ccd.gain import measure_gain
from upramp.ccd.image import CcdImage, Dq, read_image
from upramp.ccd.masters import master_bias, master_dark
from upramp.ccd.overscan import overscan_levels
from upramp.ccd.reduce import reduce
from upramp.ccd.sections import parse_section
from upramp.ccd.stack import stack_files
from upramp.ccd.statistics import frame_table

__all__ = [
    "CcdImage",
    "Combined",
    "Detector",
    "Dq",
    "FlatLimits",
    "Flats",
    "combine",
    "frame_table",
    "master_bias",
    "master_dark",
    "master_flat",
    "measure_gain",
    "overscan_levels",
    "parse_section",
    "read_image",
    "reduce",
    "stack_files",
]
