"""How well the simulated cosmic rays were found."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upramp.simulate.detector import Simulation

__all__ = ["HitScore", "score_hits"]

DATAREJECT = 8192


class HitScore(NamedTuple):
    """Result of :func:`score_hits`."""

    total: int
    """Hits that were there to be found."""
    completeness: float
    """Fraction of them flagged from their read on; NaN without hits."""
    false_fraction: float
    """Fraction of the undisturbed pixels that carry a flag."""


def score_hits(simulation: Simulation, read_dq: ArrayLike, *, min_electrons: float = 200.0) -> HitScore:
    """Compare the flags of a ramp fit with the hits that were simulated.

    Parameters
    ----------
    simulation : Simulation
        Exposure with its truth.
    read_dq : (nread, ny, nx) array_like of uint16
        DQ of every read after the fit.
    min_electrons : float, optional
        Hits fainter than this, lost in the noise, do not count; nor does what is flagged because of them.

    Returns
    -------
    HitScore
        Over pixels without a static flag, light-sensitive ones only.
    """
    found = (np.asarray(read_dq) & DATAREJECT) != 0
    usable: NDArray[np.bool_] = np.zeros(found.shape[1:], bool)
    usable[5:-5, 5:-5] = True
    usable &= np.bitwise_or.reduce(simulation.dq & ~np.uint16(2048), axis=0) == 0
    hits = simulation.hits
    hits = hits[usable[hits["y"], hits["x"]]]
    bright = hits[(hits["electrons"] >= min_electrons) & (hits["read"] > 0)]
    flagged = found[bright["read"], bright["y"], bright["x"]]
    clean = usable.copy()
    clean[hits["y"], hits["x"]] = False
    return HitScore(
        total=int(bright.size),
        completeness=float(flagged.mean()) if bright.size else float("nan"),
        false_fraction=float(found[-1][clean].mean()) if clean.any() else float("nan"),
    )
