"""Flagged reads: simulated truth, calwf3's own files, published medians, tables, jitter files, and the command."""

from __future__ import annotations

import gzip
import json
import re

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from upramp.bench.flags import cases, ramp_of, score
from upramp.cli import main
from upramp.exceptions import InputError
from upramp.simulate import Exposure, Scene, simulate
from upramp.tvb.causes import Interval, Limits, judge, name_cause
from upramp.tvb.flag import flag_reads, ranges
from upramp.tvb.flag_file import flag_file
from upramp.tvb.jitter import find_jitter, read_jitter
from upramp.tvb.noise import measure_noise
from upramp.tvb.reads_file import read_flags, write_flags
from upramp.tvb.reference_level import reference_level
from upramp.tvb.satellite import find_localised
from upramp.tvb.sources import bad_pixels, box_sum, pixel_pattern, source_mask
from upramp.wfc3ir.exposure import read_ramp

FIELD = np.s_[5:-5, 5:-5]


def golden(shared, case, kind="ima"):
    return shared / f"golden/wf3ir/{case}/isim01aaq_{kind}.fits.gz"


@pytest.fixture(scope="module")
def limb():
    """An exposure spoiled by scattered light at its start."""
    return simulate(
        Exposure(rootname="limb01aaq", size=128, seed=5), Scene(earth_limb=3.0, earth_limb_fade=0.1)
    )


@pytest.fixture(scope="module")
def calm():
    """An exposure with nothing but sky, sources and cosmic rays."""
    return simulate(Exposure(rootname="calm01aaq", size=128, seed=6), Scene())


# --- where the sources are -----------------------------------------------------------------------


@pytest.mark.parametrize("scene", [Scene(), Scene(earth_limb=5.0, helium=2.0), Scene(trail_read=6)])
def test_sources_are_found_whatever_the_background_does(scene):
    simulation = simulate(Exposure(size=128, seed=9), scene)
    ramp = ramp_of(simulation)
    mask, good = source_mask(ramp), ~bad_pixels(ramp)
    light = simulation.rate - scene.sky
    bright = (light > 0.2) & good
    assert mask[FIELD][bright[FIELD]].mean() > 0.99
    empty = (light < 0.003) & good
    assert mask[FIELD][empty[FIELD]].mean() < 0.02
    assert not mask[:5].any()


def test_the_pattern_is_what_pixels_have_of_their_own(limb):
    ramp = ramp_of(limb)
    pattern = pixel_pattern(ramp)[FIELD]
    known = np.isfinite(pattern)
    own = limb.rate[FIELD] - np.median(limb.rate[FIELD], axis=0)
    off = (pattern - own)[known & (own < 1)]
    # Noise of the median of five stretches of 280 s, about 20 e- and the sky's photons each.
    assert abs(np.median(off)) < 0.01
    assert 1.4826 * np.median(np.abs(off)) < 0.12
    assert np.isnan(pixel_pattern(ramp)[0]).all()


@pytest.mark.parametrize("half", [0, 1, 3, 9])
def test_box_sums_are_plain_sums(half):
    image = np.random.default_rng(1).integers(0, 9, (7, 12)).astype(np.float32)
    padded = np.pad(image, half)
    plain = np.lib.stride_tricks.sliding_window_view(padded, (2 * half + 1,) * 2).sum(axis=(2, 3))
    np.testing.assert_array_equal(box_sum(image, half), plain)


def test_source_mask_refuses_a_threshold_that_is_not_positive(calm):
    with pytest.raises(ValueError, match="nsigma is 0"):
        source_mask(ramp_of(calm), nsigma=0)


# --- trails --------------------------------------------------------------------------------------


@pytest.mark.parametrize("electrons", [100.0, 1500.0])
def test_trails_are_found_in_their_read_alone(electrons):
    for seed in range(4):
        scene = Scene(trail_read=5, trail_electrons=electrons, cosmic_rays=30.0)
        ramp = ramp_of(simulate(Exposure(size=128, seed=seed), scene))
        found = find_localised(ramp, pixel_pattern(ramp), source_mask(ramp)).found
        assert list(np.flatnonzero(found)) == [4]  # the interval that ends with read 5


