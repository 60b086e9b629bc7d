"""References of exposures: listed, fetched from the names in headers, recommended by CRDS."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from astropy.io import fits

from test_download import GOOD, HTML, Server, send, server, status
from upramp.cli import main
from upramp.exceptions import InputError, NetworkError, ReferenceFileError
from upramp.wfc3ir.crds import CrdsMissingError, best_references, matching_parameters

__all__ = ["server"]

NAMES = {
    "BPIXTAB": "iref$new_bpx.fits",
    "CCDTAB": "$iref/t2c16200i_ccd.fits",
    "DARKFILE": "x_drk.fits",
    "NLINFILE": "N/A",
    "PFLTFILE": "",
}
FETCHED = ["new_bpx.fits", "t2c16200i_ccd.fits", "x_drk.fits"]


def exposure(path: Path, detector: str = "IR", **references: str) -> Path:
    """A file with the headers of an exposure and no pixels."""
    primary = fits.PrimaryHDU()
    primary.header.update(INSTRUME="WFC3", DETECTOR=detector, FILTER="F140W")
    primary.header["DATE-OBS"] = "2012-01-01"
    primary.header["HISTORY"] = "made for a test"
    primary.header.update(NAMES | references)
    science = fits.ImageHDU(name="SCI")
    science.header.update(BINAXIS1=1, FILTER="not this one")
    fits.HDUList([primary, science]).writeto(path)
    return path


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return exposure(tmp_path / "a_raw.fits")


def records(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_list(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "refs").mkdir()
    (tmp_path / "refs" / "x_drk.fits").write_bytes(GOOD)
    (tmp_path / "own.fits").write_bytes(GOOD)
    arguments = [
        "refs",
        str(raw),
        "--refs",
        str(tmp_path / "refs"),
        "--set",
        f"nlinfile={tmp_path / 'own.fits'}",
    ]
    assert main([*arguments, "--json"]) == 0
    found = {record["keyword"]: record for record in records(capsys)}
    assert {key: record["status"] for key, record in found.items()} == {
        "BPIXTAB": "missing",
        "CCDTAB": "missing",
        "DARKFILE": "found",
        "NLINFILE": "found",
    }
    assert found["DARKFILE"]["path"] == str(tmp_path / "refs" / "x_drk.fits")
    assert found["BPIXTAB"]["name"] == "iref$new_bpx.fits"
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == str(raw)
    assert "  BPIXTAB   iref$new_bpx.fits             missing" in out
    assert main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_from_header(raw: Path, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = exposure(tmp_path / "b_raw.fits", BPIXTAB="iref$other_bpx.fits")
    before = digest(raw)
    folder = tmp_path / "refs"
    arguments = ["refs", str(raw), str(other), "--from-header", "--refs", str(folder), "--server", server.url]
    assert main([*arguments, "--json"]) == 0
    assert {record["status"] for record in records(capsys)} == {"found"}
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FETCHED, "other_bpx.fits"])
    # Each name once, though both files ask for most of them, and nothing the second time.
    assert len(server.asked) == 4
    assert main([*arguments, "--quiet"]) == 0
    assert len(server.asked) == 4
    assert digest(raw) == before


def test_from_header_leaves_alone_what_is_given(raw: Path, server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "refs"
    folder.mkdir()
    (folder / "new_bpx.fits.gz").write_bytes(b"compressed")
    (folder / "t2c16200i_ccd.fits").write_bytes(GOOD[:-1])
    arguments = ["refs", str(raw), "--from-header", "--refs", str(folder), "--server", server.url]
    assert main([*arguments, "--set", "DARKFILE=own.fits"]) == 0
    assert [name for name, _ in server.asked] == ["t2c16200i_ccd.fits"]
    assert (folder / "t2c16200i_ccd.fits").read_bytes() == GOOD


def test_from_header_tells_all_failures(
    raw: Path, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers = {
        "new_bpx.fits": status(404),
        "x_drk.fits": lambda handler, _: send(handler, HTML),
    }
    folder = tmp_path / "refs"
    arguments = ["refs", str(raw), "--from-header", "--refs", str(folder), "--server", server.url]
    assert main(arguments) == 5
    error = capsys.readouterr().err
    assert f"{server.url}/new_bpx.fits: HTTP 404" in error
    assert "x_drk.fits: not a FITS file" in error
    assert [path.name for path in folder.iterdir()] == ["t2c16200i_ccd.fits"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from-header"], "needs --refs DIR"),
        (["--server", "https://example.org"], "goes with --from-header or --sync"),
        (["--set", "DARKFILE"], "expected KEY=FILE"),
        (["--set", "DARK=x.fits"], "names DARK, expected one of"),
        (["--from-header", "--refs", "refs", "--server", "http://example.org"], "expected an https"),
    ],
)
def test_usage(
    options: list[str],
    message: str,
    raw: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(raw.parent)
    assert main(["refs", str(raw), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (raw.parent / "refs").exists()


def test_unreadable_files(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad_raw.fits"
    bad.write_text("hello")
    assert main(["refs", str(bad)]) == 3
    assert main(["refs", str(bad), str(raw)]) == 6
    captured = capsys.readouterr()
    assert "bad_raw.fits: not a FITS file" in captured.err
    assert "DARKFILE" in captured.out


class FakeCrds(ModuleType):
    """The part of the crds package that is used: the rules are a dictionary, a download is a write."""

    def __init__(self) -> None:
        super().__init__("crds")
        self.rules: dict[str, str] = {
            "bpixtab": "best_bpx.fits",
            "ccdtab": "t2c16200i_ccd.fits",
            "oscntab": "q_osc.fits",
            "crrejtab": "u_crr.fits",
            "darkfile": "x_drk.fits",
            "nlinfile": "u_lin.fits",
            "pfltfile": "NOT FOUND n/a",
            "dfltfile": "NOT FOUND n/a",
            "lfltfile": "NOT FOUND 'unknown reference type'",
            "imphttab": "w_imp.fits",
            "idctab": "w_idc.fits",
        }
        self.broken: set[str] = set()
        self.leaves = False
        self.headers: list[dict[str, Any]] = []
        self.synced: list[list[str]] = []
        self.seen: dict[str, str | None] = {}
        self.servers = ["https://crds-serverless-mode.stsci.edu"]
        self.cleared = 0
        self.core = SimpleNamespace(
            config=SimpleNamespace(CRDS_REF_SUBDIR_MODE="instrument"),
            utils=SimpleNamespace(clear_function_caches=self._clear),
        )
        self.client = SimpleNamespace(
            api=SimpleNamespace(
                get_crds_server=lambda: self.servers[-1],
                set_crds_server=self.servers.append,
                dump_references=self._dump,
            )
        )

    def _clear(self) -> None:
        self.cleared += 1

    def get_context_name(self, observatory: str, context: str | None) -> str:
        assert observatory == "hst"
        self.seen = {
            name: os.environ.get(name)
            for name in ("CRDS_PATH", "CRDS_SERVER_URL", "CRDS_REFPATH_SINGLE", "CRDS_PATH_SINGLE")
        } | {"mode": self.core.config.CRDS_REF_SUBDIR_MODE, "server": self.servers[-1]}
        if self.leaves:
            logging.getLogger("CRDS").error("cannot reach the server")
            sys.exit(-1)
        return context or "hst_1200.pmap"

    def getrecommendations(
        self, header: dict[str, Any], reftypes: list[str], context: str, observatory: str
    ) -> dict[str, str]:
        assert (context, observatory) == ("hst_1200.pmap", "hst")
        self.headers.append(header)
        return {kind: self.rules[kind] for kind in reftypes if kind in self.rules}

    def _dump(self, context: str, baserefs: list[str], raise_exceptions: bool) -> dict[str, str]:
        assert not raise_exceptions
        self.synced.append(list(baserefs))
        folder = Path(os.environ.get("CRDS_REFPATH_SINGLE") or os.environ["CRDS_PATH"])
        folder.mkdir(parents=True, exist_ok=True)
        for name in baserefs:
            if name in self.broken:
                logging.getLogger("CRDS").error("Failure downloading file %r : 404", name)
            else:
                (folder / name).write_bytes(GOOD)
        return {name: str(folder / name) for name in baserefs}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCrds:
    made = FakeCrds()
    monkeypatch.setitem(sys.modules, "crds", made)
    for name in [name for name in os.environ if name.startswith("CRDS_")]:
        monkeypatch.delenv(name)
    return made


def test_best_references(fake: FakeCrds, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = exposure(tmp_path / "b_raw.fits")
    monkeypatch.setenv("CRDS_PATH_SINGLE", "/elsewhere")
    before, environment, folder = digest(raw), dict(os.environ), tmp_path / "refs"
    handlers = logging.getLogger("CRDS").handlers[:]
    found = best_references([raw, other], directory=folder, server="https://hst-crds.example.org")
    assert list(found) == [raw, other]
    assert found[raw] == found[other]
    assert found[raw]["BPIXTAB"] == folder / "best_bpx.fits"
    assert [key for key, path in found[raw].items() if path == "N/A"] == ["PFLTFILE", "DFLTFILE", "LFLTFILE"]
    assert all(path == "N/A" or Path(path).is_file() for path in found[raw].values())
    # One download for all files, each name once, into the directory itself; then all is as it was.
    assert fake.synced == [sorted(set(fake.synced[0]))]
    assert fake.seen == {
        "CRDS_PATH": str(folder),
        "CRDS_REFPATH_SINGLE": str(folder),
        "CRDS_PATH_SINGLE": None,
        "CRDS_SERVER_URL": "https://hst-crds.example.org",
        "server": "https://hst-crds.example.org",
        "mode": "flat",
    }
    assert dict(os.environ) == environment
    assert fake.servers[-1] == fake.servers[0]
    assert fake.core.config.CRDS_REF_SUBDIR_MODE == "instrument"
    assert fake.cleared == 2
    assert logging.getLogger("CRDS").handlers == handlers
    assert digest(raw) == before


def test_the_cache_of_the_environment(
    fake: FakeCrds, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="CRDS_PATH is not set"):
        best_references([raw])
    monkeypatch.setenv("CRDS_PATH", str(tmp_path / "cache"))
    found = best_references([raw], context="hst_1200.pmap", keywords=["DARKFILE"])
    assert found == {raw: {"DARKFILE": tmp_path / "cache" / "x_drk.fits"}}
    assert fake.seen["mode"] is None
    assert fake.seen["server"] == "https://hst-crds.stsci.edu"


def test_matching_parameters(raw: Path, tmp_path: Path) -> None:
    parameters = matching_parameters(raw)
    assert parameters["DATE-OBS"] == "2012-01-01"
    assert (parameters["FILTER"], parameters["BINAXIS1"]) == ("F140W", 1)
    assert "HISTORY" not in parameters
    with pytest.raises(InputError, match="DETECTOR is UVIS, expected IR"):
        matching_parameters(exposure(tmp_path / "uvis_raw.fits", detector="UVIS"))


def test_every_reference_without_a_rule_is_named(fake: FakeCrds, raw: Path, tmp_path: Path) -> None:
    fake.rules["darkfile"] = "NOT FOUND no match for SAMP_SEQ"
    del fake.rules["idctab"]
    with pytest.raises(ReferenceFileError) as caught:
        best_references([raw], directory=tmp_path / "refs")
    assert "DARKFILE: NOT FOUND no match for SAMP_SEQ" in str(caught.value)
    assert "IDCTAB: NOT FOUND: the rules say nothing" in str(caught.value)
    assert not fake.synced


def test_what_is_not_on_disk_is_named(fake: FakeCrds, raw: Path, tmp_path: Path) -> None:
    fake.broken = {"x_drk.fits", "q_osc.fits"}
    with pytest.raises(NetworkError, match=r"not downloaded: q_osc.fits, x_drk.fits\n .*404"):
        best_references([raw], directory=tmp_path / "refs")


def test_a_crds_that_gives_up(fake: FakeCrds, raw: Path, tmp_path: Path) -> None:
    fake.leaves = True
    environment = dict(os.environ)
    with pytest.raises(NetworkError, match=r"CRDS at https://hst-crds\.stsci\.edu failed: cannot reach"):
        best_references([raw], directory=tmp_path / "refs")
    assert main(["refs", str(raw), "--sync", "--refs", str(tmp_path / "refs")]) == 5
    assert dict(os.environ) == environment


def test_crds_is_missing(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "crds", None)
    with pytest.raises(CrdsMissingError, match=r"pip install 'upramp\[net\]'"):
        best_references([raw], directory=tmp_path / "refs")
    assert main(["refs", str(raw), "--sync", "--refs", str(tmp_path / "refs")]) == 2
    assert "pip install 'upramp[net]'" in capsys.readouterr().err


def test_sync(fake: FakeCrds, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "refs"
    arguments = ["refs", str(raw), "--sync", "--refs", str(folder), "--set", "IDCTAB=own.fits"]
    assert main([*arguments, "--json"]) == 0
    found = {record["keyword"]: record for record in records(capsys)}
    assert "IDCTAB" not in found
    assert found["BPIXTAB"] == {
        "file": str(raw),
        "keyword": "BPIXTAB",
        "name": "best_bpx.fits",
        "path": str(folder / "best_bpx.fits"),
        "header": "iref$new_bpx.fits",
        "changed": True,
    }
    assert not found["DARKFILE"]["changed"]
    assert not found["CCDTAB"]["changed"]
    assert not found["PFLTFILE"]["changed"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "  BPIXTAB   best_bpx.fits       (header: iref$new_bpx.fits)\n" in out
    assert "  NLINFILE  u_lin.fits          (header: N/A)\n" in out
    # What was fetched is found where the other commands look.
    assert main(["refs", str(raw), "--refs", str(folder), "--json"]) == 0
    assert {record["keyword"]: record["status"] for record in records(capsys)}["DARKFILE"] == "found"


def test_check_tells_every_problem(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the command makes of the answers; the check itself belongs to the calibration."""
    other = exposure(tmp_path / "b_raw.fits")
    answers = {raw: [f"{raw}: BPIXTAB missing", f"{raw}: DARKFILE unfit"], other: []}

    def check_references(path: Path, refs: Any) -> list[str]:
        assert refs.directory == tmp_path / "refs"
        if path not in answers:
            raise InputError(f"{path}: not a FITS file")
        return answers[path]

    stand_in = ModuleType("upramp.wfc3ir.calibration")
    monkeypatch.setattr(stand_in, "check_references", check_references, raising=False)
    monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
    options = ["--check", "--refs", str(tmp_path / "refs")]
    assert main(["refs", str(raw), str(other), *options]) == 4
    captured = capsys.readouterr()
    assert all(problem in captured.err for problem in answers[raw])
    assert captured.out.splitlines() == [f"{raw}: 2 problems", f"{other}: all references at hand"]
    assert main(["refs", str(other), *options, "--json"]) == 0
    assert records(capsys) == [{"file": str(other), "status": "ok", "problems": []}]
    assert main(["refs", str(tmp_path / "none.fits"), *options]) == 3
    assert main(["refs", str(tmp_path / "none.fits"), str(raw), *options]) == 6


def test_a_bar_on_a_terminal(
    raw: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    arguments = ["refs", str(raw), "--from-header", "--refs", str(tmp_path / "refs"), "--server", server.url]
    assert main(arguments) == 0
    assert sorted(path.name for path in (tmp_path / "refs").iterdir()) == FETCHED
