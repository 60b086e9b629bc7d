"""Public docstrings are complete, and their examples run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from typing import Any

import pytest
from numpydoc.validate import validate

import upramp
from upramp import ccd, detector, plot, ramps, simulate, sky
from upramp.compat import tvb

# Undocumented or misnamed parameters, missing summaries, returns that are not told.
CHECKS = {"GL08", "PR01", "PR02", "PR03", "PR04", "RT01", "SS01", "SS03"}


def public() -> list[str]:
    names = []
    for module in (upramp, ramps, ccd, detector, simulate, plot, sky, tvb):
        for name in module.__all__:
            thing: Any = getattr(module, name)
            if inspect.isfunction(thing) or (inspect.isclass(thing) and not issubclass(thing, tuple)):
                names.append(f"{thing.__module__}.{thing.__name__}")
    return sorted(set(names))


@pytest.mark.parametrize("name", public())
def test_docstring_is_complete(name: str) -> None:
    found = [(code, text) for code, text in validate(name)["errors"] if code in CHECKS]
    if inspect.isclass(getattr(importlib.import_module(name.rpartition(".")[0]), name.rpartition(".")[2])):
        # The fields of a dataclass are documented as attributes, where it is made by us and not by the caller.
        found = [item for item in found if item[0] not in ("PR01", "PR02")]
    assert not found


def modules() -> list[str]:
    walked = pkgutil.walk_packages(upramp.__path__, "upramp.")
    return ["upramp", *(module.name for module in walked if not module.name.endswith("__main__"))]


def test_examples_run() -> None:
    attempted = 0
    for name in modules():
        result = doctest.testmod(importlib.import_module(name))
        assert result.failed == 0, name
        attempted += result.attempted
    assert attempted > 3
