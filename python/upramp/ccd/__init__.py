"""Frames of CCD detectors: combined, reduced, cleaned of cosmic rays."""

from __future__ import annotations

from upramp.ccd.combine import Combined, combine
from upramp.ccd.cosmics import CosmicRays, LacosmicParams, detect_cosmics
from upramp.ccd.cosmics_file import CosmicsOutcome, clean_file
from upramp.ccd.cosmics_psf import PSF_MODELS, as_kernel, psf_kernel
from upramp.ccd.cosmics_robust import find_cosmics
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
    "PSF_MODELS",
    "CcdImage",
    "Combined",
    "CosmicRays",
    "CosmicsOutcome",
    "Detector",
    "Dq",
    "FlatLimits",
    "Flats",
    "LacosmicParams",
    "as_kernel",
    "clean_file",
    "combine",
    "detect_cosmics",
    "find_cosmics",
    "frame_table",
    "master_bias",
    "master_dark",
    "master_flat",
    "measure_gain",
    "overscan_levels",
    "parse_section",
    "psf_kernel",
    "read_image",
    "reduce",
    "stack_files",
]
