"""``upramp ramp``: level of the background up the ramp, as numbers and as figures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from upramp.cli.common import add_output_options, complain, say, section
from upramp.cli.ls import print_table, write_table
from upramp.exceptions import UprampError
from upramp.io import atomic_path, check_output

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.figure import Figure

    from upramp.wfc3ir.exposure import Ramp

__all__ = ["HELP", "NAME", "configure", "run"]

NAME = "ramp"
HELP = "measure and draw the reads of RAW or IMA files: regions, left and right, single pixels"

EXIT_SOME_FAILED = 6
STATISTICS = ("median", "mean", "mode", "std", "robust_std", "error", "npix")
LEVELS = ("median", "mean", "mode")
FIGURES = ("ramp", "panels", "accumulation", "sky")
CLIP = 3.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of the command.
    """
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="RAW or IMA files")
    where = "rows and columns of the readout, border included, counted from 0, ends excluded"
    parser.add_argument(
        "--region",
        type=section,
        metavar="Y0:Y1,X0:X1",
        help=f"{where} (default: all sensitive to light)",
    )
    for option, side in (("--lhs", "left"), ("--rhs", "right")):
        parser.add_argument(
            option,
            type=section,
            metavar="Y0:Y1,X0:X1",
            help=f"the {side} side, likewise (default: a strip near the {side} edge)",
        )
    parser.add_argument(
        "--stat",
        type=_statistics,
        default=("median",),
        metavar="S[,S]",
        help=f"any of {', '.join(STATISTICS)} (default median)",
    )
    parser.add_argument(
        "--units", choices=("rate", "counts"), default="rate", help="per second, or gathered (default rate)"
    )
    parser.add_argument(
        "--diff",
        choices=("interval", "cumulative", "read"),
        default="interval",
        help="rate of each interval between reads, change of the mean rate (earlier minus later), or the mean rate "
        "up to each read (default interval)",
    )
    parser.add_argument(
        "--clip",
        type=float,
        default=CLIP,
        metavar="S",
        help=f"leave out pixels beyond S robust sigma of their interval (default {CLIP:g}, 0 for none)",
    )
    parser.add_argument("--pixel", type=_pixel, metavar="X,Y", help="list and draw one pixel instead")
    parser.add_argument(
        "--draw",
        choices=FIGURES,
        default="ramp",
        help="with --png: levels up the ramp, an image of every interval, the accumulated signal, or the histogram "
        "of the last read (default ramp)",
    )
    parser.add_argument(
        "--panels", dest="draw", action="store_const", const="panels", help="the same as --draw panels"
    )
    parser.add_argument(
        "--png", type=Path, metavar="DIR|FILE", help="draw: into DIR, or a single exposure to FILE"
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write the table as CSV, or ECSV if named .ecsv"
    )
    parser.add_argument("--resume", action="store_true", help="skip files whose figure exists (with --png)")
    parser.add_argument("--overwrite", action="store_true", help="replace existing output files")
    add_output_options(parser)


def _statistics(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in STATISTICS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(STATISTICS)}")
    if not names:
        raise argparse.ArgumentTypeError("no statistic named")
    return names


def _pixel(text: str) -> tuple[int, int]:
    try:
        x, y = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form X,Y") from None
    return x, y


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Parameters
    ----------
    args : Namespace
        Parsed arguments.

    Returns
    -------
    int
        0; the code of the failure of a single file, 6 if one of several failed.
    """
    from astropy.table import vstack

    from upramp.cli import describe, exit_code
    from upramp.wfc3ir.exposure import read_ramp

    _check(args)
    tables: list[Table] = []
    failures: list[BaseException] = []
    for path in args.files:
        target = _png_path(args, path)
        if args.resume and target is not None and target.exists():
            say(args, f"{path}: skipped, {target} exists", file=str(path), status="skipped")
            continue
        try:
            ramp = read_ramp(path)
            table = _measure(args, ramp)
            if target is not None:
                check_output(target, overwrite=args.overwrite)
                _save(_figure(args, ramp), target, overwrite=args.overwrite)
        except (UprampError, ValueError, IndexError) as error:
            # An IndexError names a pixel that this exposure lacks.
            failures.append(ValueError(str(error)) if isinstance(error, IndexError) else error)
            complain(describe(failures[-1]))
            continue
        if not args.json:
            say(args, f"{chr(10) if tables else ''}{_heading(args, ramp)}")
        table.add_column([str(path)] * len(table), index=0, name="file")
        print_table(args, table, hidden=("file",), rest="{:.4f}")
        if target is not None and not args.json:
            say(args, f"figure: {target}")
        tables.append(table)
    if args.csv is not None and tables:
        write_table(vstack(tables, metadata_conflicts="silent"), args.csv, overwrite=args.overwrite)
    if not failures:
        return 0
    return exit_code(failures[0]) if len(args.files) == 1 else EXIT_SOME_FAILED


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot work before the first file is read."""
    if args.clip < 0:
        raise ValueError(f"--clip is {args.clip:g}, expected a number of sigma, or 0 for none")
    if args.diff == "cumulative" and args.units == "counts":
        raise ValueError("--units counts with --diff cumulative: a change of a rate has no counts")
    if args.draw != "ramp" and args.pixel is not None:
        raise ValueError(f"--draw {args.draw} and --pixel exclude each other")
    if args.resume and (args.png is None or args.csv is not None):
        raise ValueError(
            "--resume goes by the figures of --png, and a table of --csv would miss what it skips"
        )
    if args.csv is not None:
        check_output(args.csv, overwrite=args.overwrite)
    if args.png is None:
        if args.draw != "ramp":
            raise ValueError(f"--draw {args.draw} needs --png DIR or FILE")
        return
    from upramp.plot.style import require_matplotlib

    require_matplotlib()
    if len(args.files) > 1 and not args.png.is_dir():
        raise ValueError(f"--png is {args.png}, expected a directory that exists for several files")
    targets: dict[Path, Path] = {}
    for path in args.files:
        target = _png_path(args, path)
        if target is None:
            continue
        if target in targets:
            raise ValueError(f"{targets[target]} and {path} would both be drawn to {target}")
        targets[target] = path


