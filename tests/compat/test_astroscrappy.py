"""The drop-in for astroscrappy: its own tests and ccdproc's on our kernel, and the swap of functions."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import upramp
from upramp.compat import accelerate as accelerate_module
from upramp.compat import astroscrappy as ours
from upramp.compat.accelerate import REPLACEMENTS, Replacement, accelerate


@pytest.fixture
def image() -> np.ndarray:
    random = np.random.default_rng(4)
    data = random.normal(200, 15, (90, 101)).astype(np.float32)
    data[random.integers(4, 86, 40), random.integers(4, 96, 40)] += 900
    return data


RUN_THEIRS = """
import sys
import pytest
import upramp
from upramp.compat import astroscrappy as ours

calls = []
detect = ours.detect_cosmics
def counted(*args, **kwargs):
    calls.append(1)
    return detect(*args, **kwargs)
ours.detect_cosmics = counted
with upramp.accelerate("astroscrappy"):
    code = pytest.main(sys.argv[1:])
print(f"calls of ours: {len(calls)}")
sys.exit(code)
"""


def run_theirs(tmp_path: Path, *arguments: str) -> str:
    """Tests of another package in a process of their own, with our function in the place of astroscrappy's."""
    command = [sys.executable, "-c", RUN_THEIRS, *arguments, "-q", "-rA", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_astroscrappys_own_tests(tmp_path: Path) -> None:
    theirs = pytest.importorskip("astroscrappy")
    pytest.importorskip("scipy")
    folder = Path(theirs.__file__).parent / "tests"
    files = [folder / f"test_{name}.py" for name in ("astroscrappy", "cleaning", "gmos")]
    # Their test of the plain median clean is expected to fail, since theirs does: ours passes it.
    said = run_theirs(tmp_path, *map(str, files), "-W", "ignore")
    assert "XPASS" in said
    assert "failed" not in said
    assert "calls of ours: 13" in said


def test_ccdprocs_own_tests(tmp_path: Path) -> None:
    theirs = pytest.importorskip("ccdproc")
    pytest.importorskip("astroscrappy")
    file = Path(theirs.__file__).parent / "tests" / "test_cosmicray.py"
    said = run_theirs(tmp_path, str(file), "-k", "lacosmic", "-W", "ignore")
    assert "failed" not in said
    assert "calls of ours: 0" not in said


def test_signature_and_results_are_theirs(image: np.ndarray) -> None:
    theirs = pytest.importorskip("astroscrappy")
    signature = inspect.signature(theirs.detect_cosmics).parameters.values()
    mine = inspect.signature(ours.detect_cosmics).parameters.values()
    assert [(p.name, p.default) for p in mine] == [(p.name, p.default) for p in signature]
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in mine)
    variance = image + np.float32(50)
    cases: list[dict[str, Any]] = [
        {},
        {"sepmed": False, "objlim": 2},
        {"fsmode": "convolve", "psfmodel": "gaussy"},
    ]
    cases += [{"invar": variance, "sigclip": 3}, {"inbkg": image * 0.25, "cleantype": "idw", "gain": 1.7}]
    cases += [{"psfk": np.arange(30, dtype=np.float32).reshape(5, 6), "fsmode": "convolve"}]
    for case in cases:
        mask, clean = theirs.detect_cosmics(image, **case)
        found = ours.detect_cosmics(image, **case)
        assert mask.any()
        assert np.array_equal(found[0], mask), case
        np.testing.assert_allclose(found[1], clean, rtol=1e-6)


