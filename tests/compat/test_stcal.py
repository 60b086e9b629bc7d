"""stcal's functions and ours on the same objects: products, flags and what changes in place; and stcal's own tests.

stcal is not among the test extras, since it brings 600 MB of other packages. Its ramps and jumps import a few of
them only: ``pip install --no-deps stcal scikit-image lazy-loader networkx imageio tifffile``, and scipy, will do.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import upramp
from upramp.compat import stcal as ours

pytest.importorskip("scipy", reason="stcal needs it")
ramp_fit = pytest.importorskip("stcal.ramp_fitting.ramp_fit", reason="stcal is not installed")
jump = pytest.importorskip("stcal.jump.jump", reason="stcal is not installed")

FLAGS = {
    "GOOD": 0,
    "DO_NOT_USE": 1,
    "SATURATED": 2,
    "JUMP_DET": 4,
    "PERSISTENCE": 32,
    "CHARGELOSS": 128,
    "NO_GAIN_VALUE": 1 << 19,
    "UNRELIABLE_SLOPE": 1 << 24,
    "REFERENCE_PIXEL": 1 << 31,
}
DNU, SAT, JUMP = 1, 2, 4
Images = dict[str, Any] | None


def make_ramps(
    seed: int, shape: tuple[int, int, int, int], instrument: str = "NIRCAM", **options: Any
) -> Any:
    """Random ramps with every kind of flag, as stcal's RampData; its arrays of gain and noise come along."""
    from stcal.ramp_fitting.ramp_fit_class import RampData

    rng = np.random.default_rng(seed)
    nints, ngroups, ny, nx = shape
    nframes, groupgap, frame_time = options.get("frames", (4, 1, 2.5))
    group_time = (nframes + groupgap) * frame_time
    rate = 10 ** rng.uniform(-2, 4, (ny, nx))
    steps = rng.poisson(rate * group_time, shape).cumsum(axis=1)
    data = (steps + rng.normal(0, 8, shape)).astype(np.float32)
    dq = rng.choice([0, 0, 0, 0, 0, 0, DNU, JUMP, 32, JUMP | 32], shape).astype(np.uint8)
    dq[..., : nx // 2] = 0
    full = (
        rng.integers(0, 2 * ngroups, (nints, 1, ny, nx)) <= np.arange(ngroups)[:, None, None] - ngroups // 2
    )
    dq[full] |= SAT
    if options.get("charge_loss", True):
        dq[rng.random(shape) < 0.02] |= 128 | DNU
    ramps = RampData()
    ramps.set_arrays(
        data,
        dq,
        rng.choice([0, 0, 0, 0, 16, DNU], (ny, nx)).astype(np.uint32),
        rng.uniform(0, 0.1, (ny, nx)).astype(np.float32),
        orig_gdq=dq.copy() if options.get("charge_loss", True) else None,
        zeroframe=rng.choice([0, 12, 30], (nints, ny, nx)).astype(np.float32)
        if options.get("frame")
        else None,
    )
    ramps.algorithm = "OLS_C"
    ramps.set_meta(instrument, frame_time, group_time, groupgap, nframes, options.get("dropped"))
    ramps.set_dqflags(FLAGS)
    ramps.start_row, ramps.num_rows = 0, ny
    ramps.suppress_one_group_ramps = options.get("suppress", False)
    gain = rng.uniform(1, 3, (ny, nx)).astype(np.float32)
    gain[0, :4] = [np.nan, 0, -1, np.inf]
    noise = rng.uniform(4, 9, (ny, nx)).astype(np.float32)
    noise[1, :2] = [0, np.nan]
    return ramps, noise, gain


def expect_same(mine: Images, theirs: Images, rtol: float = 4e-7) -> None:
    if mine is None or theirs is None:
        assert mine is theirs
        return
    assert list(mine) == list(theirs)
    for name, image in theirs.items():
        assert mine[name].dtype == image.dtype, name
        assert mine[name].shape == image.shape, name
        if image.dtype.kind == "u":
            np.testing.assert_array_equal(mine[name], image, err_msg=name)
        else:
            np.testing.assert_allclose(mine[name], image, rtol=rtol, atol=1e-30, err_msg=name)


def fit_both(ramps: Any, noise: Any, gain: Any, save: bool, algorithm: str = "OLS_C") -> list[list[Any]]:
    results = []
    for function in (ours.ramp_fit_data, ramp_fit.ramp_fit_data):
        mine, readnoise = copy.deepcopy(ramps), noise.copy()
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            images = function(mine, save, readnoise, gain, algorithm, "optimal", "none")
        results.append([images, mine, readnoise])
    return results


def expect_same_changes(mine: Any, theirs: Any) -> None:
    for name in ("data", "groupdq", "pixeldq", "orig_gdq", "drop_frames1", "zeroframe"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name), err_msg=name)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 10, 24, 32), {"suppress": True}),
        ((1, 10, 24, 32), {"suppress": False, "frame": True, "dropped": 2}),
        ((3, 7, 16, 24), {"suppress": True, "frames": (1, 0, 10.7)}),
        ((3, 7, 16, 24), {"suppress": False, "frame": True, "charge_loss": False}),
        ((1, 40, 12, 16), {"suppress": True, "charge_loss": False}),
        ((110, 4, 6, 8), {"suppress": False}),
        ((2, 3, 12, 16), {"suppress": True}),
        ((2, 2, 12, 16), {"suppress": False, "frame": True}),
        ((2, 1, 12, 16), {"suppress": False, "charge_loss": False}),
        ((1, 140, 6, 8), {"suppress": True}),
        ((2, 6, 12, 16), {"frames": (1, 0, 0.005)}),
    ],
)
def test_least_squares_is_stcals(shape: tuple[int, int, int, int], options: dict[str, Any]) -> None:
    ramps, noise, gain = make_ramps(7, shape, **options)
    for save in (True, False):
        mine, theirs = fit_both(ramps, noise, gain, save)
        for images in zip(mine[0], theirs[0], strict=True):
            expect_same(*images)
        expect_same_changes(mine[1], theirs[1])
        np.testing.assert_array_equal(mine[2], theirs[2])


