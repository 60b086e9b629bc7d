"""Print a table of ratios for the fit, the flattening, and a whole ``fix`` from file to file.

Figures of a noisy machine mean little by themselves: every line is a median over repeats and a ratio to
something measured in the same run with the same number of threads.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upramp._arrays import count_threads
from upramp.bench.calibration import bench_calibration
from upramp.ramps import CrcorrParams, fit_crcorr, fit_gls, read_stats
from upramp.simulate import Exposure, Scene, Simulation, simulate
from upramp.tvb.fix import fix_file
from upramp.wfc3ir.exposure import read_ramp

BORDER = np.s_[5:-5, 5:-5]


def median_time(work: Callable[[], object], repeats: int) -> float:
    """Median wall time of `work`, seconds, after one run that does not count."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def stream(arrays: list[NDArray[np.generic]], threads: int) -> None:
    """Read every byte once: the floor that memory sets."""

    def touch(part: NDArray[np.generic]) -> None:
        part.max()

    parts = [part for array in arrays for part in np.array_split(array.reshape(-1), 4 * threads)]
    if threads == 1:
        for part in parts:
            touch(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(touch, parts))


def numpy_line(sci: NDArray[np.float32], times: NDArray[np.float64]) -> NDArray[np.float32]:
    """Plain least-squares slope of every pixel, without any rejection: what vectorised NumPy can do."""
    t = times[1:].astype(np.float32)
    counts = sci[1:] * t[:, None, None]
    off = t - t.mean()
    return np.tensordot(off / (off @ off), counts, axes=1)


def fit_gls_line(simulation: Simulation, threads: int) -> object:
    """Generalised least squares with search for hits, as the ramp fit of an exposure does it."""
    times = simulation.times
    return fit_gls(
        simulation.sci,
        times,
        14.2,
        dq=simulation.dq,
        scale=times,
        region=BORDER,
        details=False,
        flags=True,
        threads=threads,
    )


def bench_fit(simulation: Simulation, threads: int, repeats: int) -> None:
    """Time the ramp fit against the memory floor and NumPy."""
    sci, err, dq = simulation.sci, simulation.err, simulation.dq
    times = simulation.times.astype(np.float32)
    nbytes = sci.nbytes + err.nbytes + dq.nbytes
    floor = median_time(lambda: stream([sci, err, dq], threads), repeats)
    print(f"\nfit of {sci.shape} reads, {threads} thread(s), median of {repeats}")
    print(f"  memory floor (SCI, ERR, DQ once)  {1e3 * floor:8.1f} ms  {nbytes / floor / 1e9:5.1f} GB/s")
    for parity in (False, True):
        params = CrcorrParams(parity=parity, zeroth_time=float(times[1]))

        def work(params: CrcorrParams = params) -> object:
            return fit_crcorr(sci, err, dq, times, params, region=BORDER, threads=threads)

        spent = median_time(work, repeats)
        label = "parity" if parity else "default"
        print(f"  fit_crcorr ({label:7})              {1e3 * spent:8.1f} ms  {spent / floor:5.2f} x floor")
    spent = median_time(lambda: fit_gls_line(simulation, threads), repeats)
    print(f"  fit_gls, flags in and out         {1e3 * spent:8.1f} ms  {spent / floor:5.2f} x floor")
    print(
        f"                                    {1e9 * spent * threads / sci.size:8.1f} ns of core per sample"
    )
    if threads == 1:
        plain = median_time(lambda: numpy_line(sci, simulation.times), repeats)
        print(f"  NumPy line, no rejection          {1e3 * plain:8.1f} ms  {plain / floor:5.2f} x floor")