# --- the whole, against truth --------------------------------------------------------------------


def test_simulated_exposures_are_flagged_right():
    scores = [score(case) for case in cases(24, 64)]
    disturbed, found = (sum(getattr(one, name) for one in scores) for name in ("disturbed", "found"))
    clean, false = (sum(getattr(one, name) for one in scores) for name in ("clean", "false"))
    assert disturbed > 100
    assert clean > 500
    # docs/flag.md has the rates of 1600 exposures; so few as here scatter.
    assert found / disturbed >= 0.985
    assert false / clean < 0.012
    words = {kind: {one.verdict for one in scores if one.case.kind == kind} for kind in ("none", "satellite")}
    assert words == {"none": {"none"}, "satellite": {"satellite"}}
    assert {one.verdict for one in scores if one.case.kind == "scattered" and one.case.level >= 1} == {
        "scattered"
    }
    helium = {one.verdict for one in scores if one.case.kind == "helium" and one.case.level == 10}
    assert helium == {"helium"}


@pytest.mark.parametrize("kind", ["ima", "raw"])
@pytest.mark.parametrize(
    ("case", "verdict", "reads", "advice"),
    [
        ("s64_nominal", "none", set(), "none"),
        ("s64_helium", "helium", set(range(9, 16)), "flatten"),
        ("s64_helium10", "helium", set(range(9, 16)), "flatten"),
        ("s64_limb5", "scattered", {2, 3, 4, 5, 6}, "mask-reads"),
        ("s64_trail", "satellite", {8}, "subtract-reads"),
    ],
)
def test_files_of_calwf3(shared, case, kind, verdict, reads, advice):
    ramp = read_ramp(golden(shared, case, kind))
    ramp.primary["FILTER"] = "F105W"
    flags = flag_reads(ramp)
    assert (flags.verdict, flags.advice) == (verdict, advice)
    assert set(flags.flagged) == reads
    truth = np.load(shared / f"golden/wf3ir/{case}/isim01aaq_truth.npz")
    added = truth["helium_rate"] + truth["earthlimb_rate"] * np.median(truth["earthlimb_shape"][FIELD])
    measured = np.asarray(flags.table["excess"])[2:]
    if verdict != "satellite":
        # Reference pixels of so small a field leave 0.04 e-/s in an interval of 22 s.
        np.testing.assert_allclose(measured, added[2:] - added[2:].min(), rtol=0.06, atol=0.2)


@pytest.mark.parametrize("name", ["ibh726meq", "ibh726miq"])
def test_spatial_scans_are_left_alone(shared, name):
    ramp = read_ramp(shared / f"data/wfc3ir/{name}_ima.fits.gz")
    for scan in ("D", "N"):  # by the header, or by what the reads show
        ramp.primary["SCAN_TYP"] = scan
        flags = flag_reads(ramp)
        assert (flags.verdict, flags.advice, flags.flagged) == ("unknown", "none", [])
        assert "sources move" in flags.reason


@pytest.mark.parametrize("name", ["ibxy01z8q", "ibxy07p9q"])
def test_real_quiet_exposures(shared, name):
    flags = flag_reads(shared / f"data/wfc3ir/{name}_ima.fits.gz")
    assert (flags.verdict, flags.flagged) == ("none", [])
    assert flags.noise.ratio == pytest.approx(1.0, abs=0.5)


def test_flagged_input_reads_are_no_pixels(shared):
    flags = flag_reads(golden(shared, "s64_badread_4"))
    assert flags.flagged == [1, 2, 3, 4, 5, 6]
    assert set(flags.table["cause"][1:7]) == {"no pixels"}
    assert flags.verdict == "none"


def test_nothing_left_is_said(shared):
    flags = flag_reads(golden(shared, "s64_saturated"))
    assert (flags.verdict, flags.advice) == ("unknown", "none")
    assert "no pixel is left" in flags.reason
    assert flags.cards == {"TVBFLAG": ("unknown", "variable background")}