@pytest.mark.parametrize(
    "cut", [slice(0, 0), slice(0, 2), slice(9, 10), slice(0, 9), slice(1, 10), slice(0, 10)]
)
@pytest.mark.parametrize("suppress", [False, True])
def test_miri_ramps_lose_the_groups_no_pixel_can_use(cut: slice, suppress: bool) -> None:
    ramps, noise, gain = make_ramps(3, (2, 10, 8, 12), "MIRI", suppress=suppress)
    ramps.groupdq[:, cut] |= DNU
    ramps.orig_gdq = ramps.groupdq.copy()
    mine, theirs = fit_both(ramps, noise, gain, True)
    for images in zip(mine[0], theirs[0], strict=True):
        expect_same(*images)
    expect_same_changes(mine[1], theirs[1])


def test_nothing_is_fitted_where_all_is_saturated() -> None:
    ramps, noise, gain = make_ramps(3, (2, 10, 8, 12), suppress=True)
    ramps.groupdq[:, 0] |= SAT
    mine, theirs = fit_both(ramps, noise, gain, True)
    assert tuple(mine[0]) == tuple(theirs[0]) == (None, None, None)
    expect_same_changes(mine[1], theirs[1])


def test_the_extension_refuses_what_stcals_refuses() -> None:
    ramps, noise, gain = make_ramps(1, (1, 5, 4, 6))
    with pytest.raises(ValueError, match="weighting"):
        ours.ols_slope_fitter(ramps, gain, noise, "uniform", False)
    with pytest.raises(TypeError, match="gain_2d has dtype float64"):
        ours.ols_slope_fitter(ramps, gain.astype(float), noise, "optimal", False)
    with pytest.raises(ValueError, match="max_cores"):
        ours.ramp_fit_data(ramps, False, noise, gain, "OLS_C", "optimal", "many")


