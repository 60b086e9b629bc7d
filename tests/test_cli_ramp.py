"""``upramp ramp`` and ``upramp ls --reads``: what a user types, prints, writes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

import upramp
from upramp.cli import main
from upramp.wfc3ir.fit import parse_reads
from upramp.wfc3ir.tables import strips


def rows(text: str) -> list[dict[str, str]]:
    """Lines of a printed table by column."""
    lines = [line.split() for line in text.splitlines()]
    start = next(i for i, line in enumerate(lines) if line and line[0] == "sampnum")
    width = len(lines[start])
    return [dict(zip(lines[start], line, strict=True)) for line in lines[start + 1 :] if len(line) == width]


def test_table_is_one_row_a_read_in_time_order(ima: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ramp", str(ima)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{ima}: helium01q F105W SPARS100 NSAMP 16  interval: median in electrons/s")
    table = rows(out)
    ramp = upramp.read_ramp(ima)
    stats = upramp.interval_stats(ramp)
    assert [int(row["sampnum"]) for row in table] == list(range(16))
    assert [int(row["imset"]) for row in table] == list(range(16, 0, -1))
    assert [float(row["samptime"]) for row in table] == pytest.approx(ramp.times, abs=6e-4)
    assert [float(row["dt"]) for row in table[1:]] == pytest.approx(np.diff(ramp.times), abs=6e-4)
    assert {table[0][name] for name in ("full", "left", "right", "ratio", "difference")} == {"-"}
    for name in ("full", "left", "right"):
        got = [float(row[name]) for row in table[1:]]
        assert got == pytest.approx(stats[name].median, abs=6e-5)
    left, right = stats["left"].median, stats["right"].median
    assert [float(row["ratio"]) for row in table[1:]] == pytest.approx(left / right, abs=6e-5)
    assert [float(row["difference"]) for row in table[1:]] == pytest.approx(left - right, abs=6e-5)


def test_regions_statistic_and_clip_are_obeyed(ima: Path, capsys: pytest.CaptureFixture[str]) -> None:
    region, lhs, rhs = (
        (slice(10, 120), slice(8, 130)),
        (slice(20, 60), slice(10, 40)),
        (slice(20, 60), slice(90, 130)),
    )
    arguments = ["--region", "10:120,8:130", "--lhs", "20:60,10:40", "--rhs", "20:60,90:130"]
    assert main(["ramp", str(ima), *arguments, "--stat", "mean", "--clip", "0", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    ramp = upramp.read_ramp(ima)
    rates = upramp.interval_rates(ramp)
    flags = (ramp.dq[1:] | ramp.dq[:-1]) & ~np.uint16(1024 | 2048 | 8192)
    assert len(records) == 16
    assert records[0]["full"] is None
    assert records[3]["file"] == str(ima)
    for name, where in (("full", region), ("left", lhs), ("right", rhs)):
        cut = (slice(None), *where)
        expected = np.nanmean(np.where(flags[cut] == 0, rates[cut], np.nan).astype(float), axis=(1, 2))
        assert [record[name] for record in records[1:]] == pytest.approx(expected, rel=1e-5)


def test_several_statistics_have_a_column_each(ima: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ramp", str(ima), "--stat", "std,robust_std", "--json"]) == 0
    record = json.loads(capsys.readouterr().out.splitlines()[5])
    stats = upramp.interval_stats(upramp.read_ramp(ima))
    assert record["left_std"] == pytest.approx(stats["left"].std[4])
    assert record["full_robust_std"] == pytest.approx(stats["full"].robust_std[4])
    assert "ratio" not in record  # of two scatters it says nothing


@pytest.mark.parametrize("diff", ["cumulative", "read"])
def test_other_differences(ima: Path, capsys: pytest.CaptureFixture[str], diff: str) -> None:
    assert main(["ramp", str(ima), "--diff", diff, "--clip", "0", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    with fits.open(ima) as file:
        sci = np.array([file["SCI", i].data for i in range(16, 0, -1)], float)
        dq = np.array([file["DQ", i].data for i in range(16, 0, -1)]) & ~(1024 | 2048 | 8192)
    sci[dq != 0] = np.nan
    expected = sci if diff == "read" else sci[:-1] - sci[1:]
    medians = np.nanmedian(expected[:, 5:-5, 5:-5], axis=(1, 2))
    got = [record["full"] for record in records if record["full"] is not None]
    assert got == pytest.approx(medians, rel=1e-5, abs=1e-6)


def test_counts_are_gathered_in_the_interval(ima: Path, capsys: pytest.CaptureFixture[str]) -> None:
    per_second, gathered = [], []
    for values, units in ((per_second, "rate"), (gathered, "counts")):
        assert main(["ramp", str(ima), "--units", units, "--json"]) == 0
        values += [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for one, two in zip(per_second[1:], gathered[1:], strict=True):
        assert two["full"] == pytest.approx(one["full"] * one["dt"])


def test_raw_reads_are_taken_from_the_zeroth(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = shared / "golden/wf3ir/s64_helium/isim01aaq_raw.fits.gz"
    levels = {}
    for diff in ("read", "interval"):
        assert main(["ramp", str(raw), "--diff", diff, "--clip", "0", "--json"]) == 0
        levels[diff] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    # A mean rate up to the last read is the mean of the intervals, not 11000 counts over the time.
    steps = np.array([row["dt"] for row in levels["interval"][1:]])
    rates = np.array([row["full"] for row in levels["interval"][1:]])
    assert levels["read"][-1]["full"] == pytest.approx((steps * rates).sum() / steps.sum(), rel=0.05)


def test_one_pixel(ima: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure, table = tmp_path / "pixel.png", tmp_path / "pixel.ecsv"
    assert (
        main(["ramp", str(ima), "--pixel", "40,21", "--png", str(figure), "--csv", str(table), "--json"]) == 0
    )
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = upramp.pixel_stack(upramp.read_ramp(ima), x=40, y=21)
    assert [record["counts"] for record in records] == pytest.approx(expected["counts"])
    assert records[0]["interval"] is None
    assert figure.read_bytes().startswith(b"\x89PNG")
    read = Table.read(table, format="ascii.ecsv")
    assert str(read["interval"].unit) == "electron / s"
    np.testing.assert_array_equal(read["dq"], expected["dq"])


def test_csv_holds_all_files(ima: Path, tmp_path: Path) -> None:
    other = tmp_path / "other_ima.fits"
    other.write_bytes(ima.read_bytes())
    path = tmp_path / "levels.csv"
    assert main(["ramp", str(ima), str(other), "--quiet", "--csv", str(path)]) == 0
    with path.open() as stream:
        read = list(csv.DictReader(stream))
    assert [row["file"] for row in read] == [str(ima)] * 16 + [str(other)] * 16
    stats = upramp.interval_stats(upramp.read_ramp(ima))
    assert float(read[-1]["left"]) == stats["left"].median[-1]
    assert main(["ramp", str(ima), "--csv", str(path)]) == 2
    assert main(["ramp", str(ima), "--csv", str(path), "--overwrite", "--quiet"]) == 0


def test_figures_go_into_a_directory(ima: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "qa"
    folder.mkdir()
    before = dict(mpl.rcParams)
    for extra in ([], ["--panels"], ["--draw", "sky"], ["--draw", "accumulation"], ["--pixel", "3,4"]):
        assert main(["ramp", str(ima), "--png", str(folder), *extra]) == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "helium01q_ima_accumulation.png",
        "helium01q_ima_panels.png",
        "helium01q_ima_ramp.png",
        "helium01q_ima_sky.png",
        "helium01q_ima_x3_y4.png",
    ]
    assert f"figure: {folder / 'helium01q_ima_ramp.png'}" in capsys.readouterr().out
    assert dict(mpl.rcParams) == before
    assert main(["ramp", str(ima), "--png", str(folder)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_figures_that_exist_are_skipped(
    ima: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other_ima.fits"
    other.write_bytes(ima.read_bytes())
    figure = tmp_path / "helium01q_ima_ramp.png"
    figure.write_bytes(b"from an earlier run")
    assert main(["ramp", str(ima), str(other), "--png", str(tmp_path), "--resume"]) == 0
    out = capsys.readouterr().out
    assert f"{ima}: skipped, {figure} exists" in out
    assert len(rows(out)) == 16
    assert figure.read_bytes() == b"from an earlier run"
    assert (tmp_path / "other_ima_ramp.png").read_bytes().startswith(b"\x89PNG")


def test_a_batch_goes_on_past_bad_files(
    ima: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, broken = tmp_path / "missing.fits", tmp_path / "broken_ima.fits"
    broken.write_bytes(ima.read_bytes()[:20000])
    assert main(["ramp", str(missing), str(broken), str(ima), "--png", str(tmp_path)]) == 6
    captured = capsys.readouterr()
    assert len(rows(captured.out)) == 16
    assert "missing.fits" in captured.err
    assert "broken_ima.fits" in captured.err
    assert [path.name for path in tmp_path.glob("*.png")] == ["helium01q_ima_ramp.png"]
    assert main(["ramp", str(missing)]) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--region", "200:300,0:10"], "region is"),
        (["--pixel", "138,0"], "x=138, y=0 is not a pixel"),
        (["--clip", "-1"], "--clip is -1"),
        (["--panels"], "--draw panels needs --png"),
        (["--panels", "--pixel", "1,1"], "exclude each other"),
        (["--resume"], "--resume goes by the figures"),
        (["--diff", "cumulative", "--units", "counts"], "has no counts"),
    ],
)
def test_usage_errors_are_named(
    ima: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ramp", str(ima), *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    "arguments", [["--stat", "avg"], ["--pixel", "1"], ["--lhs", "1:2"], ["--units", "e"], ["--stat", ","]]
)
def test_malformed_options_are_usage_errors(ima: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["ramp", str(ima), *arguments])
    assert stopped.value.code == 2


def test_figures_of_files_with_one_name_are_not_lost(ima: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    other = folder / ima.name
    other.write_bytes(ima.read_bytes())
    assert main(["ramp", str(ima), str(other), "--png", str(tmp_path)]) == 2
    assert not list(tmp_path.glob("*.png"))
    assert main(["ramp", str(ima), str(other), "--png", str(tmp_path / "one.png")]) == 2


# --- numbering -----------------------------------------------------------------------------------


def test_listed_reads_are_in_time_order_with_their_imset(
    ima: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ls", "--reads", str(ima)]) == 0
    table = rows(capsys.readouterr().out)
    with fits.open(ima) as file:
        for row in table:
            header = file["SCI", int(row["imset"])].header
            assert header["SAMPNUM"] == int(row["sampnum"])
            assert float(row["samptime"]) == pytest.approx(header["SAMPTIME"], abs=6e-4)
    assert [int(row["sampnum"]) for row in table] == list(range(16))


def test_imset_names_the_same_reads_as_sampnum() -> None:
    # IMSET 11 to 15 of 16 are the five reads after the zeroth.
    np.testing.assert_array_equal(parse_reads("imset:11-15", 16), parse_reads("1-5", 16))
    assert np.flatnonzero(parse_reads("imset:11-15", 16)).tolist() == [1, 2, 3, 4, 5]


def test_default_sides_are_the_strips(ima: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ramp = upramp.read_ramp(ima)
    (rows_, left), (_, right) = strips(ramp)
    spelled = [f"{rows_.start}:{rows_.stop},{part.start}:{part.stop}" for part in (left, right)]
    assert main(["ramp", str(ima), "--json"]) == 0
    default = capsys.readouterr().out
    assert main(["ramp", str(ima), "--json", "--lhs", spelled[0], "--rhs", spelled[1]]) == 0
    assert capsys.readouterr().out == default
