"""How many disturbed reads ``flag_reads`` finds, and how many quiet ones it flags.

``python -m upramp.bench.flags`` simulates exposures with known background and prints the table of docs/flag.md.
A read counts as disturbed if the true excess of its interval over the quietest is above 3 standard errors of the
median, and as quiet if the simulated background adds less than a hundredth of that error.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upramp._arrays import count_threads
from upramp.io import fits
from upramp.simulate import Exposure, Scene, Simulation, simulate
from upramp.simulate.scene import limb_profile, variable_background
from upramp.tvb.flag import flag_reads
from upramp.wfc3ir.exposure import Ramp

__all__ = ["Case", "Score", "cases", "ramp_of", "score"]

SIGNIFICANT = 3.0
CLEAN = 0.01
LEVELS = (0.01, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Largest rate of the background, e-/s."""
SEQUENCES = ("SPARS100", "SPARS50", "SPARS200", "STEP100", "SPARS25")
KINDS = ("none", "helium", "scattered", "satellite")


@dataclass(frozen=True, slots=True)
class Case:
    """One simulated exposure."""

    kind: str
    """One of `KINDS`."""
    level: float
    """Largest rate of the background, e-/s."""
    seed: int
    """Seed."""
    size: int
    """Light-sensitive pixels on a side."""


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of reads of one exposure."""

    case: Case
    disturbed: int
    found: int
    clean: int
    false: int
    verdict: str


def ramp_of(simulation: Simulation) -> Ramp:
    """The exposure as if it had been read from its IMA file.

    Parameters
    ----------
    simulation : Simulation
        Exposure with its truth.
    """
    exposure = simulation.exposure
    header = fits.Header()
    header["ROOTNAME"], header["FILTER"] = exposure.rootname, exposure.filter
    header["ZOFFCORR"] = header["BLEVCORR"] = "COMPLETE"
    return Ramp(
        sci=simulation.sci,
        err=simulation.err,
        dq=simulation.dq,
        samp=np.arange(1, exposure.nsamp + 1, dtype=np.int16),
        time=simulation.times.astype(np.float32),
        times=simulation.times,
        unit="ELECTRONS/S" if exposure.flat_fielded else "COUNTS/S",
        primary=header,
        headers={},
        path=Path(f"{exposure.rootname}_ima.fits"),
    )


def cases(seeds: int, size: int) -> Iterator[Case]:
    """All exposures of the table.

    Parameters
    ----------
    seeds : int
        Seeds of every kind; they take turns at the levels.
    size : int
        Light-sensitive pixels on a side.

    Yields
    ------
    Case
    """
    for kind in KINDS:
        for seed in range(seeds):
            level = 0.0 if kind in ("none", "satellite") else LEVELS[seed % len(LEVELS)]
            yield Case(kind, level, seed, size)


def score(case: Case) -> Score:
    """Simulate and flag one exposure.

    Parameters
    ----------
    case : Case
        What to simulate.
    """
    rng = np.random.default_rng([case.seed, KINDS.index(case.kind), 77])
    nsamp = int(rng.integers(9, 17))
    exposure = Exposure(
        filter="F105W",
        samp_seq=SEQUENCES[case.seed // len(LEVELS) % len(SEQUENCES)],
        nsamp=nsamp,
        size=case.size,
        seed=case.seed,
    )
    trail = int(rng.integers(2, nsamp)) if case.kind == "satellite" else None
    scene = Scene(
        sky=float(rng.uniform(0.3, 2.0)),
        helium=case.level if case.kind == "helium" else 0.0,
        helium_start=float(rng.uniform(0.15, 0.8)),
        earth_limb=case.level if case.kind == "scattered" else 0.0,
        earth_limb_fade=float(rng.uniform(0.05, 0.25)),
        trail_read=trail,
        trail_electrons=float(10 ** rng.uniform(2.0, 3.5)),
    )
    flags = flag_reads(ramp_of(simulate(exposure, scene)), threads=1)
    airglow, limb = variable_background(scene, exposure.times)
    truth = (airglow + limb * float(np.median(limb_profile(case.size))))[1:]
    error: NDArray[np.float64] = np.asarray(flags.table["error"][1:])
    disturbed = truth - truth.min() > SIGNIFICANT * error
    clean = truth < CLEAN * error
    if trail is not None:
        disturbed[trail - 1], clean[trail - 1] = True, False
    flagged = ~flags.use[1:]
    return Score(
        case,
        int(disturbed.sum()),
        int((disturbed & flagged).sum()),
        int(clean.sum()),
        int((clean & flagged).sum()),
        flags.verdict,
    )


def table(scores: list[Score]) -> str:
    """The table of docs/flag.md.

    Parameters
    ----------
    scores : list of Score
        Results of all cases.
    """
    lines = [
        "| background | level (e-/s) | exposures | disturbed reads | found | quiet reads | flagged | verdicts |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, float], list[Score]] = {}
    for one in scores:
        groups.setdefault((one.case.kind, one.case.level), []).append(one)
    for (kind, level), group in [*groups.items(), (("all", 0.0), scores)]:
        words = [one.verdict for one in group]
        named = ", ".join(f"{word} {words.count(word)}" for word in sorted(set(words)))
        cells = [kind, f"{level:g}" if level else "", str(len(group))]
        for part, whole in (("found", "disturbed"), ("false", "clean")):
            top, bottom = (sum(getattr(one, name) for one in group) for name in (part, whole))
            cells += [str(bottom), f"{100 * top / bottom:.2f} %" if bottom else ""]
        lines.append("| " + " | ".join([*cells, "" if kind == "all" else named]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m upramp.bench.flags", description=__doc__)
    parser.add_argument("--seeds", type=int, default=400, help="exposures of every kind (default 400)")
    parser.add_argument("--size", type=int, default=128, help="light-sensitive pixels a side (default 128)")
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    args = parser.parse_args()
    with ProcessPoolExecutor(args.jobs or count_threads(None)) as pool:
        scores = list(pool.map(score, cases(args.seeds, args.size), chunksize=8))
    print(table(scores))


if __name__ == "__main__":
    main()
