"""Ramp fits and jump searches beside their peers, on the same cubes in one run: ``python -m upramp.bench.ramps``.

Every call runs in a process of its own, forked from one that holds the cube, in turns with all others. Lines give
medians: CPU time (that of all threads and child processes), wall time, and the peak of memory that the call added,
products included, in units of the cube. Peers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import copy
import logging
import multiprocessing
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from upramp.ramps import find_jumps, fit_gls, fit_ols

__all__ = ["Case", "Cost", "Method", "main", "measure", "methods", "simulate_case"]

FLAGS = {
    "GOOD": 0,
    "DO_NOT_USE": 1,
    "SATURATED": 2,
    "JUMP_DET": 4,
    "PERSISTENCE": 32,
    "CHARGELOSS": 128,
    "NO_GAIN_VALUE": 1 << 19,
    "UNRELIABLE_SLOPE": 1 << 24,
    "REFERENCE_PIXEL": 1 << 31,
}
NFRAMES, GROUPGAP, FRAME_TIME = 4, 1, 10.737
GROUP_TIME = (NFRAMES + GROUPGAP) * FRAME_TIME
GAIN, READ_NOISE = 1.8, 12.0


@dataclass(frozen=True)
class Case:
    """A cube of groups of four frames, and what its fit needs."""

    data: NDArray[np.float32]
    """Samples, DN, (1, ngroups, ny, nx)."""
    hit: NDArray[np.uint8]
    """Flags of the groups with the jumps of the truth, likewise."""
    gain: NDArray[np.float32]
    """Electrons per DN, (ny, nx)."""
    noise: NDArray[np.float32]
    """Noise of one frame, electrons."""

    @property
    def times(self) -> list[NDArray[np.float64]]:
        """Times of the frames of every group, seconds."""
        step = np.arange(1.0, NFRAMES + 1)
        return [(step + k * (NFRAMES + GROUPGAP)) * FRAME_TIME for k in range(self.data.shape[1])]

    @property
    def cds_noise(self) -> NDArray[np.float32]:
        """Noise of the difference of two frames, DN, a new array."""
        return (self.noise * np.float32(np.sqrt(2)) / self.gain).astype(np.float32)


class Method(NamedTuple):
    """A call to measure."""

    name: str
    run: Callable[[Case, int], object]
    """Takes the case and the number of threads (or processes)."""
    peer: str = ""
    """Name of the method to compare with."""
    threads: bool = True
    """Whether it can use more than one."""
    prepare: Callable[[Case], Any] | None = None
    """What to make of the case before the clock starts; `run` gets it in its place."""


class Cost(NamedTuple):
    """Of one call."""

    wall: float
    cpu: float
    memory: float
    """Peak of memory that it added, bytes."""


def simulate_case(size: int, ngroups: int, hits: float, seed: int = 1) -> Case:
    """Simulate ramps of all rates from 0.1 to 1000 electrons per second.

    Parameters
    ----------
    size : int
        Rows and columns.
    ngroups : int
        Groups.
    hits : float
        Fraction of the pixels to be struck once.
    seed : int, optional
        Of the random numbers.
    """
    rng = np.random.default_rng(seed)
    rate = 10 ** rng.uniform(-1, 3, (size, size)).astype(np.float32)
    struck = rng.random((size, size)) < hits
    when = rng.integers(1, ngroups, (size, size))
    charge = np.where(struck, 10 ** rng.uniform(2, 4.5, (size, size)), 0).astype(np.float32)
    data = np.empty((1, ngroups, size, size), np.float32)
    total = np.zeros((size, size), np.float32)
    for group in range(ngroups):
        total += charge * (when == group)
        mean = np.zeros_like(total)
        for _ in range(NFRAMES):
            total += rng.poisson(rate * FRAME_TIME)
            mean += total + rng.normal(0, READ_NOISE, total.shape).astype(np.float32)
        data[0, group] = mean / NFRAMES / GAIN
        total += rng.poisson(rate * GROUPGAP * FRAME_TIME)
    hit = np.zeros(data.shape, np.uint8)
    hit[0][when[None] == np.arange(ngroups)[:, None, None]] = 4
    hit[0, :, ~struck] = 0
    image = np.ones((size, size), np.float32)
    return Case(data, hit, GAIN * image, READ_NOISE * image)


def _ols(case: Case, threads: int, dq: NDArray[np.uint8] | None) -> object:
    return fit_ols(
        case.data,
        group_time=GROUP_TIME,
        frame_time=FRAME_TIME,
        nframes=NFRAMES,
        groupgap=GROUPGAP,
        read_noise=case.noise,
        gain=case.gain,
        dq=dq,
        threads=threads,
    )


def _jumps(case: Case, threads: int) -> Any:
    dq = np.zeros_like(case.hit)
    return find_jumps(case.data, dq, read_noise=case.noise, gain=case.gain, nframes=NFRAMES, threads=threads)


def _gls(case: Case, threads: int) -> object:
    return fit_gls(case.data[0], case.times, case.noise, gain=case.gain, threads=threads)


def methods() -> Iterator[Method]:
    """Yield the methods to measure: ours, and the peers that are installed."""
    yield Method("copy of the cube", lambda case, _: case.data.copy(), threads=False)
    yield Method("fit_ols", lambda case, threads: _ols(case, threads, case.hit), "stcal OLS_C")
    yield Method("fit_ols, no flags", lambda case, threads: _ols(case, threads, None))
    yield Method("find_jumps", _jumps, "stcal jumps")
    yield Method(
        "find_jumps, fit_ols",
        lambda case, threads: _ols(case, threads, _jumps(case, threads).dq),
        "stcal jumps, OLS_C",
    )
    yield Method("fit_gls with jumps", _gls, "stcal LIKELY")
    with suppress(ImportError):
        yield from _stcal_methods()


def _stcal_methods() -> Iterator[Method]:
    from stcal.jump.jump import detect_jumps_data
    from stcal.jump.jump_class import JumpData
    from stcal.ramp_fitting.ramp_fit import ramp_fit_data
    from stcal.ramp_fitting.ramp_fit_class import RampData

    def as_ramp_data(case: Case, algorithm: str = "OLS_C") -> Any:
        shape = case.gain.shape
        ramps = RampData()
        dq = case.hit.copy() if algorithm == "OLS_C" else np.zeros_like(case.hit)
        ramps.set_arrays(case.data, dq, np.zeros(shape, np.uint32), np.zeros(shape, np.float32))
        ramps.algorithm = algorithm
        ramps.set_meta("NIRCAM", FRAME_TIME, GROUP_TIME, GROUPGAP, NFRAMES, 0)
        ramps.set_dqflags(FLAGS)
        ramps.start_row, ramps.num_rows = 0, shape[0]
        ramps.suppress_one_group_ramps = True
        return ramps, case.cds_noise, case.gain, algorithm

    def as_jump_data(case: Case) -> Any:
        jumps = JumpData(dqflags=FLAGS)
        jumps.nframes = NFRAMES
        jumps.dt_group, jumps.n_reads_groupdiff = np.ones(1), np.full(1, 2.0 * NFRAMES)
        jumps.init_arrays_from_arrays(
            case.data, np.zeros_like(case.hit), np.zeros(case.gain.shape, np.uint32)
        )
        jumps.gain_2d, jumps.rnoise_2d = case.gain, case.cds_noise
        return jumps

    def fit(prepared: Any, processes: int) -> object:
        ramps, noise, gain, algorithm = prepared
        return ramp_fit_data(ramps, False, noise, gain, algorithm, "optimal", str(processes))

    def find(jumps: Any, processes: int) -> Any:
        jumps.max_cores = str(processes)
        return detect_jumps_data(jumps)

    def both(prepared: Any, processes: int) -> object:
        (ramps, *rest), jumps = prepared
        ramps.groupdq = find(jumps, processes)[0]
        return fit((ramps, *rest), processes)

    yield Method("stcal OLS_C", fit, threads=False, prepare=as_ramp_data)
    yield Method("stcal jumps", find, threads=False, prepare=as_jump_data)
    yield Method(
        "stcal jumps, OLS_C",
        both,
        threads=False,
        prepare=lambda case: (as_ramp_data(case), as_jump_data(case)),
    )
    yield Method(
        "stcal LIKELY", fit, threads=False, prepare=lambda case: copy.copy(as_ramp_data(case, "LIKELY"))
    )


def measure(method: Method, case: Case, threads: int) -> Cost:
    """Run a method once, in a process of its own.

    Parameters
    ----------
    method : Method
        What to run.
    case : Case
        On what.
    threads : int
        With how many threads.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_run, args=(method, case, threads, sender))
    child.start()
    sender.close()
    try:
        cost: Cost = receiver.recv()
    except EOFError:
        raise RuntimeError(f"{method.name} ended without a result") from None
    finally:
        child.join()
    return cost


