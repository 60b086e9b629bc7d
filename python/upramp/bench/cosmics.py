"""How fast is the search for cosmic rays, and how good? ``python -m upramp.bench.cosmics [--quality]``.

Speed is CPU time against astroscrappy's wheel in the same run with the same number of threads; a line is a median.
On two threads the busier one's CPU time tells what an idle machine would take. Peak memory is measured in processes
of their own, as what a call adds to the process, results included. Quality is that against the truth of a simulator
that is not part of this package (``--simulator``): a pixel is hit where cosmic rays left more than 3 sigma, and
found wrongly where they left less than 1; a border of 5 pixels does not count.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upramp.ccd import detect_cosmics, find_cosmics

__all__ = ["main", "score"]

PRESETS = ("ground", "space", "crowded", "deepdep")
BORDER = np.s_[5:-5, 5:-5]
TRUE: dict[str, Any] = {"sepmed": False, "objlim": 2.0, "cleantype": "medmask"}
"""The best rules of L.A.Cosmic on these simulations."""

MEMORY = """
import re, sys
import numpy as np
data = np.load(sys.argv[2])
keywords = dict(gain=1.5, readnoise=6.0, sepmed=sys.argv[3] == "1")
if sys.argv[1] == "ours":
    from upramp import detect_cosmics
    keywords["threads"] = 1
else:
    from astroscrappy import detect_cosmics
