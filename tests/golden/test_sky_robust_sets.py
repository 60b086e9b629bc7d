"""Skies matched by differences of pixels, against the truth of the simulated sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from upramp.bench.sky_quality import Errors, errors
from upramp.simulate.mosaic import SkyTruth
from upramp.sky import match_sky, read_images

Maker = Callable[[str], Path]


def found(folder: Path, order: int) -> Errors:
    truth = json.loads((folder / "truth.json").read_text())
    exposures = truth["exposures"]
    paths = [folder / exposure["file"] for exposure in exposures]
    sky = np.array([exposure["sky_rate"] for exposure in exposures])
    planes = np.array([exposure.get("plane_rate", (0.0, 0.0)) for exposure in exposures])
    known = SkyTruth(paths, sky, planes, truth["idcscale"] ** 2)
    return errors(match_sky(read_images(paths), "match", order=order), known)


# As good as or better than reproject and Montage on each.
@pytest.mark.parametrize(
    ("name", "order", "limit"),
    [
        ("ir_blank", 0, 0.0001),
        ("ir_nebula", 0, 0.00015),
        ("ir_mixed", 0, 0.00026),
        ("ir_mixed", 1, 0.00026),
        ("uvis", 0, 0.00005),
        ("ir_gradient", 1, 0.0018),
        ("ir_gradient", 2, 0.0018),
    ],
)
def test_truth_is_recovered(mosaic: Maker, name: str, order: int, limit: float) -> None:
    error = found(mosaic(name), order)
    assert np.sqrt(np.mean(error.field**2)) <= limit
    assert np.mean(np.abs(error.level) < 3 * error.sigma) >= 0.99