@pytest.mark.parametrize("case", ["s64_nsamp2", "s64_nsamp3", "s64_rapid", "s64_zero", "s64_bright"])
def test_short_and_odd_ramps(shared, case):
    flags = flag_reads(golden(shared, case))
    assert len(flags.use) == len(flags.table)
    assert str(flags).startswith("isim01aaq F160W  TVB ")
    json.dumps(flags.summary, allow_nan=False, default=int)


def test_published_ramp(shared):
    """Medians of ibohbfb9q as its notebook printed them: helium from read 8 or 9 to the end."""
    table = np.genfromtxt(
        shared / "data/published/tvb_flattenramp_ibohbfb9q.csv", delimiter=",", names=True, skip_header=1
    )
    medians = dict(zip(table["imset"].astype(int), table["median_bkg"], strict=True))
    calm = simulate(
        Exposure(rootname="ibohbfb9q", samp_seq="STEP200", size=128, seed=8), Scene(sky=0.47, cosmic_rays=5.0)
    )
    sci = calm.sci.copy()
    for k in range(1, 16):
        sci[k][FIELD] += np.float32(medians[16 - k] - 0.47)
    # The medians are rounded to 0.01 in the rate since the start, which is more in that of an interval.
    flags = flag_reads(ramp_of(calm).with_(sci=sci), floor=0.05)
    assert flags.verdict == "helium"
    assert flags.advice == "flatten"
    assert set(range(9, 16)) <= set(flags.flagged) <= set(range(8, 16))
    rates = np.array([medians[16 - k] for k in range(1, 16)])
    intervals = np.diff(np.r_[0.0, rates * calm.times[1:]]) / np.diff(calm.times)
    np.testing.assert_allclose(flags.table["median"][6:], intervals[5:], atol=0.03)
    assert flags.high == pytest.approx(intervals.max(), abs=0.03)
    assert 0.95 < flags.max_ratio < 1.06
    assert str(flags).startswith(f"ibohbfb9q F105W  TVB helium  reads {ranges(flags.flagged)}  rate 0.")
    assert str(flags).endswith("advise: flatten")


def test_counts_are_electrons_by_the_gain():
    exposure = {"size": 128, "seed": 4}
    electrons = simulate(Exposure(**exposure), Scene(helium=2.0))
    counts = simulate(Exposure(**exposure, flat_fielded=False), Scene(helium=2.0))
    one, other = flag_reads(ramp_of(electrons)), flag_reads(ramp_of(counts))
    assert one.flagged == other.flagged
    # The flat field of the middle of the chip is within 5 % of one.
    np.testing.assert_allclose(other.table["median"][2:], one.table["median"][2:], rtol=0.06)
    assert str(other.table["median"].unit) == "electron / s"


def test_answers_do_not_depend_on_threads(limb):
    one, other = (flag_reads(ramp_of(limb), threads=n).table for n in (1, 3))
    for name in one.colnames:
        np.testing.assert_array_equal(one[name], other[name])


def test_grisms_are_not_flattened(helium):
    ramp = ramp_of(helium)
    ramp.primary["FILTER"] = "G102"
    flags = flag_reads(ramp)
    assert flags.verdict == "helium"
    assert flags.advice == "mask-reads"
    assert "cannot be flattened" in flags.reason


def test_floor_keeps_small_excesses(helium):
    ramp = ramp_of(helium)
    flags = flag_reads(ramp, floor=0.5)
    excess = np.asarray(flags.table["excess"][1:])
    assert (excess[~flags.use[1:]] > 0.5).all()
    assert len(flags.flagged) < len(flag_reads(ramp).flagged)


