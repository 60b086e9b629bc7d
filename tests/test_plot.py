"""Figures: what is drawn, on which scale, and that nothing else changes."""

from __future__ import annotations

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from test_compare import write_flt
from upramp.plot import MatplotlibMissingError, plot_comparison, plot_ramp
from upramp.tvb.compare import compare
from upramp.wfc3ir.exposure import read_ramp
from upramp.wfc3ir.tables import sample_table


@pytest.fixture(autouse=True)
def agg():
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


@pytest.fixture
def comparison(tmp_path):
    rng = np.random.default_rng(2)
    images = rng.normal(1.0, 0.2, (60, 60)), rng.normal(1.4, 0.1, (60, 60))
    images[0][:25] = 1e6  # flagged, so of no consequence for scales
    dq = np.zeros((60, 60), int)
    dq[:25] = 4
    paths = [
        write_flt(tmp_path / f"{name}/x_flt.fits", image, dq, exptime=time)
        for name, image, time in zip(("old", "new"), images, (1402.9, 1000.0), strict=True)
    ]
    return compare(*paths)


def test_ramp_shows_the_sample_table(ima):
    ramp = read_ramp(ima)
    region = (slice(20, 100), slice(10, 120))
    axes = plot_ramp(ramp, region=region)
    table = sample_table(ramp, region=region)[1:]
    lines = {line.get_label(): line for line in axes.lines}
    for label, column in (("all columns", "median"), ("left", "left"), ("right", "right")):
        np.testing.assert_array_equal(lines[label].get_xdata(), table["samptime"])
        np.testing.assert_array_equal(lines[label].get_ydata(), table[column])
    assert [lines[name].get_marker() for name in ("all columns", "left", "right")] == ["s", "<", ">"]
    assert "s$^{-1}$" in axes.get_ylabel()


def test_ramps_share_given_axes_and_bear_labels(ima):
    figure = Figure()
    axes = figure.subplots()
    ramp = read_ramp(ima)
    assert plot_ramp(ramp, axes=axes, label="one") is axes
    assert plot_ramp(ramp, axes=axes, label="two", color="red") is axes
    assert [text.get_text() for text in axes.get_legend().get_texts()][::3] == [
        "one: all columns",
        "two: all columns",
    ]
    assert {line.get_color() for line in axes.lines[3:]} == {"red"}
    assert not pyplot.get_fignums()  # no figure behind the caller's back


def test_method_of_ramp_draws_the_same(ima):
    assert len(read_ramp(ima).plot().lines) == 3


def test_counts_are_drawn_per_second(shared):
    axes = plot_ramp(read_ramp(shared / "golden/wf3ir/s64_helium/isim01aaq_raw.fits.gz"))
    assert axes.get_ylabel() == "median rate (counts s$^{-1}$)"


def test_images_share_one_scale_of_good_pixels(comparison):
    figure = plot_comparison(comparison)
    assert tuple(figure.get_size_inches()) == (10, 7)
    first, second = (axes.images[0] for axes in figure.axes if axes.images)
    assert first.get_clim() == second.get_clim()
    low, high = first.get_clim()
    assert 0 < low < 1.0 < 1.4 < high < 3  # both levels are inside, the flagged million is not
    np.testing.assert_array_equal(second.get_array(), comparison.images[1])
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    assert titles == ["old/x_flt.fits   1402.9 s", "new/x_flt.fits   1000.0 s"]


def test_numbers_are_those_of_the_comparison(comparison):
    shown = [text.get_text() for axes in plot_comparison(comparison).axes for text in axes.texts]
    for row in comparison.rows():
        assert set(row) <= set(shown)


def test_limits_and_histogram_range_are_obeyed(comparison):
    figure = plot_comparison(comparison, limits=(0.5, 2.0), hist_range=(-1.0, 4.0))
    assert figure.axes[0].images[0].get_clim() == (0.5, 2.0)
    (histogram,) = [axes for axes in figure.axes if axes.get_ylabel() == "pixels per bin"]
    assert histogram.get_xlim() == (-1.0, 4.0)
    for polygon, image in zip(histogram.patches, comparison.images, strict=True):
        corners = polygon.get_xy()
        counts, _ = np.histogram(image[comparison.good], bins=200, range=(-1.0, 4.0))
        assert corners[:, 1].max() == counts.max()


def test_region_is_drawn_at_its_own_coordinates(comparison):
    region = (slice(10, 40), slice(20, 50))
    cut = compare(*comparison.paths, region=region)
    image = cut.plot().axes[0].images[0]
    assert image.get_extent() == [19.5, 49.5, 9.5, 39.5]
    np.testing.assert_array_equal(image.get_array(), comparison.images[0][region])


def test_ramps_are_drawn_if_known(ima, comparison):
    ramp = read_ramp(ima)
    figure = plot_comparison(compare(ramp, ramp.with_(sci=2 * ramp.sci)))
    (axes,) = [axes for axes in figure.axes if axes.get_xlabel() == "SAMPTIME (s)"]
    # The border is off in the images and on in the reads: the regions must still agree.
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), sample_table(ramp)["median"][1:])
    np.testing.assert_allclose(axes.lines[3].get_ydata(), 2 * axes.lines[0].get_ydata(), rtol=1e-5)
    assert "SAMPTIME (s)" not in [axes.get_xlabel() for axes in plot_comparison(comparison).axes]


def test_ramps_may_be_given_as_files(ima, comparison):
    figure = plot_comparison(comparison, ramps=(ima, ima))
    assert "SAMPTIME (s)" in [axes.get_xlabel() for axes in figure.axes]


def test_a_constant_image_can_be_drawn(tmp_path):
    path = write_flt(tmp_path / "flat.fits", np.ones((20, 20)))
    figure = Figure(figsize=(10, 7))
    assert plot_comparison(compare(path, path), figure=figure) is figure
    figure.savefig(tmp_path / "flat.png")


def test_text_stays_inside_the_figure(ima, tmp_path):
    long = tmp_path / ("a_directory_with_a_name_that_never_ends_" * 2)
    long.mkdir()
    names = [long / name for name in ("old_ima.fits", "new_ima.fits")]
    for name in names:
        name.write_bytes(ima.read_bytes())
    renamed = [name.rename(name.with_name(f"{'x' * 60}_{name.name}")) for name in names]
    figure = plot_comparison(compare(*renamed))
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
    titles = [axes.title.get_window_extent() for axes in figure.axes if axes.images]
    assert titles[0].x1 < titles[1].x0


def test_no_global_setting_changes(ima, comparison):
    before = dict(mpl.rcParams)
    plot_ramp(read_ramp(ima))
    plot_comparison(comparison)
    assert dict(mpl.rcParams) == before


def test_matplotlib_is_imported_late_and_missed_clearly(monkeypatch, ima):
    code = "import sys, upramp, upramp.plot; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MatplotlibMissingError, match=r"pip install 'upramp\[plot\]'") as caught:
        plot_ramp(read_ramp(ima))
    assert isinstance(caught.value, ImportError)
