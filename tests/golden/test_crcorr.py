"""The ramp fit against calwf3's own outputs, every pixel of every plane."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import upramp
from planes import differences
from upramp.wfc3ir.fit import fit_ramp
from upramp.wfc3ir.references import Refs

STRESS = [
    *(f"crcorr_{name}" for name in ("a_plain", "b_flags", "c_heavy", "d_counts", "e_short", "h_two", "i_n2")),
    *(f"crcorr_r{number}" for number in range(30, 37)),
]
REENTRY = [f"s64_reentry_{name}" for name in ("plain", "flatten", "noflat", "nounit", "wf3ir")]


def test_all_cases_are_listed(shared: Path) -> None:
    golden = shared / "golden" / "wf3ir"
    assert {path.name for path in golden.glob("crcorr_*")} <= set(STRESS)
    with_output = {path.parent.name for path in golden.glob("s64_reentry_*/*_ima_flt.fits.gz")}
    assert with_output <= set(REENTRY)


@pytest.mark.parametrize("case", STRESS)
@pytest.mark.parametrize("threads", [1, 2])
def test_stress_case_is_identical(shared: Path, tmp_path: Path, case: str, threads: int) -> None:
    folder = shared / "golden" / "wf3ir" / case
    done = upramp.calibrate_file(
        folder / "in_ima.fits.gz", tmp_path, refs=Refs(folder), parity=True, threads=threads
    )
    assert differences(done.flt, folder / "out_flt.fits.gz") == {}
    # The reference program writes a constant TIME with 8 digits.
    assert differences(done.ima, folder / "out_ima.fits.gz", {"TIME": 1}) == {}


@pytest.mark.parametrize("case", REENTRY)
def test_reentry_is_identical(shared: Path, tmp_path: Path, case: str) -> None:
    golden = shared / "golden" / "wf3ir"
    source = golden / case / "isim01aaq_ima.fits.gz"
    done = upramp.calibrate_file(source, tmp_path, refs=Refs(golden / "refs_s64"), parity=True)
    assert differences(done.flt, golden / case / "isim01aaq_ima_flt.fits.gz") == {}
    assert differences(done.ima, golden / case / "isim01aaq_ima_ima.fits.gz", {"TIME": 1}) == {}


def test_reentry_before_the_flat_field_equals_a_single_pass(shared: Path, tmp_path: Path) -> None:
    golden = shared / "golden" / "wf3ir"
    source = golden / "s64_reentry_noflat" / "isim01aaq_ima.fits.gz"
    done = upramp.calibrate_file(source, tmp_path, refs=Refs(golden / "refs_s64"), parity=True)
    assert differences(done.flt, golden / "s64_nominal" / "isim01aaq_flt.fits.gz") == {}


def test_each_step_is_told_once_and_the_unit_is_that_of_a_rate(shared: Path, tmp_path: Path) -> None:
    """calwf3 tells of UNITCORR twice in the FLT."""
    from astropy.io import fits

    golden = shared / "golden" / "wf3ir"
    source = golden / "s64_reentry_nounit" / "isim01aaq_ima.fits.gz"
    done = upramp.calibrate_file(source, tmp_path, refs=Refs(golden / "refs_s64"))
    with fits.open(done.flt) as flt:
        told = list(flt[0].header["HISTORY"])
        for step in ("UNITCORR complete.", "CRCORR complete.", "FLATCORR complete ..."):
            assert told.count(step) == 1
        assert flt["SCI"].header["BUNIT"] == flt["ERR"].header["BUNIT"] == "ELECTRONS/S"


@pytest.mark.parametrize(("with_refs", "tolerance"), [(True, 1e-6), (False, 0.01)])
def test_errors_of_a_refit_in_electrons_are_those_of_a_single_pass(
    shared: Path, with_refs: bool, tolerance: float
) -> None:
    """calwf3 takes electrons for DN there; its errors come out at 0.54 of what they should be."""
    from astropy.io import fits

    golden = shared / "golden" / "wf3ir"
    refs = Refs(golden / "refs_s64")
    ramp = upramp.read_ramp(golden / "s64_reentry_plain" / "isim01aaq_ima.fits.gz")
    ours = fit_ramp(ramp, refs=refs if with_refs else Refs())
    calwf3 = fit_ramp(ramp, refs=refs, parity=True)
    with fits.open(golden / "s64_nominal" / "isim01aaq_flt.fits.gz") as nominal:
        err, dq, samp = (nominal[name].data for name in ("ERR", "DQ", "SAMP"))
        single = upramp.read_ramp(golden / "s64_nominal" / "isim01aaq_ima.fits.gz")
        y, x = ramp.border
        # Where rounding moves a residual across the threshold, another hit is found: not a matter of errors.
        same_hits = (single.dq == ours.read_dq)[:, y, x].all(axis=0) & (samp == ours.samp)
        good = (dq == 0) & same_hits
        assert good.mean() > 0.97
        # The errors of the reads now hold the flat's: the signal-to-noise ratio, which chooses the weights,
        # is lower by less than 1 %. One pixel in a thousand falls into the class below.
        close = np.isclose(ours.err[good], err[good], rtol=tolerance)
        assert close.mean() > 0.998
        np.testing.assert_allclose(ours.err[good], err[good], rtol=0.05)
        assert np.array_equal(ours.dq, dq.astype(np.uint16))
        assert np.median(calwf3.err[good] / err[good]) == pytest.approx(0.545, abs=0.01)


@pytest.mark.parametrize("name", ["ibxy01z8q", "ibxy07p9q"])
def test_real_cosmic_rays_come_back(shared: Path, name: str) -> None:
    """Archive IMAs that carry calwf3's flags: cleared and fitted anew, in DN as the archive's fit was."""
    ramp = upramp.read_ramp(shared / "data" / "wfc3ir" / f"{name}_ima.fits.gz")
    y, x = ramp.border
    before = (ramp.dq[:, y, x] & 8192) != 0
    after = (fit_ramp(ramp).read_dq[:, y, x] & 8192) != 0
    assert before.any()
    missing, further = before & ~after, after & ~before
    assert not missing.any(), np.argwhere(missing).tolist()
    # Nothing new either: the noise is that of the archive's own fit.
    assert not further.any(), np.argwhere(further).tolist()
