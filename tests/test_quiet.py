"""The quiet level of a ramp: rates of detection and false alarm on simulated numbers, and the corner cases."""

from __future__ import annotations

import numpy as np
import pytest

from upramp.tvb.quiet import Thresholds, find_excess

DT = np.array([2.9] + [100.0] * 14)
PIXELS, READ_NOISE, SKY = 10000, 14.1, 0.8


def draw(rng, excess):
    """Mean rates of 15 intervals with photon noise and the read noise that neighbours share, and their errors."""
    photons = (SKY + excess) * DT
    reads = rng.normal(0, READ_NOISE / np.sqrt(PIXELS), DT.size + 1)
    signal = photons + rng.normal(0, np.sqrt(photons / PIXELS)) + np.diff(reads)
    error = np.sqrt((photons + 2 * READ_NOISE**2) / PIXELS) / DT
    return signal / DT, error


def test_false_alarms_and_calibration():
    rng = np.random.default_rng(1)
    flagged, pulls = 0, []
    for _ in range(1000):
        level, error = draw(rng, np.zeros(15))
        found = find_excess(level, error, DT, READ_NOISE**2 / PIXELS)
        flagged += found.disturbed.sum()
        pulls.append(found.significance)
        assert abs(found.quiet - SKY) < 6 * found.quiet_error
    assert flagged / 15000 < 0.005
    assert 0.97 < np.std(pulls) < 1.03  # the significance is in standard errors


@pytest.mark.parametrize("top", [5.0, 10.0, 100.0, 1000.0])
@pytest.mark.parametrize("early", [False, True])
def test_reads_above_three_errors_of_the_median_are_found(top, early):
    rng = np.random.default_rng(2)
    hit = disturbed = false = clean = 0
    for _ in range(300):
        start = rng.uniform(0.0, 0.9) * DT.sum()
        rise = np.clip(np.cumsum(DT) - DT / 2 - start, 0, None)
        excess = top * 0.0027 * rise / rise.max()
        if early:
            excess = np.r_[excess[-1], excess[:0:-1]]
        excess -= excess.min()
        level, error = draw(rng, excess)
        found = find_excess(level, error, DT, READ_NOISE**2 / PIXELS)
        # The error of a median is 1.2533 times that of a mean.
        big, none = excess > 3 * 1.2533 * error, excess == 0
        hit, disturbed = hit + found.disturbed[big].sum(), disturbed + big.sum()
        false, clean = false + found.disturbed[none].sum(), clean + none.sum()
    assert disturbed > 300
    assert hit / disturbed >= 0.99
    assert false / clean < 0.005


def test_shared_read_noise_makes_a_single_read_surer():
    rng = np.random.default_rng(3)
    hits = {0.0: 0, READ_NOISE**2 / PIXELS: 0}
    for _ in range(400):
        excess = np.zeros(15)
        excess[7] = 0.008
        level, error = draw(rng, excess)
        for shared in hits:
            hits[shared] += find_excess(level, error, DT, shared).disturbed[7]
    ignored, used = hits.values()
    assert used > ignored + 40


def test_two_quiet_reads_are_enough():
    level = np.array([3.0, 2.5, 2.4, 0.5, 0.5, 2.2, 2.0, 1.8])
    found = find_excess(level, np.full(8, 0.01), np.full(8, 100.0))
    assert list(np.flatnonzero(~found.disturbed)) == [3, 4]
    assert found.quiet == pytest.approx(0.5)
    np.testing.assert_allclose(found.rate, level - 0.5)


def test_a_single_low_interval_is_the_odd_one():
    level = np.array([0.8, 0.8, 0.79, 0.3, 0.81, 0.8])
    found = find_excess(level, np.full(6, 0.01), np.full(6, 100.0))
    assert list(np.flatnonzero(found.disturbed)) == [3]
    assert found.quiet == pytest.approx(0.8, abs=0.005)


def test_intervals_set_aside_tell_nothing_of_their_neighbours():
    level = np.full(9, 0.8)
    level[4], level[5] = 5.0, 0.826  # 2.6 errors: enough beside a disturbed interval
    error, dt = np.full(9, 0.01), np.full(9, 100.0)
    aside = np.arange(9) == 4
    assert list(np.flatnonzero(find_excess(level, error, dt).disturbed)) == [4, 5]
    found = find_excess(level, error, dt, aside=aside)
    assert not found.disturbed.any()
    assert found.significance[4] > 100


def test_levels_that_are_missing():
    level = np.array([0.8, np.nan, 0.8, 2.0])
    found = find_excess(level, np.full(4, 0.01), np.full(4, 100.0))
    assert list(found.disturbed) == [False, False, False, True]
    assert np.isnan(found.significance[1])
    nothing = find_excess([np.nan], [0.1], [100.0])
    assert np.isnan(nothing.quiet)
    assert not nothing.disturbed.any()
    one = find_excess([0.8], [0.1], [100.0])
    assert (one.quiet, one.significance[0], one.disturbed[0]) == (0.8, 0.0, False)


def test_thresholds_and_shapes():
    level = np.array([0.8, 0.8, 0.825, 0.8, 0.8])
    error, dt = np.full(5, 0.01), np.full(5, 100.0)
    assert not find_excess(level, error, dt).disturbed.any()
    assert find_excess(level, error, dt, thresholds=Thresholds(alone=2.0)).disturbed[2]
    with pytest.raises(ValueError, match=r"level, error and dt have shapes \(5,\), \(4,\), \(5,\)"):
        find_excess(level, error[:4], dt)
