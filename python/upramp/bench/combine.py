"""How fast frames are combined, against NumPy, bottleneck, astropy and ccdproc in the same run.

``python -m upramp.bench.combine`` prints the tables of docs/ccd.md. Times are CPU seconds of the process (so that
neighbours on the machine count little), medians over alternating runs; peers that are not installed are left out.
Files are read from the system's cache.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upramp.ccd import combine
from upramp.io import fits

__all__ = ["main"]

Work = Callable[[], object]


def alternate(works: dict[str, Work], repeats: int) -> dict[str, tuple[float, float]]:
    """Median CPU and wall time of each, seconds, run in turns after one run that does not count.

    Parameters
    ----------
    works : dict of str to callable
        What to time.
    repeats : int
        Turns.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            cpu, wall = time.process_time(), time.perf_counter()
            work()
            if turn:
                times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    found = {}
    for name, runs in times.items():
        cpu, wall = np.median(np.array(runs), axis=0)
        found[name] = float(cpu), float(wall)
    return found


def table(title: str, found: dict[str, tuple[float, float]], pixels: int) -> None:
    """Print a table; ratios are to the first line.

    Parameters
    ----------
    title : str
        Heading.
    found : dict of str to (float, float)
        CPU and wall time, s.
    pixels : int
        Pixels of all frames.
    """
    print(f"\n{title}")
    print(f"  {'':44}{'CPU ms':>10}{'wall ms':>10}{'ns/pixel':>10}{'x ours':>8}")
    first = next(iter(found.values()))[0]
    for name, (cpu, wall) in found.items():
        ratio = f"{cpu / first:8.1f}"
        print(f"  {name:44}{1e3 * cpu:10.1f}{1e3 * wall:10.1f}{1e9 * cpu / pixels:10.2f}{ratio}")


def has(name: str) -> bool:
    """Whether a package can be imported.

    Parameters
    ----------
    name : str
        Package.
    """
    return importlib.util.find_spec(name) is not None


def ccdproc_work(cube: NDArray[Any], **options: Any) -> Work:
    """``ccdproc.combine`` of the frames, in float32.

    Parameters
    ----------
    cube : ndarray, (n, ny, nx)
        Frames.
    **options
        Passed on.
    """
    import ccdproc
    from astropy.nddata import CCDData

    frames = [CCDData(image, unit="adu") for image in cube]
    return lambda: ccdproc.combine(frames, dtype=np.float32, **options)


def medians(cube: NDArray[Any], repeats: int, *, slow: bool) -> None:
    """Time medians.

    Parameters
    ----------
    cube : ndarray, (n, ny, nx)
        Frames.
    repeats : int
        Turns.
    slow : bool
        Whether to run ccdproc.
    """
    works: dict[str, Work] = {
        "combine, median": lambda: combine(cube, uncertainty=False, threads=1),
        "combine, median and uncertainty": lambda: combine(cube, threads=1),
        "combine, median, 2 threads": lambda: combine(cube, uncertainty=False, threads=2),
        "numpy.median": lambda: np.median(cube, axis=0),
    }
    if has("bottleneck"):
        import bottleneck

        works["bottleneck.nanmedian"] = lambda: bottleneck.nanmedian(cube, axis=0)
    if slow and has("ccdproc"):
        works["ccdproc.combine, median"] = ccdproc_work(cube, method="median")
    n, ny, nx = cube.shape
    table(f"median of {n} x {ny} x {nx}, {cube.dtype}, 1 thread", alternate(works, repeats), cube.size)


def means(cube: NDArray[Any], repeats: int, *, slow: bool) -> None:
    """Time means and clipped means.

    Parameters
    ----------
    cube : ndarray, (n, ny, nx)
        Frames.
    repeats : int
        Turns.
    slow : bool
        Whether to run ccdproc.
    """
    from astropy.stats import sigma_clip

    clip: dict[str, Any] = {"sigma_clip": 3.0, "max_iter": 5, "uncertainty": False, "threads": 1}
    works: dict[str, Work] = {
        "combine, mean, 3 sigma, 5 rounds": lambda: combine(cube, "mean", **clip),
        "the same, deviation mad": lambda: combine(cube, "mean", deviation="mad", **clip),
        "combine, mean, minmax 1": lambda: combine(cube, "mean", minmax=1, uncertainty=False, threads=1),
        "combine, mean": lambda: combine(cube, "mean", uncertainty=False, threads=1),
        "numpy.mean": lambda: cube.mean(axis=0),
        "astropy sigma_clip, 5 rounds, mean": lambda: sigma_clip(cube, 3, maxiters=5, axis=0).mean(axis=0),
    }
    if slow and has("ccdproc"):
        works["ccdproc.combine, average, 1 round"] = ccdproc_work(
            cube,
            method="average",
            sigma_clip=True,
            sigma_clip_low_thresh=3,
            sigma_clip_high_thresh=3,
            sigma_clip_func=np.ma.median,
        )
    n, ny, nx = cube.shape
    table(f"means of {n} x {ny} x {nx}, {cube.dtype}, 1 thread", alternate(works, repeats), cube.size)


