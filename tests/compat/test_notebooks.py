"""The notebooks' functions on time-variable background, against their formulas and calwf3's files."""

from __future__ import annotations

import gzip
import inspect
import os
import shutil
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import sigma_clipped_stats
from matplotlib import pyplot

import upramp
from planes import differences as differing_planes
from upramp.compat import tvb
from upramp.exceptions import InputError, ReferenceFileError
from upramp.ramps import read_stats

LHS = {"x0": 10, "x1": 40, "y0": 20, "y1": 110}
RHS = {"x0": 90, "x1": 120, "y0": 20, "y1": 110}

SIGNATURES = {
    "read_wfc3": "filename",
    "compute_diff_imas": "cube integ_time diff_method",
    "get_median_fullframe_lhs_rhs": "cube lhs_region rhs_region",
    "get_std_fullframe_lhs_rhs": "cube lhs_region rhs_region",
    "get_median_std_fullframe_lhs_rhs": "cube lhs_region rhs_region",
    "plot_ramp": "ima integ_time median_diff_fullframe median_diff_lhs median_diff_rhs",
    "panel_plot": "cube integ_time median_diff_full_frame median_diff_lhs median_diff_rhs "
    "standard_dev_fullframe standard_dev_lhs standard_dev_rhs diff_method",
    "plot_ima_subplots": "ima_filename vmin vmax",
    "plot_ramp_subplots": "ima_files difference_method ylims exclude_sources lhs_region rhs_region",
    "plot_ima_difference_subplots": "ima_filename difference_method lhs_region rhs_region",
    "make_flattened_ramp_flt": "raw_file stats_subregion stats_method sigma_clip sigma sigma_upper "
    "sigma_lower iters",
}


@pytest.fixture(autouse=True)
def agg() -> Any:
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


@pytest.fixture
def strip(ima: Path) -> Path:
    """An exposure that is not square, with fewer reads, made from the square one."""
    with fits.open(ima) as file:
        nread = 6
        kept = [file[0]]
        for version in range(1, nread + 1):
            # The six earliest reads: IMSET 11 becomes 1.
            for name in ("SCI", "ERR", "DQ", "SAMP", "TIME"):
                unit = file[name, file[0].header["NSAMP"] - nread + version]
                unit.header["EXTVER"] = version
                if unit.data is None:
                    unit.header["NPIX2"] = 60
                else:
                    unit.data = unit.data[20:80]
                kept.append(unit)
        kept[0].header["NSAMP"] = nread
        path = ima.with_name("strip_ima.fits")
        fits.HDUList(kept).writeto(path)
    return path