def make_jumps(seed: int, shape: tuple[int, int, int, int], **settings: Any) -> Any:
    """Random ramps with jumps and flags, as stcal's JumpData."""
    from stcal.jump.jump_class import JumpData

    rng = np.random.default_rng(seed)
    ny, nx = shape[2:]
    rate = 10 ** rng.uniform(0, 3, (ny, nx))
    step = rng.poisson(rate, shape) + np.where(rng.random(shape) < 0.03, 10 ** rng.uniform(1, 5, shape), 0)
    jumps = JumpData(dqflags=FLAGS)
    jumps.nframes = 4
    jumps.dt_group, jumps.n_reads_groupdiff = np.ones(1), np.full(1, 8.0)
    dq = rng.choice([0] * 12 + [DNU, SAT, JUMP, 32, JUMP | DNU], shape).astype(np.uint8)
    jumps.init_arrays_from_arrays(
        (step.cumsum(axis=1) + rng.normal(0, 5, shape)).astype(np.float32), dq, np.zeros((ny, nx), np.uint32)
    )
    jumps.gain_2d = rng.uniform(1, 2, (ny, nx)).astype(np.float32)
    jumps.gain_2d[0, :3] = [np.nan, 0, -1]
    jumps.rnoise_2d = rng.uniform(4, 9, (ny, nx)).astype(np.float32)
    jumps.rnoise_2d[1, 1] = 0
    jumps.max_cores = "none"
    for name, value in settings.items():
        setattr(jumps, name, value)
    return jumps


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((1, 10, 24, 32), {}),
        ((1, 30, 24, 32), {"after_jump_flag_dn1": 30.0, "after_jump_flag_n1": 2}),
        ((1, 9, 24, 32), {"after_jump_flag_dn2": 300.0, "after_jump_flag_n2": 40, "flag_4_neighbors": False}),
        ((3, 6, 12, 16), {"rejection_thresh": 3.5, "min_jump_to_flag_neighbors": 5}),
        ((2, 11, 12, 16), {"dt_group": np.linspace(1, 2, 10), "n_reads_groupdiff": np.arange(2, 12)}),
        ((2, 7, 12, 16), {"dt_group": np.linspace(1, 2, 6), "n_reads_groupdiff": np.arange(2, 8)}),
        ((110, 4, 6, 8), {"only_use_ints": True}),
        ((30, 5, 6, 8), {"only_use_ints": False}),
        ((1, 4, 24, 32), {}),
        ((1, 3, 24, 32), {}),
        ((1, 2, 24, 32), {}),
        ((40, 8, 6, 8), {"only_use_ints": True}),
    ],
)
def test_jumps_are_stcals(shape: tuple[int, int, int, int], settings: dict[str, Any]) -> None:
    jumps = make_jumps(11, shape, **settings)
    mine, theirs = copy.deepcopy(jumps), copy.deepcopy(jumps)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = jump.detect_jumps_data(theirs)
    gdq, pdq, primary, events = ours.detect_jumps_data(mine)
    assert gdq is mine.gdq
    assert pdq is mine.pdq
    assert (primary, events) == expected[2:]
    np.testing.assert_array_equal(gdq, expected[0])
    np.testing.assert_array_equal(pdq, expected[1])
    for name in ("after_jump_flag_e1", "after_jump_flag_e2"):
        assert getattr(mine, name) == getattr(theirs, name)
    np.testing.assert_array_equal(mine.data, jumps.data)


@pytest.mark.parametrize("word", [np.uint8, np.uint16, np.uint32])
def test_the_search_alone_changes_what_stcals_changes(word: type[np.unsignedinteger[Any]]) -> None:
    from stcal.jump.twopoint_difference import find_crs
    from stcal.jump.twopoint_difference_class import TwoPointParams

    jumps = make_jumps(5, (2, 8, 10, 12), min_jump_to_flag_neighbors=4)
    jumps.after_jump_flag_e1 = jumps.after_jump_flag_e2 = 0.0
    params = TwoPointParams(jumps)
    dq = jumps.gdq.astype(word)
    if word is np.uint32:
        dq[0, 3] |= 1 << 20
    results = []
    for function in (ours.find_crs, find_crs):
        data, flags = jumps.data.copy(), dq.copy()
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = function(data, flags, jumps.rnoise_2d, params)
        assert found[0] is flags
        results.append([data, *found])
    for name, mine, theirs in zip(["data", "gdq", "below", "above", "count"], *results, strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg=name)
    assert results[0][2].any()
    assert results[0][3].any()


