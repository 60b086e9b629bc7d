"""How good are the corrections of a variable background? Simulated truth, many seeds and levels.

``python -m upramp.bench.corrections`` prints the table of docs/quality.md.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upramp.simulate import Exposure, Scene, Simulation, simulate
from upramp.simulate.score import score_hits
from upramp.tvb.corrected import Corrected
from upramp.tvb.flatten import flatten_ramp
from upramp.tvb.reads import subtract_reads
from upramp.tvb.surface import remove_columns
from upramp.wfc3ir.exposure import Ramp, read_ramp
from upramp.wfc3ir.fit import Fit, fit_ramp

__all__ = ["main"]

SKY, TRAIL_READ = 0.8, 7
MAD_TO_SIGMA = 1.4826
BRIGHT = 1.0
"""Pixels this much above the sky, e-/s, measure the flux of sources."""


@dataclass(frozen=True, slots=True)
class Case:
    """A background and what is done about it."""

    name: str
    scene: Scene
    correct: Callable[[Ramp], Corrected]
    breaks: tuple[int, ...] = ()


def cases() -> list[Case]:
    """What is measured."""
    made = [
        Case(f"helium {level:g} e-/s, flatten", Scene(helium=level), flatten_ramp)
        for level in (0.5, 1.0, 2.0, 4.0, 8.0)
    ]
    made += [
        Case(f"limb {level:g} e-/s, column", Scene(earth_limb=level), remove_columns)
        for level in (1.0, 3.0, 10.0)
    ]
    made.append(Case("limb 2, slow, column", Scene(earth_limb=2.0, earth_limb_fade=0.4), remove_columns))
    made.append(Case("limb 3 + helium 2, column", Scene(earth_limb=3.0, helium=2.0), remove_columns))
    made += [
        Case(
            f"trail {level:g} e-, subtract-reads",
            Scene(trail_read=TRAIL_READ, trail_electrons=level),
            partial(subtract_reads, reads=[TRAIL_READ]),
            (TRAIL_READ,),
        )
        for level in (500.0, 5000.0)
    ]
    return made


@dataclass(frozen=True, slots=True)
class Pair:
    """One exposure with a background, corrected, and the same without."""

    simulation: Simulation
    fit: Fit
    clean: Fit

    @property
    def truth(self) -> NDArray[np.float32]:
        """Rates without the variable background."""
        return self.simulation.rate[5:-5, 5:-5]

    @property
    def good(self) -> NDArray[np.bool_]:
        """Pixels without a permanent flag in either."""
        return np.asarray(((self.fit.dq | self.clean.dq) & np.uint16(0xFFFF & ~8192)) == 0)

    @property
    def sky(self) -> NDArray[np.bool_]:
        """Those of them on the sky."""
        return self.good & (self.truth < 1.05 * SKY)


def observe(case: Case, seed: int, size: int) -> Pair:
    """Simulate, correct, fit; the same without the background."""
    exposure = Exposure(size=size, seed=seed)
    scene = replace(case.scene, sky=SKY, n_sources=round(4e-3 * size**2))
    quiet = replace(scene, helium=0.0, earth_limb=0.0, trail_read=None)
    simulation = simulate(exposure, scene)
    with tempfile.TemporaryDirectory() as folder:
        ramp = read_ramp(simulation.write(Path(folder), overwrite=True)["ima"])
        clean = read_ramp(simulate(exposure, quiet).write(Path(folder), overwrite=True)["ima"])
    fit = case.correct(ramp).fit(untouched=ramp, method="gls")
    return Pair(simulation, fit, fit_ramp(clean, method="gls", breaks=list(case.breaks)))


def robust(values: NDArray[np.floating]) -> float:
    """Standard deviation by the median absolute deviation."""
    return float(MAD_TO_SIGMA * np.median(np.abs(values - np.median(values))))


def measure(pair: Pair) -> dict[str, float]:
    """Numbers of one exposure."""
    simulation, sky = pair.simulation, pair.sky
    times = simulation.times
    off = pair.fit.rate - pair.truth
    off = off - np.median(off[sky])
    # Photons of the background that the fit used, over its exposure time.
    extra = (simulation.background[1:] * np.diff(times)).sum() / times[-1] ** 2
    allowed = np.hypot(robust((pair.clean.rate - pair.truth)[sky]), np.sqrt(extra))
    sources = pair.good & (pair.truth > SKY + BRIGHT)
    light = (pair.truth - SKY)[sources].astype(float)
    weight = light / pair.clean.err[sources].astype(float) ** 2
    # The residual of the clean exposure has the same photons: what differs is the correction's doing.
    clean_off = pair.clean.rate - pair.truth
    change = (off - (clean_off - np.median(clean_off[sky])))[sources]

    def profile(image: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.array([np.median(image[:, x][sky[:, x]]) for x in range(image.shape[1])])

    columns, clean_columns = profile(off), profile(clean_off)
    smooth = np.ones(16) / 16
    tilt = np.convolve(columns - clean_columns, smooth, "valid")
    here, there = (score_hits(replace_hits(simulation, pair), fit.read_dq) for fit in (pair.fit, pair.clean))
    return {
        "tilt": float(np.ptp(tilt)),
        "noise": robust(off[sky]) / float(allowed),
        "flux": float((weight * change).sum()),
        "flux_weight": float((weight * light).sum()),
        "error": robust((off / pair.fit.err)[pair.good]),
        "found": here.completeness,
        "found_clean": there.completeness,
        "false": here.false_fraction,
        "false_clean": there.false_fraction,
    }


def replace_hits(simulation: Simulation, pair: Pair) -> Simulation:
    """Without the hits that fell in an interval which is not used: they do no harm."""
    dropped = np.flatnonzero(pair.fit.dropped)
    return replace(simulation, hits=simulation.hits[~np.isin(simulation.hits["read"], dropped)])


def main(arguments: list[str] | None = None) -> int:
    """Print the table.

    Parameters
    ----------
    arguments : list of str, optional
        Command line.
    """
    parser = argparse.ArgumentParser(prog="python -m upramp.bench.corrections", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="exposures of each case (default 20)")
    parser.add_argument("--size", type=int, default=256, help="light-sensitive pixels a side (default 256)")
    args = parser.parse_args(arguments)
    print(
        "| background, method | tilt (e-/s) | noise / allowed | flux of sources | residual / ERR "
        "| hits found | false |"
    )
    print("|---|---|---|---|---|---|---|")
    for case in cases():
        found = [measure(observe(case, seed, args.size)) for seed in range(1, args.seeds + 1)]
        mean = {key: float(np.mean([one[key] for one in found])) for key in found[0]}
        flux = 100 * mean["flux"] / mean["flux_weight"]
        print(
            f"| {case.name} | {mean['tilt']:.4f} | {mean['noise']:.3f} | {flux:+.3f} % | {mean['error']:.3f} "
            f"| {100 * mean['found']:.2f} % ({100 * mean['found_clean']:.2f} %) "
            f"| {100 * mean['false']:.3f} % ({100 * mean['false_clean']:.3f} %) |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
