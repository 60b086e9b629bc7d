"""What generalised least squares with jumps costs, beside other packages: ``python -m upramp.bench.ramps_gls``.

All fits get the same ramps: float32, groups of four reads 10.7 s apart and a gap, 5 e-/s, 3 % of the pixels hit.
Peers that are installed run on a smaller cube, in turns with ours on the same one. CPU time is that of the whole
process; memory is the growth of its peak resident size during the call, in a process of its own, over the size of
the cube.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upramp.bench.ramp_peers import installed, quiet
from upramp.ramps import fit

__all__ = ["bench", "main", "make_cube", "memory_growth"]

NOISE = 12.0
FRAME = 10.737
OURS: dict[str, dict[str, Any]] = {
    "gls with jumps": {},
    "gls with jumps, chi square too": {"goodness": True},
    "gls with jumps, rates and errors alone": {"details": False},
    "gls without jumps": {"jumps": None},
    "casertano with jumps": {"method": "casertano", "jumps": "casertano"},
}


def make_cube(
    size: int, ngroups: int, seed: int = 1
) -> tuple[NDArray[np.float32], list[NDArray[np.float64]]]:
    """Ramps, and the times of their reads.

    Parameters
    ----------
    size : int
        Rows, and columns.
    ngroups : int
        Samples.
    seed : int, optional
        Seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    cube = np.empty((ngroups, size, size), np.float32)
    total = np.zeros((size, size), np.float32)
    hit = np.where(rng.random((size, size)) < 0.03, rng.integers(1, max(ngroups, 2), (size, size)), ngroups)
    charge = 10 ** rng.uniform(2, 4, (size, size)).astype(np.float32)
    for k in range(ngroups):
        total += rng.poisson(5 * 5 * FRAME, (size, size)).astype(np.float32)
        noise = rng.standard_normal((size, size), np.float32) * np.float32(NOISE / 2)
        cube[k] = total + noise + np.where(k >= hit, charge, 0)
    return cube, [FRAME * np.arange(5.0 * k + 1, 5 * k + 4.5) for k in range(ngroups)]


def memory_growth(name: str, size: int, ngroups: int) -> float:
    """Peak growth of a process over the cube's size in the fit called `name`, in this process.

    Parameters
    ----------
    name : str
        Ours, or a peer's.
    size, ngroups : int
        Of the cube.
    """
    cube, times = make_cube(size, ngroups)
    run = _runners(1)[name]
    with quiet():
        run(cube[:, :8, :8].copy(), times, NOISE)  # imports and caches
        status = Path("/proc/self/status")
        Path("/proc/self/clear_refs").write_text("5")
        before = _size(status, "VmRSS")
        made = run(cube, times, NOISE)
    growth = _size(status, "VmHWM") - before
    del made
    return growth / cube.nbytes


def _size(status: Path, key: str) -> float:
    line = next(line for line in status.read_text().splitlines() if line.startswith(key))
    return 1024 * float(line.split()[1])


def _ours(cube: Any, times: Any, noise: float, **options: Any) -> Any:
    return fit(cube, times, noise, **options)


def _runners(threads: int) -> dict[str, Callable[..., Any]]:
    ours: dict[str, Callable[..., Any]] = {
        name: partial(_ours, threads=threads, **options) for name, options in OURS.items()
    }
    return ours | (installed() if threads == 1 else {})


def bench(
    names: list[str], size: int, ngroups: int, threads: int, repeats: int
) -> dict[str, tuple[float, float]]:
    """CPU and wall time of fits in turns, nanoseconds a sample.

    Parameters
    ----------
    names : list of str
        Fits.
    size, ngroups : int
        Of the cube.
    threads : int
        For ours.
    repeats : int
        Rounds; medians are told.
    """
    cube, times = make_cube(size, ngroups)
    runners = _runners(threads)
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            with quiet():
                cpu, wall = time.process_time(), time.perf_counter()
                runners[name](cube, times, NOISE)
                spent[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    per = 1e9 / cube.size
    return {
        name: (
            per * statistics.median(cpu for cpu, _ in rounds),
            per * statistics.median(w for _, w in rounds),
        )
        for name, rounds in spent.items()
    }


def main(arguments: list[str] | None = None) -> None:
    """Print the tables, in Markdown.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the command line by default.
    """
    parser = argparse.ArgumentParser(prog="python -m upramp.bench.ramps_gls", description=__doc__)
    parser.add_argument("--size", type=int, default=2048, help="rows and columns of the cube (default 2048)")
    parser.add_argument("--peer-size", type=int, default=1024, help="the same beside peers (default 1024)")
    parser.add_argument("--groups", type=int, default=10, help="samples of a ramp (default 10)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--memory", metavar="NAME", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.memory:
        print(json.dumps(memory_growth(args.memory, args.size, args.groups)))
        return
    peers = [name for name in _runners(1) if name not in OURS]
    print(f"\n{args.size} x {args.size} x {args.groups} samples, float32, medians of {args.repeats}\n")
    print(
        "| | CPU, 1 thread (ns a sample) | wall, 1 thread | wall, 2 threads | memory / cube |\n"
        "|---|---|---|---|---|"
    )
    one = bench(list(OURS), args.size, args.groups, 1, args.repeats)
    two = bench(list(OURS), args.size, args.groups, 2, args.repeats)
    for name in OURS:
        memory = _in_a_process(name, args.size, args.groups)
        print(
            f"| {name} | {one[name][0]:.1f} | {one[name][1]:.1f} | {two[name][1]:.1f} "
            f"({one[name][1] / two[name][1]:.2f}x) | {memory} |"
        )
    if not peers:
        print("\nNo peers are installed.")
        return
    size = args.peer_size
    print(f"\n{size} x {size} x {args.groups} samples, in turns, 1 thread\n")
    print("| | CPU (ns a sample) | over ours | memory / cube |\n|---|---|---|---|")
    names = [*OURS, *peers]
    cost = bench(names, size, args.groups, 1, min(args.repeats, 3))
    for name in names:
        against = "casertano with jumps" if name == "cas22" else "gls with jumps"
        print(
            f"| {name} | {cost[name][0]:.1f} | {cost[name][0] / cost[against][0]:.1f} "
            f"| {_in_a_process(name, size, args.groups)} |"
        )
    print("\ncas22 is compared with our fit of the same kind, the others with `gls with jumps`.")


def _in_a_process(name: str, size: int, ngroups: int) -> str:
    if not os.access("/proc/self/clear_refs", os.W_OK):
        return "-"
    command = [sys.executable, "-m", "upramp.bench.ramps_gls", "--memory", name]
    command += ["--size", str(size), "--groups", str(ngroups)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return f"{json.loads(run.stdout.splitlines()[-1]):.2f}"


if __name__ == "__main__":
    main()