def test_snowballs_and_showers_are_left_to_stcal(shared: Path) -> None:
    for settings in (
        {"expand_large_events": True, "min_jump_area": 2, "edge_size": 4},
        {"find_showers": True},
    ):
        jumps = make_jumps(4, (1, 14, 40, 40), sat_required_snowball=False, extend_min_area=4, **settings)
        mine, theirs = copy.deepcopy(jumps), copy.deepcopy(jumps)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found, expected = ours.detect_jumps_data(mine), jump.detect_jumps_data(theirs)
        assert found[2:] == expected[2:]
        assert found[3] > 0
        np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("frame", [False, True])
def test_likelihood_is_stcals(frame: bool) -> None:
    """Where no difference is left out before the search, that is: stcal's first guess counts unusable ones."""
    ramps, noise, gain = make_ramps(9, (2, 10, 12, 16), charge_loss=False, frame=frame)
    ramps.groupdq[...] = 0
    ramps.data[:, 5:, ::3] += 4000
    gain[~(gain > 0) | ~np.isfinite(gain)] = 1.5
    # That of the samples: 8 DN a group of four frames.
    noise[...] = 8 * np.sqrt(2 * 4)
    mine, theirs = fit_both(ramps, noise, gain, False, "LIKELY")
    np.testing.assert_array_equal(mine[1].groupdq, theirs[1].groupdq)
    assert np.count_nonzero(mine[1].groupdq & JUMP) > 100
    for images, expected in zip(mine[0][:2], theirs[0][:2], strict=True):
        assert list(images) == list(expected)
        np.testing.assert_array_equal(images["dq"], expected["dq"])
        # The covariance of the fit is that of a slightly other rate.
        assert np.max(np.abs(images["slope"] - expected["slope"]) / expected["err"]) < 0.02
        for name in ("err", "var_rnoise", "chisq"):
            np.testing.assert_allclose(images[name], expected[name], rtol=0.005)
    assert mine[0][2] is theirs[0][2] is None
    np.testing.assert_array_equal(mine[2], theirs[2])


def test_accelerate_puts_ours_in_and_theirs_back() -> None:
    theirs = ramp_fit.ramp_fit_data
    ramps, noise, gain = make_ramps(2, (1, 6, 8, 8))
    with upramp.accelerate("stcal"):
        assert ramp_fit.ramp_fit_data.__module__.startswith("upramp.compat.stcal")
        assert jump.detect_jumps_data.__module__.startswith("upramp.compat.stcal")
        image, _, _ = ramp_fit.ramp_fit_data(ramps, False, noise, gain, "OLS_C", "optimal", "none")
    assert image is not None
    assert ramp_fit.ramp_fit_data is theirs


@pytest.mark.parametrize(
    "name",
    ["ramp_fitting", "ramp_fitting_cases", "ramp_fitting_likely_fit", "jump", "jump_twopoint_difference"],
)
def test_stcals_own_tests_pass(name: str, tmp_path: Path) -> None:
    """They are in neither wheel nor repository of ours: ``UPRAMP_STCAL_TESTS`` names the folder of a checkout."""
    folder = os.environ.get("UPRAMP_STCAL_TESTS")
    if not folder:
        pytest.skip("UPRAMP_STCAL_TESTS does not name the tests folder of an stcal checkout")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "stcal_backend", "-p", "no:cacheprovider"]
    command += ["-c", os.devnull, "--rootdir", str(tmp_path), "-o", "log_level=INFO"]
    done = subprocess.run(
        [*command, str(Path(folder) / f"test_{name}.py")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
