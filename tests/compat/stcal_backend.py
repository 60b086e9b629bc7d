"""pytest plugin: stcal's own tests run on upramp's kernels (``-p stcal_backend``, this folder in PYTHONPATH)."""

from __future__ import annotations

from contextlib import ExitStack

import upramp

_stack = ExitStack()


def pytest_configure() -> None:
    _stack.enter_context(upramp.accelerate("stcal"))


def pytest_unconfigure() -> None:
    _stack.close()
