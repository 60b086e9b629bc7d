"""Before and after: exposure time, directories, pages; files written in the forms of the archive."""

from __future__ import annotations

import base64
import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from PIL import Image

import upramp
from test_compare import write_flt
from upramp.cli import main
from upramp.exceptions import InputError
from upramp.plot.page import comparison_page, comparison_section
from upramp.simulate import Exposure, Scene, simulate
from upramp.tvb.compare import compare
from upramp.tvb.pairs import pair_products, reads_beside, summary_table

SHAPE = (60, 50)


def product(path: Path, root: str, level: float, seed: int = 0, **cards: object) -> Path:
    """An FLT with a rootname; noise as reproducible as its seed."""
    image = np.random.default_rng(seed).normal(level, 0.1, SHAPE)
    write_flt(path, image, exptime=float(cards.pop("EXPTIME", 1402.937)))
    with fits.open(path, mode="update") as file:
        file[0].header["ROOTNAME"] = root
        file[0].header["NSAMP"] = 16
        file[0].header.update(cards)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two directories with two exposures in common, one of them under another name, and one alone in each."""
    old, new = tmp_path / "old", tmp_path / "new"
    product(old / "iaaa01aaq_flt.fits", "iaaa01aaq", 1.5, 1)
    product(old / "ibbb01aaq_flt.fits", "ibbb01aaq", 2.0, 2)
    product(old / "iccc01aaq_flt.fits", "iccc01aaq", 1.0, 3)
    product(new / "flattened_iaaa01aaq_flt.fits", "IAAA01AAQ", 1.2, 4)
    cards = {"NPOP": 5, "POPREADS": "1 2 3 4 5", "EXPTIME": 1000.0}
    product(new / "ibbb01aaq_flt.fits", "ibbb01aaq", 1.7, 5, **cards)
    product(new / "iddd01aaq_flt.fits", "iddd01aaq", 1.7, 6)
    return old, new


# --- exposure time -------------------------------------------------------------------------------


def test_masked_reads_are_told_with_the_exposure_time(folders: tuple[Path, Path]) -> None:
    comparison = compare(*(folder / "ibbb01aaq_flt.fits" for folder in folders))
    assert comparison.exposure == "EXPTIME 1402.94 -> 1000.00 s (5 of 15 reads masked)"
    assert comparison.exposure in str(comparison).splitlines()
    assert ("reads masked", "0", "5", "") in list(comparison.rows())
    assert comparison.table["n_masked"].tolist() == [0, 5]
    assert comparison.table["popreads"].tolist() == ["", "1 2 3 4 5"]
    assert comparison.rootname == "ibbb01aaq"


def test_without_masked_reads_nothing_is_said_of_them(folders: tuple[Path, Path]) -> None:
    comparison = compare(folders[0] / "iaaa01aaq_flt.fits", folders[1] / "flattened_iaaa01aaq_flt.fits")
    assert comparison.exposure == "EXPTIME 1402.94 -> 1402.94 s"
    assert not [row for row in comparison.rows() if row[0] == "reads masked"]


def test_reads_masked_before_are_told_too(folders: tuple[Path, Path], tmp_path: Path) -> None:
    first = folders[1] / "ibbb01aaq_flt.fits"
    second = product(tmp_path / "x_flt.fits", "ibbb01aaq", 1.0, EXPTIME=900.0, NPOP=6, POPREADS="1 2 3 4 5 6")
    assert compare(first, second).exposure == "EXPTIME 1000.00 -> 900.00 s (5 -> 6 of 15 reads masked)"
    # Bad cards are no reason to fail.
    fits.setval(second, "NPOP", value="many")
    fits.setval(second, "NSAMP", value="?")
    fits.delval(first, "NSAMP")
    assert compare(second, first).exposure == "EXPTIME 900.00 -> 1000.00 s (5 reads masked)"


def test_known_case_of_masked_imsets(tmp_path: Path) -> None:
    made = simulate(Exposure(rootname="ispars", size=64, seed=2, nsamp=16), Scene(earth_limb=2.0))
    ima = made.write(tmp_path)["ima"]
    # Times of a full frame: SPARS100 has its first read after 2.9 s, then one every 100 s.
    with fits.open(ima, mode="update") as file:
        for k in range(16):
            time = 0.0 if k == 0 else 2.932 + 100.000355 * (k - 1)
            file["SCI", 16 - k].header["SAMPTIME"] = time
            file["TIME", 16 - k].header["PIXVALUE"] = time
        file[0].header["EXPTIME"] = time
    for name, exclude in (("old", None), ("new", "imset:11-15")):
        (tmp_path / name).mkdir()
        upramp.calibrate_file(ima, tmp_path / name, only=["CRCORR"], exclude=exclude)
    comparison = compare(tmp_path / "old/ispars_flt.fits", tmp_path / "new/ispars_flt.fits")
    assert comparison.exposure == "EXPTIME 1402.94 -> 1000.00 s (5 of 15 reads masked)"
    assert comparison.popreads == ("", "1 2 3 4 5")


# --- pairs ---------------------------------------------------------------------------------------


def test_pairs_go_by_rootname_and_the_rest_is_told(folders: tuple[Path, Path]) -> None:
    old, new = folders
    pairs, lonely = pair_products(old, new)
    assert pairs == [
        (old / "iaaa01aaq_flt.fits", new / "flattened_iaaa01aaq_flt.fits"),
        (old / "ibbb01aaq_flt.fits", new / "ibbb01aaq_flt.fits"),
    ]
    assert lonely == [old / "iccc01aaq_flt.fits", new / "iddd01aaq_flt.fits"]


def test_a_file_finds_its_partner_in_a_directory(folders: tuple[Path, Path]) -> None:
    old, new = folders
    pairs, lonely = pair_products(old / "ibbb01aaq_flt.fits", new)
    assert pairs == [(old / "ibbb01aaq_flt.fits", new / "ibbb01aaq_flt.fits")]
    assert lonely == []
    with pytest.raises(InputError, match="no exposure in both"):
        pair_products(old / "iccc01aaq_flt.fits", new)


def test_files_without_rootname_go_by_their_names(folders: tuple[Path, Path]) -> None:
    for folder in folders:
        fits.delval(folder / "ibbb01aaq_flt.fits", "ROOTNAME")
    assert len(pair_products(*folders).pairs) == 2


def test_directories_without_products_or_with_two_of_one_are_refused(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    old, new = folders
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="no FLT"):
        pair_products(old, empty)
    with pytest.raises(InputError, match="no such file or directory"):
        pair_products(old, tmp_path / "missing")
    (new / "again_iaaa01aaq_flt.fits").write_bytes((new / "flattened_iaaa01aaq_flt.fits").read_bytes())
    with pytest.raises(InputError, match="products of one exposure, iaaa01aaq"):
        pair_products(old, new)


def test_ima_files_are_compared_where_there_is_no_flt(ima: Path, tmp_path: Path) -> None:
    places = tmp_path / "a", tmp_path / "b"
    for place in places:
        place.mkdir()
        (place / ima.name).write_bytes(ima.read_bytes())
    assert pair_products(*places).pairs == [(places[0] / ima.name, places[1] / ima.name)]
    assert reads_beside(pair_products(*places).pairs[0]) == (places[0] / ima.name, places[1] / ima.name)


def test_reads_are_found_beside_flt_files(tmp_path: Path) -> None:
    names = [tmp_path / name for name in ("a_flt.fits", "b_flt.fits.gz", "a_ima.fits.gz", "b_ima.fits")]
    for name in names[2:3]:
        name.touch()
    assert reads_beside((names[0], names[1])) is None
    names[3].touch()
    assert reads_beside((names[0], names[1])) == (names[2], names[3])
    assert reads_beside((tmp_path / "x.fits", names[0])) is None


def test_summary_has_a_row_a_pair(folders: tuple[Path, Path]) -> None:
    comparisons = [compare(*pair) for pair in pair_products(*folders).pairs]
    table = summary_table(comparisons)
    assert table["rootname"].tolist() == ["IAAA01AAQ", "ibbb01aaq"]
    assert table["popreads"].tolist() == ["", "1 2 3 4 5"]
    assert table["exptime_after"].tolist() == [1402.937, 1000.0]
    assert table["n_masked_after"].tolist() == [0, 5]
    for when, i in (("before", 0), ("after", 1)):
        for name in ("mean", "median", "std", "robust_std", "clipped_std"):
            expected = [getattr(comparison.stats[i], name) for comparison in comparisons]
            assert table[f"{name}_{when}"].tolist() == expected


# --- pages ---------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a page holds: images, links, switches, and whether its tags match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: dict[str, list[np.ndarray]] = {}
        self.links: list[str] = []
        self.ids: list[str] = []
        self.inputs: list[dict[str, str | None]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in ("meta", "img", "input", "br"):
            self.open.append(tag)
        if "id" in given:
            self.ids.append(str(given["id"]))
        if tag == "input":
            self.inputs.append(given)
        self.links += [str(given[key]) for key in ("href", "src") if key in given]
        if tag == "img":
            data = str(given["src"])
            assert data.startswith("data:image/png;base64,")
            with Image.open(BytesIO(base64.b64decode(data.partition(",")[2]))) as image:
                self.images.setdefault(str(given["alt"]), []).append(np.asarray(image))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_page_needs_nothing_else_and_switches(folders: tuple[Path, Path]) -> None:
    comparison = compare(*(folder / "ibbb01aaq_flt.fits" for folder in folders))
    text = comparison_page([comparison_section(comparison, limits=(1.0, 2.5))], title="old & new")
    page = Page(text)
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert not re.search(r"https?://|<script|<link", text)
    assert "old &amp; new" in text
    assert comparison.exposure.replace(">", "&gt;") in text
    # One of two is shown, and the images are the pixels, first row at the bottom.
    assert [given["class"] for given in page.inputs] == ["to-before", "to-after"]
    assert len({given["name"] for given in page.inputs}) == 1
    assert ["checked" in given for given in page.inputs] == [True, False]
    for when, image in zip(("before", "after"), comparison.images, strict=True):
        expected = np.clip((image[::-1] - 1.0) / 1.5, 0, 1) * 255
        np.testing.assert_allclose(page.images[when][0], expected, atol=0.51)
    for row in comparison.rows():
        assert "".join(f"<td>{cell}</td>" for cell in row) in text


def test_large_images_are_averaged_over_their_good_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    images = [rng.normal(level, 0.1, (61, 50)) for level in (1.0, 1.2)]
    dq = np.zeros((61, 50), int)
    dq[0, 0], dq[2:4, 2:4] = 4, 4
    images[0][0, 0] = 1e6
    paths = [write_flt(tmp_path / f"{i}_flt.fits", image, dq) for i, image in enumerate(images)]
    page = Page(comparison_page([comparison_section(compare(*paths), limits=(0, 2), width=31)]))
    shown = page.images["before"][0]
    assert shown.shape == (31, 25)
    image = images[0].astype(np.float32)
    expected = image[:60].reshape(30, 2, 25, 2).mean((1, 3))
    expected[0, 0] = (image[0, 1] + image[1, 0] + image[1, 1]) / 3  # the flagged million is not in it
    np.testing.assert_allclose(shown[::-1][:30], np.clip(expected / 2, 0, 1) * 255, atol=0.51)


def test_a_page_may_show_ramps_or_none(ima: Path) -> None:
    ramp = upramp.read_ramp(ima)
    other = ramp.with_(sci=1.1 * ramp.sci)
    with_reads = compare(ramp, other)
    wide = Page(comparison_page([comparison_section(with_reads)])).images["histograms and ramps"][0]
    narrow = comparison_section(replace(with_reads, ramps=None))
    assert wide.shape[1] > Page(comparison_page([narrow])).images["histograms and ramps"][0].shape[1]


# --- upramp compare ------------------------------------------------------------------------------


def test_command_compares_directories(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = folders
    table, page, figures = tmp_path / "cmp.csv", tmp_path / "cmp.html", tmp_path / "png"
    figures.mkdir()
    arguments = [
        "compare",
        str(old),
        str(new),
        "--table",
        str(table),
        "--html",
        str(page),
        "--png",
        str(figures),
    ]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert len(lines) == 2  # one a pair, for there may be hundreds
    last = compare(old / "ibbb01aaq_flt.fits", new / "ibbb01aaq_flt.fits")
    first, second = last.stats
    assert lines[1].startswith("ibbb01aaq  EXPTIME 1402.94 -> 1000.00 s (5 of 15 reads masked)  ")
    assert f"  median {first.median:.4f} -> {second.median:.4f}  " in lines[1]
    assert f"1.4826 MAD {first.robust_std:.4f} -> {second.robust_std:.4f}  " in lines[1]
    assert "EXPTIME 1402.94 -> 1000.00 s (5 of 15 reads masked)" in captured.out
    assert f"{old / 'iccc01aaq_flt.fits'}: no partner" in captured.err
    assert f"{new / 'iddd01aaq_flt.fits'}: no partner" in captured.err
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    expected = summary_table([compare(*pair) for pair in pair_products(old, new).pairs])
    assert [row["rootname"] for row in rows] == expected["rootname"].tolist()
    assert [float(row["median_after"]) for row in rows] == expected["median_after"].tolist()
    found = Page(page.read_text(encoding="utf-8"))
    assert len(found.images["before"]) == len(found.images["after"]) == 2
    assert [link for link in found.links if link.startswith("#")] == ["#pair1", "#pair2"]
    assert {"pair1", "pair2"} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))
    assert "iccc01aaq_flt.fits: no partner" in page.read_text(encoding="utf-8")
    assert sorted(path.name for path in figures.iterdir()) == [
        "flattened_iaaa01aaq_flt_compare.png",
        "ibbb01aaq_flt_compare.png",
    ]
    assert main(arguments) == 2  # nothing is overwritten unasked
    assert main([*arguments, "--overwrite", "--quiet"]) == 0


def test_command_writes_a_page_and_ecsv_of_a_pair(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = [str(folder / "ibbb01aaq_flt.fits") for folder in folders]
    page, table = tmp_path / "x.html", tmp_path / "x.ecsv"
    assert main(["compare", *pair, "--html", str(page), "--csv", str(table), "--cutout", "10:40,5:45"]) == 0
    assert Page(page.read_text(encoding="utf-8")).images["after"][0].shape == (30, 40)
    assert Table.read(table, format="ascii.ecsv")["n_masked"].tolist() == [0, 5]
    assert main(["compare", pair[0], str(folders[1]), "--json"]) == 0
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record["files"] == pair
    assert record["n_masked"] == [0, 5]
    assert record["popreads"] == ["", "1 2 3 4 5"]


def test_command_goes_on_past_pairs_that_cannot_be_compared(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fits.setval(folders[1] / "ibbb01aaq_flt.fits", "BUNIT", value="COUNTS", extname="SCI")
    table, page = tmp_path / "cmp.csv", tmp_path / "cmp.html"
    assert main(["compare", *map(str, folders), "--csv", str(table), "--html", str(page)]) == 6
    captured = capsys.readouterr()
    assert "units differ" in captured.err
    assert len(captured.out.splitlines()) == 1
    assert len(table.read_text().splitlines()) == 2
    assert "units differ" in page.read_text(encoding="utf-8")


def test_command_refuses_what_directories_cannot_have(
    folders: tuple[Path, Path], tmp_path: Path, ima: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [str(folder) for folder in folders]
    assert main(["compare", *both, "--png", str(tmp_path / "one.png")]) == 2
    assert main(["compare", *both, "--ramps", str(ima), str(ima)]) == 2
    assert main(["compare", both[0], str(tmp_path / "nowhere")]) == 3
    assert capsys.readouterr().out == ""


def test_reads_beside_flt_files_are_drawn(tmp_path: Path, ima: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        upramp.calibrate_file(ima, tmp_path / name, only=["CRCORR"])
    pair = [str(tmp_path / name / "helium01q_flt.fits") for name in ("old", "new")]
    widths = []
    for i in range(2):
        page = tmp_path / f"{i}.html"
        assert main(["compare", *pair, "--html", str(page), "--quiet"]) == 0
        widths.append(Page(page.read_text()).images["histograms and ramps"][0].shape[1])
        (tmp_path / "old/helium01q_ima.fits").unlink(missing_ok=True)
    assert widths[0] > widths[1]
    # One that cannot be read is no reason to fail.
    (tmp_path / "old/helium01q_ima.fits").write_bytes(b"SIMPLE")
    assert main(["compare", *pair, "--quiet"]) == 0
