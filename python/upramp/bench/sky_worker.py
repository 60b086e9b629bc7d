"""One measurement of sky matching in a process of its own: ``python sky_worker.py TOOL METHOD STATISTIC FILE...``.

Needs no upramp for the peers, so that it can run in their environment. Prints one line of JSON: processor and wall
seconds from files to values, imports and a first call with two files not counted, peak memory in bytes, and the sky
of every file in data units.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["main"]

Run = Callable[[Sequence[str], str, str], tuple[dict[str, float], int]]
"""Takes files, method and statistic; gives values and the number of pairs (-1 if not known)."""


def prepare_upramp(engine: str) -> Run:
    """Ours, by either engine."""
    from upramp.sky import SkyStatistic, match_sky, read_images

    # What is imported when it is first used.
    for name in ("upramp.sky.coordinates", "upramp.sky.differences", "astropy.wcs"):
        import_module(name)

    def run(files: Sequence[str], method: str, statistic: str) -> tuple[dict[str, float], int]:
        images = read_images(files, bits=0)
        found = match_sky(images, method, engine=engine, statistic=SkyStatistic(statistic), threads=1)
        values = {image.path.name: value[0] for image, value in zip(images, found.values, strict=True)}
        return values, len(found.matched.pairs) if found.matched else -1

    return run


def prepare_skypac() -> Run:
    """stsci.skypac with its mask of good pixels, which 1.0.11 and later have the wrong way round."""
    skymatch: Any = import_module("stsci.skypac.skymatch")
    skyline: Any = import_module("stsci.skypac.skyline")
    mask = skyline.bitfield_to_boolean_mask
    skyline.bitfield_to_boolean_mask = lambda *args, **options: mask(
        *args, **(options | {"good_mask_value": True})
    )
    values: dict[str, float] = {}

    def keep(line: Any, *_: Any) -> None:
        values[Path(line.members[0].fname).name] = float(line.members[0].skyuser_delta)

    # Where values would be written to the files.
    skymatch._apply_skyuser = keep

    def run(files: Sequence[str], method: str, statistic: str) -> tuple[dict[str, float], int]:
        skymatch.skymatch(
            ",".join(files), method, skystat=statistic, dq_bits=0, readonly=True, verbose=False, flog=None
        )
        return dict(values), -1

    return run


def prepare_stcal() -> Run:
    """stcal.skymatch, its images read with astropy."""
    module: Any = import_module("stcal.skymatch")
    import numpy as np
    from astropy.wcs import WCS

    fits: Any = import_module("astropy.io.fits")

    def read(path: str, statistic: str) -> Any:
        with fits.open(path) as file:
            data = np.asarray(file["SCI", 1].data, np.float32)
            good = (file["DQ", 1].data == 0) & np.isfinite(data)
            wcs = WCS(file["SCI", 1].header, file)

        def forward(x: Any, y: Any, with_bounding_box: bool = False) -> Any:
            return wcs.all_pix2world(x, y, 0)

        def inverse(ra: Any, dec: Any, with_bounding_box: bool = False) -> Any:
            return wcs.all_world2pix(ra, dec, 0)

        return module.SkyImage(data, good, forward, inverse, module.SkyStats(statistic), sky_id=path)

    def run(files: Sequence[str], method: str, statistic: str) -> tuple[dict[str, float], int]:
        images = [read(path, statistic) for path in files]
        module.skymatch(images, {"localmin": "local"}.get(method, method.replace("min", "")))
        return {Path(image.sky_id).name: float(image.sky) for image in images}, -1

    return run


TOOLS: dict[str, Callable[[], Run]] = {
    "robust": lambda: prepare_upramp("robust"),
    "compat": lambda: prepare_upramp("compat"),
    "skypac": prepare_skypac,
    "stcal": prepare_stcal,
}


def peak() -> int:
    """Largest resident memory of this process so far, bytes (Linux)."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def main() -> None:
    """Measure once."""
    tool, method, statistic, *files = sys.argv[1:]
    warnings.simplefilter("ignore")
    if hasattr(os, "sched_setaffinity"):
        # One core for all that a tool may start.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    run = TOOLS[tool]()
    # What only the first call of a process costs (caches of astropy, pages of libraries) is no tool's speed.
    run(files[:2], method, statistic)
    base = peak()
    cpu, wall = time.process_time(), time.perf_counter()
    values, pairs = run(files, method, statistic)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    told = {"cpu": cpu, "wall": wall, "base": base, "peak": peak(), "pairs": pairs, "values": values}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
