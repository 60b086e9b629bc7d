"""The sky of images: its level in each, where images overlap, and what to subtract before they are combined."""

from __future__ import annotations

from upramp.sky.differences import Cells, View, measure_differences, views
from upramp.sky.images import Chip, SkyImage, parse_bits, read_image, read_images
from upramp.sky.match import Match, match_differences, match_levels
from upramp.sky.methods import ENGINES, METHODS, SkyResult, match_sky, read_sky_file
from upramp.sky.overlap import Outline, Overlap, Pixels, fill_polygon, find_overlaps, footprint, polygon_area
from upramp.sky.record import subtract_sky, write_headers
from upramp.sky.robust import Difference, Robust, solve_differences
from upramp.sky.solve import Pair, Solution, merge_pairs, solve_offsets
from upramp.sky.static import static_masks
from upramp.sky.statistic import STATISTICS, Measured, SkyStatistic

__all__ = [
    "ENGINES",
    "METHODS",
    "STATISTICS",
    "Cells",
    "Chip",
    "Difference",
    "Match",
    "Measured",
    "Outline",
    "Overlap",
    "Pair",
    "Pixels",
    "Robust",
    "SkyImage",
    "SkyResult",
    "SkyStatistic",
    "Solution",
    "View",
    "fill_polygon",
    "find_overlaps",
    "footprint",
    "match_differences",
    "match_levels",
    "match_sky",
    "measure_differences",
    "merge_pairs",
    "parse_bits",
    "polygon_area",
    "read_image",
    "read_images",
    "read_sky_file",
    "solve_differences",
    "solve_offsets",
    "static_masks",
    "subtract_sky",
    "views",
    "write_headers",
]
