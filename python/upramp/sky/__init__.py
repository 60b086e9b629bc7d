"""The sky of images: its level in each, where images overlap, and what to subtract before they are combined."""

from __future__ import annotations

from upramp.sky.bits import flag_names, parse_bits
from upramp.sky.differences import Cells, View, measure_differences, views
from upramp.sky.images import Chip, SkyImage, read_image, read_images
from upramp.sky.lists import ImageEntry, parse_images, read_catalogue
from upramp.sky.masks import with_masks
from upramp.sky.match import Match, match_differences, match_levels
from upramp.sky.methods import ENGINES, METHODS, SkyResult, match_sky
from upramp.sky.overlap import Outline, Overlap, Pixels, fill_polygon, find_overlaps, footprint, polygon_area
from upramp.sky.record import subtract_sky, write_headers
from upramp.sky.robust import Difference, Robust, solve_differences
from upramp.sky.solve import Pair, Solution, merge_pairs, solve_offsets
from upramp.sky.static import static_masks
from upramp.sky.statistic import STATISTICS, Measured, SkyStatistic
from upramp.sky.user import UserSky, read_sky_file, read_sky_keyword

__all__ = [
    "ENGINES",
    "METHODS",
    "STATISTICS",
    "Cells",
    "Chip",
    "Difference",
    "ImageEntry",
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
    "UserSky",
    "View",
    "fill_polygon",
    "find_overlaps",
    "flag_names",
    "footprint",
    "match_differences",
    "match_levels",
    "match_sky",
    "measure_differences",
    "merge_pairs",
    "parse_bits",
    "parse_images",
    "polygon_area",
    "read_catalogue",
    "read_image",
    "read_images",
    "read_sky_file",
    "read_sky_keyword",
    "solve_differences",
    "solve_offsets",
    "static_masks",
    "subtract_sky",
    "views",
    "with_masks",
    "write_headers",
]
