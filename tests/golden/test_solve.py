"""The least-squares match against skypac's solutions of its own pairs, brute force, and simulated truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upramp.sky import Pair, merge_pairs, solve_offsets

SETS = [
    "ir_blank",
    "ir_nebula",
    "ir_gradient",
    "ir_gradient_up",
    "ir_disjoint",
    "ir_mixed",
    "ir_mixed_nodq",
    "uvis",
]


def load(shared: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / "golden" / "sky" / f"{name}.json").read_text())
    return found


def pairs_of(run: dict[str, Any], files: list[str]) -> list[Pair]:
    return [
        Pair(
            files.index(p["i"]),
            files.index(p["j"]),
            *(p[k] for k in ("sky_i", "n_i", "sky_j", "n_j", "area_sr")),
        )
        for p in run["pairs"]
    ]


@pytest.mark.parametrize("name", SETS)
def test_stored_pairs_give_the_stored_solution(shared: Path, name: str) -> None:
    golden = load(shared, name)
    tried = 0
    for run in (run for run in golden["runs"].values() if "pairs" in run):
        files = [name for name, _ in run["raw_deltas_brightness"]]
        theirs = np.array([np.nan if d is None else d for _, d in run["raw_deltas_brightness"]], dtype=float)
        ours = solve_offsets(pairs_of(run, files), len(files), anchor="mean")
        np.testing.assert_allclose(ours.offsets, theirs, rtol=0, atol=1e-9)
        assert ours.isolated == tuple(np.flatnonzero(np.isnan(theirs)))
        tried += 1
    assert tried > 0


@pytest.mark.parametrize("name", SETS)
def test_values_written_follow(shared: Path, name: str) -> None:
    """Anchor and conversion give what skypac writes into the headers."""
    golden = load(shared, name)
    anchor = "down" if golden["params"]["match_down"] else "up"
    for key, run in golden["runs"].items():
        if not key.endswith("/match"):
            continue
        files = [name for name, _ in run["raw_deltas_brightness"]]
        factors = {label.split("[")[0]: factor for label, factor in run["data2brightness"]}
        ours = solve_offsets(pairs_of(run, files), len(files), anchor=anchor)
        for file, offset in zip(files, ours.offsets, strict=True):
            if np.isfinite(offset):
                np.testing.assert_allclose(offset / factors[file], run["values"][file], rtol=1e-9, atol=1e-9)


def test_groups_are_told(shared: Path) -> None:
    run = load(shared, "ir_disjoint")["runs"]["median/match"]
    files = [name for name, _ in run["raw_deltas_brightness"]]
    common = solve_offsets(pairs_of(run, files), len(files))
    own = solve_offsets(pairs_of(run, files), len(files), per_group=True)
    assert len(common.groups) == 2
    assert len(common.isolated) == 1
    assert sorted(sum(common.groups, common.isolated)) == list(range(len(files)))
    assert [min(own.offsets[list(group)]) for group in own.groups] == [0, 0]
    assert sum(min(common.offsets[list(group)]) == 0 for group in common.groups) == 1


def network(rng: np.random.Generator, n: int, extra: int) -> list[tuple[int, int]]:
    """A connected graph of n exposures: a tree and some more edges."""
    tree = [(int(rng.integers(k)), k) for k in range(1, n)]
    return tree + [tuple(sorted(rng.choice(n, 2, replace=False).tolist())) for _ in range(extra)]


def test_agrees_with_the_pseudo_inverse() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        n = int(rng.integers(2, 30))
        edges = network(rng, n, 20)
        pairs = [Pair(i, j, *rng.uniform(1, [9, 1e5, 9, 1e5])) for i, j in edges]
        width = np.array([(p.n_i + p.n_j) / 2 for p in pairs])
        rows = np.zeros((len(pairs), n))
        rows[range(len(pairs)), [p.i for p in pairs]] = 1
        rows[range(len(pairs)), [p.j for p in pairs]] = -1
        wanted = np.linalg.pinv(rows * width[:, None]) @ (width * [p.sky_i - p.sky_j for p in pairs])
        ours = solve_offsets(pairs, n, anchor="mean")
        np.testing.assert_allclose(ours.offsets, wanted, rtol=0, atol=1e-9)
        np.testing.assert_allclose(
            ours.residuals, [p.sky_i - p.sky_j for p in pairs] - rows @ wanted, atol=1e-9
        )


@pytest.mark.parametrize("known", [True, False])
def test_covariance_is_that_of_repeated_draws(known: bool) -> None:
    rng = np.random.default_rng(2)
    n = 8
    edges = network(rng, n, 14)
    truth = rng.normal(size=n)
    truth -= truth.mean()
    pixels = rng.uniform(100, 1000, len(edges))
    # Not known: errors go as one over the number of pixels, which is what the weights say.
    sigma = rng.uniform(0.01, 0.1, len(edges)) if known else 3 / pixels
    drawn, told = [], []
    for _ in range(3000):
        noise = rng.normal(scale=sigma)
        pairs = [
            Pair(i, j, truth[i] + e, m, truth[j], m)
            for (i, j), e, m in zip(edges, noise, pixels, strict=True)
        ]
        found = solve_offsets(pairs, n, sigma=sigma if known else None, anchor="mean")
        drawn.append(found.offsets - truth)
        told.append(found.covariance)
    wanted = np.cov(np.array(drawn).T)
    mean = np.mean(told, axis=0)
    assert np.abs(mean - wanted).max() < 0.08 * np.diag(wanted).max()
    pulls = np.array(drawn) / np.sqrt([np.diag(c) for c in told])
    assert pulls.std() == pytest.approx(1, abs=0.1)


def test_what_cannot_be_used() -> None:
    pairs = [Pair(0, 1, np.nan, 9, 1, 9), Pair(1, 2, 2, 0, 1, 9), Pair(2, 3, 4, 9, 1, 9)]
    found = solve_offsets(pairs, 5)
    assert found.groups == ((2, 3),)
    assert found.isolated == (0, 1, 4)
    np.testing.assert_array_equal(np.isnan(found.offsets), [1, 1, 0, 0, 1])
    np.testing.assert_array_equal(np.isnan(found.residuals), [1, 1, 0])
    assert np.isnan(found.sigma).all()  # one pair measures its difference, not its error
    assert solve_offsets(pairs, 5, sigma=[1, 1, 2]).sigma[2] == pytest.approx(1)
    assert solve_offsets([], 2).isolated == (0, 1)
    assert solve_offsets([]).offsets.size == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 1}, "pair 0 is of exposures 0 and 1, expected 0 to 0"),
        ({"weights": [1.0, 2.0]}, r"weights has shape \(2,\), expected \(1,\)"),
        ({"weights": [0.0]}, r"weights\[0\] is 0.0, expected a positive"),
        ({"sigma": [np.nan]}, r"sigma\[0\] is nan"),
        ({"anchor": "left"}, "anchor is 'left', expected one of down"),
    ],
)
def test_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        solve_offsets([Pair(0, 1, 1, 9, 2, 9)], **change)
    with pytest.raises(ValueError, match="pair 0 is of exposure 1 with itself"):
        solve_offsets([Pair(1, 1, 1, 9, 2, 9)])


def test_chips_are_merged_by_pixels() -> None:
    merged = merge_pairs(
        [Pair(0, 1, 2, 30, np.nan, 0, 1), Pair(1, 0, 3, 10, 6, 10, 2), Pair(2, 3, 1, 0, 1, 9)]
    )
    assert merged == [Pair(0, 1, 3, 40, 3, 10, 3)]
    with pytest.raises(ValueError, match="with itself"):
        merge_pairs([Pair(2, 2, 1, 1, 1, 1)])
