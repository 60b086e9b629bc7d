"""Skies matched where exposures overlap, against stsci.skypac (its DQ mask set right)."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upramp.sky import SkyStatistic, match_sky, read_images
from upramp.sky.match import absolute_offsets

Maker = Callable[[str], Path]


def statistic(name: str, parameters: dict[str, Any]) -> SkyStatistic:
    names = ("nclip", "lsigma", "usigma", "binwidth")
    return SkyStatistic(name, parameters["lower"], parameters["upper"], *(parameters[key] for key in names))


@pytest.mark.parametrize(
    "name",
    [
        "ir_mixed",
        "ir_mixed_nodq",
        "ir_gradient",
        "ir_gradient_up",
        "ir_disjoint",
        "ir_blank",
        "ir_nebula",
        "uvis",
    ],
)
def test_matched_skies(shared: Path, mosaic: Maker, name: str) -> None:
    """Every pair has the very pixels and levels of skypac, and so do the offsets but for rounding."""
    golden = json.loads((shared / f"golden/sky/{name}.json").read_text())
    parameters = golden["params"]
    images = read_images(sorted(mosaic(name).glob("*_flt.fits")), bits=parameters["dq_bits"])
    place = {image.path.name: number for number, image in enumerate(images)}
    runs = [run for run in golden["runs"] if run.endswith("match")]
    assert len(runs) >= 2
    for run in runs:
        kind, method = run.split("/")
        expected = golden["runs"][run]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="overlaps leave 3 groups")
            found = match_sky(
                images,
                method,
                engine="compat",
                statistic=statistic(kind, parameters),
                anchor="down" if parameters.get("match_down", True) else "up",
            )
        assert found.matched is not None
        pairs = {(pair.i, pair.j): pair for pair in found.matched.pairs}
        assert len(pairs) == len(expected["pairs"])
        for told in expected["pairs"]:
            pair = pairs[place[told["i"]], place[told["j"]]]
            assert (pair.n_i, pair.n_j) == (told["n_i"], told["n_j"]), (run, told)
            assert [pair.sky_i, pair.sky_j] == pytest.approx([told["sky_i"], told["sky_j"]], rel=1e-12)
        for image, values in zip(images, found.values, strict=True):
            wanted = np.array(expected["values"][image.path.name], float)
            if method == "match":
                # Where skypac has nothing (no overlap), a group of its own is at zero.
                assert values == pytest.approx(np.nan_to_num(wanted), abs=1e-9), run
            else:
                # The levels of whole chips have 32 bits there.
                assert values == pytest.approx(wanted, rel=1e-6), run


def test_groups_are_reported(mosaic: Maker) -> None:
    images = read_images(sorted(mosaic("ir_disjoint").glob("*_flt.fits")))
    with pytest.warns(UserWarning, match="overlaps leave 3 groups"):
        found = match_sky(images, "match")
    assert [len(group) for group in found.groups] == [12, 4, 1]
    assert found.groups[2] == (images[16].path.name,)
    assert found.values[16] == (0.0,)
    with pytest.warns(UserWarning, match="groups"):
        placed = match_sky(images, "all", fallback="localmin")
    table = placed.table
    difference = table["globalmin+match"] - table["match"]
    assert difference == pytest.approx(difference[0])
    assert table["globalmin+match"][16] == pytest.approx(table["localmin"][16])


def test_algebra_of_the_published_table(shared: Path) -> None:
    """Eighteen exposures of HST programme 12812 by all methods."""
    rows = json.loads((shared / "golden/sky/horsehead_notebook.json").read_text())["rows"].values()
    assert len(rows) == 18
    column = {name: np.array([row[name] for row in rows]) for name in next(iter(rows))}
    assert column["globalmin"] == pytest.approx(column["localmin"].min(), abs=1e-6)
    found = absolute_offsets(column["localmin"], column["match"])
    assert found == pytest.approx(column["globalmin_match"], abs=2e-6)
