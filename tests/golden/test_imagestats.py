"""The clipped statistic against the outputs of stsci.imagestats."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from upramp.sky import STATISTICS, SkyStatistic

NAMES = {"lsig": "lsigma", "usig": "usigma", "binwidth": "width"}


@pytest.mark.parametrize("statistic", STATISTICS)
def test_every_case_to_the_bit(shared: Path, statistic: str) -> None:
    cases = json.loads((shared / "golden/sky/imagestats_cases.json").read_text())["cases"]
    assert len(cases) == 40
    for number, case in enumerate(cases):
        parameters = {NAMES.get(name, name): value for name, value in case["kw"].items()}
        found = SkyStatistic(statistic, **parameters).measure(np.float32(case["data"])[np.newaxis])
        value, npix = case["expect"][statistic]
        np.testing.assert_array_equal(found.value, np.nan if value is None else value, f"case {number}")
        assert found.npix == npix, f"case {number}"


def test_masked_and_non_finite_pixels_are_left_out() -> None:
    rng = np.random.default_rng(3)
    clean = rng.normal(10, 1, (40, 50)).astype(np.float32)
    good = rng.random(clean.shape) < 0.7
    dirty = np.where(good, clean, 1e6).astype(np.float32)
    dirty[good & (rng.random(clean.shape) < 0.1)] = np.nan
    used = good & np.isfinite(dirty)
    for statistic in STATISTICS:
        how = SkyStatistic(statistic)
        assert how.measure(dirty, good) == how.measure(clean[used][np.newaxis])


def test_nothing_left_is_nan() -> None:
    image = np.full((2, 3), np.nan, np.float32)
    for found in (
        SkyStatistic().measure(image),
        SkyStatistic().measure(np.ones((2, 2)), np.zeros((2, 2), bool)),
    ):
        assert np.isnan(found.value)
        assert found.npix == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("statistic", "average"), ("nclip", -1), ("lsigma", 0.0), ("usigma", np.nan), ("width", -0.1)],
)
def test_a_bad_parameter_is_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name} is"):
        SkyStatistic(**{name: value})  # type: ignore[arg-type]


def test_limits_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="lower <= upper"):
        SkyStatistic(lower=2.0, upper=1.0)


def test_shapes_must_fit() -> None:
    with pytest.raises(ValueError, match="good has shape"):
        SkyStatistic().measure(np.ones((2, 3)), np.ones((3, 2), bool))
