"""Levels of intervals between reads: against stored intervals, NumPy and the simulated truth."""

from __future__ import annotations

import numpy as np
import pytest

from upramp.ramps import difference_stats
from upramp.simulate import Exposure, Scene, simulate
from upramp.tvb.corrected import SKY_BAD_DQ
from upramp.tvb.levels import interval_stats, lr_medians, read_stats
from upramp.wfc3ir.exposure import read_ramp
from upramp.wfc3ir.tables import interval_rates, strips

FIELD = np.s_[5:-5, 5:-5]


def robust(values):
    middle = np.median(values)
    return middle, 1.482602218505602 * np.median(np.abs(values - middle))


def clipped(values, sigma):
    """Keep what lies within `sigma` robust sigmas of the median, until all does; in float64."""
    values = values[np.isfinite(values)].astype(float)
    for _ in range(5):
        middle, spread = robust(values)
        kept = values[np.abs(values - middle) <= sigma * spread]
        if kept.size == values.size:
            break
        values = kept
    return values


@pytest.mark.parametrize("case", ["ima", "golden raw", "real"])
def test_medians_are_those_of_stored_intervals(case, ima, shared):
    path = {
        "ima": ima,
        "golden raw": shared / "golden/wf3ir/s64_helium/isim01aaq_raw.fits.gz",
        "real": shared / "data/wfc3ir/ibh726meq_ima.fits.gz",
    }[case]
    ramp = read_ramp(path)
    rates, flags = interval_rates(ramp), ramp.dq[1:] | ramp.dq[:-1]
    stats = interval_stats(ramp, clip=None)
    left, right = strips(ramp)
    for name, region in (("full", ramp.border), ("left", left), ("right", right)):
        for k in range(ramp.nread - 1):
            values = rates[k][region][flags[k][region] & SKY_BAD_DQ == 0]
            assert stats[name].npix[k] == values.size
            # Bit for bit: the mean of two middle values, as NumPy takes it in double precision.
            assert stats[name].median[k] == np.median(values.astype(float))


def test_clipping_follows_the_noise_of_every_interval(ima):
    ramp = read_ramp(ima)
    rates, flags = interval_rates(ramp), ramp.dq[1:] | ramp.dq[:-1]
    stats = interval_stats(ramp, clip=3.0)["full"]
    for k in range(ramp.nread - 1):
        values = clipped(rates[k][FIELD][flags[k][FIELD] & SKY_BAD_DQ == 0], 3.0)
        # Deviations in single precision may move a pixel across the limit.
        assert abs(stats.npix[k] - values.size) <= 2
        middle, spread = robust(values)
        np.testing.assert_allclose(stats.median[k], middle, atol=1e-3 * stats.error[k])
        np.testing.assert_allclose(stats.robust_std[k], spread, rtol=1e-4)
        np.testing.assert_allclose([stats.mean[k], stats.std[k]], [values.mean(), values.std()], rtol=1e-3)
    # The 0.1 s read is 200 times as noisy in a rate as the others: nothing but outliers is cut from it.
    assert stats.npix[0] > 0.99 * stats.npix[1:].max()
    assert stats.std[0] > 100 * np.median(stats.std[1:])


def test_errors_are_the_scatter_of_medians():
    pulls, peaks = [], []
    for seed in range(40):
        simulation = simulate(Exposure(size=64, nsamp=6, seed=seed), Scene(n_sources=0, cosmic_rays=0.0))
        stats = difference_stats(
            simulation.sci[2:4],
            [(1, 302.8 / 100.0, 0, 202.8 / 100.0)],
            simulation.dq[2:4],
            regions=[FIELD],
            clip=3.0,
        )[0]
        pulls.append((stats.median[0] - 0.8) / stats.error[0])
        peaks.append((stats.mode[0] - stats.mean[0]) / stats.error[0])
    # Times are those of the full frame to 0.2 %, far less than the error of 64 x 64 pixels.
    assert 0.7 < np.std(pulls) < 1.3
    assert abs(np.mean(peaks)) < 1.0  # of a symmetric histogram