@pytest.mark.parametrize("name", ["ratio", "delta", "change"])
def test_limits_must_be_positive(calm, name):
    with pytest.raises(ValueError, match=f"{name} is 0.0, expected a positive number"):
        flag_reads(ramp_of(calm), **{name: 0.0})


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "difference", "left", "right", "cause"),
    [
        (1.5, 0.50, 0.55, 0.02, "scattered"),
        (1.05, 0.15, 0.17, 0.02, "scattered"),  # by the difference
        (1.15, 0.05, 0.06, 0.01, "scattered"),  # by the ratio
        (1.02, 0.01, 0.50, 0.49, "uniform"),
        (1.30, 0.40, 1.00, 0.60, "both"),
        (1.02, 0.02, 0.025, 0.005, "faint"),
    ],
)
def test_names_of_causes(ratio, difference, left, right, cause):
    interval = Interval(ratio, difference, 0.01, left, right, 0.005, localised=False, disturbed=True)
    assert name_cause(interval, Limits()) == cause
    assert name_cause(interval._replace(disturbed=False), Limits()) == ""
    assert name_cause(interval._replace(localised=True), Limits()) == "satellite"


@pytest.mark.parametrize(
    ("causes", "rise", "band", "word", "advice"),
    [
        ([""] * 6, 0.0, "F105W", "none", "none"),
        (["", "", "", "", "uniform", "uniform"], 1.0, "F105W", "helium", "flatten"),
        (["", "", "", "", "uniform", "uniform"], 1.0, "F140W", "unknown", "flatten"),
        (["", "", "", "", "uniform", "uniform"], 0.3, "F110W", "unknown", "flatten"),
        (["", "", "", "", "uniform", "uniform"], 0.05, "F110W", "none", "none"),
        (["", "", "", "", "uniform", "uniform"], 1.0, "G141", "helium", "mask-reads"),
        (["", "uniform", "uniform", "uniform", "uniform", "uniform"], 1.0, "G141", "helium", "none"),
        (["scattered", "scattered", "", "", "", ""], 1.0, "F140W", "scattered", "mask-reads"),
        (["scattered", "scattered", "scattered", "scattered", "", ""], 1.0, "F140W", "scattered", "column"),
        (["both", "both", "", "", "", ""], 1.0, "F105W", "both", "mask-reads"),
        (["", "", "satellite", "", "", ""], 0.0, "F105W", "satellite", "subtract-reads"),
        (["", "faint", "", "", "", ""], 0.02, "F105W", "none", "none"),
    ],
)
def test_verdicts(causes, rise, band, word, advice):
    use = np.array([not cause for cause in causes])
    verdict = judge(causes, np.where(use, 0.0, rise), 0.5, np.full(6, 100.0), use, band, Limits())
    assert (verdict.word, verdict.advice) == (word, advice)
    assert verdict.reason


def test_a_floor_is_suggested_where_it_would_save_the_exposure():
    causes = ["scattered", "scattered", "faint", "faint", "faint", ""]
    excess = np.array([2.0, 0.5, 0.05, 0.03, 0.02, 0.0])
    use = np.array([not cause for cause in causes])
    verdict = judge(causes, excess, 0.5, np.full(6, 100.0), use, "F140W", Limits())
    assert verdict.advice == "column"
    assert "--floor 0.1 lets faint light pass" in verdict.reason


def test_the_range_of_rates_ignores_reads_lost_in_noise():
    # The first interval lasts 0.28 s: its level is known to 0.3 e-/s.
    flags = flag_reads(ramp_of(simulate(Exposure(size=256, seed=1), Scene(earth_limb=4.0))))
    truth = 0.8 + 4.0 * np.exp(-0.5 / 0.28)
    assert flags.high == pytest.approx(truth, rel=0.2)
    assert 1 in flags.flagged


def test_ranges():
    assert ranges([9, 10, 11, 13]) == "9-11,13"
    assert ranges([]) == ""


# --- noise ---------------------------------------------------------------------------------------


def test_reference_pixels_tell_drift_and_noise(shared, calm):
    raw, ima = (read_ramp(golden(shared, "s64_nominal", kind)) for kind in ("raw", "ima"))
    truth = np.load(golden(shared, "s64_nominal").parent / "isim01aaq_truth.npz")["drift"]
    found = reference_level(raw)
    # 432 pixels of 14 e- each, in DN.
    assert np.abs(found.level - (truth - truth[0])).max() < 5 * np.sqrt(2 * found.variance)
    assert reference_level(ima).variance == pytest.approx(14.3**2 / 432, rel=0.3)
    assert reference_level(ramp_of(calm)).variance == 0.0  # nothing was subtracted there


