"""Frames of CCD detectors: cosmic rays in single images."""

from __future__ import annotations

from upramp.ccd.cosmics import CosmicRays, LacosmicParams, detect_cosmics
from upramp.ccd.cosmics_psf import PSF_MODELS, as_kernel, psf_kernel

__all__ = ["PSF_MODELS", "CosmicRays", "LacosmicParams", "as_kernel", "detect_cosmics", "psf_kernel"]
