"""Two products side by side: statistics against NumPy and astropy, and ``upramp compare``."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import mad_std, sigma_clipped_stats
from astropy.table import Table

from upramp.cli import main
from upramp.exceptions import InputError
from upramp.tvb.compare import compare
from upramp.wfc3ir.exposure import read_ramp

NY, NX = 40, 50


def write_flt(path, image, dq=None, *, exptime=100.0, bunit="ELECTRONS/S", planes=("SCI", "DQ")):
    path.parent.mkdir(exist_ok=True)
    made = {
        "SCI": fits.ImageHDU(image.astype(np.float32), name="SCI"),
        "DQ": fits.ImageHDU(
            np.zeros(image.shape, np.int16) if dq is None else dq.astype(np.int16), name="DQ"
        ),
    }
    made["SCI"].header["BUNIT"] = bunit
    primary = fits.PrimaryHDU()
    primary.header["EXPTIME"] = exptime
    fits.HDUList([primary, *(made[name] for name in planes)]).writeto(path)
    return path


@pytest.fixture
def images():
    rng = np.random.default_rng(5)
    before = rng.normal(1.0, 0.2, (NY, NX)).astype(np.float32)
    after = rng.normal(0.8, 0.1, (NY, NX)).astype(np.float32)
    before[3, 4] = after[3, 4] = 50.0  # a source
    return before, after


@pytest.fixture
def flags():
    first, second = np.zeros((NY, NX), int), np.zeros((NY, NX), int)
    first[:2], second[:, :5] = 512, 4
    return first, second


@pytest.fixture
def pair(tmp_path, images, flags):
    return (
        write_flt(tmp_path / "old/x_flt.fits", images[0], flags[0], exptime=1402.9),
        write_flt(tmp_path / "new/x_flt.fits", images[1], flags[1], exptime=1000.0),
    )


def test_statistics_are_those_of_numpy_and_astropy(pair, images, flags):
    good = (flags[0] == 0) & (flags[1] == 0)
    comparison = compare(*pair)
    np.testing.assert_array_equal(comparison.good, good)
    assert [stats.exptime for stats in comparison.stats] == [1402.9, 1000.0]
    assert [stats.flagged for stats in comparison.stats] == [2 / NY, 5 / NX]
    for stats, image, held in zip(comparison.stats, images, comparison.images, strict=True):
        np.testing.assert_array_equal(held, image)
        values = image[good].astype(float)
        assert stats.n_good == values.size
        assert stats.mean == pytest.approx(values.mean(), rel=1e-6)
        assert stats.median == pytest.approx(np.median(values), rel=1e-6)
        assert stats.std == pytest.approx(values.std(), rel=1e-6)
        assert stats.robust_std == pytest.approx(mad_std(values), rel=1e-4)  # 1.4826 is rounded
        expected = sigma_clipped_stats(values, sigma=3.0, maxiters=5)
        got = (stats.clipped_mean, stats.clipped_median, stats.clipped_std)
        assert got == pytest.approx(expected, rel=1e-5)


def test_a_source_moves_the_plain_statistics_only(tmp_path, images):
    with_source = images[0].copy()
    with_source[20, 20:30] = 1e4
    comparison = compare(
        write_flt(tmp_path / "a.fits", images[0]), write_flt(tmp_path / "b.fits", with_source)
    )
    first, second = comparison.stats
    assert second.std > 100 * first.std
    assert second.clipped_std == pytest.approx(first.clipped_std, rel=0.05)
    assert second.robust_std == pytest.approx(first.robust_std, rel=0.05)


def test_region_limits_the_measurement(pair, images, flags):
    region = (slice(10, 30), slice(-20, None))
    comparison = compare(*pair, region=region)
    assert comparison.region == (slice(10, 30), slice(30, 50))
    assert comparison.stats[0].n_good == 20 * 20
    assert comparison.stats[1].median == pytest.approx(np.median(images[1][region]), rel=1e-6)
    assert comparison.stats[0].flagged == 0


def test_pixels_without_a_number_are_left_out_of_both(tmp_path, images):
    first, second = images[0].copy(), images[1].copy()
    first[1, :2], second[0, :7] = np.inf, np.nan
    paths = write_flt(tmp_path / "a.fits", first), write_flt(tmp_path / "b.fits", second)
    comparison = compare(*paths)
    assert [stats.n_good for stats in comparison.stats] == [NY * NX - 9] * 2
    assert np.isfinite([stats.mean for stats in comparison.stats]).all()


def test_labels_tell_files_of_one_name_apart(pair, tmp_path, images):
    assert compare(*pair).labels == ("old/x_flt.fits", "new/x_flt.fits")
    other = write_flt(tmp_path / "new/y_flt.fits", images[0])
    assert compare(pair[0], other).labels == ("x_flt.fits", "y_flt.fits")
    assert compare(pair[0], pair[0]).labels == ("x_flt.fits", "x_flt.fits")


def test_table_has_a_row_per_file_and_units(pair):
    comparison = compare(*pair)
    table = comparison.table
    assert list(table["file"]) == list(comparison.labels)
    assert [str(table[name].unit) for name in ("exptime", "mean", "clipped_std")] == ["s"] + [
        "electron / s"
    ] * 2
    assert table["median"][1] == comparison.stats[1].median


def test_printed_table_shows_the_changes(pair):
    comparison = compare(*pair)
    lines = {line[:14].strip(): line[14:].split() for line in str(comparison).splitlines()[3:]}
    assert lines["EXPTIME (s)"] == ["1402.90", "1000.00", "-402.90"]
    first, second = comparison.stats
    assert float(lines["median"][2]) == pytest.approx(second.median - first.median, abs=1e-4)
    assert float(lines["clipped std"][2]) == pytest.approx(
        100 * (second.clipped_std / first.clipped_std - 1), abs=0.06
    )


# --- other kinds of input ------------------------------------------------------------------------


def test_golden_flt_and_ima_share_pixels(shared):
    folder = shared / "golden/wf3ir/s64_helium"
    flt, ima = folder / "isim01aaq_flt.fits.gz", folder / "isim01aaq_ima.fits.gz"
    comparison = compare(flt, ima)
    ramp = read_ramp(ima)
    np.testing.assert_array_equal(comparison.images[1], ramp.sci[-1, 5:-5, 5:-5])
    assert comparison.ramps is None
    good = (fits.getdata(flt, "DQ") == 0) & (ramp.dq[-1, 5:-5, 5:-5] == 0)
    np.testing.assert_array_equal(comparison.good, good)


def test_ramps_come_with_their_reads(ima):
    ramp = read_ramp(ima)
    doubled = ramp.with_(sci=2 * ramp.sci)
    comparison = compare(ima, doubled)
    assert comparison.ramps is not None
    assert comparison.ramps[1] is doubled
    assert comparison.stats[1].median == pytest.approx(2 * comparison.stats[0].median, rel=1e-5)


def test_dq_without_pixels_holds_its_pixvalue(tmp_path, images):
    path = write_flt(tmp_path / "a.fits", images[0], planes=("SCI",))
    null = fits.ImageHDU(name="DQ")
    null.header["PIXVALUE"] = 0
    fits.append(path, None, null.header)
    other = write_flt(tmp_path / "b.fits", images[1])
    assert compare(path, other).stats[0].n_good == NY * NX
    fits.setval(path, "PIXVALUE", value=4, extname="DQ")
    with pytest.raises(ValueError, match="no pixel"):
        compare(path, other)


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "bunit", "message"),
    [
        ((NY, NX - 1), "ELECTRONS/S", r"a\.fits and .*b\.fits: shapes differ, \(40, 50\) and \(40, 49\)"),
        ((NY, NX), "ELECTRONS", r"a\.fits and .*b\.fits: units differ, ELECTRONS/S and ELECTRONS"),
    ],
)
def test_unlike_images_are_refused_by_name(tmp_path, shape, bunit, message):
    first = write_flt(tmp_path / "a.fits", np.ones((NY, NX)))
    second = write_flt(tmp_path / "b.fits", np.ones(shape), bunit=bunit)
    with pytest.raises(ValueError, match=message):
        compare(first, second)


def test_region_outside_the_image_is_refused(pair):
    with pytest.raises(ValueError, match="region is"):
        compare(*pair, region=(slice(100, 200), slice(0, 10)))


@pytest.mark.parametrize(("planes", "missing"), [(("DQ",), "SCI"), (("SCI",), "DQ")])
def test_missing_extensions_are_named(tmp_path, images, planes, missing):
    path = write_flt(tmp_path / "half.fits", images[0], planes=planes)
    with pytest.raises(InputError, match=rf"half\.fits: holds no {missing} extension"):
        compare(path, path)


# --- upramp compare ------------------------------------------------------------------------------


def test_command_prints_and_writes(pair, tmp_path, capsys):
    table, figure = tmp_path / "t.csv", tmp_path / "f.png"
    arguments = [
        "compare",
        *map(str, pair),
        "--csv",
        str(table),
        "--png",
        str(figure),
        "--hist-range",
        "-1",
        "3",
    ]
    assert main(arguments) == 0
    assert capsys.readouterr().out.rstrip("\n") == str(compare(*pair))
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["median"]) for row in rows] == [stats.median for stats in compare(*pair).stats]
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


def test_command_cutout_and_json(pair, images, capsys):
    assert main(["compare", *map(str, pair), "--json", "--cutout", "10:30,20:"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["n_good"] == [20 * 30] * 2
    expected = [float(np.median(image[10:30, 20:])) for image in images]
    assert record["median"] == pytest.approx(expected, rel=1e-6)


def test_command_writes_ecsv_with_units(pair, tmp_path):
    path = tmp_path / "t.ecsv"
    assert main(["compare", "--quiet", *map(str, pair), "--csv", str(path)]) == 0
    assert str(Table.read(path, format="ascii.ecsv")["std"].unit) == "electron / s"


@pytest.mark.parametrize("text", ["10:20", "a:b,c:d", "1:2:3,4:5", "1,2"])
def test_malformed_cutout_is_a_usage_error(pair, text, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["compare", *map(str, pair), "--cutout", text])
    assert stopped.value.code == 2
    assert "Y0:Y1,X0:X1" in capsys.readouterr().err


def test_command_exit_codes_of_bad_input(pair, tmp_path, capsys):
    first, second = map(str, pair)
    assert main(["compare", first, str(tmp_path / "missing.fits")]) == 3
    assert main(["compare", first, second, "--hist-range", "2", "1"]) == 2
    assert main(["compare", first, second, "--cutout", "90:99,0:5"]) == 2
    assert capsys.readouterr().out == ""
