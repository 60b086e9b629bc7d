"""Data sets that several tests share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MOSAICS = {
    "ir_mixed": ("ir_mixed", "--size", "507"),
    "ir_mixed_nodq": ("ir_mixed", "--size", "507"),
    "ir_gradient": ("ir_gradient", "--size", "507"),
    "ir_gradient_up": ("ir_gradient", "--size", "507"),
    "ir_disjoint": ("ir_disjoint", "--size", "507"),
    "ir_blank": ("ir_blank",),
    "ir_nebula": ("ir_nebula",),
    "uvis": ("uvis", "--seed", "21"),
}


@pytest.fixture(scope="session")
def mosaic(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders of the simulated mosaics of ``golden/sky``, by the name of the set, each made once."""
    folder = tmp_path_factory.mktemp("mosaics")

    def make(name: str) -> Path:
        variant, *options = MOSAICS[name]
        target = folder / variant
        if not target.exists():
            command = [sys.executable, str(shared / "tools/sim_mosaic.py"), variant, str(target), *options]
            subprocess.run(command, check=True)
        return target

    return make
