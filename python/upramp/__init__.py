"""Infrared exposures, read by read: fits, cosmic rays and variable background."""

from __future__ import annotations

__version__ = "0.1.0"