def stored(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """SCI as [y, x, read] and PIXVALUE of TIME, in time order, by astropy alone."""
    with fits.open(path) as file:
        order = range(file[0].header["NSAMP"], 0, -1)
        cube = np.stack([file["SCI", i].data for i in order], axis=-1).astype(float)
        return cube, np.array([file["TIME", i].header["PIXVALUE"] for i in order])


def boxes(cube: np.ndarray) -> list[np.ndarray]:
    return [
        cube[5:-5, 5:-5],
        cube[LHS["y0"] : LHS["y1"], LHS["x0"] : LHS["x1"]],
        cube[RHS["y0"] : RHS["y1"], RHS["x0"] : RHS["x1"]],
    ]


@pytest.mark.parametrize("name", SIGNATURES)
def test_arguments_have_the_names_and_order_of_the_notebooks(name: str) -> None:
    given = inspect.signature(getattr(tvb, name)).parameters.values()
    assert [p.name for p in given if p.kind is not p.KEYWORD_ONLY] == SIGNATURES[name].split()
    assert set(SIGNATURES) == set(tvb.__all__)


# --- arrays --------------------------------------------------------------------------------------


def test_cube_is_indexed_y_x_read_in_time_order(ima: Path) -> None:
    cube, times = tvb.read_wfc3(str(ima))
    expected, pixvalues = stored(ima)
    assert cube.dtype == np.float64
    np.testing.assert_array_equal(cube, expected)
    np.testing.assert_array_equal(times, pixvalues)
    assert times[0] == 0
    assert (np.diff(times) > 0).all()


def test_a_frame_that_is_not_square_keeps_its_axes(strip: Path) -> None:
    cube, times = tvb.read_wfc3(strip)
    assert cube.shape == (60, 138, 6)
    np.testing.assert_array_equal(cube, stored(strip)[0])
    lhs, rhs = {**LHS, "y0": 5, "y1": 55}, {**RHS, "y0": 5, "y1": 55}
    rates = tvb.compute_diff_imas(cube, times, "instantaneous")
    left = tvb.get_median_fullframe_lhs_rhs(rates, lhs, rhs)[1]
    np.testing.assert_array_equal(left, np.median(rates[5:55, 10:40], axis=(0, 1)))


def test_counts_become_rates_since_the_zeroth_read(ima: Path, tmp_path: Path) -> None:
    cube, times = tvb.read_wfc3(ima)
    raw = tmp_path / "helium01q_raw.fits"
    with fits.open(ima) as file:
        nread = file[0].header["NSAMP"]
        for i in range(1, nread + 1):
            file["SCI", i].data = 11000 + cube[:, :, nread - i].astype(np.float32) * np.float32(
                times[nread - i]
            )
            file["SCI", i].header["BUNIT"] = "COUNTS"
        file[0].header["ZOFFCORR"] = "PERFORM"
        file.writeto(raw)
    got, _ = tvb.read_wfc3(raw)
    # Single precision of 11000 over the shortest time.
    np.testing.assert_allclose(got[:, :, 1:], cube[:, :, 1:], atol=2e-3 / times[1])


def test_time_with_pixels_gives_way_to_samptime(ima: Path, tmp_path: Path) -> None:
    path = tmp_path / "pixels_ima.fits"
    with fits.open(ima) as file:
        units = []
        for unit in file:
            if unit.name == "TIME":
                image = np.full((138, 138), unit.header["PIXVALUE"], np.float32)
                unit = fits.ImageHDU(image, name="TIME", ver=unit.ver)
            units.append(unit)
        fits.HDUList(units).writeto(path)
        samptimes = [file["SCI", i].header["SAMPTIME"] for i in range(file[0].header["NSAMP"], 0, -1)]
    assert tvb.read_wfc3(path)[1].tolist() == samptimes


def test_instantaneous_is_the_formula_of_the_notebooks(ima: Path) -> None:
    cube, times = stored(ima)
    weight = times - times[0]
    expected = (cube[..., 1:] * weight[1:] - cube[..., :-1] * weight[:-1]) / np.diff(times)
    got = tvb.compute_diff_imas(cube, times, diff_method="instantaneous")
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
    # And ours of the same exposure.
    ours = upramp.interval_rates(upramp.read_ramp(ima))
    np.testing.assert_allclose(np.moveaxis(got, -1, 0)[1:], ours[1:], rtol=1e-4, atol=1e-3)


def test_cumulative_is_the_earlier_minus_the_later(ima: Path) -> None:
    cube, times = stored(ima)
    np.testing.assert_array_equal(
        tvb.compute_diff_imas(cube, times, "cumulative"), cube[..., :-1] - cube[..., 1:]
    )


def test_medians_and_deviations_are_those_of_numpy(ima: Path) -> None:
    cube, times = tvb.read_wfc3(ima)
    cube[np.abs(cube) > 3] = np.nan  # as the notebooks leave sources out
    rates = tvb.compute_diff_imas(cube, times, "instantaneous")
    for function, reference in (
        (tvb.get_median_fullframe_lhs_rhs, np.nanmedian),
        (tvb.get_std_fullframe_lhs_rhs, np.nanstd),
        (tvb.get_median_std_fullframe_lhs_rhs, np.nanstd),
    ):
        got = function(rates, lhs_region=LHS, rhs_region=RHS)
        assert len(got) == 3
        for values, box in zip(got, boxes(rates), strict=True):
            np.testing.assert_allclose(values, reference(box, axis=(0, 1)), rtol=1e-12)


def test_nothing_left_is_nan_without_a_warning() -> None:
    cube = np.full((138, 138, 2), np.nan)
    assert np.isnan(tvb.get_median_fullframe_lhs_rhs(cube, LHS, RHS)).all()
    assert np.isnan(tvb.get_std_fullframe_lhs_rhs(cube, LHS, RHS)).all()


def test_bad_arguments_are_named(ima: Path) -> None:
    cube, times = tvb.read_wfc3(ima)
    with pytest.raises(ValueError, match="diff_method is 'both', expected one of instantaneous, cumulative"):
        tvb.compute_diff_imas(cube, times, "both")
    with pytest.raises(ValueError, match=r"integ_time has shape \(3,\), expected \(16,\)"):
        tvb.compute_diff_imas(cube, times[:3], "cumulative")
    with pytest.raises(ValueError, match="integ_time does not grow"):
        tvb.compute_diff_imas(cube, times[::-1], "instantaneous")
    with pytest.raises(ValueError, match=r"expected \(rows, columns, reads\)"):
        tvb.compute_diff_imas(cube[0], times, "cumulative")
    with pytest.raises(
        ValueError, match="lhs_region is x 10:40, y 20:1000, which is not a region of a frame of 138"
    ):
        tvb.get_median_fullframe_lhs_rhs(cube, {**LHS, "y1": 1000}, RHS)
    with pytest.raises(ValueError, match=r"rhs_region is .*expected a dict of x0, x1, y0 and y1"):
        tvb.get_std_fullframe_lhs_rhs(cube, LHS, {"x0": 1})


# --- figures -------------------------------------------------------------------------------------


def difference_numbers(path: Path) -> tuple[Any, ...]:
    cube, times = tvb.read_wfc3(path)
    rates = tvb.compute_diff_imas(cube, times, "instantaneous")
    ny = cube.shape[0]
    lhs, rhs = ({**box, "y0": 10, "y1": ny - 10} for box in (LHS, RHS))
    medians = tvb.get_median_fullframe_lhs_rhs(rates, lhs, rhs)
    return cube, times, rates, medians, tvb.get_std_fullframe_lhs_rhs(rates, lhs, rhs)


def panels(figure: Any) -> list[Any]:
    return [axes for axes in figure.axes if axes.images and axes.get_label() != "<colorbar>"]


def test_ramp_is_drawn_on_the_current_axes_without_the_first_interval(ima: Path) -> None:
    _, times, _, medians, _ = difference_numbers(ima)
    figure = pyplot.figure(figsize=(20, 10))
    current = figure.add_subplot(1, 2, 2)
    assert tvb.plot_ramp("x_ima.fits", times, *medians) is current
    assert current.get_title() == "x_ima.fits"
    assert [line.get_label() for line in current.lines] == ["Full Frame", "LHS", "RHS"]
    for line, values in zip(current.lines, medians, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), times[2:])
        np.testing.assert_array_equal(line.get_ydata(), values[1:])
    with pytest.raises(ValueError, match=r"median_diff_lhs has shape \(14,\), expected \(15,\)"):
        tvb.plot_ramp("x", times, medians[0], medians[1][1:], medians[2])