detect_cosmics(data[:64, :64].copy(), **keywords)
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = peak()
result = detect_cosmics(data, **keywords)
print((peak() - before) * 1024 / data.size)
"""


def simulator(path: Path) -> Any:
    """The module with ``simulate``.

    Parameters
    ----------
    path : Path
        Its file.
    """
    spec = importlib.util.spec_from_file_location("sim_ccd", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"{path}: no simulator there; pass --simulator FILE")
    module = importlib.util.module_from_spec(spec)
    sys.modules["sim_ccd"] = module
    spec.loader.exec_module(module)
    return module


def score(frame: Any, mask: NDArray[np.bool_]) -> tuple[float, float, float]:
    """F1, completeness and purity of a mask.

    Parameters
    ----------
    frame : Frame
        Simulated frame with its truth.
    mask : (ny, nx) ndarray of bool
        What was found.
    """
    found, hit, touched = mask[BORDER], frame.truth(3)[BORDER], frame.truth(1)[BORDER]
    completeness = float((found & hit).sum() / hit.sum())
    purity = float((found & touched).sum() / max(found.sum(), 1))
    return 2 * completeness * purity / (completeness + purity), completeness, purity


def residual(frame: Any, clean: NDArray[np.float32]) -> float:
    """Root mean square of what is left of the hits, in units of the noise.

    Parameters
    ----------
    frame : Frame
        Simulated frame with its truth.
    clean : (ny, nx) ndarray of float32
        Cleaned image.
    """
    hit = frame.truth(3)[BORDER]
    off = ((clean - frame.clean) * frame.cfg.gain / frame.sigma_e)[BORDER][hit]
    return float(np.sqrt(np.mean(np.square(off, dtype=np.float64))))


def bench_quality(path: Path, seeds: list[int], size: int) -> None:
    """Print the table of quality, in Markdown.

    Parameters
    ----------
    path : Path
        Simulator.
    seeds : list of int
        Seeds of the frames; figures are means over them.
    size : int
        Pixels a side.
    """
    simulate = simulator(path).simulate
    methods: dict[str, Callable[..., Any]] = {
        "L.A.Cosmic, defaults (as astroscrappy)": detect_cosmics,
        "L.A.Cosmic, true medians, objlim 2, medmask": lambda raw, **known: detect_cosmics(
            raw, **TRUE, **known
        ),
        "find_cosmics": find_cosmics,
    }
    try:
        import astroscrappy  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        pass
    else:
        methods["astroscrappy 1.3.0, defaults"] = astroscrappy.detect_cosmics
    rows: dict[str, list[str]] = {name: [] for name in methods}
    for preset in PRESETS:
        frames = [simulate(preset, size, seed=seed) for seed in seeds]
        for name, method in methods.items():
            figures = []
            for frame in frames:
                known = {"gain": frame.cfg.gain, "readnoise": frame.cfg.readnoise}
                mask, clean = method(frame.raw, satlevel=frame.meta["satlevel_e"], **known)
                figures.append((*score(frame, mask), residual(frame, clean)))
            f1, completeness, purity, left = np.mean(figures, axis=0)
            rows[name].append(f"{f1:.3f} ({completeness:.3f}/{purity:.3f}), {left:.1f} σ")
    print(f"F1 (completeness/purity), rms left; {size} x {size}, seeds {', '.join(map(str, seeds))}\n")
    print("| | " + " | ".join(PRESETS) + " |")
    print("|---" * (len(PRESETS) + 1) + "|")
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(cells) + " |")


def spent(work: Callable[[], object]) -> tuple[float, float, float]:
    """CPU time, wall time, and CPU time of the busier half of the threads of one run, seconds.

    Parameters
    ----------
    work : callable
        What to time.
    """
    thread, cpu, wall = time.thread_time(), time.process_time(), time.perf_counter()
    work()
    thread, cpu, wall = time.thread_time() - thread, time.process_time() - cpu, time.perf_counter() - wall
    return cpu, wall, max(thread, cpu - thread)


def extra_memory(who: str, file: Path, separable: bool) -> float:
    """Bytes per pixel that a call adds to its process at its peak, results included (Linux).

    Parameters
    ----------
    who : {'ours', 'theirs'}
        Whose function.
    file : Path
        Image as a NumPy file.
    separable : bool
        Kind of medians.
    """
    command = [sys.executable, "-c", MEMORY, who, str(file), str(int(separable))]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def bench_speed(path: Path, sizes: list[int], repeats: int, preset: str) -> None:
    """Print CPU times and memory against astroscrappy.

    Parameters
    ----------
    path : Path
        Simulator.
    sizes : list of int
        Pixels a side.
    repeats : int
        Runs of ours for every one of theirs.
    preset : str
        Kind of frame.
    """
    simulate = simulator(path).simulate
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            data = simulate(preset, size, seed=3).raw.astype(np.float32)
            file = Path(folder) / f"{size}.npy"
            np.save(file, data)
            for separable in (True, False):
                name = "defaults" if separable else "true medians"
                print(f"\n{preset} {size} x {size}, {name}, niter 4, median of {repeats} (theirs: 1)")
                compare_speed(data, repeats, {"gain": 1.5, "readnoise": 6.0, "sepmed": separable})
                if sys.platform == "linux":
                    ours, theirs = (extra_memory(who, file, separable) for who in ("ours", "theirs"))
                    print(f"  memory added     ours {ours:5.1f} B/px, astroscrappy {theirs:5.1f} B/px")


def compare_speed(data: NDArray[np.float32], repeats: int, keywords: dict[str, Any]) -> None:
    """Print the times of one image.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Image.
    repeats : int
        Runs of ours.
    keywords : dict
        Arguments of both.
    """
    import astroscrappy  # type: ignore[import-untyped,unused-ignore]

    # In turn, so that a machine whose speed drifts does not favour one.
    runs = [
        [spent(partial(detect_cosmics, data, threads=threads, **keywords)) for threads in (1, 2)]
        for _ in range(repeats + 1)
    ]
    (cpu, wall, _), (cpu2, wall2, busier) = np.median(runs[1:], axis=0)
    theirs, wall3, _ = spent(partial(astroscrappy.detect_cosmics, data, **keywords))
    nanoseconds = 1e9 * cpu / data.size
    print(f"  ours, 1 thread   CPU {cpu:8.3f} s  wall {wall:8.3f} s  {nanoseconds:6.1f} ns/px")
    ratios = f"one / two: wall {wall / wall2:.2f}, CPU of the busier thread {cpu / busier:.2f}"
    print(f"  ours, 2 threads  CPU {cpu2:8.3f} s  wall {wall2:8.3f} s  {ratios}")
    print(f"  astroscrappy     CPU {theirs:8.3f} s  wall {wall3:8.3f} s  CPU {theirs / cpu:.0f} x ours")
    if keywords["sepmed"]:
        return
    try:
        from lacosmic import remove_cosmics
    except ImportError:
        return
    logging.getLogger("lacosmic").setLevel(logging.WARNING)
    # Its medians are true ones; limits are those of the other two.
    limits = {"contrast": 5.0, "cr_threshold": 4.5, "neighbor_threshold": 0.3 * 4.5}
    noise = {"effective_gain": keywords["gain"], "readnoise": keywords["readnoise"]}
    theirs, wall3, _ = spent(partial(remove_cosmics, data, **limits, **noise))
    print(f"  lacosmic         CPU {theirs:8.3f} s  wall {wall3:8.3f} s  CPU {theirs / cpu:.0f} x ours")


def main() -> None:
    """Run the benches."""
    here = Path(__file__).parents[3]
    shared = Path(os.environ.get("UPRAMP_SHARED", here.parent / "shared"))
    parser = argparse.ArgumentParser(prog="python -m upramp.bench.cosmics", description=__doc__)
    parser.add_argument("--simulator", type=Path, default=shared / "tools" / "sim_ccd.py", metavar="FILE")
    parser.add_argument("--quality", action="store_true", help="quality instead of speed")
    parser.add_argument("--seeds", default="101,102,103,42", help="of the frames of --quality")
    parser.add_argument("--preset", choices=PRESETS, default="ground", help="frame to time (default ground)")
    parser.add_argument(
        "--size", type=int, action="append", help="pixels a side (2048 and 4096; quality: 1024)"
    )
    parser.add_argument("--repeats", type=int, default=5, help="runs a line (default 5)")
    args = parser.parse_args()
    if args.quality:
        bench_quality(args.simulator, [int(seed) for seed in args.seeds.split(",")], (args.size or [1024])[0])
    else:
        # Its wheel reads this once: as many threads as ours.
        if "OMP_NUM_THREADS" not in os.environ:
            os.environ["OMP_NUM_THREADS"] = "1"
            os.execv(sys.executable, [sys.executable, "-m", "upramp.bench.cosmics", *sys.argv[1:]])
        bench_speed(args.simulator, args.size or [2048, 4096], args.repeats, args.preset)


if __name__ == "__main__":
    main()
