"""The drop-ins for wfc3tools: against plain NumPy, and against the package itself where it is installed."""

from __future__ import annotations

import gzip
import inspect
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

import upramp
from planes import differences
from upramp.compat import _calwf3, wfc3tools
from upramp.exceptions import InputError, OutputError

STATISTICS: dict[str, Any] = {
    "midpt": np.median,
    "mean": np.mean,
    "stddev": np.std,
    "min": np.min,
    "max": np.max,
}


def planes(path: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """SAMPTIME and pixels of every read in file order, by astropy alone."""
    with fits.open(path) as file:
        count = file[0].header["NSAMP"]
        times = np.array([file["SCI", i].header["SAMPTIME"] for i in range(1, count + 1)])
        shape = file["SCI", 1].shape
        cube = np.empty((count, *shape))
        for i in range(count):
            unit = file[name, i + 1]
            cube[i] = unit.header["PIXVALUE"] if unit.data is None else unit.data
        return times, cube


@pytest.fixture
def raw(ima: Path) -> Path:
    """The same exposure as it might have come from the detector: whole counts on top of a bias level."""
    random = np.random.default_rng(5)
    with fits.open(ima) as file:
        for i in range(1, file[0].header["NSAMP"] + 1):
            level = 11000 + 0.5 * file["SCI", i].header["SAMPTIME"]
            file["SCI", i].data = random.poisson(level / 9, file["SCI", i].shape).astype(np.float32)
            file["SCI", i].header["BUNIT"] = "COUNTS"
        path = ima.with_name("helium01q_raw.fits")
        file.writeto(path)
    return path


# --- statistics of the reads -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stat", STATISTICS)
@pytest.mark.parametrize("extname", ["sci", "ERR"])
def test_pstat_is_the_statistic_of_the_section_of_every_read(ima: Path, stat: str, extname: str) -> None:
    times, cube = planes(ima, extname.upper())
    x, y = wfc3tools.pstat(ima, col_slice=(20, 35), row_slice=(7, 50), extname=extname, stat=stat, plot=False)
    expected = np.array([STATISTICS[stat](image[7:50, 20:35]) for image in cube])
    assert upramp.read_ramp(ima).is_rate
    assert np.array_equal(x, times)
    np.testing.assert_allclose(y, expected * times, rtol=1e-6)
    rate = wfc3tools.pstat(str(ima), (20, 35), (7, 50), extname, "rate", stat, plot=False)[1]
    np.testing.assert_allclose(rate, expected, rtol=1e-6)


def test_pstat_turns_counts_into_rates_but_for_the_zeroth_read(raw: Path) -> None:
    times, cube = planes(raw, "SCI")
    medians = np.median(cube, axis=(1, 2))
    assert np.array_equal(wfc3tools.pstat(raw, plot=False)[1], medians)
    assert medians[-1] > 1000  # the bias level, where wfc3tools has 0
    rate = wfc3tools.pstat(raw, units="countrate", plot=False)[1]
    np.testing.assert_allclose(rate[:-1], medians[:-1] / times[:-1], rtol=1e-12)
    assert rate[-1] == 0


def test_pstat_leaves_flags_alone_and_finds_the_mode(ima: Path) -> None:
    flags = planes(ima, "DQ")[1]
    assert np.array_equal(wfc3tools.pstat(ima, extname="dq", stat="max", plot=False)[1], flags.max((1, 2)))
    assert not wfc3tools.pstat(ima, extname="dq", stat="mode", plot=False)[1].any()


def test_pstat_mode_is_the_smallest_of_several(raw: Path) -> None:
    cube = planes(raw, "SCI")[1][:, 30:40, 50:70]
    expected = []
    for image in cube:
        values, counts = np.unique(image, return_counts=True)
        expected.append(values[counts == counts.max()].min())
    assert np.array_equal(
        wfc3tools.pstat(raw, (50, 70), (30, 40), stat="mode", plot=False)[1], np.array(expected)
    )


def test_a_section_after_the_name_is_rows_and_columns(ima: Path) -> None:
    expected = wfc3tools.pstat(ima, col_slice=(30, 45), row_slice=(10, 20), plot=False)[1]
    assert np.array_equal(wfc3tools.pstat(f"{ima}[10:20,30:45]", plot=False)[1], expected)
    assert np.array_equal(wfc3tools.pstat(f"{ima}[ 10:20, 30:45]", plot=False)[1], expected)
    whole = wfc3tools.pstat(ima, plot=False)[1]
    assert np.array_equal(wfc3tools.pstat(f"{ima}[:,:]", plot=False)[1], whole)
    # Python's rules: an end beyond the frame is its edge, a negative one counts from there.
    assert np.array_equal(
        wfc3tools.pstat(ima, col_slice=(-10, 9999), plot=False)[1],
        wfc3tools.pstat(ima, col_slice=(128, 138), plot=False)[1],
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stat": "median"}, "stat is 'median', expected one of midpt"),
        ({"extname": "samp"}, "extname is 'samp', expected one of sci, err, dq"),
        ({"units": "electrons"}, "units is 'electrons', expected counts or rate"),
        ({"col_slice": (3,)}, r"col_slice is \(3,\), expected two whole numbers"),
        ({"row_slice": (3.0, 4.0)}, "row_slice is"),
        ({"row_slice": (20, 10)}, "rows 20:10 and columns : hold no pixel"),
        ({"section": "[sci,1]"}, "expected a section"),
        ({"section": "[1:2,3:4]", "row_slice": (3, 4)}, "exclude each other"),
    ],
)
def test_pstat_names_a_bad_argument(ima: Path, change: dict[str, Any], message: str) -> None:
    change = dict(change)
    with pytest.raises(ValueError, match=message):
        wfc3tools.pstat(str(ima) + change.pop("section", ""), plot=False, **change)