@pytest.mark.parametrize("name", ["ima", "strip"])
def test_panels_bear_the_labels_of_their_own_reads(name: str, request: pytest.FixtureRequest) -> None:
    cube, times, rates, medians, stds = difference_numbers(request.getfixturevalue(name))
    figure = tvb.panel_plot(cube, times, *medians, *stds, diff_method="instantaneous")
    drawn = panels(figure)
    nsamp = len(times)
    assert len(drawn) == nsamp - 2
    for k, axes in enumerate(drawn, start=1):
        np.testing.assert_array_equal(axes.images[0].get_array(), rates[:, :, k])  # signed
        imset = nsamp - k  # the interval that begins with IMSET nsamp - k
        assert axes.get_xlabel().startswith(f"SCI[{imset}-{imset - 1}],")
        assert f"{times[k + 1] - times[k]:.2f} sec" in axes.get_xlabel()
        assert axes.get_title().endswith(f"{medians[0][k]:.2f}±{stds[0][k]:.2f} e-/s")
        texts = [text.get_text() for text in axes.texts]
        assert texts[0] == f"{medians[1][k]:.3f}\n±\n{stds[1][k]:.3f}"
        assert texts[1] == f"{medians[2][k]:.3f}\n±\n{stds[2][k]:.3f}"
        assert texts[2] == f"Ratio = {medians[1][k] / medians[2][k]:.2f}"
        assert texts[3].endswith(f"{medians[1][k] - medians[2][k]:.2f}")
        # Inside the panel, whatever its size.
        for text in axes.texts:
            assert 0 < text.get_position()[0] < 1
            assert text.get_transform() == axes.transAxes


