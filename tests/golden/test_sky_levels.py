"""Sky of single images against stsci.skypac (its DQ mask set right), and against the headers of HST images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from astropy.io import fits

from upramp.sky import SkyStatistic, match_sky, read_images

Maker = Callable[[str], Path]


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
def test_local_and_global_minima(shared: Path, mosaic: Maker, name: str) -> None:
    golden = json.loads((shared / f"golden/sky/{name}.json").read_text())
    paths = sorted(mosaic(name).glob("*_flt.fits"))
    parameters = golden["params"]
    images = read_images(paths, bits=parameters["dq_bits"])
    compared = 0
    for run, expected in golden["runs"].items():
        statistic, method = run.split("/")
        if method not in ("localmin", "globalmin"):
            continue
        how = SkyStatistic(
            statistic,
            parameters["lower"],
            parameters["upper"],
            *(parameters[key] for key in ("nclip", "lsigma", "usigma", "binwidth")),
        )
        result = match_sky(images, method, statistic=how)
        for image, values in zip(images, result.values, strict=True):
            assert values == pytest.approx(expected["values"][image.path.name], rel=1e-6), run
            compared += 1
    assert compared >= 2 * len(paths)


def test_headers_of_hst_images(shared: Path) -> None:
    """Static mask, DQ but for AstroDrizzle's own cosmic-ray flag, median: as these headers were made."""
    paths = sorted((shared / "data/sky/uvis_snzwicky").glob("*_flc.fits.gz"))
    stored = [fits.getval(path, "MDRIZSKY", "SCI") for path in paths]
    assert len(stored) == 3
    for threads in (1, 2):
        result = match_sky(read_images(paths, bits=4096), static=4.0, threads=threads)
        assert [values[0] for values in result.values] == pytest.approx(stored, rel=1e-12)
