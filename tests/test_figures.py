"""Figures of the reads: number of panels, labels, numbers and scales, for any NSAMP and subarray."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

import upramp
from test_compare import write_flt
from upramp import plot
from upramp.plot.grid import grid_shape
from upramp.plot.panels import robust_limits
from upramp.ramps import IntervalStats
from upramp.simulate import Exposure, Scene, simulate
from upramp.tvb.intervals import mean_rates
from upramp.wfc3ir.exposure import Ramp
from upramp.wfc3ir.tables import strips


@pytest.fixture(autouse=True)
def agg() -> Any:
    pyplot.switch_backend("agg")
    before = dict(mpl.rcParams)
    yield
    pyplot.close("all")
    assert dict(mpl.rcParams) == before  # no figure changes a setting


@pytest.fixture(scope="module")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Ramp:
    """A small exposure with scattered light on its left."""
    made = simulate(Exposure(size=64, seed=8), Scene(earth_limb=1.0, n_sources=3))
    return upramp.read_ramp(made.write(tmp_path_factory.mktemp("figures"))["ima"])


def first_reads(ramp: Ramp, count: int) -> Ramp:
    cut = {name: getattr(ramp, name)[:count] for name in ("sci", "err", "dq", "samp", "time", "times")}
    return ramp.with_(**cut)


def images_of(figure: Any) -> list[Any]:
    return [axes for axes in figure.axes if axes.images]


# --- panels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("nsamp", range(2, 17))
def test_every_interval_has_its_panel_and_label(ramp: Ramp, nsamp: int) -> None:
    exposure = first_reads(ramp, nsamp)
    figure = plot.plot_panels(exposure)
    drawn = images_of(figure)
    rates = upramp.interval_rates(exposure)
    stats = upramp.interval_stats(exposure)
    assert len(drawn) == nsamp - 1
    for i, axes in enumerate(drawn):
        np.testing.assert_array_equal(axes.images[0].get_array(), rates[i, 5:-5, 5:-5])
        found = re.fullmatch(
            r"SAMPNUM (\d+)−(\d+)  IMSET (\d+)−(\d+)  dt ([\d.]+) s\n(-?[\d.]+) ± ([\d.]+)", axes.get_title()
        )
        assert found is not None
        assert [int(found[n]) for n in (1, 2)] == [i + 1, i]
        assert [int(found[n]) for n in (3, 4)] == [nsamp - i - 1, nsamp - i]
        assert float(found[5]) == pytest.approx(exposure.times[i + 1] - exposure.times[i], abs=0.06)
        assert float(found[6]) == pytest.approx(stats["full"].median[i], abs=6e-5)
        assert float(found[7]) == pytest.approx(stats["full"].error[i], abs=6e-5)
        left, right = stats["left"].median[i], stats["right"].median[i]
        assert [text.get_text() for text in axes.texts] == [
            f"{left:.3f}",
            f"{right:.3f}",
            f"L/R {left / right:.3f}" if right > 0 else "L/R -",
            f"L−R {left - right:+.3f}",
        ]


def test_panels_share_one_scale_on_which_the_levels_differ(ramp: Ramp) -> None:
    drawn = images_of(plot.plot_panels(ramp))
    assert len({axes.images[0].get_clim() for axes in drawn}) == 1
    low, high = drawn[0].images[0].get_clim()
    levels = upramp.interval_stats(ramp)["full"].median[1:]
    assert low < levels.min() < levels.max() < high
    # The first interval, noisy beyond all others, does not set the scale.
    assert high - low < 0.2 * np.ptp(upramp.interval_rates(ramp)[0])
    assert images_of(plot.plot_panels(ramp, limits=(-1, 2)))[3].images[0].get_clim() == (-1, 2)


def test_robust_limits_follow_their_rule() -> None:
    def stats(median: list[float], noise: list[float], error: list[float]) -> IntervalStats:
        return IntervalStats(
            np.array([9] * len(median)),
            *(np.array(median) for _ in range(3)),
            np.array(noise),
            np.array(noise),
            np.array(error),
        )

    # The third is uncertain by more than a typical noise.
    assert robust_limits(stats([1, 2, 50], [0.2, 0.2, 30], [0.01, 0.01, 9])) == pytest.approx((0.5, 2.8))
    assert robust_limits(stats([7, 1, 2], [0, 0.2, 0.2], [0, 0.1, 0.1]), 1) == pytest.approx((0.5, 2.8))
    assert robust_limits(stats([np.nan], [np.nan], [np.nan])) == (0.0, 1.0)
    low, high = robust_limits(stats([3, 3], [0, 0], [0, 0]))
    assert low < 3 < high


@pytest.mark.parametrize(("kind", "count"), [("cumulative", 15), ("read", 16)])
def test_other_kinds_of_panels(ramp: Ramp, kind: Any, count: int) -> None:
    drawn = images_of(plot.plot_panels(ramp, kind=kind))
    assert len(drawn) == count
    images = upramp.cumulative_diff(ramp) if kind == "cumulative" else mean_rates(ramp)
    stats = upramp.interval_stats(ramp, kind=kind)
    for i, axes in enumerate(drawn):
        np.testing.assert_array_equal(axes.images[0].get_array(), images[i, 5:-5, 5:-5])
        title = axes.get_title()
        if kind == "read":
            assert title.startswith(f"SAMPNUM {i}  IMSET {16 - i}  {ramp.times[i]:.1f} s\n")
        else:
            # The earlier minus the later, as the image is.
            assert title.startswith(f"SAMPNUM {i}−{i + 1}  IMSET {16 - i}−{15 - i}  dt")
        assert f"\n{stats['full'].median[i]:.4f} ±" in title


def test_regions_are_drawn_where_they_are(ramp: Ramp) -> None:
    region = (slice(10, 50), slice(8, 70))
    left, right = (slice(12, 40), slice(10, 20)), (slice(14, 44), slice(50, 60))
    axes = images_of(plot.plot_panels(ramp, region=region, left=left, right=right))[4]
    assert axes.images[0].get_extent() == [7.5, 69.5, 9.5, 49.5]
    assert axes.images[0].get_array().shape == (40, 62)
    for patch, (rows, columns) in zip(axes.patches, (left, right), strict=True):
        assert patch.get_xy() == (columns.start - 0.5, rows.start - 0.5)
        assert (patch.get_width(), patch.get_height()) == (
            columns.stop - columns.start,
            rows.stop - rows.start,
        )
    stats = upramp.interval_stats(ramp, {"left": left})["left"]
    assert axes.texts[0].get_text() == f"{stats.median[4]:.3f}"
    # The default sides are strips of the region drawn.
    default = images_of(plot.plot_panels(ramp, region=region))[0].patches[0]
    assert default.get_xy()[0] == strips(ramp, region)[0][1].start - 0.5


def test_a_subarray_that_is_not_square(ramp: Ramp) -> None:
    cut = np.s_[:, 10:50, :]
    narrow = ramp.with_(sci=ramp.sci[cut], err=ramp.err[cut], dq=ramp.dq[cut])
    drawn = images_of(plot.plot_panels(narrow))
    assert len(drawn) == 15
    assert drawn[0].images[0].get_array().shape == (30, 64)


def test_panels_take_a_figure_or_axes(ramp: Ramp) -> None:
    exposure = first_reads(ramp, 5)
    figure = Figure()
    assert plot.plot_panels(exposure, figure=figure, columns=2) is figure
    assert len(images_of(figure)) == 4
    grid = images_of(figure)[0].get_subplotspec().get_gridspec()
    assert (grid.nrows, grid.ncols) == (2, 2)
    own = Figure().subplots(1, 4)
    plot.plot_panels(exposure, axes=own)
    assert all(len(axes.images) == 1 for axes in own)
    with pytest.raises(ValueError, match="axes has 4 entries, expected 15, one per panel"):
        plot.plot_panels(ramp, axes=own)
    assert not pyplot.get_fignums()
    with pytest.raises(ValueError, match="NSAMP is 1; there is no interval"):
        plot.plot_panels(first_reads(ramp, 1))


@pytest.mark.parametrize("count", range(1, 27))
def test_grids_hold_their_panels_without_an_empty_row(count: int) -> None:
    rows, columns = grid_shape(count)
    assert columns <= 4
    assert rows * columns >= count > (rows - 1) * columns
    assert grid_shape(count, 1) == (count, 1)


def test_text_of_panels_stays_inside_the_figure(ramp: Ramp) -> None:
    figure = plot.plot_panels(ramp)
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= width
        assert box.y1 <= height
    titles = [axes.title.get_window_extent() for axes in images_of(figure)[:4]]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(titles))


# --- curves --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["interval", "cumulative", "read"])
def test_ramp_curves_are_the_statistics_asked_for(ramp: Ramp, kind: Any) -> None:
    left, right = (slice(10, 60), slice(6, 20)), (slice(10, 60), slice(50, 66))
    axes = plot.plot_ramp(ramp, kind=kind, stat="mean", clip=3.0, left=left, right=right)
    stats = upramp.interval_stats(
        ramp, {"full": ramp.border, "left": left, "right": right}, kind=kind, clip=3.0
    )
    for line, name in zip(axes.lines, ("full", "left", "right"), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), ramp.times[1:])
        np.testing.assert_array_equal(line.get_ydata(), stats[name].mean[-15:])
    words = {
        "interval": "mean rate (",
        "cumulative": "mean change of the mean rate (",
        "read": "mean mean rate (",
    }
    assert axes.get_ylabel().startswith(words[kind])


def test_errors_are_drawn_as_bars(ramp: Ramp) -> None:
    axes = plot.plot_ramp(ramp, clip=3.0, errors=True)
    (bars,) = axes.containers
    stats = upramp.interval_stats(ramp)["full"]
    segments = np.array(bars.lines[2][0].get_segments())
    np.testing.assert_allclose(segments[:, 1, 1] - segments[:, 0, 1], 2 * stats.error)


def test_ramps_side_by_side_share_their_scale(ramp: Ramp) -> None:
    doubled = ramp.with_(sci=2 * ramp.sci)
    figure = plot.plot_ramps([ramp, doubled], labels=["affected", "other"], clip=3.0)
    assert [axes.get_title() for axes in figure.axes] == ["affected", "other"]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    first, second = (axes.lines[0].get_ydata() for axes in figure.axes)
    np.testing.assert_allclose(second, 2 * first, rtol=1e-5)
    assert plot.plot_ramps([ramp], limits=(0, 3)).axes[0].get_ylim() == (0, 3)
    assert plot.plot_ramps([ramp]).axes[0].get_title() == ramp.path.name
    with pytest.raises(ValueError, match="labels has 1 entries, expected 2"):
        plot.plot_ramps([ramp, ramp], labels=["one"])
    with pytest.raises(ValueError, match="ramps is empty"):
        plot.plot_ramps([])


def test_accumulation_is_the_median_signal(ramp: Ramp) -> None:
    axes = plot.plot_accumulation(ramp, clip=None)
    curves = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    name = ramp.path.name
    assert list(curves) == [name, f"{name}: left", f"{name}: right"]
    flags = ramp.dq & ~np.uint16(1024 | 2048 | 8192)
    for line, region in zip(curves.values(), (ramp.border, *strips(ramp)), strict=True):
        cut = (slice(None), *region)
        rates = np.where(flags[cut] == 0, ramp.sci[cut], np.nan)
        expected = np.nanmedian(rates, axis=(1, 2)) * ramp.times
        np.testing.assert_array_equal(line.get_xdata(), ramp.times)
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-5, atol=1e-6)
    (straight,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert straight.get_ydata()[-1] == curves[name].get_ydata()[-1]
    assert axes.get_ylabel() == "median signal (e$^-$)"


def test_accumulations_of_exposures_are_overlaid(ramp: Ramp) -> None:
    figure = Figure()
    axes = figure.subplots()
    other = first_reads(ramp, 9)
    assert plot.plot_accumulation([ramp, other], axes=axes, labels=["one", "two"]) is axes
    curves = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert [line.get_label() for line in curves] == ["one", "two"]
    assert [len(line.get_xdata()) for line in curves] == [16, 9]
    assert curves[0].get_color() != curves[1].get_color()
    assert len([1 for line in plot.plot_accumulation([ramp, other], sides=True).lines]) == 8
    with pytest.raises(ValueError, match="expected one unit"):
        plot.plot_accumulation([ramp, ramp.with_(unit="COUNTS/S")])
    with pytest.raises(ValueError, match="labels has 1 entries"):
        plot.plot_accumulation([ramp, other], labels=["one"])


def test_accumulation_of_raw_begins_at_zero(shared: Path) -> None:
    raw = upramp.read_ramp(shared / "golden/wf3ir/s64_helium/isim01aaq_raw.fits.gz")
    axes = plot.plot_accumulation(raw)
    signal = axes.lines[0].get_ydata()
    assert signal[0] == 0
    assert abs(signal).max() < 2000  # not the 11000 counts of the bias level
    assert axes.get_ylabel() == "median signal (counts)"


# --- sky and pixel -------------------------------------------------------------------------------


def test_sky_histogram_counts_good_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    images = [rng.normal(level, 0.1, (60, 50)).astype(np.float32) for level in (1.0, 1.4)]
    dq = np.zeros((60, 50), int)
    dq[:20] = 4
    images[0][:20] = 1e5
    paths = [write_flt(tmp_path / f"{i}_flt.fits", image, dq) for i, image in enumerate(images)]
    axes = plot.plot_sky(*paths, limits=(0, 3), bins=60)
    for polygon, image in zip(axes.patches, images, strict=True):
        counts, _ = np.histogram(image[20:], bins=60, range=(0, 3))
        assert polygon.get_xy()[:, 1].max() == counts.max()
    medians = [float(np.median(image[20:])) for image in images]
    assert [line.get_xdata()[0] for line in axes.lines] == pytest.approx(medians)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    for i, label in enumerate(labels):
        values = images[i][20:].astype(float)
        width = 1.4826 * np.median(np.abs(values - medians[i]))
        assert label == f"{i}_flt.fits: {medians[i]:.4f}, σ {width:.4f}"
    # By default the window follows the sky, not the flagged pixels.
    low, high = plot.plot_sky(*paths).get_xlim()
    assert 0 < low < 1.0 < 1.4 < high < 3
    part = plot.plot_sky(paths[0], region=(slice(30, 40), slice(0, 10)), limits=(0, 3), bins=60)
    assert part.patches[0].get_xy()[:, 1].max() == np.histogram(images[0][30:40, :10], 60, (0, 3))[0].max()


def test_sky_refuses_what_it_cannot_draw(tmp_path: Path, ramp: Ramp) -> None:
    path = write_flt(tmp_path / "a_flt.fits", np.ones((20, 20)), np.full((20, 20), 4))
    with pytest.raises(ValueError, match=r"a_flt\.fits: no pixel of the region is free"):
        plot.plot_sky(path)
    with pytest.raises(ValueError, match="expected one unit"):
        plot.plot_sky(ramp, write_flt(tmp_path / "b_flt.fits", np.ones((20, 20)), bunit="COUNTS"))
    with pytest.raises(ValueError, match="no image given"):
        plot.plot_sky()
    constant = write_flt(tmp_path / "c_flt.fits", np.ones((20, 20)))
    assert plot.plot_sky(constant).get_xlim() == (0, 2)


@pytest.mark.parametrize("value", ["counts", "rate", "interval"])
def test_pixel_is_the_column_of_its_stack(ramp: Ramp, value: str) -> None:
    x, y = 30, 21
    flagged = ramp.dq.copy()
    flagged[4, y, x], flagged[9, y, x] = 8192, 4
    exposure = ramp.with_(dq=flagged)
    table = upramp.pixel_stack(exposure, x, y)
    figure = Figure()
    axes = figure.subplots()
    assert plot.plot_pixel(exposure, x, y, value=value, axes=axes, label="here") is axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), table[value])
    rings = next(line for line in axes.lines if line.get_label() == "DQ set")
    bits = [text.get_text() for text in axes.texts]
    where = np.flatnonzero(np.asarray(table["dq"]) != 0)
    assert {4, 9} <= set(where.tolist())
    np.testing.assert_array_equal(rings.get_xdata(), np.asarray(table["samptime"])[where])
    assert bits == [str(bit) for bit in np.asarray(table["dq"])[where]]
    (bars,) = axes.containers
    if value == "interval":
        assert not bars.has_yerr
    else:
        segments = np.array(bars.lines[2][0].get_segments())
        span = ramp.times if value == "counts" else np.ones(ramp.nread)
        expected = np.asarray(table["err"], float)[1:] * span[1:]
        np.testing.assert_allclose((segments[1:, 1, 1] - segments[1:, 0, 1]) / 2, expected, rtol=1e-4)
    unit = "e$^-$" if value == "counts" else "e$^-$ s$^{-1}$"
    assert axes.get_ylabel().endswith(f"({unit})")


def test_pixel_refuses_an_unknown_value(ramp: Ramp) -> None:
    with pytest.raises(ValueError, match="value is 'err', expected one of counts, rate, interval"):
        plot.plot_pixel(ramp, 3, 3, value="err")
    with pytest.raises(IndexError, match="x=99, y=3 is not a pixel"):
        plot.plot_pixel(ramp, 99, 3)
