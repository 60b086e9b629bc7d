"""CCD frames: combined, reduced."""

from __future__ import annotations

from upramp.ccd.combine import Combined, combine

__all__ = [
    "Combined",
    "combine",
]