def test_two_peaks_and_wrong_errors_show():
    rng = np.random.default_rng(0)
    good, err = np.ones((100, 100), bool), np.full((100, 100), 0.1, np.float32)
    single = rng.normal(1.0, 0.1, (100, 100)).astype(np.float32)
    double = single + np.where(rng.random((100, 100)) < 0.5, np.float32(0.8), np.float32(0))
    calm, split = measure_noise(single, err, good, "flt"), measure_noise(double, err, good, "flt")
    assert calm.ratio == pytest.approx(1.0, abs=0.05)
    assert calm.bimodality == pytest.approx(1 / 3, abs=0.03)
    assert split.bimodality > 0.8
    assert split.ratio > 3
    assert np.isnan(measure_noise(single, err, ~good, "flt").ratio)


# --- tables --------------------------------------------------------------------------------------


def test_table_goes_round_and_can_be_edited(limb, helium, tmp_path):
    flags = [flag_reads(ramp_of(each)) for each in (limb, helium)]
    path = tmp_path / "tvb.ecsv"
    write_flags(flags, path)
    back = read_flags(path)
    assert list(back) == ["limb01aaq", "helium01q"]
    for one in flags:
        np.testing.assert_array_equal(back[one.rootname], one.use)
    table = Table.read(path)
    assert table.colnames[:4] == ["rootname", "sampnum", "imset", "use"]
    assert table.meta["exposures"][0]["verdict"] == "scattered"
    assert str(table["median"].unit) == "electron / s"
    table["use"][3] = not table["use"][3]
    table.reverse()
    table.write(path, overwrite=True)
    again = read_flags(path)
    assert again["limb01aaq"][3] != back["limb01aaq"][3]
    assert (again["limb01aaq"] != back["limb01aaq"]).sum() == 1
    table.write(tmp_path / "tvb.csv")
    np.testing.assert_array_equal(read_flags(tmp_path / "tvb.csv")["helium01q"], again["helium01q"])


HEAD = "rootname,sampnum,imset,use\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rootname,sampnum\nx,0\n", "no column imset, use; expected a table of upramp flag"),
        (
            HEAD + "x,0,2,True\nx,1,1,maybe\n",
            r"row 2 \(x\): use of read 1 is 'maybe', expected True or False",
        ),
        (HEAD + "x,0,2,True\nx,0,2,True\n", r"row 2 \(x\): read 0 is listed twice"),
        (HEAD + "x,1,2,True\n", "x has 3 reads, but 2 is not listed"),
        (HEAD + "x,0,2,True\nx,1,2,True\n", "sampnum 1 and imset 2 make 3, expected NSAMP 2"),
        (HEAD + "x,one,2,True\n", "sampnum is 'one', expected a whole number"),
        (HEAD + "x,1,2\n", "row 1 has 3 cells, expected 4"),
        ("", "no column rootname"),
    ],
)
def test_slips_of_the_hand_are_named(tmp_path, text, message):
    path = tmp_path / "reads.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_flags(path)


def test_words_for_use(tmp_path):
    path = tmp_path / "reads.csv"
    path.write_text(HEAD + "IX,2,1,no\nIX,1,2,YES\nIX,0,3,0\n")
    np.testing.assert_array_equal(read_flags(path)["ix"], [True, True, False])
    with pytest.raises(InputError, match="no such file"):
        read_flags(tmp_path / "absent.ecsv")


def test_an_exposure_is_in_a_table_once(calm, tmp_path):
    flags = flag_reads(ramp_of(calm))
    with pytest.raises(InputError, match="all are exposure calm01aaq"):
        write_flags([flags, flags], tmp_path / "tvb.ecsv")
    assert not list(tmp_path.iterdir())


# --- jitter files --------------------------------------------------------------------------------


