"""Electrons and read noise of an exposure, for errors that are computed outside the ramp fit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.flat import response
from upramp.wfc3ir.references import Refs, amplifiers

__all__ = ["Noise", "noise_of"]


class Noise(NamedTuple):
    """Result of :func:`noise_of`."""

    electrons: NDArray[np.float32]
    """Electrons in the detector per unit of accumulated signal, (ny, nx)."""
    noise: NDArray[np.float32]
    """Read noise of the difference of two reads, electrons, (ny, nx)."""


def noise_of(ramp: Ramp, refs: Refs | None = None, untouched: Ramp | None = None) -> Noise:
    """Electrons per unit and read noise of every pixel.

    Parameters
    ----------
    ramp : Ramp
        Exposure, corrected or not.
    refs : Refs, optional
        Where to look for CCDTAB and flats; without them archive values and what the errors tell.
    untouched : Ramp, optional
        The exposure as the pipeline left it, if `ramp` has been edited since.

    Returns
    -------
    Noise
    """
    refs = refs or Refs()
    amps = amplifiers(ramp, refs)
    gain = amps.image(ramp, amps.gain).astype(np.float32)
    noise = amps.image(ramp, amps.noise).astype(np.float32)
    if ramp.in_electrons:
        to_dn, _, _ = response(untouched or ramp, refs, amps)
        gain = gain * to_dn
    return Noise(gain, noise)
