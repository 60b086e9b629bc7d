"""The seam between NumPy and Rust: types, byte order, layout, messages, the interpreter lock, forks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

from upramp import _core
from upramp.ramps import CrcorrParams, fit_crcorr, read_stats

SHAPE = (6, 40, 50)
TIMES = np.arange(6.0) * 10


@pytest.fixture
def cubes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    sci = random.normal(1, 0.5, SHAPE).astype(np.float32)
    return sci, np.full(SHAPE, 0.5, np.float32), np.zeros(SHAPE, np.uint16)


@pytest.mark.parametrize("kind", ["big-endian", "float64", "strided", "read-only", "int16 dq", "fortran"])
def test_any_memory_layout_gives_the_same(cubes: Any, kind: str) -> None:
    sci, err, dq = cubes
    dq[:, 3, 4] = 16
    expected = fit_crcorr(sci, err, dq, TIMES)
    if kind == "big-endian":
        sci, err, dq = sci.astype(">f4"), err.astype(">f4"), dq.astype(">u2")
    elif kind == "float64":
        sci, err = sci.astype(float), err.astype(float)
    elif kind == "strided":
        sci = np.repeat(sci, 2, axis=2)[:, :, ::2]
    elif kind == "read-only":
        for array in cubes:
            array.setflags(write=False)
    elif kind == "int16 dq":
        dq = dq.astype(">i2")
    elif kind == "fortran":
        sci = np.asfortranarray(sci)
    found = fit_crcorr(sci, err, dq, TIMES)
    assert all(np.array_equal(a, b) for a, b in zip(expected[:6], found[:6], strict=True))


def test_the_sign_bit_of_int16_flags_is_bit_15(cubes: Any) -> None:
    sci, err, dq = cubes
    dq[:, 0, 0] = 0x8000
    found = fit_crcorr(sci, err, dq.view(np.int16), TIMES)
    assert found.dq[0, 0] == 0x8000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"err": np.zeros((5, 40, 50))}, r"err has shape \(5, 40, 50\), expected \(6, 40, 50\)"),
        ({"dq": np.zeros((40, 50), np.uint16)}, r"dq has shape \(40, 50\), expected \(nread, ny, nx\)"),
        ({"times": np.zeros(5)}, r"times has shape \(5,\), expected \(6,\)"),
        ({"excluded": np.zeros(7, bool)}, r"excluded has shape \(7,\), expected \(6,\)"),
        ({"to_dn": np.zeros((3, 3))}, r"to_dn has shape \(3, 3\), expected \(40, 50\)"),
        ({"region": np.s_[5:5, :]}, "region is"),
        ({"threads": 0}, "threads is 0"),
        ({"params": CrcorrParams(crsigma=-1)}, "crsigma is -1"),
        ({"params": CrcorrParams(gain=float("nan"))}, "gain is NaN"),
        ({"excluded": np.ones(6, bool)}, "excluded is every read after the zeroth"),
    ],
)
def test_bad_arguments_are_named(cubes: Any, change: dict[str, Any], message: str) -> None:
    sci, err, dq = cubes
    arguments: dict[str, Any] = {"sci": sci, "err": err, "dq": dq, "times": TIMES} | change
    with pytest.raises(ValueError, match=message):
        fit_crcorr(**arguments)


def test_text_is_refused(cubes: Any) -> None:
    sci, err, dq = cubes
    with pytest.raises(TypeError, match="sci has dtype"):
        fit_crcorr(sci.astype(str), err, dq, TIMES)


def test_masked_values_become_nan_and_are_left_out(cubes: Any) -> None:
    sci, err, dq = cubes
    mask = np.zeros(SHAPE, bool)
    mask[3, 7, 8] = True
    found = fit_crcorr(np.ma.MaskedArray(sci, mask), err, dq, TIMES)
    assert found.samp[7, 8] <= 5
    assert np.isfinite(found.rate[7, 8])


def test_other_threads_run_during_a_call() -> None:
    sci = np.random.default_rng(3).normal(1, 0.1, (16, 900, 900)).astype(np.float32)
    beats: list[float] = []
    stop = threading.Event()

    def heart() -> None:
        while not stop.is_set():
            beats.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=heart)
    thread.start()
    start = time.perf_counter()
    read_stats(sci, threads=1, clip=2.0)
    end = time.perf_counter()
    stop.set()
    thread.join()
    during = [beat for beat in beats if start < beat < end]
    assert len(during) >= 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_finishes() -> None:
    code = (
        "import os, numpy as np\n"
        "from upramp.ramps import read_stats\n"
        "cube = np.ones((4, 50, 50), np.float32)\n"
        "read_stats(cube, threads=2)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    read_stats(cube, threads=2)\n"
        "    os._exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


def test_bytes_are_swapped_in_place() -> None:
    for dtype in (np.uint16, np.uint32):
        words = np.arange(1000, dtype=dtype)
        swapped = words.astype(words.dtype.newbyteorder(">")).view(dtype).copy()
        _core.swap_big_endian(swapped)
        assert np.array_equal(swapped, words)
    with pytest.raises(TypeError, match="uint16 or uint32"):
        _core.swap_big_endian(np.zeros(3))


def test_bytes_are_swapped_on_the_way_to_a_copy() -> None:
    for dtype in (np.uint16, np.uint32):
        words, copy = np.arange(1000, dtype=dtype), np.zeros(1000, dtype)
        _core.copy_swapped(words, copy)
        assert copy.tobytes() == words.astype(words.dtype.newbyteorder(">")).tobytes()
        with pytest.raises(ValueError, match=r"into has shape \[999\], expected \[1000\]"):
            _core.copy_swapped(words, copy[:999])
    with pytest.raises(TypeError, match="uint16 or uint32"):
        _core.copy_swapped(np.zeros(3), np.zeros(3))


def test_import_is_light() -> None:
    code = (
        "import sys, upramp\n"
        "heavy = {'matplotlib', 'rich', 'scipy', 'astropy.table', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in other units elsewhere")
def test_a_fit_adds_little_memory_to_its_input() -> None:
    from upramp.bench.__main__ import extra_memory

    assert 0.2 < extra_memory(1014) <= 0.35
