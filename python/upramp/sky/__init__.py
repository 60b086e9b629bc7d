"""The sky of images: its level in each, and what to subtract before they are combined."""

from __future__ import annotations

from upramp.sky.images import Chip, SkyImage, parse_bits, read_image, read_images
from upramp.sky.methods import METHODS, SkyResult, match_sky, read_sky_file
from upramp.sky.record import subtract_sky, write_headers
from upramp.sky.static import static_masks
from upramp.sky.statistic import STATISTICS, Measured, SkyStatistic

__all__ = [
    "METHODS",
    "STATISTICS",
    "Chip",
    "Measured",
    "SkyImage",
    "SkyResult",
    "SkyStatistic",
    "match_sky",
    "parse_bits",
    "read_image",
    "read_images",
    "read_sky_file",
    "static_masks",
    "subtract_sky",
    "write_headers",
]
