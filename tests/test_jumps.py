"""find_jumps on arrays: layouts, edges that must be defined, false and found jumps against the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from upramp.ramps import JumpRule, find_jumps

DNU, SAT, JUMP = 1, 2, 4
ALONE = JumpRule(neighbours=None)


def ramps(rng: np.random.Generator, rate: float, shape: tuple[int, ...], noise: float = 6.0) -> Any:
    return (rng.poisson(rate, shape).cumsum(axis=-3) + rng.normal(0, noise, shape)).astype(np.float32)


@pytest.mark.parametrize("ngroups", [3, 4, 5, 8, 11, 12, 40])
@pytest.mark.parametrize("rate", [0.0, 30.0, 3000.0])
def test_false_jumps_are_rare_and_large_ones_are_found(ngroups: int, rate: float) -> None:
    rng = np.random.default_rng(1)
    cube = ramps(rng, rate, (ngroups, 100, 100))
    # Of four differences, three tell the median and noise: here the rule itself is poor.
    most = 4e-3 if ngroups == 5 else 6e-4
    assert find_jumps(cube, read_noise=6.0, rule=ALONE).jumps.mean() < most
    struck = cube.copy()
    after = rng.integers(1, ngroups, (100, 100))
    size = 20 * np.sqrt(rate + 72)
    struck += size * (np.arange(ngroups)[:, None, None] >= after)
    found = find_jumps(struck, read_noise=6.0, rule=ALONE).jumps[0]
    truth = np.arange(1, ngroups)[:, None, None] == after
    # Of two differences the larger is always taken for the jump, unless noise hides it.
    assert found[truth].mean() > 0.99


def test_groups_of_unequal_reads_have_the_right_noise() -> None:
    """As many false jumps as groups of single reads have; with stcal's noise there were several times as many."""
    rng = np.random.default_rng(2)
    counts = [1, 2, 8, 8, 1, 8, 1, 4, 8, 1, 8, 1]
    times, start = [], 0
    for count in counts:
        times.append(np.arange(start, start + count) * 3.0)
        start += count
    cube = np.stack([rng.normal(0, 10 / np.sqrt(count), (150, 150)) for count in counts]).astype(np.float32)
    false = find_jumps(cube, read_noise=10.0, times=times, rule=ALONE).jumps.mean()
    assert false < 2e-4


def test_neighbours_and_later_groups_follow_a_bright_jump() -> None:
    cube = np.zeros((12, 7, 7), np.float32)
    cube[5:, 3, 3] = 1000
    cube[8:, 0, 6] = 1000
    dq = np.zeros(cube.shape, np.uint8)
    dq[5, 3, 4] = SAT
    dq[5, 3, 2] = DNU | JUMP
    found = find_jumps(cube, dq, read_noise=6.0)
    assert found.primary == 3
    assert sorted(zip(*np.nonzero(found.dq[0] & JUMP), strict=True)) == [
        *((5, y, x) for y, x in [(2, 3), (3, 3), (4, 3)]),
        *((8, y, x) for y, x in [(0, 5), (0, 6), (1, 6)]),
    ]
    assert found.dq[0, 5, 3, 2] == DNU
    assert dq[5, 3, 2] == DNU | JUMP
    after = find_jumps(cube, read_noise=6.0, rule=JumpRule(neighbours=None, after=[(500, 2), (2000, 9)]))
    assert np.flatnonzero(after.dq[0, :, 3, 3]).tolist() == [5, 6, 7]
    assert np.flatnonzero(after.dq[0, :, 0, 6]).tolist() == [8, 9, 10]


def test_any_layout_type_and_thread_count_gives_the_same() -> None:
    rng = np.random.default_rng(3)
    cube = rng.integers(0, 60, (2, 7, 20, 23)).cumsum(axis=1).astype(np.uint16)
    cube[:, 3:, ::5, ::3] += 900
    dq = rng.choice([0] * 9 + [DNU, SAT, JUMP, 32], cube.shape).astype(np.uint16)
    reference = find_jumps(cube.astype(np.float32), dq, read_noise=6.0, threads=1)
    assert reference.dq.dtype == np.uint16
    for other in (cube, cube.astype(">u2"), np.asfortranarray(cube), cube.astype(float)):
        for flags in (dq, dq.astype(np.uint8), np.asfortranarray(dq), dq.astype(">i2")):
            found = find_jumps(other, flags, read_noise=6.0, threads=3)
            np.testing.assert_array_equal(found.dq, reference.dq)
            assert found.primary == reference.primary


@pytest.mark.parametrize("shape", [(1, 1, 4, 5), (1, 2, 4, 5), (110, 1, 4, 5)])
def test_too_few_groups_are_passed_on_as_they_are(shape: tuple[int, ...]) -> None:
    dq = np.full(shape, JUMP, np.uint8)
    found = find_jumps(np.zeros(shape, np.float32), dq, read_noise=5.0)
    assert found.primary is None
    np.testing.assert_array_equal(found.dq, dq)
    assert find_jumps(np.zeros(shape, np.float32), read_noise=5.0).dq.shape == shape


@pytest.mark.parametrize("word", [DNU, SAT])
def test_groups_that_cannot_be_used_are_not_looked_at(word: int) -> None:
    cube = np.zeros((6, 4, 5), np.float32)
    cube[3] = 1e6
    dq = np.zeros(cube.shape, np.uint8)
    dq[3] = word
    found = find_jumps(cube, dq, read_noise=5.0)
    assert not (found.dq & JUMP).any()
    assert not (find_jumps(cube, np.full_like(dq, word), read_noise=5.0).dq & JUMP).any()


def test_odd_numbers_are_not_jumps() -> None:
    cube = np.repeat(np.arange(6, dtype=np.float32)[:, None, None] * 10, 6, axis=2)
    cube[3:, 0] += 1000
    cube[2, 0, 1] = np.nan
    gain = np.array([[1, 1, 0, np.nan, -1, 1]], np.float32)
    noise = np.array([[5, 5, 5, 5, 5, np.nan]], np.float32)
    found = find_jumps(cube, read_noise=noise, gain=gain, rule=ALONE)
    assert np.flatnonzero(found.dq[0, :, 0, 0]).tolist() == [3]
    for x in (1, 2, 3, 5):
        assert not found.dq[0, :, 0, x].any(), x
    # Without any noise nothing can be told from it.
    still = np.zeros((6, 1, 1), np.float32)
    still[3:] = 1
    assert find_jumps(still, read_noise=0.0).primary == 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cube": np.zeros(4)}, ValueError, "cube has shape"),
        ({"dq": np.zeros((6, 4, 4), np.uint8)}, ValueError, "dq has shape"),
        ({"read_noise": np.ones((2, 2))}, ValueError, "read_noise has shape"),
        ({"nframes": 0}, ValueError, "nframes is 0"),
        ({"times": [1, 2]}, ValueError, "times has 2 entries, expected 6"),
        ({"times": [1, 2, 3, 3, 4, 5]}, ValueError, "expected times that increase"),
        ({"threads": -1}, ValueError, "threads is -1"),
    ],
)
def test_arguments_that_do_not_fit_are_named(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = {"cube": np.zeros((6, 4, 5), np.float32), "read_noise": 5.0} | options
    with pytest.raises(error, match=message):
        find_jumps(**given)
