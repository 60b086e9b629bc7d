"""Sky levels of overlapping exposures: where they overlap, and which offsets make them agree there."""

from __future__ import annotations

from upramp.sky.solve import Pair, Solution, merge_pairs, solve_offsets

__all__ = ["Pair", "Solution", "merge_pairs", "solve_offsets"]
