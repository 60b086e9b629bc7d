"""Weighted least squares in segments against the outputs of stcal 1.20's OLS_C: every product, every DQ word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from upramp.ramps import OlsFit, fit_ols

PATTERNS = ["jwst_rapid10", "jwst_medium8", "jwst_deep8_5", "jwst_rapid10_3int", "jwst_miri40"]
RATES = {"slope": "rate", "dq": "dq", "var_poisson": "var_poisson", "var_rnoise": "var_rnoise", "err": "err"}
SEGMENTS = {
    "slope": "rate",
    "sigslope": "sigma_rate",
    "var_poisson": "var_poisson",
    "var_rnoise": "var_rnoise",
    "yint": "intercept",
    "sigyint": "sigma_intercept",
    "weights": "weight",
    "pedestal": "pedestal",
    "crmag": "hits",
}


def load(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        return dict(file)


def fit(z: dict[str, Any], dq: NDArray[np.uint8], **options: Any) -> OlsFit:
    """Fit as stcal is called: read noise is that of a difference of two frames, in DN."""
    with np.errstate(invalid="ignore"):
        noise = z["readnoise_cds_dn"] * (z["gain"] / np.sqrt(2.0))
    return fit_ols(
        z["data"],
        group_time=float(np.float32(z["group_time"])),
        frame_time=float(np.float32(z["frame_time"])),
        nframes=int(z["nframes"]),
        groupgap=int(z["groupgap"]),
        read_noise=noise,
        gain=z["gain"],
        dark=z["dark"],
        dq=dq,
        parity=True,
        **options,
    )


def expect_same(ours: Any, theirs: NDArray[Any], name: str) -> None:
    """DQ words are equal, numbers to rounding: the noise of averaged frames is rounded once more than there."""
    assert ours.shape == theirs.shape, name
    if theirs.dtype.kind == "u":
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
    else:
        np.testing.assert_allclose(ours, theirs, rtol=4e-7, atol=0, err_msg=name)


def expect_rates(ours: OlsFit, theirs: dict[str, Any], prefix: str = "") -> None:
    for name, field in RATES.items():
        expect_same(getattr(ours, field), theirs[f"{prefix}rate_{name}"], name)
        if f"{prefix}rateints_{name}" in theirs:
            expect_same(getattr(ours.integrations, field), theirs[f"{prefix}rateints_{name}"], name)


def expect_segments(ours: OlsFit, theirs: dict[str, Any], prefix: str = "") -> None:
    for name, field in SEGMENTS.items():
        expect_same(getattr(ours.segments, field), theirs[f"{prefix}opt_{name}"], name)


@pytest.mark.parametrize("suppress", [False, True])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_products_are_stcals(shared: Path, pattern: str, suppress: bool) -> None:
    folder = shared / "golden" / "ramp"
    z = load(folder / f"{pattern}_in.npz")
    dq = load(folder / f"{pattern}_jump2pt.npz")["gdq_default"]
    theirs = load(folder / f"{pattern}_olsc_suppress{int(suppress)}.npz")
    for segments in (True, False):
        ours = fit(z, dq, pixel_dq=z["pixeldq"], suppress_one_group=suppress, segments=segments)
        expect_rates(ours, theirs)
        if segments:
            expect_segments(ours, theirs)


@pytest.mark.parametrize("case", ["s1", "s0", "zf"])
def test_any_string_of_flags_is_cut_as_stcal_does(shared: Path, case: str) -> None:
    z = load(shared / "golden" / "ramp" / "edge_dq_patterns.npz")
    frames = z["zeroframe"] if case == "zf" else None
    ours = fit(z, z["groupdq"], suppress_one_group=case == "s1", zeroframe=frames, segments=True)
    expect_rates(ours, z, f"{case}_")
    if case != "zf":
        expect_segments(ours, z, f"{case}_")


@pytest.mark.parametrize("suppress", [False, True])
@pytest.mark.parametrize("ngroups", [1, 2, 3])
def test_short_ramps_are_stcals(shared: Path, ngroups: int, suppress: bool) -> None:
    z = load(shared / "golden" / "ramp" / "edge_short_ramps.npz")
    prefix = f"ng{ngroups}_"
    image = np.ones(z[f"{prefix}data"].shape[-2:], np.float32)
    ramps = {
        "data": z[f"{prefix}data"],
        "group_time": 50.0,
        "frame_time": 10.0,
        "nframes": 4,
        "groupgap": 1,
        "gain": 2 * image,
        "readnoise_cds_dn": np.float32(7.07) * image,
        "dark": 0 * image,
    }
    ours = fit(ramps, z[f"{prefix}gdq"], suppress_one_group=suppress, segments=True)
    expect_rates(ours, z, f"{prefix}s{int(suppress)}_")
    expect_segments(ours, z, f"{prefix}s{int(suppress)}_")
