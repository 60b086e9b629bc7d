"""The tests of the Rust crates run from here, so that one command runs everything."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_kernels() -> None:
    if shutil.which("cargo") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("cargo is not installed")
        pytest.skip("cargo is not installed")
    environment = dict(os.environ)
    if environment.get("CI") == "true":
        # A red run then means that a change broke something; random cases are searched outside.
        environment.setdefault("PROPTEST_RNG_SEED", "20120701")
    done = subprocess.run(
        ["cargo", "test", "--quiet", "--package", "upramp-kernels"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test result: ok" in done.stdout
