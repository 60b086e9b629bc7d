"""The bench of sky matching measures what it says: the values of its runs are those of the function."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from upramp.bench import sky as bench
from upramp.simulate import mosaic
from upramp.sky import match_sky, read_images


def test_runs_give_the_values_of_the_function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc, which this system lacks")
    paths, _ = mosaic(tmp_path, fields=(2, 1), size=48)
    tools = {"compat": sys.executable, "robust": sys.executable}
    for tool, cost in bench.measure(tools, paths, "match", "median", 1).items():
        found = match_sky(read_images(paths), "match", engine=tool)
        assert cost.values == {path.name: value for path, (value,) in zip(paths, found.values, strict=True)}
        assert cost.pairs == len(found.residuals)
        assert cost.peak > 1e7
        assert cost.cpu > 0
    with pytest.raises(RuntimeError, match="compat failed"):
        bench.measure({"compat": sys.executable}, paths, "worst", "median", 1)
    bench.bench_files(paths, tools, ["localmin"], "median", 1)
    lines = capsys.readouterr().out.splitlines()
    assert "localmin (median), 4 exposures" in lines[1]
    assert [line.split()[0] for line in lines[3:]] == ["compat"]
