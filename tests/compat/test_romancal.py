"""romancal's fits and ours on the same ramps; and romancal's own tests on ours.

romancal is not among the test extras, since it brings half a gigabyte of other packages; for the comparison with
the peer's function ``pip install --no-deps stcal`` and scipy will do.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import upramp
from upramp.compat import romancal as ours

PATTERN = [[1], [2, 3], [5, 6, 7], [10, 11], [12, 13, 14, 15], [20], [21, 22]]


def ramps(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Resultants with hits, flags and noise of 12 x 60 pixels."""
    rng = np.random.default_rng(seed)
    rate = 10 ** rng.uniform(-1, 3, (12, 60))
    reads = rng.poisson(rate * 3.04, (22, 12, 60)).cumsum(axis=0) + rng.normal(0, 8, (22, 12, 60))
    cube = np.stack([reads[np.array(group) - 1].mean(axis=0) for group in PATTERN])
    when = rng.integers(0, 12, (12, 60))
    cube += np.where(np.arange(7)[:, None, None] > when, 10 ** rng.uniform(1, 4, (12, 60)), 0)
    dq = rng.choice([0, 0, 0, 0, 0, 0, 0, 1, 2], cube.shape).astype(np.int32)
    dq[:, :4] = 0
    return cube.astype(np.float32), dq, rng.uniform(5, 12, (12, 60)).astype(np.float32)


@pytest.mark.parametrize("use_jump", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_side_by_side(seed: int, use_jump: bool) -> None:
    theirs = pytest.importorskip("stcal.ramp_fitting.ols_cas22_fit", reason="stcal is not installed")
    cube, dq, noise = ramps(seed)
    options = {"threshold_intercept": 5.0, "threshold_constant": 0.2} if seed % 2 else {}
    arguments = (cube, dq, noise, 3.04, PATTERN, use_jump)
    one = theirs.fit_ramps_casertano(*arguments, **options)
    two = ours.fit_ramps_casertano(*arguments, **options)
    np.testing.assert_array_equal(one.dq, two.dq)
    assert two.dq.dtype == np.int32
    assert two.parameters.dtype == two.variances.dtype == np.float32
    error = np.sqrt(one.variances[..., 2])
    assert (np.abs(one.parameters - two.parameters)[..., 1] <= 3e-3 * error).all()
    np.testing.assert_allclose(one.variances[..., 0], two.variances[..., 0], rtol=1e-3)
    np.testing.assert_allclose(one.variances[..., 2], two.variances[..., 2], rtol=5e-3, atol=1e-9)
    # One noise for all; and a single ramp, of which the peer returns the intercept alone.
    one = theirs.fit_ramps_casertano(cube[:, 3, 3:5], dq[:, 3, 3:5], 7.0, 3.04, PATTERN, use_jump)
    two = ours.fit_ramps_casertano(cube[:, 3, 3:5], dq[:, 3, 3:5], 7.0, 3.04, PATTERN, use_jump)
    np.testing.assert_allclose(one.parameters, two.parameters, rtol=1e-3)
    single = ours.fit_ramps_casertano(cube[:, 3, 3], dq[:, 3, 3], 7.0, 3.04, PATTERN, use_jump)
    np.testing.assert_array_equal(single.parameters, two.parameters[0])
    np.testing.assert_array_equal(single.dq, two.dq[:, 0])


def test_arguments_stay_as_they_are_and_errors_are_the_peers() -> None:
    cube, dq, noise = ramps(9)
    before = [cube.copy(), dq.copy(), noise.copy()]
    made = ours.fit_ramps_casertano(cube, dq, noise, 3.04, PATTERN, True)
    assert (made.dq != dq).any()
    for array, copy in zip((cube, dq, noise), before, strict=True):
        np.testing.assert_array_equal(array, copy)
    with pytest.raises(RuntimeError, match="read_pattern has length 6, expected 7"):
        ours.fit_ramps_casertano(cube, dq, noise, 3.04, PATTERN[1:])


def test_what_is_mended() -> None:
    cube, _, noise = ramps(10)
    dq = np.zeros(cube.shape, np.int32)
    cube[3, 0, 0] = np.nan
    noise[0, 1] = 0
    made = ours.fit_ramps_casertano(cube, dq, noise, 3.04, PATTERN)
    assert (made.parameters[0, :2, 1] != 0).all()


@pytest.mark.skipif(find_spec("romancal") is None, reason="romancal is not installed")
def test_romancals_own_tests_pass_on_ours() -> None:
    spec = find_spec("romancal")
    assert spec is not None
    assert spec.origin is not None
    tests = Path(spec.origin).parent / "ramp_fitting" / "tests"
    paths = [
        str(Path(__file__).parent),
        str(Path(upramp.__file__).parents[1]),
        os.environ.get("PYTHONPATH", ""),
    ]
    # Those of three differences and no read noise, in which the peer searches for hits: ours does not, with three.
    chosen = "not (test_ramp_fit_likelihood and extragain)"
    options = ["-q", "-p", "romancal_backend", "-p", "no:cacheprovider", "-k", chosen]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tests)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    calls = [int(number) for number in re.findall(r"_\w+': (\d+)", run.stdout.rpartition("calls of ours")[2])]
    assert len(calls) == 2
    assert min(calls) > 5
