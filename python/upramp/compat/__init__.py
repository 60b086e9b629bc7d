"""Drop-ins: other packages' names and arguments on top of upramp's own functions."""

from __future__ import annotations
