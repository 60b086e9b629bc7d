"""Sky levels of overlapping exposures: where they overlap, and which offsets make them agree there."""

from __future__ import annotations

from upramp.sky.overlap import Outline, Overlap, Pixels, fill_polygon, find_overlaps, footprint, polygon_area
from upramp.sky.solve import Pair, Solution, merge_pairs, solve_offsets

__all__ = [
    "Outline",
    "Overlap",
    "Pair",
    "Pixels",
    "Solution",
    "fill_polygon",
    "find_overlaps",
    "footprint",
    "merge_pairs",
    "polygon_area",
    "solve_offsets",
]