def test_two_reads_have_a_panel_and_one_has_none(ima: Path) -> None:
    cube, times, _, medians, stds = difference_numbers(ima)
    cut = [values[:1] for values in (*medians, *stds)]
    assert len(panels(tvb.panel_plot(cube[:, :, :2], times[:2], *cut, "cumulative"))) == 1
    with pytest.raises(ValueError, match="holds one read"):
        tvb.panel_plot(cube[:, :, :1], times[:1], *([[]] * 6), "cumulative")


@pytest.mark.parametrize(("name", "count"), [("ima", 16), ("strip", 6)])
def test_reads_are_drawn_on_one_scale(name: str, count: int, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(name)
    figure = tvb.plot_ima_subplots(path, vmin=0, vmax=2.5)
    drawn = panels(figure)
    cube, _ = stored(path)
    assert [axes.get_title() for axes in drawn] == [f"SCI, {imset}" for imset in range(count, 0, -1)]
    for read, axes in enumerate(drawn):
        assert axes.images[0].get_clim() == (0, 2.5)
        np.testing.assert_array_equal(axes.images[0].get_array(), cube[:, :, read])


def test_difference_figure_of_a_file_shows_its_regions(ima: Path) -> None:
    figure = tvb.plot_ima_difference_subplots(str(ima), "cumulative", LHS, RHS)
    drawn = panels(figure)
    assert len(drawn) == 14
    for axes in drawn:
        left, right = axes.patches
        assert (left.get_x(), left.get_y(), left.get_width(), left.get_height()) == (9.5, 19.5, 30, 90)
        assert right.get_x() == 89.5
    assert figure.get_suptitle() == ima.name


def test_ramps_side_by_side_are_titled_by_their_files(ima: Path, tmp_path: Path) -> None:
    other = tmp_path / "other_ima.fits"
    shutil.copy(ima, other)
    figure = tvb.plot_ramp_subplots([ima, other, ima], "instantaneous", [0, 3], False, LHS, RHS)
    assert [axes.get_title() for axes in figure.axes] == [ima.name, other.name, ima.name]
    assert all(axes.get_ylim() == (0, 3) for axes in figure.axes)
    medians = difference_numbers(ima)[3]
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), medians[0][1:])