def write_jitter(folder, root, start="2016.113:05:59:00", shadow=None):
    """Write jitter files as the archive has them: a sample each 3 s, the limb 1 degree nearer every minute."""
    seconds = np.arange(0.0, 1800.0, 3.0)
    columns = [
        fits.Column("Seconds", "E", array=seconds),
        fits.Column("LimbAng", "E", array=np.where(seconds > 1500, 1000.0, 60.0 - seconds / 60)),
        fits.Column("BrightLimb", "I", array=(seconds > 600).astype(int)),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="JIT")
    table.header["EXPNAME"] = f"{root[:8]}j"
    primary = fits.PrimaryHDU()
    primary.header["STARTTIM"] = start
    fits.HDUList([primary, table]).writeto(folder / f"{root[:8]}j_jit.fits")
    if shadow:
        image = fits.ImageHDU(np.zeros((4, 4), np.float32), name="JIF")
        image.header["SHADOENT"], image.header["SHADOEXT"] = shadow
        fits.HDUList([fits.PrimaryHDU(), image]).writeto(folder / f"{root[:8]}j_jif.fits")


@pytest.mark.parametrize(
    ("shadow", "dark"),
    [
        (("2016.113:06:10:00", "2016.113:06:30:00"), "later"),
        (("2016.113:06:30:00", "2016.113:06:10:00"), "earlier"),
    ],
)
def test_jitter_tells_limb_and_shadow(limb, tmp_path, shadow, dark):
    limb.write(tmp_path)
    write_jitter(tmp_path, "limb01aaq", shadow=shadow)
    ramp = read_ramp(tmp_path / "limb01aaq_ima.fits")
    table = flag_reads(ramp, jitter=tmp_path).table
    # The exposure starts at 06:00:00, a minute after the samples; ROUTTIME is the end of the readout.
    begin = (ramp.header("SCI", 0)["ROUTTIME"] - 57500.25) * 86400 + 60
    middle = begin + np.r_[0.0, 0.5 * (ramp.times[1:] + ramp.times[:-1])]
    known = middle < 1490
    np.testing.assert_allclose(table["limb_angle"][known], (60 - middle / 60)[known], atol=0.02)
    assert np.isnan(table["limb_angle"][-1]) == (not known[-1])
    np.testing.assert_array_equal(table["bright_limb"][known], (middle > 600)[known])
    expected = (middle > 660) == (dark == "later")
    np.testing.assert_array_equal(table["shadow"], expected)
    assert str(table["limb_angle"].unit) == "deg"


def test_jitter_files_that_cannot_be_used(limb, tmp_path):
    limb.write(tmp_path)
    ramp = read_ramp(tmp_path / "limb01aaq_ima.fits")
    assert find_jitter(ramp) is None
    with pytest.raises(InputError, match="no such jitter file"):
        find_jitter(ramp, tmp_path / "x_jit.fits")
    with pytest.raises(InputError, match=r"holds no table|no column seconds"):
        read_jitter(tmp_path / "limb01aaq_pfl.fits", ramp)
    write_jitter(tmp_path, "limb01aaq", start="yesterday")
    with pytest.raises(InputError, match=r"STARTTIM is 'yesterday', expected yyyy.ddd:hh:mm:ss"):
        find_jitter(ramp)


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def night(calm, helium, limb, tmp_path):
    """Files of three exposures."""
    folder = tmp_path / "data"
    folder.mkdir()
    return [str(each.write(folder)["ima"]) for each in (calm, helium, limb)]


def test_command(night, tmp_path, capsys):
    code = main(["flag", *night, "-o", str(tmp_path / "tvb.ecsv")])
    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert [line.split("  ")[:2] for line in lines] == [
        ["calm01aaq F105W", "TVB none"],
        ["helium01q F105W", "TVB helium"],
        ["limb01aaq F105W", "TVB scattered"],
    ]
    assert lines[1].endswith("advise: flatten")
    assert set(read_flags(tmp_path / "tvb.ecsv")) == {"calm01aaq", "helium01q", "limb01aaq"}
    # What is there is not replaced unasked, and nothing is computed first.
    assert main(["flag", *night, "-o", str(tmp_path / "tvb.ecsv")]) == 2
    assert capsys.readouterr().out == ""


