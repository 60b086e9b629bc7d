"""Benches run from beginning to end on small data: figures in the docs can be had again."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(*arguments: str) -> str:
    """What ``python -m upramp.bench.NAME`` prints."""
    command = [sys.executable, "-m", f"upramp.bench.{arguments[0]}", *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="each call is forked, and memory read from /proc")
def test_ramps() -> None:
    printed = run("ramps", "--size", "16", "--repeats", "1", "--only", "copy", "fit", "find")
    for method in ("copy of the cube", "fit_ols", "find_jumps", "fit_gls with jumps"):
        assert sum(line.startswith(method) for line in printed.splitlines()) >= 1
    assert "16 x 16 x 10 float32" in printed


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_ramps_gls() -> None:
    printed = run("ramps_gls", "--size", "16", "--peer-size", "16", "--repeats", "1")
    assert printed.count("| gls with jumps |") == (1 if "No peers are installed" in printed else 2)


def test_ramp_quality() -> None:
    printed = run("ramp_quality", "--alone", "--ramps", "4000", "--pattern", "jwst_rapid10")
    assert printed.count("### jwst_rapid10") == 4
    assert printed.rstrip().endswith("All aims met.")


def test_combine() -> None:
    printed = run("combine", "--frames", "3", "--size", "32", "--many", "2", "--repeats", "1", "--quick")
    assert "combine, median" in printed
    assert "each file was opened 1 time(s)" in printed
