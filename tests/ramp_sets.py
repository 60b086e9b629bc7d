"""Simulated ramps of the golden sets, as the array functions take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PATTERNS = [
    *("jwst_rapid10", "jwst_medium8", "jwst_deep8_5", "jwst_rapid10_3int", "jwst_miri40"),
    *("wfc3_spars50", "wfc3_step50", "roman_uneven"),
]


class Ramps(NamedTuple):
    """Simulated ramps of one pattern, pixels flattened to (1, npixel)."""

    data: NDArray[np.float32]
    times: list[NDArray[np.float64]]
    gain: NDArray[np.float32]
    noise: NDArray[np.float32]
    dq: NDArray[np.uint8]
    dark: NDArray[np.float32]
    hit: NDArray[np.bool_]
    good: NDArray[np.bool_]
    """Pixels with a gain; and one is said to have no read noise, and has it: whatever is made of it is wrong."""


def load(shared: Path, pattern: str, integration: int = 0) -> Ramps:
    with np.load(shared / "golden" / "ramp" / f"{pattern}_in.npz") as file:
        z = dict(file)
    width = z["data"].shape[-1]

    def flat(cube: NDArray[Any]) -> NDArray[Any]:
        return cube[integration].reshape(cube.shape[1], 1, -1)

    gain = np.where(z["gain"] > 0, z["gain"], 1).reshape(1, -1)
    return Ramps(
        data=flat(z["data"]),
        times=np.split(z["read_times"], np.cumsum(z["nreads"])[:-1]),
        gain=gain,
        noise=z["readnoise_cds_dn"].reshape(1, -1) / np.sqrt(2) * gain,
        dq=flat(z["groupdq"]),
        dark=z["dark"].reshape(1, -1) * gain,
        good=(z["gain"] > 0).ravel() & (z["readnoise_cds_dn"] > 0).ravel(),
        hit=flat(np.unpackbits(z["truth_hit"], axis=-1)[..., :width] > 0)[:, 0],
    )