def test_sources_are_excluded_in_units_of_noise(ima: Path) -> None:
    cube, times, rates, _, _ = difference_numbers(ima)
    figure = tvb.plot_ramp_subplots([ima], "instantaneous", [0, 3], True, LHS, RHS)
    got = figure.axes[0].lines[1].get_ydata()
    expected = [
        sigma_clipped_stats(rates[20:110, 10:40, k], sigma=3, maxiters=5)[1] for k in range(1, len(times) - 1)
    ]
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    # The fixed limit of 3 e-/s loses most of the sky of the first interval, and with it the level.
    short = rates[5:-5, 5:-5, 0]
    truth = np.median(short)
    fixed = cube.copy()
    fixed[np.abs(fixed) > 3] = np.nan
    biased = np.nanmedian(tvb.compute_diff_imas(fixed, times, "instantaneous")[5:-5, 5:-5, 0])
    ours = read_stats(rates[5:-5, 5:-5, :1].transpose(2, 0, 1).astype(np.float32), clip=3).median[0]
    assert abs(ours - truth) < 0.3 * abs(biased - truth)


def test_no_setting_changes_and_nothing_is_written(ima: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, files = dict(mpl.rcParams), sorted(ima.parent.iterdir())
    monkeypatch.chdir(ima.parent)
    tvb.plot_ima_subplots(ima, 0, 1)
    tvb.plot_ima_difference_subplots(ima, "instantaneous", LHS, RHS)
    tvb.plot_ramp_subplots([ima, ima], "cumulative", [0, 1], True, LHS, RHS)
    assert dict(mpl.rcParams) == before
    assert sorted(ima.parent.iterdir()) == files


# --- the flattened ramp --------------------------------------------------------------------------


@pytest.fixture
def raw(shared: Path, tmp_path: Path) -> Path:
    """The RAW of the golden helium exposure, alone in a directory."""
    path = tmp_path / "isim01aaq_raw.fits"
    golden = shared / "golden/wf3ir/s64_reentry_flatten/isim01aaq_raw.fits.gz"
    path.write_bytes(gzip.decompress(golden.read_bytes()))
    return path


@pytest.fixture
def iref(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Reference files where the environment says, with a slash at the end as notebooks set it."""
    folder = shared / "golden/wf3ir/refs_s64"
    monkeypatch.setenv("iref", f"{folder}{os.sep}")
    return folder


def test_flattened_flt_is_that_of_two_runs_of_calwf3(raw: Path, iref: Path, shared: Path) -> None:
    before = raw.read_bytes()
    cwd = Path.cwd()
    assert tvb.make_flattened_ramp_flt(str(raw)) is None
    golden = shared / "golden/wf3ir/s64_reentry_flatten"
    flt = raw.with_name("flattened_isim01aaq_flt.fits")
    assert differing_planes(flt, golden / "isim01aaq_ima_flt.fits.gz", {"TIME": 1}) == {}
    # Reference pixels see no sky and are left alone: nothing else differs in the reads.
    ima = raw.with_name("flattened_isim01aaq_ima.fits")
    border = 74 * 74 - 64 * 64
    found = differing_planes(ima, golden / "isim01aaq_ima_ima.fits.gz", {"TIME": 1})
    assert set(found) <= {f"SCI,{i}" for i in range(2, 16)}
    assert max(found.values()) <= border
    assert raw.read_bytes() == before
    assert Path.cwd() == cwd
    assert sorted(path.name for path in raw.parent.iterdir()) == [
        "flattened_isim01aaq.tra",
        "flattened_isim01aaq_flt.fits",
        "flattened_isim01aaq_ima.fits",
        raw.name,
    ]
    assert fits.getval(flt, "CRCORR") == "COMPLETE"
    assert fits.getval(flt, "TVBMETH") == "flatten"
    assert fits.getval(flt, "TVBRNG") > 1.7  # helium triples the background, without the noisy first read
    assert "written" in raw.with_name("flattened_isim01aaq.tra").read_text()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stats_method": "mean"},
        {"stats_subregion": ((10, 40), (20, 60))},
        {"sigma_clip": True, "sigma": 2.5, "iters": 3},
        {"sigma_clip": True, "sigma_lower": 4, "sigma_upper": 2, "stats_method": "mean"},
    ],
)
def test_reads_have_the_level_of_the_last_in_the_chosen_measure(
    raw: Path, iref: Path, shared: Path, options: dict[str, Any]
) -> None:
    tvb.make_flattened_ramp_flt(raw, **options)
    (x0, x1), (y0, y1) = options.get("stats_subregion", ((5, -5), (5, -5)))
    plain = upramp.calibrate(raw, refs=upramp.Refs(iref), omit=("CRCORR",), parity=True)[0]
    got = upramp.read_ramp(raw.with_name("flattened_isim01aaq_ima.fits"))

    def level(image: np.ndarray) -> float:
        values = image[y0:y1, x0:x1].astype(float)
        if not options.get("sigma_clip"):
            return float(getattr(np, options.get("stats_method", "median"))(values))
        stats = sigma_clipped_stats(
            values,
            sigma=options.get("sigma", 3),
            sigma_lower=options.get("sigma_lower"),
            sigma_upper=options.get("sigma_upper"),
            maxiters=options.get("iters"),
        )
        return float(stats[0 if options.get("stats_method") == "mean" else 1])

    for k in range(1, 16):
        shift = level(plain.sci[-1]) - level(plain.sci[k])
        one, two = plain.sci[k][5:-5, 5:-5], got.sci[k][5:-5, 5:-5]
        # Single precision of the pixels and of the levels.
        near = 2 * np.spacing(np.maximum(abs(one), abs(two))) + 2e-6 * max(abs(shift), 10)
        assert (abs(two - one - np.float64(shift)) <= near).all()
    np.testing.assert_array_equal(got.sci[0], plain.sci[0])


def test_a_second_run_replaces_the_first(raw: Path, iref: Path) -> None:
    tvb.make_flattened_ramp_flt(raw)
    flt = raw.with_name("flattened_isim01aaq_flt.fits")
    first = fits.getdata(flt, "SCI")
    tvb.make_flattened_ramp_flt(raw, stats_subregion=((10, 40), (20, 60)))
    assert not np.array_equal(fits.getdata(flt, "SCI"), first)


def test_without_parity_errors_are_those_of_electrons(raw: Path, iref: Path) -> None:
    errors = []
    for parity in (True, False):
        tvb.make_flattened_ramp_flt(raw, parity=parity)
        errors.append(np.median(fits.getdata(raw.with_name("flattened_isim01aaq_flt.fits"), "ERR")))
    assert 1.4 < errors[1] / errors[0] < 2.6


def test_references_can_be_given(raw: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("iref", raising=False)
    with pytest.raises(ReferenceFileError, match="DARKFILE"):
        tvb.make_flattened_ramp_flt(raw)
    assert "failed" in raw.with_name("flattened_isim01aaq.tra").read_text()
    assert not raw.with_name("flattened_isim01aaq_flt.fits").exists()
    tvb.make_flattened_ramp_flt(raw, refs=shared / "golden/wf3ir/refs_s64")
    assert raw.with_name("flattened_isim01aaq_flt.fits").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stats_method": "mode"}, "stats_method is 'mode', expected median or mean"),
        ({"sigma": 3, "iters": 2}, "sigma, iters given, but sigma_clip is False"),
        ({"sigma_clip": True, "sigma_upper": 3}, "only one of sigma_upper and sigma_lower"),
        ({"sigma_clip": True, "sigma": -1}, "sigma is -1, expected a positive number"),
        ({"stats_subregion": (1, 2)}, r"expected \(\(xmin, xmax\), \(ymin, ymax\)\)"),
    ],
)
def test_bad_options_are_named_before_anything_is_done(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tvb.make_flattened_ramp_flt(tmp_path / "x_raw.fits", **options)
    assert not list(tmp_path.iterdir())


def test_a_missing_raw_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x_raw\.fits"):
        tvb.make_flattened_ramp_flt(tmp_path / "x_raw.fits")