MEMORY = """
import re, sys, tempfile
import numpy as np
from upramp.ccd import combine
def peak(): return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
names, limit = sys.argv[2:], int(sys.argv[1])
from upramp.io import fits
with tempfile.TemporaryDirectory() as folder:
    fits.PrimaryHDU(np.ones((8, 8), np.uint16)).writeto(folder + "/x.fits")
    combine([folder + "/x.fits"] * 2, threads=1)
before = peak()
found = combine(names, memory_limit=limit, threads=1)
print(peak() - before - found.data.nbytes - found.uncertainty.nbytes)
"""

OPENS = """
import collections, sys
from upramp.ccd import combine
opened = collections.Counter()
sys.addaudithook(lambda event, args: event == "open" and opened.update([str(args[0])]))
combine(sys.argv[2:], memory_limit=int(sys.argv[1]))
print(max(opened[name] for name in sys.argv[2:]))
"""


def files(count: int, size: int, repeats: int, *, slow: bool) -> None:
    """Time files, and measure scratch memory and how often they are opened.

    Parameters
    ----------
    count, size : int
        Number of files, and pixels a side.
    repeats : int
        Turns.
    slow : bool
        Whether to run ccdproc.
    """
    rng = np.random.default_rng(3)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"f{k:04d}.fits" for k in range(count)]
        for path in paths:
            image = rng.integers(900, 1100, (size, size), dtype=np.uint16)
            header = fits.Header([("BUNIT", "adu")])
            fits.PrimaryHDU(image, header).writeto(path)
        names = [str(path) for path in paths]

        def plain() -> object:
            return np.median(np.array([fits.getdata(path) for path in paths]), axis=0)

        works: dict[str, Work] = {
            "combine of files": lambda: combine(paths, uncertainty=False, threads=1),
            "combine of files, 16 MB": lambda: combine(
                paths, uncertainty=False, threads=1, memory_limit=16 << 20
            ),
            "combine of files, 2 threads": lambda: combine(paths, uncertainty=False, threads=2),
            "bare read of the bytes": lambda: [path.read_bytes() for path in paths],
        }
        if slow:
            works["astropy and numpy.median"] = plain
        if slow and has("ccdproc"):
            import ccdproc

            works["ccdproc.combine of files, mem_limit 350 MB"] = lambda: ccdproc.combine(
                names, method="median", dtype=np.float32, mem_limit=350e6
            )
        found = alternate(works, repeats)
        table(f"files: {count} x {size} x {size}, uint16, 1 thread", found, count * size * size)
        if sys.platform != "linux":
            return
        for limit in (16 << 20, 64 << 20):
            run = [sys.executable, "-c", MEMORY, str(limit), *names]
            scratch = int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
            print(f"  scratch with memory_limit {limit >> 20} MiB: {scratch / (1 << 20):.1f} MiB")
        run = [sys.executable, "-c", OPENS, str(16 << 20), *names]
        most = int(re.sub(r"\D", "", subprocess.run(run, capture_output=True, text=True, check=True).stdout))
        print(f"  each file was opened {most} time(s)")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m upramp.bench.combine", description=__doc__)
    parser.add_argument("--frames", type=int, default=20, help="frames (default 20)")
    parser.add_argument("--size", type=int, default=2048, help="pixels a side (default 2048)")
    parser.add_argument("--repeats", type=int, default=3, help="turns (default 3)")
    parser.add_argument("--many", type=int, default=1000, help="small files of 256 x 256 (default 1000)")
    parser.add_argument("--quick", action="store_true", help="without ccdproc")
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    words = rng.normal(1000, 10, (args.frames, args.size, args.size)).astype(np.uint16)
    numbers = rng.normal(1000, 10, words.shape).astype(np.float32)
    slow = not args.quick
    medians(numbers, args.repeats, slow=slow)
    medians(words, args.repeats, slow=slow)
    means(numbers, args.repeats, slow=slow)
    del words, numbers
    files(args.frames, args.size, args.repeats, slow=slow)
    if args.many:
        files(args.many, 256, args.repeats, slow=False)


if __name__ == "__main__":
    main()
