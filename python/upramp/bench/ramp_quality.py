"""Ramp fits against simulated truth: ``python -m upramp.bench.ramp_quality``.

Twenty thousand ramps for each read pattern, rate and size of hit; ours, and those of stcal, fitramp and romancal
as far as they are installed, on the same ramps. Without hits: *scatter* is the standard deviation of the rates over
the least possible (the error of generalised least squares with the true covariance; 0.5 % of statistical error),
*error* the median error that is told over the same, *false* the fraction of differences that are left out, *chi2*
the mean per degree of freedom. With one hit in every ramp: *found* is the fraction of ramps of which a difference
that holds charge of the hit was left out, *whole* that of which all were; *rms* is the deviation of the rates from
the truth over the least possible error without hits. Two-point jumps leave out far more differences without hits
than the others do; they are compared with ours at the threshold at which ours leaves out as many, or fewer.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from upramp.bench.ramp_peers import Answer, Peer, Times, installed, quiet
from upramp.ramps import fit
from upramp.simulate.ramps import PATTERNS, Pattern, best_error, simulate_ramps

__all__ = ["OURS", "Found", "Undisturbed", "judge_hits", "judge_undisturbed", "main"]

RATES = (0.0, 0.3, 5.0, 30.0, 200.0, 10000.0)
HIT_RATES = (0.0, 0.3, 30.0)
SIGMAS = (4.0, 5.0, 6.0, 8.0, 10.0, 20.0, 100.0, 1000.0)
SEARCHES = (3.0, 4.5)
"""Range of thresholds at which ours is compared with another search."""
LOW = 3.8
"""Threshold at which noise is taken for hits often enough to be counted."""
MANY = 500_000
"""Ramps to tell how many differences without hits are left out: one in ten thousand is."""
LOOSE = "two-point + OLS_C"
"""The peer that leaves out more differences than it should."""


class Undisturbed(NamedTuple):
    """How a fit does on ramps without hits."""

    scatter: float
    bias: float
    error: float
    false: float
    chi2: float


class Found(NamedTuple):
    """How a search does on ramps with one hit each."""

    found: float
    whole: float
    rms: float


def ours(
    cube: NDArray[np.float32],
    times: Times,
    read_noise: float,
    sigma: float = 4.5,
    jumps: Literal["likelihood", "gains"] = "likelihood",
) -> Answer:
    """Generalised least squares with likelihood-ratio jumps."""
    made = fit(cube, times, read_noise, jumps=jumps, sigma=sigma, goodness=True)
    if made.chi2 is None or made.dof is None:
        raise AssertionError("asked for")
    return Answer(made.rate, made.err, made.chi2 / np.maximum(made.dof, 1), made.jumps)


OURS: dict[str, Peer] = {"gls": ours}


def alike(pattern: Pattern, rate: float, other: Peer, seed: int) -> float:
    """Lowest threshold at which our search leaves out no more differences without hits than another.

    Parameters
    ----------
    pattern : Pattern
        The reads.
    rate : float
        Count rate.
    other : Peer
        The other search.
    seed : int
        Seed of the random numbers.
    """
    sample = simulate_ramps(pattern, rate, MANY, (seed, 7))
    with quiet():
        false = other(sample.cube, pattern.times, pattern.read_noise).left_out.mean()
    low, high = SEARCHES
    while high - low > 0.005:
        middle = (low + high) / 2
        if ours(sample.cube, pattern.times, pattern.read_noise, middle, "gains").left_out.mean() > false:
            low = middle
        else:
            high = middle
    return high


def fewer_false(pattern: Pattern, rate: float, seed: int) -> float:
    """Differences without hits that the search for gains leaves out, over those of the search for any hits.

    Parameters
    ----------
    pattern : Pattern
        The reads.
    rate : float
        Count rate.
    seed : int
        Seed of the random numbers.
    """
    sample = simulate_ramps(pattern, rate, MANY, (seed, 9))
    known = sample.cube, pattern.times, pattern.read_noise, LOW
    return float(ours(*known, "gains").left_out.sum() / ours(*known).left_out.sum())


def judge_undisturbed(pattern: Pattern, rate: float, answer: Answer) -> Undisturbed:
    """Compare answers for ramps without hits with the truth.

    Parameters
    ----------
    pattern : Pattern
        The reads.
    rate : float
        True count rate.
    answer : Answer
        What a fit says.
    """
    best = best_error(pattern, rate)
    off = answer.rate.astype(np.float64) - rate
    return Undisturbed(
        scatter=float(np.nanstd(off) / best) if np.isfinite(off).any() else np.nan,
        bias=float(np.nanmean(off) / best) if np.isfinite(off).any() else np.nan,
        error=float(np.nanmedian(answer.err) / best) if np.isfinite(off).any() else np.nan,
        false=float(answer.left_out.mean()),
        chi2=np.nan if answer.chi2 is None else float(np.nanmean(answer.chi2)),
    )


def judge_hits(pattern: Pattern, rate: float, hit: NDArray[np.bool_], answer: Answer) -> Found:
    """Compare answers for ramps with one hit each with the truth.

    Parameters
    ----------
    pattern : Pattern
        The reads.
    rate : float
        True count rate.
    hit : (nread - 1, ny, nx) ndarray of bool
        Differences that hold charge of the hit.
    answer : Answer
        What a search and fit say.
    """
    off = answer.rate.astype(np.float64) - rate
    rms = np.sqrt(np.nanmean(off**2)) if np.isfinite(off).any() else np.nan
    return Found(
        found=float((answer.left_out & hit).any(axis=0).mean()),
        whole=float((answer.left_out | ~hit).all(axis=0).mean()),
        rms=float(rms / best_error(pattern, rate)),
    )


def _fewer(ours: float, theirs: float, n: int, times: float = 3.0) -> bool:
    """Whether one fraction is below another by more than chance (`times` standard errors)."""
    spread = np.sqrt((ours * (1 - ours) + theirs * (1 - theirs)) / n)
    return bool(ours < theirs - times * spread)


def _print_row(name: str, cells: list[str]) -> None:
    print("| " + " | ".join([name, *cells]) + " |")


def _undisturbed(name: str, pattern: Pattern, peers: dict[str, Peer], n: int, seed: int) -> list[str]:
    """Print the table without hits of a pattern; returns what does not hold."""
    broken = []
    rows: dict[str, list[Undisturbed]] = {peer: [] for peer in peers}
    for k, rate in enumerate(RATES):
        sample = simulate_ramps(pattern, rate, n, (seed, k))
        for peer, run in peers.items():
            with quiet():
                answer = run(sample.cube, pattern.times, pattern.read_noise)
            if answer.chi2 is not None and peer not in OURS:
                dof = np.maximum((~answer.left_out).sum(axis=0) - 1, 1)
                answer = answer._replace(chi2=answer.chi2 / dof)
            rows[peer].append(judge_undisturbed(pattern, rate, answer))
        differences = n * (len(pattern.times) - 1)
        q = rows["gls"][-1]
        # A standard deviation of n numbers is known to 1 / sqrt(2 n).
        if q.scatter > 1.01 + 3 / np.sqrt(2 * n):
            broken.append(f"{name}, {rate:g} e-/s: scatter {q.scatter:.3f}")
        if abs(q.error - 1) > 0.01:
            broken.append(f"{name}, {rate:g} e-/s: error {q.error:.3f}")
        for rival in peers:
            own, other = q.false, rows[rival][-1].false
            if _fewer(other, own, differences):
                broken.append(f"{name}, {rate:g} e-/s: false {own:.1e}, {rival} {other:.1e}")
    print(f"\n### {name}: no hits\n")
    _print_row("", [f"{rate:g} e-/s" for rate in RATES])
    print("|---" * (len(RATES) + 1) + "|")
    for peer, row in rows.items():
        cells = []
        for q in row:
            chi2 = f", chi2 {q.chi2:.2f}" if np.isfinite(q.chi2) else ""
            fit_ = f"{q.scatter:.3f}, error {q.error:.3f}, " if np.isfinite(q.scatter) else ""
            cells.append(f"{fit_}false {q.false:.0e}{chi2}")
        _print_row(peer, cells)
    return broken


def _hits(name: str, pattern: Pattern, peers: dict[str, Peer], n: int, seed: int) -> list[str]:
    """Print the tables with hits of a pattern; returns what does not hold."""
    broken = []
    for k, rate in enumerate(HIT_RATES):
        searches = dict(peers)
        if LOOSE in peers:
            loose = alike(pattern, rate, peers[LOOSE], seed)
            match = f"gls, gains of {loose:.2f} sigma"
            searches[match] = partial(ours, sigma=loose, jumps="gains")
        rows: dict[str, list[Found]] = {peer: [] for peer in searches}
        for j, sigma in enumerate(SIGMAS):
            sample = simulate_ramps(pattern, rate, n, (seed, 100 + k, j), sigma)
            for peer, run in searches.items():
                with quiet():
                    answer = run(sample.cube, pattern.times, pattern.read_noise)
                rows[peer].append(judge_hits(pattern, rate, sample.hit, answer))
            if sigma >= 100 and rows["gls"][-1].found < 1:
                missed = 1 - rows["gls"][-1].found
                broken.append(f"{name}, {rate:g} e-/s: {100 * missed:.2f} % of {sigma:g} sigma not found")
            for rival in peers:
                own = rows[match if rival == LOOSE else "gls"][-1].found
                other = rows[rival][-1].found
                if _fewer(own, other, n):
                    cell = f"{name}, {rate:g} e-/s, {sigma:g} sigma"
                    broken.append(f"{cell}: found {100 * own:.1f} %, {rival} {100 * other:.1f} %")
        print(f"\n### {name}, {rate:g} e-/s: one hit in every ramp\n")
        _print_row("", [f"{sigma:g} sigma" for sigma in SIGMAS])
        print("|---" * (len(SIGMAS) + 1) + "|")
        for peer, row in rows.items():
            cells = []
            for q in row:
                whole = f" ({100 * q.whole:.0f} % whole)" if q.found - q.whole > 0.005 else ""
                rms = f", rms {q.rms:.2f}" if np.isfinite(q.rms) else ""
                missed = 100 * (1 - q.found)
                found = f"{100 * q.found:.0f} %" if missed == 0 or missed > 0.5 else f"{100 - missed:.2f} %"
                cells.append(f"{found}{whole}{rms}")
            _print_row(peer, cells)
        share = fewer_false(pattern, rate, seed)
        print(f"\nGains of {LOW:g} sigma: {share:.3f} of the false flags of the search for any hits.")
    return broken


def main(arguments: list[str] | None = None) -> int:
    """Print the tables, in Markdown, and what falls short of the aims.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the command line by default.
    """
    parser = argparse.ArgumentParser(prog="python -m upramp.bench.ramp_quality", description=__doc__)
    parser.add_argument("--ramps", type=int, default=20000, help="ramps in each cell (default 20000)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulations (default 1)")
    parser.add_argument("--pattern", choices=PATTERNS, nargs="*", help="read patterns (default all)")
    parser.add_argument("--alone", action="store_true", help="leave the peers out")
    args = parser.parse_args(arguments)
    peers = OURS | ({} if args.alone else installed())
    broken = []
    for name in args.pattern or PATTERNS:
        broken += _undisturbed(name, PATTERNS[name], peers, args.ramps, args.seed)
        broken += _hits(name, PATTERNS[name], peers, args.ramps, args.seed)
        sys.stdout.flush()
    print("\nPeers: " + (", ".join(peer for peer in peers if peer not in OURS) or "none installed") + ".")
    print("All aims met." if not broken else "Aims missed:\n\n" + "\n".join(f"* {line}" for line in broken))
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