def test_cumulative_differences_and_reads(ima):
    ramp = read_ramp(ima)
    reads = interval_stats(ramp, kind="read", clip=None)["full"]
    cumulative = interval_stats(ramp, kind="cumulative", clip=None)["full"]
    flags = ramp.dq & SKY_BAD_DQ
    for k in range(ramp.nread):
        good = flags[k][FIELD] == 0
        assert reads.median[k] == np.median(ramp.sci[k][FIELD][good].astype(float))
    for k in range(1, ramp.nread):
        good = (flags[k] | flags[k - 1])[FIELD] == 0
        change = (ramp.sci[k - 1] - ramp.sci[k])[FIELD][good]
        assert cumulative.median[k - 1] == np.median(change.astype(float))
    assert (cumulative.median[-4:] < 0).all()  # helium grows, and earlier minus later is negative


def test_counts_and_rates_agree(ima):
    ramp = read_ramp(ima)
    counts = ramp.with_(sci=ramp.counts, unit="ELECTRONS")
    counts.primary["ZOFFCORR"] = "COMPLETE"
    for kind in ("interval", "cumulative", "read"):
        one, other = (interval_stats(each, kind=kind)["full"].median[1:] for each in (ramp, counts))
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_masked_pixels_and_threads(ima):
    ramp = read_ramp(ima)
    sci = ramp.sci.copy()
    mask = np.zeros(sci.shape[1:], bool)
    mask[10:60, 20:90] = True
    sci[:, mask] = 1e6
    spoiled = interval_stats(ramp.with_(sci=sci), mask=mask, clip=None, threads=1)
    for name, stats in interval_stats(ramp, mask=mask, clip=None, threads=5).items():
        for one, other in zip(stats, spoiled[name], strict=True):
            np.testing.assert_array_equal(one, other)


def test_left_and_right(ima):
    ramp = read_ramp(ima)
    sci = ramp.sci.copy()
    sci[3:, :, :60] += 0.5
    sides = lr_medians(ramp.with_(sci=sci))
    clean = lr_medians(ramp)
    # A step of 0.5 in the rates from read 3 on: its interval holds the light of three, later ones their own.
    steps = ramp.times[3] / (ramp.times[3] - ramp.times[2])
    np.testing.assert_allclose(sides.difference[2] - clean.difference[2], 0.5 * steps, atol=0.01)
    np.testing.assert_allclose(sides.difference[3:] - clean.difference[3:], 0.5, atol=0.01)
    np.testing.assert_allclose(sides.ratio[3:], sides.left[3:] / sides.right[3:])
    assert (sides.error > 0).all()


def test_table_of_reads(ima):
    ramp = read_ramp(ima)
    table = read_stats(ramp, stat=("median", "npix", "robust_std"))
    stats = interval_stats(ramp)
    assert table.colnames[:4] == ["sampnum", "imset", "samptime", "dt"]
    assert list(table["imset"]) == list(range(16, 0, -1))
    assert np.isnan(table["full_median"][0])
    assert table["full_npix"][0] == 0
    np.testing.assert_array_equal(table["left_median"][1:], stats["left"].median)
    np.testing.assert_allclose(table["ratio"][2:], stats["left"].median[1:] / stats["right"].median[1:])
    assert str(table["full_median"].unit) == "electron / s"
    counts = read_stats(ramp, {"box": np.s_[20:40, 20:40]}, "mean", units="counts")
    rate = read_stats(ramp, {"box": np.s_[20:40, 20:40]}, "mean")
    np.testing.assert_allclose(counts["box_mean"][1:], rate["box_mean"][1:] * np.diff(ramp.times), rtol=1e-6)
    assert "ratio" not in counts.colnames


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stat": "average"}, "stat is 'average', expected one of npix, median"),
        ({"units": "dn"}, "units is 'dn', expected"),
        ({"kind": "difference"}, "kind is 'difference', expected"),
        ({"units": "counts", "kind": "cumulative"}, "units is 'counts'"),
        ({"clip": -1.0}, "clip is -1.0, expected"),
        ({"regions": {"box": np.s_[3:3, :]}}, "region is"),
        ({"mask": np.zeros((3, 3), bool)}, r"mask has shape \(3, 3\), expected"),
    ],
)
def test_bad_arguments_are_named(ima, arguments, message):
    with pytest.raises(ValueError, match=message):
        read_stats(read_ramp(ima), **arguments)


def test_a_read_that_is_not_there():
    with pytest.raises(ValueError, match=r"difference is .2, 1.0, 1, 1.0., expected reads"):
        difference_stats(np.zeros((2, 4, 4), np.float32), [(2, 1.0, 1, 1.0)])