def bench_levels(simulation: Simulation, threads: int, repeats: int) -> None:
    """Time the median of every read against NumPy."""
    sci, dq = simulation.sci, simulation.dq
    print(f"\nmedian of every read, {threads} thread(s)")
    ours = median_time(lambda: read_stats(sci, dq, region=BORDER, threads=threads), repeats)

    def plain() -> None:
        for r in range(len(sci)):
            np.median(sci[r][BORDER][dq[r][BORDER] == 0])

    theirs = median_time(plain, max(repeats // 2, 3))
    print(f"  read_stats                        {1e3 * ours:8.1f} ms")
    print(
        f"  numpy.median of good pixels       {1e3 * theirs:8.1f} ms  {theirs / ours:5.2f} x ours (1 thread)"
    )


def bench_files(simulation: Simulation, threads: int, repeats: int) -> None:
    """Time reading against the bare bytes, and a whole fix by its parts."""
    with tempfile.TemporaryDirectory() as folder:
        source = simulation.write(folder)["ima"]
        out = Path(folder) / "out"
        out.mkdir()
        bare = median_time(source.read_bytes, repeats)
        ours = median_time(lambda: read_ramp(source), repeats)
        print(f"\nfiles ({source.stat().st_size / 1e6:.0f} MB), {threads} thread(s)")
        print(f"  bare read of the bytes            {1e3 * bare:8.1f} ms")
        print(f"  read_ramp                         {1e3 * ours:8.1f} ms  {ours / bare:5.2f} x bare")
        runs = [
            fix_file(source, out, overwrite=True, threads=threads).seconds
            for _ in range(max(repeats // 2, 3))
        ]
        total = float(np.median([sum(run.values()) for run in runs]))
        parts = ", ".join(
            f"{key} {1e3 * float(np.median([run[key] for run in runs])):.0f} ms" for key in runs[0]
        )
        print(f"  fix --method flatten              {1e3 * total:8.1f} ms  ({parts})")


MEMORY = """
import re
import numpy as np
from upramp.ramps import fit_crcorr
sci, err = np.ones((16, {n}, {n}), np.float32), np.ones((16, {n}, {n}), np.float32)
dq = np.full((16, {n}, {n}), 4, np.uint16)
times = np.arange(16, dtype=np.float32)
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
fit_crcorr(sci[:, :32, :32], err[:, :32, :32], dq[:, :32, :32], times)
before = peak()
fit_crcorr(sci, err, dq, times, region=np.s_[5:-5, 5:-5])
print((peak() - before) * 1024 / (sci.nbytes + err.nbytes + dq.nbytes))
"""


def extra_memory(size: int) -> float:
    """Peak memory that a fit adds to its input, as a fraction of SCI, ERR and DQ, in its own process (Linux)."""
    code = MEMORY.format(n=size + 10)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Run all benches."""
    parser = argparse.ArgumentParser(prog="python -m upramp.bench", description=__doc__)
    parser.add_argument("--size", type=int, default=1014, help="light-sensitive pixels a side (default 1014)")
    parser.add_argument("--repeats", type=int, default=9, help="runs a line (default 9)")
    parser.add_argument("--samp-seq", default="SPARS100", help="longer: more cosmic rays (default SPARS100)")
    parser.add_argument("--raw", type=Path, help="calibrate this RAW file from start to end instead")
    parser.add_argument("--refs", type=Path, help="directory of its reference files")
    parser.add_argument("--against", metavar="CALWF3", help="the calwf3.e to run on it beside upramp")
    args = parser.parse_args()
    if args.raw is not None:
        bench_calibration(args.raw, args.refs or args.raw.parent, args.against, args.repeats)
        return
    simulation = simulate(Exposure(size=args.size, samp_seq=args.samp_seq), Scene())
    for threads in sorted({1, count_threads(None)}):
        bench_fit(simulation, threads, args.repeats)
        bench_levels(simulation, threads, args.repeats)
    bench_files(simulation, count_threads(None), args.repeats)
    if sys.platform == "linux":
        print(f"\npeak memory that a fit adds to its input: {extra_memory(args.size):.3f} of SCI + ERR + DQ")


if __name__ == "__main__":
    main()
