"""Fixtures: the shared folder of reference outputs and real files, and small simulated exposures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from upramp.simulate import Exposure, Scene, Simulation, simulate


@pytest.fixture(scope="session")
def shared() -> Path:
    """Golden outputs and real files; their absence fails a CI run and skips elsewhere."""
    place = Path(os.environ.get("UPRAMP_SHARED", Path(__file__).parents[2] / "shared"))
    if not (place / "golden").is_dir():
        message = f"reference data not found at {place} (set UPRAMP_SHARED)"
        if os.environ.get("CI") == "true" and not os.environ.get("UPRAMP_SHARED_OPTIONAL"):
            pytest.fail(message)
        pytest.skip(message)
    return place


@pytest.fixture(scope="session")
def helium() -> Simulation:
    """A subarray exposure spoiled by helium."""
    return simulate(Exposure(rootname="helium01q", size=128, seed=3), Scene(helium=1.5))


@pytest.fixture
def ima(helium: Simulation, tmp_path: Path) -> Path:
    """Its IMA file (and flat) in a fresh directory."""
    folder = tmp_path / "in"
    folder.mkdir()
    return helium.write(folder)["ima"]
