"""Snowballs and showers against the flags of stcal 1.20, by stcal itself behind our interface."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upramp.ramps import ShowerRule, SnowballRule, find_showers, find_snowballs


@pytest.mark.parametrize("required", [False, True])
def test_snowballs_are_stcals(shared: Path, required: bool) -> None:
    pytest.importorskip("stcal.jump.jump", reason="stcal is not installed")
    with np.load(shared / "golden" / "ramp" / "snowballs.npz") as file:
        z = dict(file)
    before = z["groupdq"].copy()
    rule = SnowballRule(saturation_required=required, core_growth=4, persistence=5)
    found = find_snowballs(z["groupdq"], rule=rule)
    np.testing.assert_array_equal(found.dq, z[f"gdq_req{int(required)}"])
    assert found.number == z[f"n_req{int(required)}"]
    np.testing.assert_array_equal(z["groupdq"], before)


def test_a_shower_is_flagged() -> None:
    pytest.importorskip("stcal.jump.jump", reason="stcal is not installed")
    rng = np.random.default_rng(1)
    cube = rng.normal(0, 5, (1, 12, 64, 64)).astype(np.float32).cumsum(axis=1)
    y, x = np.mgrid[:64, :64]
    cube[:, 6:] += 30.0 * (np.hypot(y - 30, x - 30) < 9)
    dq = np.zeros(cube.shape, np.uint8)
    found = find_showers(cube, dq, read_noise=3.5, rule=ShowerRule(threshold=2.5, most=60))
    assert found.number > 0
    assert (found.dq[0, 6, 25:35, 25:35] & 4).mean() == 4
    assert not found.dq[0, :6].any()
    assert not dq.any()


def test_without_stcal_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("stcal"):
            raise ImportError("No module named 'stcal'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    dq = np.zeros((1, 5, 8, 8), np.uint8)
    with pytest.raises(ImportError, match=r"snowballs are found by stcal, .*pip install stcal"):
        find_snowballs(dq)
    with pytest.raises(ImportError, match=r"showers are found by stcal, .*pip install stcal"):
        find_showers(dq.astype(np.float32), dq, read_noise=5.0)