@pytest.mark.parametrize("extname", ["sci", "err", "dq", "samp"])
def test_pstack_is_one_pixel_of_every_read(ima: Path, extname: str) -> None:
    times, cube = planes(ima, extname.upper())
    x, y = wfc3tools.pstack(ima, column=40, row=21, extname=extname, plot=False)
    assert np.array_equal(x, times)
    factor = times if extname in ("sci", "err") else 1
    np.testing.assert_allclose(y, cube[:, 21, 40] * factor, rtol=1e-12)
    assert np.array_equal(wfc3tools.pstack(ima, 40, 21, extname, "rate", plot=False)[1], cube[:, 21, 40])


def test_pstack_gives_time_against_imset(ima: Path) -> None:
    x, y = wfc3tools.pstack(ima, extname="time", plot=False)
    assert np.array_equal(x, np.arange(1, 17))
    assert np.array_equal(y, planes(ima, "SCI")[0])


def test_pstack_names_a_bad_argument(ima: Path) -> None:
    with pytest.raises(ValueError, match="extname is 'wht'"):
        wfc3tools.pstack(ima, extname="wht", plot=False)
    with pytest.raises(IndexError, match=r"column 138, row 0 is not in .*138 columns, 138 rows"):
        wfc3tools.pstack(ima, column=138, plot=False)


def test_null_planes_count_with_their_value(shared: Path) -> None:
    """A RAW leaves ERR and DQ null; wfc3tools cannot read them."""
    path = shared / "golden/wf3ir/s64_nominal/isim01aaq_raw.fits.gz"
    assert not wfc3tools.pstat(path, extname="err", plot=False)[1].any()
    assert not wfc3tools.pstack(path, extname="dq", plot=False)[1].any()


