"""Two-point-difference jumps against the masks of stcal 1.20: every DQ word, neighbours and later groups too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upramp.ramps import JumpRule, RampBits, TwoPointJumps, find_jumps
from upramp.ramps.jumps import search_groups

EVEN = ["jwst_rapid10", "jwst_medium8", "jwst_deep8_5", "jwst_rapid10_3int", "jwst_miri40"]
UNEVEN_TIMES = ["wfc3_spars50", "wfc3_step50"]
AFTER = ((500.0, 1), (3000.0, 3))
"""Groups flagged after jumps of so many DN in the golden sets."""


def load(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        return dict(file)


def find(z: dict[str, Any], rule: JumpRule, **options: Any) -> TwoPointJumps:
    with np.errstate(invalid="ignore"):
        noise = z["readnoise_cds_dn"] * z["gain"] / np.sqrt(np.float32(2))
    return find_jumps(z["data"], z["groupdq"], read_noise=noise, gain=z["gain"], rule=rule, **options)


@pytest.mark.parametrize("pattern", EVEN)
def test_masks_of_even_groups_are_stcals(shared: Path, pattern: str) -> None:
    folder = shared / "golden" / "ramp"
    z, theirs = load(folder / f"{pattern}_in.npz"), load(folder / f"{pattern}_jump2pt.npz")
    nframes = int(z["nframes"])
    found = find(z, JumpRule(), nframes=nframes)
    np.testing.assert_array_equal(found.dq, theirs["gdq_default"])
    assert found.dq.dtype == np.uint8
    assert found.primary == theirs["nprimary"]
    alone = find(z, JumpRule(neighbours=None), nframes=nframes)
    np.testing.assert_array_equal(alone.dq, theirs["gdq_no4"])
    assert alone.jumps.sum() == np.count_nonzero(theirs["gdq_no4"][:, 1:] & 4)
    median = float(np.nanmedian(z["gain"]))
    after = JumpRule(after=[(dn * median, groups) for dn, groups in AFTER])
    np.testing.assert_array_equal(find(z, after, nframes=nframes).dq, theirs["gdq_after"])


@pytest.mark.parametrize("pattern", UNEVEN_TIMES)
def test_masks_of_uneven_times_are_stcals(shared: Path, pattern: str) -> None:
    folder = shared / "golden" / "ramp"
    z, theirs = load(folder / f"{pattern}_in.npz"), load(folder / f"{pattern}_jump2pt.npz")
    found = find(z, JumpRule(), times=z["read_times"])
    np.testing.assert_array_equal(found.dq, theirs["gdq_default"])
    assert found.primary == theirs["nprimary"]


def test_unequal_reads_as_stcal_weighs_them_and_rightly(shared: Path) -> None:
    """The peer's sigma is too small for groups of unequal reads: with the right one, fewer false jumps remain."""
    folder = shared / "golden" / "ramp"
    z, theirs = load(folder / "roman_uneven_in.npz"), load(folder / "roman_uneven_jump2pt.npz")
    nreads = z["nreads"]
    times = np.split(z["read_times"], np.cumsum(nreads)[:-1])

    def as_stcal(rule: JumpRule) -> TwoPointJumps:
        return search_groups(
            z["data"],
            z["groupdq"],
            gain=z["gain"],
            difference_noise=z["readnoise_cds_dn"] * z["gain"],
            time=np.diff([group.mean() for group in times]),
            reads=0.5 * (nreads[1:] + nreads[:-1]),
            rule=rule,
            bits=RampBits(),
            threads=1,
        )[0]

    np.testing.assert_array_equal(as_stcal(JumpRule()).dq, theirs["gdq_default"])
    alone = JumpRule(neighbours=None)
    found, peer = find(z, alone, times=times).jumps[0], as_stcal(alone).jumps[0]
    hit = np.unpackbits(z["truth_hit"], axis=-1)[0, ..., : found.shape[-1]] > 0
    clean = ~hit.any(axis=0)
    assert np.count_nonzero(found[:, clean]) <= np.count_nonzero(peer[:, clean])
    assert np.count_nonzero(found & hit) > 0.97 * np.count_nonzero(peer & hit)


@pytest.mark.parametrize("across", [False, True])
def test_many_integrations_are_clipped_as_stcal_does(shared: Path, across: bool) -> None:
    z = load(shared / "golden" / "ramp" / "jump_sigmaclip_tso.npz")
    found = find_jumps(z["data"], read_noise=10.0, gain=2.0, rule=JumpRule(across=across))
    np.testing.assert_array_equal(found.dq, z[f"gdq_onlyints{int(across)}"])
    assert found.primary == z[f"n{int(across)}"]