def test_exit_codes(night, tmp_path, capsys):
    assert main(["flag", night[0], "--fail-on-tvb", "--quiet"]) == 0
    assert main(["flag", night[1], "--fail-on-tvb", "--quiet"]) == 7
    absent = str(tmp_path / "absent_ima.fits")
    assert main(["flag", absent, "--quiet"]) == 3
    assert main(["flag", absent, *night, "--fail-on-tvb", "--jobs", "2"]) == 6
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 3
    assert "absent_ima.fits: cannot be read" in captured.err
    assert main(["flag", night[0], "--ratio", "-1"]) == 2
    assert main(["flag", night[0], "--jobs", "0"]) == 2


def test_json(night, capsys):
    main(["flag", *night, "--json"])
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["verdict"] for record in records] == ["none", "helium", "scattered"]
    assert records[1]["reads"]
    assert records[1]["advice"] == "flatten"


def test_page_and_pictures(night, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    absent = str(tmp_path / "absent_ima.fits")
    page = tmp_path / "qa.html"
    assert main(["flag", *night, absent, "--png", str(tmp_path / "qa"), "--html", str(page)]) == 6
    capsys.readouterr()
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 3
    # One file: nothing is fetched.
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert "2 of 3 exposures affected" in text
    assert "absent_ima.fits" in text
    assert sorted(path.name for path in (tmp_path / "qa").iterdir()) == [
        "calm01aaq_ramp.png",
        "helium01q_ramp.png",
        "limb01aaq_ramp.png",
    ]


def test_cards_are_written_only_when_asked_for(night, capsys):
    before = fits.getdata(night[1], "SCI", 3), fits.getheader(night[1])
    main(["flag", night[1]])
    assert "TVBFLAG" not in fits.getheader(night[1])
    assert main(["flag", night[1], "--write-cards"]) == 0
    header = fits.getheader(night[1])
    assert header["TVBFLAG"] == "helium"
    assert header["TVBRNG"] > 2
    assert 0.9 < header["TVBRMAX"] < 1.1
    np.testing.assert_array_equal(fits.getdata(night[1], "SCI", 3), before[0])
    for card in before[1].cards:
        assert header[card.keyword] == card.value
    # The marked file reads as before.
    capsys.readouterr()
    main(["flag", night[1]])
    assert "TVB helium" in capsys.readouterr().out


def test_cards_of_a_compressed_file_are_refused(shared, tmp_path):
    path = tmp_path / "isim01aaq_ima.fits.gz"
    path.write_bytes(golden(shared, "s64_nominal").read_bytes())
    assert main(["flag", str(path), "--write-cards", "--quiet"]) == 3
    assert path.read_bytes() == golden(shared, "s64_nominal").read_bytes()


def test_the_flt_beside_shows_a_spoiled_fit(shared, tmp_path):
    for kind in ("ima", "flt"):
        data = gzip.decompress(golden(shared, "s64_helium10", kind).read_bytes())
        (tmp_path / f"isim01aaq_{kind}.fits").write_bytes(data)
    flags = flag_file(tmp_path / "isim01aaq_ima.fits")
    assert flags.noise.of == "flt"
    assert np.isfinite(flags.noise.ratio)


def test_what_calibration_leaves_is_no_background(tmp_path):
    """The first reads of a long sequence settle: by per cents in the first, by per mille in the next."""
    ramp = read_ramp(simulate(Exposure(size=512, seed=2), Scene()).write(tmp_path)["ima"])
    steps = np.diff(ramp.times)
    level = np.zeros(15)
    level[:3] = -0.03, -0.008, -0.002
    settling = ramp.with_(sci=ramp.sci.copy())
    settling.sci[1:] += (np.cumsum(level * steps) / ramp.times[1:]).astype(np.float32)[:, None, None]
    flags = flag_reads(settling)
    assert (flags.flagged, flags.verdict) == ([], "none")
    # What is disturbed by more still is, the first read included.
    level[:3] = 0.6, 0.1, 0.03
    bright = ramp.with_(sci=ramp.sci.copy())
    bright.sci[1:] += (np.cumsum(level * steps) / ramp.times[1:]).astype(np.float32)[:, None, None]
    assert flag_reads(bright).flagged == [1, 2, 3]