def test_sampinfo_prints_every_read(ima: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wfc3tools.sampinfo(str(ima), add_keys=["DETECTOR", "BUNIT", "NONSUCH"], mean=True, median=True)
    lines = capsys.readouterr().out.splitlines()
    times, cube = planes(ima, "SCI")
    with fits.open(ima) as file:
        first, delta = file[0].header, file["SCI", 1].header["DELTATIM"]
    assert lines[1] == f"{ima}\t80\t{first['SAMP_SEQ']}\t\t16\t{first['EXPTIME']:f}"
    assert (
        "\t".join(lines[3].split("\t")[:7]) == "IMSET\tSAMPNUM\tSAMPTIME\tDELTATIM\tDETECTOR\tBUNIT\tNONSUCH"
    )
    cells = lines[4].split("\t")
    assert cells[:7] == ["1", "15", str(times[0]), str(delta), "IR", "ELECTRONS/S", "NA"]
    assert float(cells[-2].removeprefix("AvgPixel: ")) == pytest.approx(cube[0].mean(), rel=1e-6)
    assert float(cells[-1].removeprefix("MedPixel: ")) == np.float32(np.median(cube[0]))
    assert lines[-1].startswith("16\t0\t0.0\t0.0\t")
    assert len(lines) == 20


# --- figures -----------------------------------------------------------------------------------------------------


def test_plots_are_left_on_the_current_figure(ima: Path) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    x, y = wfc3tools.pstat(ima, ylabel="level")
    wfc3tools.pstat(ima, stat="mean", overplot=True, title="both", xlabel="t")
    axes = pyplot.gca()
    assert [axes.get_title(), axes.get_xlabel()] == ["both", "t"]
    assert len(axes.lines) == 2
    assert np.array_equal(axes.lines[0].get_xydata(), np.column_stack([x, y]))
    wfc3tools.pstack(ima, column=4, row=5, ylabel="e")
    axes = pyplot.gca()
    assert len(axes.lines) == 1
    assert axes.get_ylabel() == "e"
    wfc3tools.pstack(ima, extname="time")
    assert pyplot.gca().get_xlim() == (16, 1)
    pyplot.close("all")


def test_without_matplotlib_the_numbers_still_come(
    ima: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert len(wfc3tools.pstat(ima)[1]) == 16
    assert "matplotlib is not installed" in caplog.text


def test_import_has_no_effect() -> None:
    code = "import sys, upramp.compat.wfc3tools\nassert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- calibration -------------------------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stand-in for the calibration: records its calls and writes small products."""
    made: list[Any] = []

    def calibrate(path: Path, directory: Path, *, names: tuple[Path, Path], **options: Any) -> Any:
        made.append(SimpleNamespace(path=path, directory=directory, names=names, **options))
        if "bad" in path.name:
            raise InputError(f"{path}: spoiled")
        for name in names:
            cards = fits.Header({"CRCORR": "COMPLETE", "FLATCORR": "OMIT"})
            fits.PrimaryHDU(header=cards).writeto(name, overwrite=options["overwrite"])
        return SimpleNamespace(
            ima=names[0], flt=names[1], unstable=7, hit_fraction=0.05, seconds={"read": 1.0}
        )

    monkeypatch.setattr(_calwf3, "calibrate_file", calibrate)
    monkeypatch.delenv("imclobber", raising=False)
    return made


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        fits.PrimaryHDU().writeto(folder / name)
    return [folder / name for name in names]


@pytest.mark.parametrize(
    ("name", "root"), [("a_raw.fits", "a"), ("a_raw.fits.gz", "a"), ("a_ima.fits", "a_ima"), ("b.fits", "b")]
)
def test_products_are_named_as_calwf3_does(tmp_path: Path, calls: list[Any], name: str, root: str) -> None:
    lines: list[str] = []
    (path,) = touch(tmp_path, name)
    wfc3tools.calwf3(str(path), log_func=lines.append)
    (call,) = calls
    assert call.path == path
    assert [product.name for product in call.names] == [f"{root}_ima.fits", f"{root}_flt.fits"]
    assert {product.parent for product in call.names} == {tmp_path}
    assert call.parity is True
    assert (tmp_path / f"{root}.tra").read_text().splitlines() == lines
    assert f"upramp {upramp.__version__}: {path}" in lines[0]
    assert lines[1:4] == ["CRCORR   COMPLETE", "FLATCORR OMIT", "7 pixels unstable, 5.00 % with a cosmic ray"]


def test_inputs_may_be_given_in_many_ways(
    tmp_path: Path, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("imclobber", "YES")
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "a_raw.fits", "b_raw.fits")
    (tmp_path / "names.lst").write_text("a_raw.fits\n\n b_raw.fits\n")
    for given in ("*_raw.fits", "a_raw.fits, b_raw.fits", ["a_raw.fits", Path("b_raw.fits")], "@names.lst"):
        calls.clear()
        wfc3tools.calwf3(given, log_func=None, parallel=False)
        assert [(call.path.name, call.threads) for call in calls] == [("a_raw.fits", 1), ("b_raw.fits", 1)]


@pytest.mark.parametrize("given", [None, "", [], "none_raw.fits", "*.nothing", "@none.lst"])
def test_inputs_that_are_not_there_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"no input given|no such file|none\.lst"):
        wfc3tools.calwf3(given)


def test_existing_products_are_refused_unless_imclobber(
    tmp_path: Path, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (path, *_) = touch(tmp_path, "a_raw.fits", "a_flt.fits")
    with pytest.raises(OutputError, match="imclobber"):
        wfc3tools.calwf3(path, log_func=None)
    assert not calls
    assert not (tmp_path / "a.tra").exists()
    monkeypatch.setenv("imclobber", "yes")
    wfc3tools.calwf3(path, log_func=None)
    assert calls[0].overwrite is True


def test_a_failure_raises_and_is_in_the_trailer(tmp_path: Path, calls: list[Any]) -> None:
    (path,) = touch(tmp_path, "bad_raw.fits")
    lines: list[str] = []
    with pytest.raises(InputError, match="spoiled"):
        wfc3tools.calwf3(path, printtime=True, log_func=lines.append)
    assert (tmp_path / "bad.tra").read_text().splitlines() == lines
    assert lines[-1].endswith(f"failed: {path}: spoiled")
    assert " UTC  " in lines[-1]


def test_warnings_of_the_calibration_are_in_the_trailer(
    tmp_path: Path, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import logging

    stand_in = _calwf3.calibrate_file

    def talkative(*arguments: Any, **options: Any) -> Any:
        logging.getLogger("upramp.wfc3ir.files").warning("no %s", "CCDTAB")
        logging.getLogger("upramp.wfc3ir.files").info("reading")
        return stand_in(*arguments, **options)

    monkeypatch.setattr(_calwf3, "calibrate_file", talkative)
    monkeypatch.setenv("imclobber", "yes")
    (path,) = touch(tmp_path, "a_raw.fits")
    wfc3tools.calwf3(path, log_func=None)
    assert "WARNING: no CCDTAB\n" in (tmp_path / "a.tra").read_text()
    assert "reading" not in (tmp_path / "a.tra").read_text()
    wfc3tools.calwf3(path, log_func=None, verbose=True)
    assert "reading\n" in (tmp_path / "a.tra").read_text()
    assert logging.getLogger("upramp").level == logging.NOTSET
    assert not logging.getLogger("upramp").handlers


def test_an_association_is_calibrated_one_by_one(tmp_path: Path, calls: list[Any], shared: Path) -> None:
    with gzip.open(shared / "golden/wf3ir/s64_asn/isim02010_asn.fits.gz") as packed:
        table = tmp_path / "isim02010_asn.fits"
        table.write_bytes(packed.read())
    before = table.read_bytes()
    touch(tmp_path, "isim02aaq_raw.fits")
    lines: list[str] = []
    wfc3tools.calwf3(str(table), log_func=lines.append)
    assert [call.path.name for call in calls] == ["isim02aaq_raw.fits"]
    assert (tmp_path / "isim02010.tra").read_text().splitlines() == lines
    assert lines[0].startswith("WARNING: ")
    assert "isim02abq" in lines[0]
    assert (tmp_path / "isim02aaq.tra").read_text().splitlines() == lines[1:]
    assert table.read_bytes() == before


def test_no_exposure_is_begun_if_a_product_of_another_exists(
    tmp_path: Path, calls: list[Any], shared: Path
) -> None:
    with gzip.open(shared / "golden/wf3ir/s64_asn/isim02010_asn.fits.gz") as packed:
        (tmp_path / "x_asn.fits").write_bytes(packed.read())
    touch(tmp_path, "isim02aaq_raw.fits", "isim02abq_raw.fits", "isim02abq_ima.fits")
    with pytest.raises(OutputError, match="isim02abq_ima"):
        wfc3tools.calwf3(tmp_path / "x_asn.fits", log_func=None)
    assert not calls


def test_version_needs_no_input() -> None:
    lines: list[str] = []
    wfc3tools.calwf3("ignored", version=True, log_func=lines.append)
    wfc3tools.calwf3(version=True, log_func=None)
    assert lines == [f"upramp {upramp.__version__}"]


@pytest.mark.parametrize("output", ["new_flt.fits", "new.fits", "new", None])
def test_wf3ir_names_its_products(
    tmp_path: Path, calls: list[Any], monkeypatch: pytest.MonkeyPatch, output: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "a_raw.fits")
    wfc3tools.wf3ir("a_raw.fits", output, log_func=None)
    root = "a" if output is None else "new"
    assert [product.name for product in calls[0].names] == [f"{root}_ima.fits", f"{root}_flt.fits"]
    assert (tmp_path / f"{root}.tra").is_file()


def test_wf3ir_refuses_associations_and_one_name_for_many(tmp_path: Path, calls: list[Any]) -> None:
    paths = touch(tmp_path, "x_asn.fits", "a_raw.fits", "b_raw.fits")
    with pytest.raises(InputError, match="use calwf3"):
        wfc3tools.wf3ir(paths[0])
    with pytest.raises(ValueError, match="there are 2 inputs"):
        wfc3tools.wf3ir(paths[1:], output="y.fits")
    assert not calls


def test_an_input_is_never_replaced(
    tmp_path: Path, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("imclobber", "yes")
    (path,) = touch(tmp_path, "a_ima.fits")
    with pytest.raises(OutputError, match="would replace the input"):
        wfc3tools.wf3ir(path, output=tmp_path / "a_flt.fits")
    assert not calls


def unpack(source: Path, folder: Path) -> Path:
    target = folder / source.name.removesuffix(".gz")
    with gzip.open(source) as packed, target.open("wb") as stream:
        shutil.copyfileobj(packed, stream)
    return target


def test_a_raw_becomes_what_calwf3_makes_of_it(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = shared / "golden/wf3ir"
    monkeypatch.setenv("iref", f"{golden / 'refs_s64'}{os.sep}")
    raw = unpack(golden / "s64_nominal/isim01aaq_raw.fits.gz", tmp_path)
    wfc3tools.calwf3(str(raw), log_func=None)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "isim01aaq.tra",
        "isim01aaq_flt.fits",
        "isim01aaq_ima.fits",
        "isim01aaq_raw.fits",
    ]
    assert differences(tmp_path / "isim01aaq_flt.fits", golden / "s64_nominal/isim01aaq_flt.fits.gz") == {}
    # calwf3 writes a constant TIME with 8 digits.
    found = differences(
        tmp_path / "isim01aaq_ima.fits", golden / "s64_nominal/isim01aaq_ima.fits.gz", {"TIME": 1}
    )
    assert found == {}
    with pytest.raises(OutputError, match="exists already"):
        wfc3tools.calwf3(str(raw), log_func=None)


def test_an_association_becomes_what_calwf3_makes_of_it(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = shared / "golden/wf3ir"
    monkeypatch.setenv("iref", str(golden / "refs_s64"))
    for path in (golden / "s64_asn").glob("*_[ar][sa][nw].fits.gz"):
        unpack(path, tmp_path)
    wfc3tools.calwf3(tmp_path / "isim02010_asn.fits", log_func=None)
    for root in ("isim02aaq", "isim02abq"):
        assert differences(tmp_path / f"{root}_flt.fits", golden / f"s64_asn/{root}_flt.fits.gz") == {}


def test_an_ima_becomes_what_calwf3_makes_of_it(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = shared / "golden/wf3ir"
    monkeypatch.setenv("iref", str(golden / "refs_s64"))
    case = golden / "s64_reentry_plain"
    ima = unpack(case / "isim01aaq_ima.fits.gz", tmp_path)
    wfc3tools.calwf3(ima, log_func=None)
    assert differences(tmp_path / "isim01aaq_ima_flt.fits", case / "isim01aaq_ima_flt.fits.gz") == {}
    found = differences(tmp_path / "isim01aaq_ima_ima.fits", case / "isim01aaq_ima_ima.fits.gz", {"TIME": 1})
    assert found == {}
    assert (tmp_path / "isim01aaq_ima.tra").is_file()


# --- against the package itself ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def original() -> ModuleType:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("wfc3tools")


@pytest.fixture(
    scope="module",
    params=[
        "golden/wf3ir/s64_nominal/isim01aaq_ima.fits.gz",
        "golden/wf3ir/s64_nominal/isim01aaq_raw.fits.gz",
        "golden/wf3ir/s64_unit_omit/isim01aaq_ima.fits.gz",
        "data/wfc3ir/ibh726meq_ima.fits.gz",
        "data/wfc3ir/ibxy01z8q_ima.fits.gz",
    ],
)
def exposure(request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(unpack(shared / request.param, tmp_path_factory.mktemp("exposure")))


@pytest.mark.parametrize("name", ["calwf3", "wf3ir", "pstat", "pstack", "sampinfo"])
def test_arguments_are_the_same(original: ModuleType, name: str) -> None:
    found, expected = (
        inspect.signature(getattr(module, name)).parameters for module in (wfc3tools, original)
    )
    assert [(p.name, p.default) for p in found.values()] == [(p.name, p.default) for p in expected.values()]


@pytest.mark.parametrize("units", ["counts", "rate"])
@pytest.mark.parametrize("stat", ["midpt", "mean", "mode", "stddev", "min", "max"])
@pytest.mark.parametrize("extname", ["sci", "err"])
def test_pstat_agrees(original: ModuleType, exposure: str, units: str, stat: str, extname: str) -> None:
    if "raw" in exposure and extname == "err":
        pytest.skip("wfc3tools cannot read a null extension")
    section: dict[str, Any] = {"col_slice": (10, 45), "row_slice": (8, 60)}
    options: dict[str, Any] = {"units": units, "stat": stat, "extname": extname, "plot": False}
    for where in (section, {}):
        x, y = wfc3tools.pstat(exposure, **where, **options)
        expected_x, expected_y = original.pstat(exposure, **where, **options)
        assert np.array_equal(x, expected_x)
        assert len(y) == len(expected_y)
        if stat in ("mean", "stddev"):
            # Single precision sums there.
            np.testing.assert_allclose(y[:-1], expected_y[:-1], rtol=2e-6)
        else:
            np.testing.assert_allclose(y[:-1], expected_y[:-1], rtol=3e-16)


@pytest.mark.parametrize("extname", ["sci", "err", "time"])
@pytest.mark.parametrize("units", ["counts", "rate"])
def test_pstack_agrees(original: ModuleType, exposure: str, units: str, extname: str) -> None:
    if "raw" in exposure and extname == "err":
        pytest.skip("wfc3tools cannot read a null extension")
    options: dict[str, Any] = {"column": 33, "row": 21, "extname": extname, "units": units, "plot": False}
    x, y = wfc3tools.pstack(exposure, **options)
    expected_x, expected_y = original.pstack(exposure, **options)
    assert np.array_equal(x, expected_x)
    assert x.dtype == expected_x.dtype
    np.testing.assert_allclose(y[:-1], expected_y[:-1], rtol=3e-16)


def test_flags_agree_where_they_are_not_multiplied(original: ModuleType, exposure: str) -> None:
    unit = upramp.read_ramp(exposure)
    if "raw" in exposure:
        pytest.skip("wfc3tools cannot read a null extension")
    same: dict[str, Any] = {"units": "rate" if unit.is_rate else "counts", "extname": "dq", "plot": False}
    for stat in ("midpt", "mode", "min", "max"):
        found = wfc3tools.pstat(exposure, stat=stat, **same)[1]
        assert np.array_equal(found[:-1], original.pstat(exposure, stat=stat, **same)[1][:-1])


def test_sampinfo_agrees(original: ModuleType, exposure: str, capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {"add_keys": ["DETECTOR", "CRCORR", "BUNIT", "NONSUCH"], "median": True}
    wfc3tools.sampinfo(exposure, **options)
    found = capsys.readouterr().out
    original.sampinfo(exposure, **options)
    assert found == capsys.readouterr().out
    wfc3tools.sampinfo(exposure, mean=True)
    found = capsys.readouterr().out
    original.sampinfo(exposure, mean=True)
    expected = capsys.readouterr().out
    # All but the mean itself, which there is half of minimum plus maximum.
    assert [line.partition("\tAvg")[0] for line in found.splitlines()] == [
        line.partition("\tAvg")[0] for line in expected.splitlines()
    ]
