"""Casertano's fit against the outputs of stcal's ols_cas22."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ramp_sets import PATTERNS, load
from upramp.compat.romancal import Variance, fit_ramps_casertano
from upramp.ramps import CASERTANO_THRESHOLD, fit_casertano


@pytest.mark.parametrize("use_jump", [False, True])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_flags_rates_and_variances_are_stcals(shared: Path, pattern: str, use_jump: bool) -> None:
    ramps = load(shared, pattern)
    with np.load(shared / "golden" / "ramp" / f"{pattern}_cas22.npz") as file:
        parameters, variances, dq = (file[f"{name}_jump{int(use_jump)}"] for name in ("par", "var", "dq"))
    made = fit_ramps_casertano(
        ramps.data * ramps.gain, ramps.dq, ramps.noise, 1.0, ramps.times, use_jump=use_jump
    )
    good = ramps.good
    np.testing.assert_array_equal(made.dq[:, 0, good], dq.reshape(len(dq), -1)[:, good])
    slope, theirs = made.parameters[0, good, 1], parameters.reshape(-1, 2)[good, 1]
    variance, expected = made.variances[0, good], variances.reshape(-1, 3)[good]
    np.testing.assert_array_equal(slope == 0, theirs == 0)
    # The peer's sums of float32: a thousandth of the error, and two where samples are averaged unevenly.
    error = np.sqrt(expected[:, Variance.total_var])
    np.testing.assert_array_less(np.abs(slope - theirs), 2.5e-3 * error + 1e-12)
    np.testing.assert_allclose(variance[:, Variance.total_var], expected[:, Variance.total_var], rtol=2e-4)
    np.testing.assert_allclose(variance[:, Variance.read_var], expected[:, Variance.read_var], rtol=2e-4)


def test_the_array_function_gives_the_same_in_any_unit_and_layout(shared: Path) -> None:
    ramps = load(shared, "roman_uneven")
    threshold = CASERTANO_THRESHOLD
    plain = fit_casertano(
        ramps.data, ramps.times, ramps.noise, gain=ramps.gain, dq=ramps.dq, threshold=threshold
    )
    # Pixels by reads, and the gain in the data.
    turned = np.moveaxis(
        np.ascontiguousarray(np.moveaxis(ramps.data.astype(float) * ramps.gain, 0, -1)), -1, 0
    )
    assert not turned.flags.c_contiguous
    other = fit_casertano(turned, ramps.times, ramps.noise, dq=ramps.dq, threshold=threshold, threads=3)
    np.testing.assert_allclose(other.rate, plain.rate * ramps.gain, rtol=1e-5, atol=1e-7)
    same = np.array_equal(plain.hits[0], other.hits[0])
    assert same
    assert len(plain.hits[0]) > 20
