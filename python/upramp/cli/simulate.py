"""``upramp simulate``: make an exposure with known truth."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from upramp.cli.common import add_output_options, say

__all__ = ["HELP", "NAME", "configure", "run"]

NAME = "simulate"
HELP = "simulate a WFC3/IR exposure with variable background and cosmic rays, with its truth"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command: one for every field of Exposure and Scene."""
    from upramp.simulate import Exposure, Scene

    parser.add_argument("-o", "--output", type=Path, default=Path(), metavar="DIR", help="where files go")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    for group, kind in (("exposure", Exposure), ("scene", Scene)):
        options = parser.add_argument_group(group)
        for item in fields(kind):
            option = "--" + item.name.replace("_", "-")
            default = item.default
            if isinstance(default, bool):
                options.add_argument(option, action=argparse.BooleanOptionalAction, default=default)
            else:
                # An option without a default is a count that the simulator scales with the area.
                cast = int if default is None else type(default)
                options.add_argument(option, type=cast, default=default, help=f"default {default}")
    add_output_options(parser)


def run(args: argparse.Namespace) -> int:
    """Simulate and write."""
    from upramp.simulate import Exposure, Scene, simulate

    exposure = Exposure(**{item.name: getattr(args, item.name) for item in fields(Exposure)})
    scene = Scene(**{item.name: getattr(args, item.name) for item in fields(Scene)})
    written = simulate(exposure, scene).write(args.output, overwrite=args.overwrite)
    for name, path in written.items():
        say(args, f"{name}: {path}", kind=name, file=str(path))
    return 0
