"""The sky of images: its level in each, and what to subtract before they are combined."""

from __future__ import annotations

from upramp.sky.statistic import STATISTICS, Measured, SkyStatistic

__all__ = ["STATISTICS", "Measured", "SkyStatistic"]