def test_random_images_and_parameters_agree_with_theirs() -> None:
    theirs = pytest.importorskip("astroscrappy")
    random = np.random.default_rng(8)
    hits = 0
    for _ in range(16):
        shape = tuple(random.integers(11, 90, 2))
        data = random.normal(random.choice([5, 300]), 20, shape)
        data += 3000 * np.exp(-0.5 * ((np.indices(shape) - 8) ** 2).sum(0) / random.uniform(1, 9))
        where = random.random(shape) < random.choice([0.005, 0.05])
        data[where] += random.exponential(800, int(where.sum()))
        keywords = {
            "sigclip": random.choice([2.0, 4.5]),
            "sigfrac": random.choice([0.1, 0.5]),
            "objlim": random.choice([0.5, 2.0, 5.0]),
            "gain": random.choice([1.0, 1.3, 2.2]),
            "readnoise": random.choice([0.0, 7.3]),
            "satlevel": random.choice([800.0, 3000.0, np.inf]),
            "niter": int(random.integers(1, 6)),
            "sepmed": bool(random.integers(2)),
            "cleantype": random.choice(["medmask", "meanmask", "idw"]),
            "fsmode": random.choice(["median", "convolve"]),
            "psffwhm": 2.2,
            "psfsize": int(random.choice([3, 7])),
            "inmask": random.random(shape) < 0.02 if random.integers(2) else None,
        }
        mask, clean = theirs.detect_cosmics(data, **keywords)
        found = upramp.detect_cosmics(data, **keywords, threads=2)
        assert np.array_equal(found.mask, mask), (shape, keywords)
        np.testing.assert_allclose(found.clean, clean, rtol=1e-6)
        hits += int(mask.sum())
    assert hits > 300


# --- the swap ----------------------------------------------------------------------------------------------------


def their_answer() -> str:
    return "theirs"


def our_answer() -> str:
    return "ours"


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Two modules of another package, of which one has imported the other's function, and a module of ours."""
    theirs, user, mine = ModuleType("peer"), ModuleType("peer_user"), ModuleType("upramp_peer")
    theirs.answer = user.alias = their_answer  # type: ignore[attr-defined]
    mine.answer = our_answer  # type: ignore[attr-defined]
    for module in (theirs, user, mine):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(REPLACEMENTS, "peer", (Replacement("peer", "answer", "upramp_peer"),))
    return user


def test_every_binding_is_swapped_and_restored(package: ModuleType) -> None:
    import peer  # type: ignore[import-not-found]

    with accelerate("peer"):
        assert (peer.answer(), package.alias()) == ("ours", "ours")
        with accelerate("peer"):
            assert peer.answer() == "ours"
        assert peer.answer() == "ours"
        late = ModuleType("peer_late")
        late.answer = peer.answer  # type: ignore[attr-defined]
        sys.modules["peer_late"] = late
    del sys.modules["peer_late"]
    assert (peer.answer(), package.alias()) == ("theirs", "theirs")
    assert not accelerate_module._swaps


def test_late_bindings_are_restored(package: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    late = ModuleType("peer_late")
    with accelerate("peer"):
        late.answer = package.alias  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "peer_late", late)
    assert late.answer() == "theirs"
    # Names bound to ours by our own module stay what they are.
    assert sys.modules["upramp_peer"].answer() == "ours"
    assert our_answer() == "ours"


def test_exceptions_restore_and_decorators_work(package: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="inside"), accelerate("peer"):
        raise RuntimeError("inside")
    assert package.alias() == "theirs"
    assert accelerate("peer")(lambda: package.alias())() == "ours"
    assert package.alias() == "theirs"


def test_threads_share_the_swap(package: ModuleType) -> None:
    first, last = threading.Event(), threading.Event()

    def hold() -> None:
        with accelerate("peer"):
            first.set()
            last.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert first.wait(30)
    with accelerate("peer"):
        pass
    assert package.alias() == "ours"
    last.set()
    thread.join()
    assert package.alias() == "theirs"


def test_unknown_and_missing_packages_are_named(package: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(ValueError, match=r"package is 'nosuch', expected one of astroscrappy, .*peer"),
        accelerate("nosuch"),
    ):
        pass
    with pytest.raises(ValueError, match="no package"), accelerate():
        pass
    monkeypatch.setitem(REPLACEMENTS, "gone", (Replacement("no_such_module", "f", "upramp_peer"),))
    with (
        pytest.raises(ImportError, match="gone cannot be accelerated: no_such_module is not installed"),
        accelerate("peer", "gone"),
    ):
        pass
    assert package.alias() == "theirs"


def test_astroscrappy_itself(image: np.ndarray) -> None:
    theirs = pytest.importorskip("astroscrappy")
    original = theirs.detect_cosmics
    with upramp.accelerate("astroscrappy"):
        assert theirs.detect_cosmics.__wrapped__ is ours.detect_cosmics
        assert theirs.astroscrappy.detect_cosmics is theirs.detect_cosmics
        assert theirs.detect_cosmics(image)[0].any()
    assert theirs.detect_cosmics is original
