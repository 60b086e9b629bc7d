"""Sky matching against stsci.skypac and stcal, and its scaling: ``python -m upramp.bench.sky``.

Every run is a process of its own on one core, from files to values with Python up and modules imported; the tools
take turns, and figures are medians. skypac and stcal run in this interpreter where they can be imported, else in
that of ``--peer-python`` (skypac needs spherical_geometry below 1.4); skypac's inverted mask is set right.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from upramp.bench import sky_worker
from upramp.simulate import mosaic
from upramp.sky import ENGINES

__all__ = ["Cost", "bench_files", "bench_scaling", "main", "measure"]

PEERS = {"skypac": "stsci.skypac", "stcal": "stcal"}
LAYOUTS = {18: (3, 3), 72: (6, 6), 200: (10, 10), 500: (25, 10), 1000: (25, 20)}
"""Fields of two dithers each that make a number of exposures."""


class Cost(NamedTuple):
    """What a tool costs."""

    cpu: float
    """Processor time, s."""
    wall: float
    """Wall time, s."""
    peak: float
    """Peak memory, bytes, interpreter and modules included."""
    pairs: int
    """Overlapping pairs; -1 if not told."""
    values: dict[str, float]
    """Sky of every file."""


def measure(
    tools: dict[str, str], files: Sequence[Path], method: str, statistic: str, repeats: int
) -> dict[str, Cost]:
    """Run tools in turns.

    Parameters
    ----------
    tools : dict of str to str
        Interpreter of every tool.
    files : sequence of Path
        Images.
    method, statistic : str
        What to compute.
    repeats : int
        Runs of each.

    Returns
    -------
    dict of str to Cost
        Medians.
    """
    runs: dict[str, list[dict[str, Any]]] = {tool: [] for tool in tools}
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as place:  # skypac writes masks where it runs
        for _ in range(repeats):
            for tool, python in tools.items():
                command = [python, str(Path(sky_worker.__file__).resolve()), tool, method, statistic]
                command += [str(path.resolve()) for path in files]
                done = subprocess.run(
                    command, capture_output=True, text=True, check=False, env=environment, cwd=place
                )
                if done.returncode:
                    raise RuntimeError(f"{tool} failed: {done.stderr.strip().splitlines()[-1:]}")
                runs[tool].append(json.loads(done.stdout.splitlines()[-1]))

    def median(found: list[dict[str, Any]], key: str) -> float:
        return float(np.median([run[key] for run in found]))

    return {
        tool: Cost(
            median(found, "cpu"),
            median(found, "wall"),
            median(found, "peak"),
            int(found[0]["pairs"]),
            found[0]["values"],
        )
        for tool, found in runs.items()
    }


def bench_files(
    files: Sequence[Path], tools: dict[str, str], methods: Sequence[str], statistic: str, repeats: int
) -> None:
    """Compare the tools on the same files and print a table.

    Parameters
    ----------
    files : sequence of Path
        Images.
    tools : dict of str to str
        Interpreter of every tool.
    methods : sequence of str
        Methods.
    statistic : str
        Statistic.
    repeats : int
        Runs a line.
    """
    for method in methods:
        # Without overlaps the engines are the same.
        chosen = {tool: python for tool, python in tools.items() if "match" in method or tool != "robust"}
        costs = measure(chosen, files, method, statistic, repeats)
        print(f"\n{method} ({statistic}), {len(files)} exposures, one core, median of {repeats}")
        print("  tool       cpu (s)   wall (s)   peak (MB)   skypac/it   stcal/it   differs from skypac by")
        for tool, cost in costs.items():
            ratios = [costs[peer].cpu / cost.cpu if peer in costs else np.nan for peer in PEERS]
            others = costs["skypac"].values if "skypac" in costs else {}
            far = max((abs(cost.values[name] - value) for name, value in others.items()), default=np.nan)
            print(
                f"  {tool:8} {cost.cpu:9.3f}  {cost.wall:9.3f}  {cost.peak / 1e6:10.0f}  "
                f"{ratios[0]:10.1f}  {ratios[1]:9.1f}   {far:.1e}"
            )


def bench_scaling(
    numbers: Sequence[int], tools: dict[str, str], method: str, size: int, repeats: int, folder: Path | None
) -> None:
    """Time growing mosaics, simulated, and print a table.

    Parameters
    ----------
    numbers : sequence of int
        Exposures.
    tools : dict of str to str
        Interpreter of every tool.
    method : str
        Method.
    size : int
        Pixels a side.
    repeats : int
        Runs a line.
    folder : Path or None
        Where the mosaics are kept and found again; None for a temporary directory.
    """
    print(f"\n{method}, mosaics of {size} x {size} pixels, one core, median of {repeats}")
    print("  exposures  tool       cpu (s)   ms/exposure   pairs/exposure   ms/pair   peak (MB)")
    for number in numbers:
        with ExitStack() as stack:
            place = (
                folder / f"mosaic{number}_{size}"
                if folder
                else Path(stack.enter_context(tempfile.TemporaryDirectory()))
            )
            files = sorted(place.glob("*_flt.fits")) if place.is_dir() else []
            if len(files) != number:
                place.mkdir(parents=True, exist_ok=True)
                files = mosaic(place, fields=LAYOUTS[number], size=size, overwrite=True).paths
            for tool, cost in measure(tools, files, method, "median", repeats).items():
                print(
                    f"  {number:9d}  {tool:8} {cost.cpu:9.3f}  {1e3 * cost.cpu / number:12.1f}  "
                    f"{cost.pairs / number:15.1f}  {1e3 * cost.cpu / max(cost.pairs, 1):8.1f}  "
                    f"{cost.peak / 1e6:10.0f}",
                    flush=True,
                )


def main() -> None:
    """Run the benches."""
    parser = argparse.ArgumentParser(prog="python -m upramp.bench.sky", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="directory of FLT files (default: simulated)")
    parser.add_argument("--peer-python", metavar="PATH", help="interpreter that has skypac and stcal")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS), help="default: all")
    parser.add_argument("--methods", nargs="+", default=["localmin", "match"], help="default localmin match")
    parser.add_argument("--stat", default="median", help="statistic (median)")
    parser.add_argument("--size", type=int, default=1014, help="pixels a side of simulated images (1014)")
    parser.add_argument(
        "--scaling",
        nargs="*",
        type=int,
        choices=list(LAYOUTS),
        metavar="N",
        help="numbers of exposures: 18 72 500",
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep simulated mosaics, and use those there"
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs a line (3)")
    args = parser.parse_args()
    ours = dict.fromkeys(ENGINES, sys.executable)
    if args.scaling is not None:
        for method in args.methods:
            chosen = ours if "match" in method else {"compat": sys.executable}
            bench_scaling(args.scaling, chosen, method, args.size, args.repeats, args.keep)
        return
    peers = {
        peer: args.peer_python or sys.executable
        for peer in args.peers
        if args.peer_python or _importable(PEERS[peer])
    }
    with tempfile.TemporaryDirectory() as place:
        if args.folder is None:
            files = mosaic(place, fields=LAYOUTS[18], size=args.size).paths
        else:
            files = sorted(args.folder.glob("*_fl[tc].fits"))
        bench_files(files, ours | peers, args.methods, args.stat, args.repeats)


def _importable(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


if __name__ == "__main__":
    main()
