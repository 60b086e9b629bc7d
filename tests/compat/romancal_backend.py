"""pytest plugin: romancal's own tests on upramp's kernels (``-p romancal_backend``, this folder in PYTHONPATH)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import upramp
from upramp.compat import romancal, stcal

_stack = ExitStack()
_calls = dict.fromkeys(("fit_ramps_casertano", "likely_ramp_fit"), 0)


def _count(module: Any, name: str) -> None:
    ours = getattr(module, name)

    def counted(*args: Any, **kwargs: Any) -> Any:
        _calls[name] += 1
        return ours(*args, **kwargs)

    setattr(module, name, counted)


def _call(cls: Any, dataset: Any, **options: Any) -> Any:
    """The step without CRDS, which the machine may not reach: every reference is given by the tests."""
    step = cls()
    for name, value in options.items():
        setattr(step, name, value)
    return step.process(dataset)


def pytest_configure() -> None:
    from romancal.ramp_fitting import RampFitStep

    RampFitStep.call = classmethod(_call)
    _count(romancal, "fit_ramps_casertano")
    _count(stcal, "likely_ramp_fit")
    _stack.enter_context(upramp.accelerate("romancal"))


def pytest_unconfigure() -> None:
    _stack.close()
    print(f"\ncalls of ours: {_calls}")
