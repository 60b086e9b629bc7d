"""A RAW file to IMA and FLT: wall and CPU time by stage, and beside calwf3."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from upramp._arrays import count_threads
from upramp.wfc3ir.calibration import gather, prepare
from upramp.wfc3ir.exposure import read_ramp
from upramp.wfc3ir.files import SMALL_CACHE
from upramp.wfc3ir.pipeline import finish
from upramp.wfc3ir.products import write_flt, write_ima
from upramp.wfc3ir.references import Cache, Refs
from upramp.wfc3ir.steps import steps_to_do

__all__ = ["Cost", "bench_calibration", "ours", "run", "stages", "theirs"]


class Cost(NamedTuple):
    """Of a process from its start to its end."""

    wall: float
    cpu: float
    memory: float
    """Peak resident size, MB."""


def run(command: list[str], directory: Path, environment: dict[str, str] | None = None) -> Cost:
    """Run a command and tell what it cost.

    Parameters
    ----------
    command : list of str
        Program and arguments.
    directory : Path
        Where to run it.
    environment : dict of str to str, optional
        Variables to add.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=directory, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with status {status}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6)


def bench_calibration(raw: Path, refs: Path, against: str | None, repeats: int) -> None:
    """Time the whole calibration of a RAW file.

    Parameters
    ----------
    raw : Path
        RAW file.
    refs : Path
        Directory of its reference files.
    against : str or None
        Path of calwf3.e, to run in turns with upramp.
    repeats : int
        Runs of each.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        # First, while this process is small: a child's peak memory counts from its parent's.
        commands: dict[str, Callable[[], Cost]] = {
            f"upramp, {threads} thread(s)": partial(ours, raw, refs, work, threads)
            for threads in sorted({1, count_threads(None)})
        }
        if against is not None:
            shutil.copy(raw, work)
            commands["calwf3"] = partial(theirs, raw, refs, work, against)
        imports = [sys.executable, "-c", "import numpy, astropy.io.fits"]
        commands["numpy and astropy, nothing else"] = partial(run, imports, work)
        costs: dict[str, list[Cost]] = {name: [] for name in commands}
        for _ in range(repeats + 1):
            for name, command in commands.items():
                costs[name].append(command())
        # The first of each only fills caches.
        medians = {name: Cost(*np.median(costs[name][1:], axis=0)) for name in commands}
        own = stages(raw, refs, work, repeats)
    print(f"\nwhole commands, interpreter included, median of {repeats}")
    reference = medians.get("calwf3")
    for name, cost in medians.items():
        line = f"  {name:34}{cost.wall:7.2f} s wall {cost.cpu:7.2f} s CPU {cost.memory:6.0f} MB"
        if reference is not None:
            line += f"   calwf3 / this: {reference.wall / cost.wall:5.2f} wall, {reference.cpu / cost.cpu:5.2f} CPU"
        print(line)
    if reference is not None:
        ratios = f"{reference.wall / own.wall:5.2f} wall, {reference.cpu / own.cpu:5.2f} CPU"
        print(f"  calwf3 / all stages, 1 thread, without the start of the interpreter: {ratios}")


def ours(raw: Path, refs: Path, work: Path, threads: int) -> Cost:
    """Run ``upramp cal`` on so many cores."""
    (work / "ours").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "upramp", "cal", str(raw.resolve()), "--refs", str(refs.resolve())]
    command += ["-o", "ours", "--overwrite", "--quiet"]
    if sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))[-threads:]
        command = ["taskset", "-c", ",".join(map(str, cores)), *command]
    return run(command, work)


def theirs(raw: Path, refs: Path, work: Path, program: str) -> Cost:
    """Run calwf3, which does not replace its products."""
    root = raw.name.removesuffix("_raw.fits")
    for suffix in ("_ima.fits", "_flt.fits", ".tra"):
        (work / f"{root}{suffix}").unlink(missing_ok=True)
    return run([program, raw.name], work, {"iref": f"{refs.resolve()}/"})


BARE = "bare reading and writing of the bytes"


def stages(raw: Path, refs: Path, work: Path, repeats: int) -> Cost:
    """Print what each stage takes, with one thread, and the bare reading and writing of the same bytes.

    Parameters
    ----------
    raw, refs, work : Path
        RAW file, directory of its reference files, where to write.
    repeats : int
        Runs of each.

    Returns
    -------
    Cost
        Wall and CPU time of all stages together, medians of their sums.
    """
    taken: dict[str, list[tuple[float, float]]] = {}
    clock = [(0.0, 0.0)]

    def lap(name: str) -> None:
        now = time.perf_counter(), time.process_time()
        taken.setdefault(name, []).append((now[0] - clock[0][0], now[1] - clock[0][1]))
        clock[0] = now

    for _ in range(repeats):
        clock[0] = time.perf_counter(), time.process_time()
        ramp = read_ramp(raw)
        lap("read the RAW")
        where = Refs(refs, cache=Cache(SMALL_CACHE))
        steps = steps_to_do(ramp)
        needs = gather(ramp, where, steps)
        lap("read and check the references")
        prepared = prepare(ramp, needs, steps, threads=1)
        needs.dark = None
        lap("DQICORR to UNITCORR")
        late = [step for step in steps if step in ("CRCORR", "FLATCORR")]
        done = finish(prepared.ramp, late, refs=where, needs=needs, threads=1)
        lap("CRCORR and FLATCORR")
        write_ima(work / "ima.fits", done.ramp, read_dq=done.fit.read_dq, overwrite=True, threads=1)
        write_flt(work / "flt.fits", done.fit, done.ramp, overwrite=True)
        lap("statistics, write IMA and FLT, flush")
        for source in (raw, *(where.find(ramp, key) for key in needs.told)):
            if source is not None:
                source.read_bytes()
        for product in ("ima.fits", "flt.fits"):
            data = (work / product).read_bytes()
            with (work / "copy").open("wb") as stream:
                stream.write(data)
                os.fsync(stream.fileno())
        lap(BARE)
    print(f"{raw.name}, 1 thread, median of {repeats}")
    for name, laps in taken.items():
        wall, cpu = np.median(laps, axis=0)
        print(f"  {name:40}{1e3 * wall:8.0f} ms wall {1e3 * cpu:8.0f} ms CPU")
    bare = float(np.median(taken.pop(BARE), axis=0)[0])
    wall, cpu = np.median(np.sum(list(taken.values()), axis=0), axis=0)
    print(
        f"  {'all but the bare':40}{1e3 * wall:8.0f} ms wall {1e3 * cpu:8.0f} ms CPU {wall / bare:6.2f} x bare"
    )
    return Cost(float(wall), float(cpu), 0.0)
