"""``upramp demo``: see the main job done in a minute, without data."""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from upramp.cli.common import add_output_options, say

if TYPE_CHECKING:
    from upramp.tvb.compare import Comparison

__all__ = ["HELP", "NAME", "configure", "run"]

NAME = "demo"
HELP = "simulate an exposure spoiled by helium airglow, repair it, and show before and after"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("upramp_demo"), metavar="DIR",
        help="directory of the demo, whose earlier files are replaced (default upramp_demo)",
    )  # fmt: skip
    parser.add_argument("--size", type=int, default=256, help="light-sensitive pixels a side (default 256)")
    parser.add_argument("--helium", type=float, default=4.0, help="airglow reached, e-/s (default 4)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulation (default 1)")
    add_output_options(parser)


def run(args: argparse.Namespace) -> int:
    """Simulate, fit as it is, repair, compare."""
    from upramp import calibrate_file, compare, fix_file, read_ramp
    from upramp.simulate import Exposure, Scene, simulate
    from upramp.simulate.score import score_hits

    folder: Path = args.output
    for name in ("raw", "spoiled", "fixed"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    simulation = simulate(
        Exposure(rootname="demo01aaq", size=args.size, seed=args.seed), Scene(helium=args.helium)
    )
    source = simulation.write(folder / "raw", overwrite=True)["ima"]
    say(args, f"simulated {source}: {len(simulation.times)} reads, helium up to {args.helium:g} e-/s")

    # Fitted as it is: what the standard pipeline does to such an exposure.
    spoiled = calibrate_file(source, folder / "spoiled", only=["CRCORR"], overwrite=True)
    fixed = fix_file(source, folder / "fixed", overwrite=True)
    for label, outcome in (("as it is", spoiled), ("flattened", fixed)):
        score = score_hits(simulation, read_ramp(outcome.ima).dq)
        say(
            args,
            f"{label:>10}: sky {outcome.median:.4f} ± {outcome.noise:.4f} e-/s, "
            f"{100 * outcome.hit_fraction:.1f} % of the pixels flagged as hit; "
            f"{100 * score.completeness:.1f} % of {score.total} cosmic rays found, "
            f"{100 * score.false_fraction:.2f} % of the undisturbed pixels flagged",
            step=label,
            flt=str(outcome.flt),
            median=outcome.median,
            noise=outcome.noise,
            hit_fraction=outcome.hit_fraction,
            completeness=score.completeness,
            false_fraction=score.false_fraction,
        )
    comparison = compare(spoiled.flt, fixed.flt)
    say(args, f"\n{comparison}")
    if find_spec("matplotlib") is None:
        say(args, "no figure: matplotlib is missing (pip install 'upramp[plot]')")
        return 0
    # The flags of a spoiled fit pick pixels by their noise: its ramp is shown as it came.
    ramps = read_ramp(source), read_ramp(fixed.ima)
    say(args, f"figure: {_figure(folder, replace(comparison, ramps=ramps))}")
    return 0


def _figure(folder: Path, comparison: Comparison) -> Path:
    from upramp.io import atomic_path

    figure = comparison.plot()
    path = folder / "demo.png"
    with atomic_path(path, overwrite=True) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return path