def _run(method: Method, case: Case, threads: int, sender: Any) -> None:
    warnings.simplefilter("ignore")
    logging.disable()
    given = case if method.prepare is None else method.prepare(case)
    before = resident()
    start = time.perf_counter(), _cpu()
    method.run(given, threads)
    wall, cpu = time.perf_counter() - start[0], _cpu() - start[1]
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    sender.send(Cost(wall, cpu, max(0.0, peak - before)))
    sender.close()


def _cpu() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in usage)


def resident() -> float:
    """Bytes of memory this process holds now; where that is not known, the most it has held."""
    status = Path("/proc/self/statm")
    if status.exists():
        return float(status.read_text().split()[1]) * resource.getpagesize()
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def main(argv: list[str] | None = None) -> None:
    """Print the table, for the command line.

    Parameters
    ----------
    argv : list of str, optional
        Command line.
    """
    parser = argparse.ArgumentParser(prog="python -m upramp.bench.ramps", description=__doc__)
    parser.add_argument("--size", type=int, default=512, help="rows and columns (default %(default)s)")
    parser.add_argument("--groups", type=int, default=10, help="groups (default %(default)s)")
    parser.add_argument("--hits", type=float, default=0.03, help="fraction of pixels struck")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each (default %(default)s)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads")
    parser.add_argument("--only", nargs="+", help="methods whose names begin so")
    options = parser.parse_args(argv)
    case = simulate_case(options.size, options.groups, options.hits)
    chosen = [
        (method, threads)
        for method in methods()
        for threads in (options.threads if method.threads else options.threads[:1])
        if not options.only or method.name.startswith(tuple(options.only))
    ]
    costs: dict[tuple[str, int], list[Cost]] = {}
    for _ in range(options.repeats):
        for method, threads in chosen:
            costs.setdefault((method.name, threads), []).append(measure(method, case, threads))
    medians = {key: Cost(*np.median(each, axis=0)) for key, each in costs.items()}
    reads, size = case.data.size, case.data.nbytes
    print(
        f"{options.size} x {options.size} x {options.groups} float32, {options.hits:.0%} of the pixels struck"
    )
    print(f"{'':24}{'threads':>8}{'CPU ns':>9}{'wall ns':>9}{'extra memory':>14}{'peer / this':>14}")
    for method, threads in chosen:
        cost = medians[method.name, threads]
        peer = medians.get((method.peer, options.threads[0]))
        ratio = f"{peer.cpu / cost.cpu:8.1f} x CPU" if peer is not None else ""
        per_read = f"{1e9 * cost.cpu / reads:9.2f}{1e9 * cost.wall / reads:9.2f}"
        print(f"{method.name:24}{threads:8}{per_read}{cost.memory / size:8.2f} cubes{ratio:>14}")


if __name__ == "__main__":
    main()
