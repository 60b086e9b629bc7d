"""Compare the ramp fits with simulated truth, from faint to bright sky: ``python -m upramp.bench.fits``.

Each line is one sky level and one fit. Pixels with a permanent flag do not count. A hit is as bright as its
charge is large against the noise of the difference it falls into; hits before the first read, which calwf3's fit
does not see, and pixels struck twice do not count. The last lines are exposures with helium airglow that sets in
halfway and rises to the rate given, flattened first.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from upramp.simulate import Exposure, Scene, Simulation, simulate
from upramp.simulate.detector import BORDER, DARK, MEAN_GAIN, READ_NOISE
from upramp.tvb.flatten import flatten_ramp
from upramp.wfc3ir.exposure import Ramp, read_ramp
from upramp.wfc3ir.fit import FIT_METHODS, Fit, fit_ramp

__all__ = ["CASES", "Case", "Quality", "compare_fits", "judge", "main"]

FIELD = np.s_[BORDER:-BORDER, BORDER:-BORDER]
DATAREJECT, UNSTABLE = 8192, 32
STRUCK = 0.02
"""Fraction of the pixels to be struck in an exposure of any length."""
PIXELS_PER_HIT = 2.3
"""Pixels that a simulated cosmic ray strikes, on average."""


@dataclass(frozen=True, slots=True)
class Case:
    """A sky level and a readout that its charge does not saturate."""

    sky: float
    samp_seq: str
    size: int
    helium: float = 0.0
    """Airglow at the end of the exposure, e-/s; flattened before the fit."""
    nsamp: int = 16

    @property
    def label(self) -> str:
        """Rates of sky and airglow."""
        return f"{self.sky:g}" + (f" + helium {self.helium:g}, flattened" if self.helium else "")


CASES = (
    Case(0.3, "SPARS100", 512),
    Case(1.0, "SPARS100", 512),
    Case(3.0, "SPARS100", 512),
    Case(10.0, "SPARS100", 512),
    Case(30.0, "SPARS100", 512),
    Case(100.0, "SPARS25", 512),
    Case(300.0, "SPARS10", 512),
    Case(1000.0, "SPARS5", 512),
    Case(3000.0, "RAPID", 512),
    Case(10000.0, "RAPID", 256),
    Case(0.8, "SPARS100", 512, helium=2.0),
    Case(0.8, "SPARS100", 512, helium=8.0),
)


class Quality(NamedTuple):
    """How well a fit did."""

    faint: float
    """Fraction found of the hits of 6 to 10 sigma."""
    bright: float
    """Fraction found of the brighter ones."""
    false: float
    """Fraction of the undisturbed pixels that are flagged as hit or unstable."""
    bias: float
    """Mean deviation of the undisturbed pixels' rates, relative."""
    noise: float
    """Standard deviation of their rates from the truth, e-/s."""
    residual: float
    """Standard deviation of that in units of ERR."""
    residual_struck: float
    """The same for pixels with a hit that was found; robust, since an undetected second hit is no matter of ERR."""


def compare_fits(case: Case, seed: int = 1) -> dict[str, Quality]:
    """Simulate a case and judge every fit.

    Parameters
    ----------
    case : Case
        Sky level and readout.
    seed : int, optional
        Seed of the random numbers.
    """
    exposure = Exposure(
        size=case.size, samp_seq=case.samp_seq, nsamp=case.nsamp, seed=seed, flat_fielded=False
    )
    # Hits per second in the full frame that strike the wanted fraction of the pixels.
    hits = STRUCK * 1014**2 / (PIXELS_PER_HIT * float(exposure.times[-1]))
    scene = Scene(sky=case.sky, n_sources=0, cosmic_rays=hits, helium=case.helium)
    simulation = simulate(exposure, scene)
    with tempfile.TemporaryDirectory() as folder:
        untouched = read_ramp(simulation.write(folder)["ima"])
    ramp = untouched
    if case.helium:
        ramp = flatten_ramp(untouched, clip=3, flat=simulation.flat).ramp
    fits = {method: fit_ramp(ramp, method=method, untouched=untouched) for method in FIT_METHODS}
    return {method: judge(simulation, ramp, fit) for method, fit in fits.items()}


def judge(simulation: Simulation, ramp: Ramp, fit: Fit) -> Quality:
    """Compare a fit in DN/s with the truth.

    Parameters
    ----------
    simulation : Simulation
        Exposure with its truth, before flat-fielding.
    ramp : Ramp
        The exposure as the fit saw it.
    fit : Fit
        What it found.
    """
    to_electrons = MEAN_GAIN / simulation.flat[FIELD]
    rate, err = fit.rate * to_electrons, fit.err * to_electrons
    spans = np.diff(ramp.times, prepend=0.0)
    # What flattening leaves: the mean of the background.
    truth = simulation.rate[FIELD] + float((simulation.background * spans).sum() / spans.sum())
    usable = np.bitwise_or.reduce(ramp.dq[:, *FIELD], axis=0) == 0
    flagged = fit.read_dq[:, *FIELD] & (DATAREJECT | UNSTABLE) != 0
    hits = simulation.hits
    y, x = hits["y"] - BORDER, hits["x"] - BORDER
    struck = np.zeros(usable.shape, int)
    np.add.at(struck, (y, x), 1)
    light = simulation.scene.sky + DARK + simulation.background[hits["read"]]
    variance = np.mean(list(READ_NOISE.values())) ** 2 + light * spans[hits["read"]]
    sigma = hits["electrons"] / np.sqrt(variance)
    counts = (hits["read"] >= 2) & usable[y, x] & (struck[y, x] == 1)
    found = flagged[hits["read"], y, x]
    clean = usable & (struck == 0)
    off = (rate - truth)[clean]
    # calwf3 gives some pixels with many hits the error 0.
    once = counts & found & (sigma > 10) & (err[y, x] > 0)
    of_struck = (rate - truth)[y[once], x[once]] / err[y[once], x[once]]

    def fraction(of: NDArray[np.bool_]) -> float:
        return float(found[counts & of].mean())

    return Quality(
        faint=fraction((sigma >= 6) & (sigma < 10)),
        bright=fraction(sigma >= 10),
        false=float(flagged[-1][clean].mean()),
        bias=float(off.mean() / truth.mean()),
        noise=float(off.std()),
        residual=float((off / err[clean]).std()),
        residual_struck=float(1.4826 * np.median(np.abs(of_struck - np.median(of_struck)))),
    )


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m upramp.bench.fits", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulations (default 1)")
    args = parser.parse_args()
    columns = (
        *(
            "sky (e-/s)",
            "readout",
            "fit",
            "hits of 6-10 σ found",
            "brighter",
            "false",
            "bias",
            "noise (e-/s)",
        ),
        *("residual / ERR", "where hit"),
    )
    print("| " + " | ".join(columns) + " |")
    print("|---" * len(columns) + "|")
    for case in CASES:
        for method, q in compare_fits(case, args.seed).items():
            print(
                f"| {case.label} | {case.samp_seq}, {case.size}² | {method} | {100 * q.faint:.1f} % "
                f"| {100 * q.bright:.1f} % | {100 * q.false:.2f} % | {100 * q.bias:+.2f} % | {q.noise:.3g} "
                f"| {q.residual:.3f} | {q.residual_struck:.2f} |"
            )


if __name__ == "__main__":
    main()