def _png_path(args: argparse.Namespace, path: Path) -> Path | None:
    if args.png is None:
        return None
    if not args.png.is_dir():
        return Path(args.png)
    root = path.name
    for suffix in (".gz", ".fz", ".fits", ".fit"):
        root = root.removesuffix(suffix)
    kind = args.draw if args.pixel is None else "x{}_y{}".format(*args.pixel)
    return Path(args.png / f"{root}_{kind}.png")


def _measure(args: argparse.Namespace, ramp: Ramp) -> Table:
    """Table of the reads, of regions or of a pixel."""
    from upramp.tvb.intervals import pixel_stack, since_zeroth
    from upramp.tvb.levels import read_stats
    from upramp.wfc3ir.tables import strips

    if args.pixel is not None:
        return pixel_stack(ramp, *args.pixel)
    left, right = strips(ramp, args.region)
    regions = {"full": args.region or ramp.border, "left": args.lhs or left, "right": args.rhs or right}
    source = ramp if args.diff == "interval" else since_zeroth(ramp)
    table = read_stats(source, regions, args.stat, args.clip or None, args.units, kind=args.diff)
    if len(args.stat) == 1:
        # The name of the only statistic is in the heading.
        for region in regions:
            table.rename_column(f"{region}_{args.stat[0]}", region)
    if not set(args.stat) & set(LEVELS):
        table.remove_columns(["ratio", "difference"])
    return table


def _heading(args: argparse.Namespace, ramp: Ramp) -> str:
    facts = " ".join(str(ramp.primary.get(key, "?")).strip() for key in ("ROOTNAME", "FILTER", "SAMP_SEQ"))
    text = f"{ramp.path}: {facts} NSAMP {ramp.nread}"
    unit = ramp.unit.removesuffix("/S").lower()
    if args.pixel is not None:
        return f"{text}  pixel x={args.pixel[0]}, y={args.pixel[1]}, {ramp.unit.lower()}"
    per_second = "/s" if args.units == "rate" else ""
    clip = f", clipped at {args.clip:g} sigma" if args.clip else ""
    return f"{text}  {args.diff}: {', '.join(args.stat)} in {unit}{per_second}{clip}"


def _figure(args: argparse.Namespace, ramp: Ramp) -> Figure:
    """The figure asked for; a bare one needs no window system, whatever backend is set."""
    from matplotlib.figure import Figure

    from upramp.plot import plot_accumulation, plot_panels, plot_pixel, plot_ramp, plot_sky
    from upramp.plot.panels import panel_figure_size

    clip = args.clip or None
    sides = {"left": args.lhs, "right": args.rhs}
    if args.draw == "panels":
        count = ramp.nread - (0 if args.diff == "read" else 1)
        figure = Figure(figsize=panel_figure_size(max(count, 1)), layout="constrained")
        plot_panels(ramp, kind=args.diff, region=args.region, clip=clip, figure=figure, **sides)
        return figure
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    if args.pixel is not None:
        value = {"interval": "interval", "read": "rate", "cumulative": "rate"}[args.diff]
        plot_pixel(ramp, *args.pixel, value="counts" if args.units == "counts" else value, axes=axes)
        return figure
    if args.draw == "accumulation":
        plot_accumulation(ramp, region=args.region, clip=clip, axes=axes, **sides)
        return figure
    if args.draw == "sky":
        plot_sky(ramp, region=_inside(args.region, ramp), axes=axes)
        return figure
    plot_ramp(
        ramp,
        region=args.region,
        kind=args.diff,
        stat=args.stat[0],
        clip=clip,
        errors=args.stat[0] in LEVELS,
        axes=axes,
        **sides,
    )
    axes.set_title(ramp.path.name)
    return figure


def _inside(region: tuple[slice, slice] | None, ramp: Ramp) -> tuple[slice, slice] | None:
    """A region of the readout as one of its light-sensitive pixels."""
    from upramp.ramps.crcorr import bounds
    from upramp.wfc3ir.exposure import BORDER

    if region is None:
        return None
    ends = bounds(region, ramp.sci.shape[1:])
    y0, y1, x0, x1 = (max(end - BORDER, 0) for end in ends)
    return slice(y0, y1), slice(x0, x1)


def _save(figure: Figure, path: Path, *, overwrite: bool) -> None:
    with atomic_path(path, overwrite=overwrite) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
