"""The commands, as a user types them."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from astropy.io import fits

from upramp import __version__
from upramp.cli import COMMANDS, main

README = Path(__file__).parents[1] / "README.md"


def test_demo_repairs_what_helium_spoiled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "-o", str(tmp_path / "demo"), "--size", "128", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    steps = {line["step"]: line for line in lines if "step" in line}
    spoiled, fixed = steps["as it is"], steps["flattened"]
    assert fixed["noise"] < 0.5 * spoiled["noise"]
    assert fixed["false_fraction"] < 0.01 < spoiled["false_fraction"]
    assert fixed["completeness"] > 0.95
    assert (tmp_path / "demo" / "demo.png").read_bytes().startswith(b"\x89PNG")


def test_fix_prints_one_line_a_file(ima: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fix", str(ima), "-o", str(tmp_path), "--clip", "3", "--region", "20:100,20:100"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 1
    assert out[0].startswith("helium01q_ima.fits -> ")
    assert re.search(r"background \d\.\d+-\d\.\d+", out[0])


def test_json_is_one_object_a_line(ima: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cal", str(ima), "--only", "crcorr", "-o", str(tmp_path), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["status"] == "ok"
    assert set(record["seconds"]) == {"read", "references", "compute", "write"}
    assert Path(record["flt"]).is_file()


def test_quiet_and_log(ima: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.txt"
    assert main(["fix", str(ima), "-o", str(tmp_path), "--quiet", "--log", str(log)]) == 0
    assert capsys.readouterr().out == ""
    assert "background" in log.read_text()
    assert logging.getLogger("upramp").level == logging.NOTSET


def test_a_log_that_cannot_be_written_is_told(
    ima: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "missing" / "log.txt"
    assert main(["fix", str(ima), "-o", str(tmp_path), "--log", str(log)]) == 3
    assert str(log) in capsys.readouterr().err


def test_flatfielding_an_exposure_before_it(tmp_path: Path) -> None:
    args = ["simulate", "--size", "64", "--no-flat-fielded", "--helium", "2", "-o", str(tmp_path), "--quiet"]
    assert main(args) == 0
    source = tmp_path / "isim01aaq_ima.fits"
    fits.setval(source, "FLATCORR", value="PERFORM")
    out = tmp_path / "out"
    out.mkdir()
    assert main(["fix", str(source), "-o", str(out)]) == 0
    header = fits.getheader(out / "isim01aaq_flt.fits", "SCI")
    assert header["BUNIT"] == "ELECTRONS/S"
    assert fits.getval(out / "isim01aaq_flt.fits", "FLATCORR") == "COMPLETE"


def test_nothing_to_do(ima: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cal", str(ima), "-o", str(tmp_path)]) == 3
    assert "nothing to do" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["cal", "--only", "NOCORR"],
        ["fix", "--set", "nonsense"],
        ["fix", "--jobs", "0"],
        ["fix", "--crsigma", "-1"],
    ],
)
def test_usage_errors(arguments: list[str], ima: Path, tmp_path: Path) -> None:
    assert main([*arguments, str(ima), "-o", str(tmp_path)]) == 2


def test_command_line_itself() -> None:
    run = [sys.executable, "-m", "upramp"]
    shown = subprocess.run([*run, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(f"    {name} " in shown for name in COMMANDS)
    version = subprocess.run([*run, "--version"], capture_output=True, text=True, check=True).stdout
    assert version.strip() == f"upramp {__version__}"
    assert subprocess.run(run, capture_output=True, check=False).returncode == 2


def test_readme_names_only_what_exists() -> None:
    text = README.read_text()
    for name in re.findall(r"^upramp (\w+)", text, flags=re.MULTILINE):
        assert name in COMMANDS
    import upramp

    for name in re.findall(r"upramp\.(\w+)\(", text):
        assert hasattr(upramp, name)
