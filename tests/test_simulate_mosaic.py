"""Simulated mosaics: the same pixels for the same seed, skies that can be found again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from upramp.exceptions import OutputError
from upramp.simulate import mosaic
from upramp.sky import match_sky, read_images


def test_skies_are_those_told(tmp_path: Path) -> None:
    paths, skies = mosaic(tmp_path, fields=(2, 2), size=96, nebula=0.0)
    assert len(paths) == len(skies) == 8
    found = match_sky(read_images(paths), "all")
    for method, accuracy in (("localmin", 0.02), ("match", 0.004)):
        error = np.array([value for (value,) in found.methods[method]]) - skies
        assert np.std(error) < accuracy
    assert len(found.groups) == 1
    # Dithers of a field overlap almost wholly.
    pairs = found.residuals
    same = pairs["i"] // 2 == pairs["j"] // 2
    assert (pairs["n_i"][same] > 0.6 * 96 * 96).all()
    assert (pairs["n_i"][~same] < 0.4 * 96 * 96).all()


def test_nebula_spoils_the_sky_of_single_exposures(tmp_path: Path) -> None:
    paths, skies = mosaic(tmp_path, fields=(3, 2), dithers=1, size=96)
    found = match_sky(read_images(paths), "all")
    errors = {m: np.std([v[0] for v in values] - skies) for m, values in found.methods.items()}
    assert errors["localmin"] > 0.05
    assert errors["match"] < 0.01


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    (one,), _ = mosaic(tmp_path, fields=(1, 1), dithers=1, size=32, seed=5)
    first = one.read_bytes()
    with pytest.raises(OutputError):
        mosaic(tmp_path, fields=(1, 1), dithers=1, size=32)
    mosaic(tmp_path, fields=(1, 1), dithers=1, size=32, seed=5, overwrite=True)
    assert one.read_bytes() == first
    mosaic(tmp_path, fields=(1, 1), dithers=1, size=32, seed=6, overwrite=True)
    assert one.read_bytes() != first
    with pytest.raises(ValueError, match="dithers is 0"):
        mosaic(tmp_path, dithers=0)
