"""Intervals, cumulative differences and single pixels, against NumPy on what astropy reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import upramp
from upramp.tvb.intervals import mean_rates
from upramp.wfc3ir.exposure import Ramp


def stored(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """SCI in double precision and SAMPTIME, in time order, by astropy alone."""
    with fits.open(path) as file:
        order = range(file[0].header["NSAMP"], 0, -1)
        sci = np.array([file["SCI", i].data for i in order], float)
        return sci, np.array([file["SCI", i].header["SAMPTIME"] for i in order])


def as_counts(ramp: Ramp, *, offset: float) -> Ramp:
    """The same exposure as accumulated signal, on a level of the zeroth read if that is not 0."""
    primary = ramp.primary.copy()
    primary["ZOFFCORR"] = "PERFORM" if offset else "COMPLETE"
    level = np.random.default_rng(1).normal(offset, 20, ramp.sci.shape[1:]) if offset else 0.0
    return ramp.with_(sci=(ramp.counts + level).astype(np.float32), unit="ELECTRONS", primary=primary)


def test_intervals_are_differences_of_counts_over_time(ima: Path) -> None:
    sci, times = stored(ima)
    counts = sci * times[:, None, None]
    expected = np.diff(counts, axis=0) / np.diff(times)[:, None, None]
    got = upramp.interval_rates(upramp.read_ramp(ima))
    assert got.dtype == np.float32
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-3)
    # Intervals of the notebooks: IMSET e = NSAMP - k ends the interval at index k - 1.
    np.testing.assert_allclose(
        got[-1], (counts[-1] - counts[-2]) / (times[-1] - times[-2]), rtol=1e-5, atol=1e-3
    )


def test_cumulative_is_the_earlier_minus_the_later(ima: Path) -> None:
    sci, _ = stored(ima)
    got = upramp.cumulative_diff(upramp.read_ramp(ima))
    np.testing.assert_allclose(got, sci[:-1] - sci[1:], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 11000.0])
def test_counts_give_the_same_as_rates(ima: Path, offset: float) -> None:
    rates = upramp.read_ramp(ima)
    rates = rates.with_(sci=np.concatenate([0 * rates.sci[:1], rates.sci[1:]]))
    counts = as_counts(rates, offset=offset)
    # Single precision on 11000 counts is some 1e-3, and the first interval lasts less than 3 s.
    near = {"rtol": 1e-4, "atol": 1e-2}
    np.testing.assert_allclose(mean_rates(counts), mean_rates(rates), **near)
    np.testing.assert_allclose(upramp.cumulative_diff(counts), upramp.cumulative_diff(rates), **near)
    steps = np.diff(rates.times)[:, None, None]
    np.testing.assert_allclose(
        upramp.interval_rates(counts)[1:] * steps[1:], upramp.interval_rates(rates)[1:] * steps[1:], atol=0.02
    )


def test_mean_rates_of_rates_are_no_copy(ima: Path) -> None:
    ramp = upramp.read_ramp(ima)
    assert mean_rates(ramp) is ramp.sci


def test_one_pixel_is_that_of_the_planes(ima: Path) -> None:
    x, y = 40, 21
    with fits.open(ima) as file:
        nread = file[0].header["NSAMP"]
        planes = {
            name: [
                file[name, nread - k].header["PIXVALUE"]
                if file[name, nread - k].data is None
                else file[name, nread - k].data[y, x]
                for k in range(nread)
            ]
            for name in ("SCI", "ERR", "DQ", "SAMP", "TIME")
        }
    ramp = upramp.read_ramp(ima)
    table = upramp.pixel_stack(ramp, x=x, y=y)
    assert table["sampnum"].tolist() == list(range(nread))
    assert table["imset"].tolist() == list(range(nread, 0, -1))
    for name, values in planes.items():
        np.testing.assert_allclose(table[name.lower()], np.array(values, float), rtol=1e-7)
    times = ramp.times
    np.testing.assert_allclose(table["dt"][1:], np.diff(times), atol=1e-6)
    counts = np.array(planes["SCI"], float) * times
    np.testing.assert_allclose(table["counts"][1:], counts[1:], rtol=1e-6)
    np.testing.assert_allclose(table["rate"], planes["SCI"], rtol=1e-6)
    np.testing.assert_allclose(
        table["interval"][1:], np.diff(np.where(times > 0, counts, 0)) / np.diff(times), rtol=1e-4, atol=1e-3
    )
    assert np.isnan(table["interval"][0])
    np.testing.assert_array_equal(table["interval"][1:], upramp.interval_rates(ramp)[:, y, x])
    assert [str(table[name].unit) for name in ("samptime", "sci", "counts", "interval")] == [
        "s",
        "electron / s",
        "electron",
        "electron / s",
    ]
    assert (table.meta["x"], table.meta["y"], table.meta["file"]) == (x, y, str(ima))


def test_a_stack_owns_its_numbers(ima: Path) -> None:
    ramp = upramp.read_ramp(ima)
    table = upramp.pixel_stack(ramp, 3, 4)
    table["sci"][:] = -1
    assert (ramp.sci[:, 4, 3] != -1).all()


def test_a_single_read_has_no_interval(ima: Path) -> None:
    ramp = upramp.read_ramp(ima)
    one = ramp.with_(
        **{name: getattr(ramp, name)[:1] for name in ("sci", "err", "dq", "samp", "time", "times")}
    )
    assert upramp.cumulative_diff(one).shape == (0, *ramp.sci.shape[1:])
    assert np.isnan(upramp.pixel_stack(one, 0, 0)["interval"]).all()


@pytest.mark.parametrize(("x", "y"), [(-1, 0), (0, 138), (138, 0)])
def test_a_pixel_outside_is_refused_by_name(ima: Path, x: int, y: int) -> None:
    with pytest.raises(IndexError, match=rf"helium01q_ima.fits: x={x}, y={y} is not a pixel of 138 columns"):
        upramp.pixel_stack(upramp.read_ramp(ima), x, y)
