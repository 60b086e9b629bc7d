"""The bench of sky matching measures what it says: the values of its runs are those of the function."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from upramp.bench import sky as bench
from upramp.simulate import mosaic
from upramp.sky import match_sky, read_images


def test_a_run_gives_the_values_of_the_function(tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc, which this system lacks")
    paths, _ = mosaic(tmp_path, fields=(2, 1), size=48)
    cost = bench.measure({"robust": sys.executable}, paths, "match", "median", 1)["robust"]
    found = match_sky(read_images(paths), "match", engine="robust")
    assert cost.values == {path.name: value for path, (value,) in zip(paths, found.values, strict=True)}
    assert cost.pairs == len(found.residuals)
    assert cost.peak > 1e7
    assert cost.cpu > 0
    with pytest.raises(RuntimeError, match="compat failed"):
        bench.measure({"compat": sys.executable}, paths, "worst", "median", 1)


def test_table_has_ratios_to_peers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    costs = {
        "compat": bench.Cost(0.5, 0.6, 9e7, 3, {"a": 1.0, "b": 2.0}),
        "skypac": bench.Cost(20.0, 21.0, 2e8, -1, {"a": 1.0, "b": 2.5}),
    }
    monkeypatch.setattr(bench, "measure", lambda *_: costs)
    bench.bench_files([Path("a"), Path("b")], {}, ["localmin"], "median", 3)
    lines = capsys.readouterr().out.splitlines()
    assert "localmin (median), 2 exposures" in lines[1]
    # No stcal in this run.
    assert lines[3].split() == ["compat", "0.500", "0.600", "90", "40.0", "nan", "5.0e-01"]
