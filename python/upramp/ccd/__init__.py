"""Frames of CCD detectors: cosmic rays in single images."""

from __future__ import annotations

from upramp.ccd.cosmics import CosmicRays, LacosmicParams, detect_cosmics
from upramp.ccd.cosmics_file import CosmicsOutcome, clean_file
from upramp.ccd.cosmics_psf import PSF_MODELS, as_kernel, psf_kernel
from upramp.ccd.cosmics_robust import find_cosmics

__all__ = [
    "PSF_MODELS",
    "CosmicRays",
    "CosmicsOutcome",
    "LacosmicParams",
    "as_kernel",
    "clean_file",
    "detect_cosmics",
    "find_cosmics",
    "psf_kernel",
]
