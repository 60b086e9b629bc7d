"""``upramp sky``: the sky of exposures, into a table, their headers, or out of copies."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upramp.cli.common import add_output_options, progress_bar, say
from upramp.io import atomic_path, check_output

if TYPE_CHECKING:
    from upramp.sky import SkyResult

__all__ = ["HELP", "NAME", "configure", "run"]

NAME = "sky"
HELP = "measure the sky of exposures and write it to a table, their headers (MDRIZSKY), or subtract it"

STATIC_SIGMA = 4.0
"""AstroDrizzle's threshold of the static mask."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of the command.
    """
    from upramp.sky import ENGINES, METHODS, STATISTICS

    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="FLT, FLC or DRZ files, or an image in the primary; wildcards, association tables, extensions as "
        "x_flt.fits[1] or x_flt.fits{1,4}, and @file with a name (and masks) a line",
    )
    parser.add_argument(
        "--method",
        choices=(*METHODS, "all"),
        default="localmin",
        help="localmin: each exposure's own sky, the lowest of its chips (default); globalmin: the lowest of all "
        "exposures for all; match: what makes exposures agree where they overlap; globalmin+match: the same above "
        "the lowest sky; all: a table of the four",
    )
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default=ENGINES[0],
        help="how overlaps are measured: robust pixel by pixel (default), compat as stsci.skypac and stcal do",
    )
    parser.add_argument(
        "--order",
        type=int,
        choices=(0, 1, 2),
        default=0,
        help="match levels (0, default), planes (1) or surfaces of second order (2), which --subtract takes off",
    )
    parser.add_argument(
        "--anchor",
        choices=("down", "up", "mean"),
        default="down",
        help="what match has at zero: the faintest exposure (default), the brightest, or the mean",
    )
    parser.add_argument(
        "--fallback",
        choices=("localmin",),
        help="place exposures that overlap no other by their own sky (default: at zero, with a warning)",
    )
    parser.add_argument(
        "--pairs", type=Path, metavar="FILE", help="write the overlaps, before and after, as CSV or ECSV"
    )
    parser.add_argument("--stat", choices=STATISTICS, default="median", help="statistic (default median)")
    parser.add_argument("--width", type=float, default=0.1, metavar="S", help="histogram bin, sigma (0.1)")
    parser.add_argument("--lower", type=float, metavar="V", help="leave out pixels below V, data units")
    parser.add_argument("--upper", type=float, metavar="V", help="leave out pixels above V, data units")
    parser.add_argument("--nclip", type=int, default=5, metavar="N", help="rounds of clipping (5)")
    parser.add_argument("--lsigma", type=float, default=4.0, metavar="S", help="threshold below the mean (4)")
    parser.add_argument("--usigma", type=float, default=4.0, metavar="S", help="threshold above the mean (4)")
    parser.add_argument(
        "--bits",
        default="0",
        metavar="BITS",
        help="DQ bits to accept, such as 64,512; with ~ those not to; by name too, such as ~DO_NOT_USE+NON_SCIENCE "
        "(JWST, ACS, WFC3); none: DQ is not used (default 0)",
    )
    parser.add_argument(
        "--mask",
        type=Path,
        metavar="FILE",
        help="masks of your own: lines of image,mask[ext],mask[ext] with a mask a chip, not zero for pixels to use",
    )
    parser.add_argument(
        "--static",
        nargs="?",
        type=float,
        const=STATIC_SIGMA,
        metavar="S",
        help="leave out pixels that any exposure has S sigma (default 4) too low",
    )
    parser.add_argument("--units", choices=("counts", "rate"), help="units of the pixels (default: BUNIT)")
    parser.add_argument(
        "--invsens",
        metavar="KEY",
        help="compare fluxes: the keyword of the inverse sensitivity, such as PHOTFLAM",
    )
    parser.add_argument(
        "--user", type=Path, metavar="FILE", help="take values from FILE: lines of file name and sky"
    )
    parser.add_argument(
        "--user-keyword", metavar="KEY", help="take values from KEY of the headers: sky subtracted already"
    )
    parser.add_argument("--write-header", action="store_true", help="write MDRIZSKY into the files given")
    parser.add_argument("--subtract", action="store_true", help="write copies without the sky to --output")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="where the copies go")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the table as CSV, or ECSV if .ecsv")
    parser.add_argument("--png", type=Path, metavar="FILE", help="figure of the values (.png, .pdf, .svg)")
    parser.add_argument(
        "--graph",
        type=Path,
        metavar="FILE",
        help="figure of the overlaps with their differences, before and after",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs (never an input)")
    parser.add_argument("--jobs", type=int, metavar="N", help="files at a time (default: one a core)")
    add_output_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Parameters
    ----------
    args : Namespace
        Parsed arguments.

    Returns
    -------
    int
        0.
    """
    from upramp.cli.ls import print_table, write_table
    from upramp.sky import (
        SkyStatistic,
        match_sky,
        parse_images,
        read_images,
        read_sky_file,
        read_sky_keyword,
        subtract_sky,
        with_masks,
        write_headers,
    )

    if args.subtract != (args.output is not None):
        raise ValueError("--subtract and --output DIR belong together")
    if args.jobs is not None and args.jobs < 1:
        raise ValueError(f"--jobs is {args.jobs}, expected a positive number")
    matching = "match" in args.method or args.method == "all"
    if args.pairs is not None and not matching:
        raise ValueError(f"--pairs needs --method match, globalmin+match or all, not {args.method}")
    if args.method == "all" and (args.write_header or args.subtract):
        raise ValueError("--method all makes a table; name the one method to --write-header or --subtract")
    if args.graph is not None and not matching:
        raise ValueError(f"--graph needs --method match, globalmin+match or all, not {args.method}")
    if args.user is not None and args.user_keyword is not None:
        raise ValueError("--user and --user-keyword exclude each other")
    if args.png is not None or args.graph is not None:
        from upramp.plot.style import require_matplotlib

        require_matplotlib()  # before the work, not after
    for output in (args.table, args.pairs, args.png, args.graph):
        if output is not None:
            check_output(output, overwrite=args.overwrite)
    user = None if args.user is None else read_sky_file(args.user)
    how = SkyStatistic(*(args.stat, args.lower, args.upper, args.nclip, args.lsigma, args.usigma, args.width))
    entries = parse_images(args.files)
    if args.mask is not None:
        entries = with_masks(entries, args.mask)
    images = read_images(entries, bits=args.bits, units=args.units, sensitivity=args.invsens)
    if args.user_keyword is not None:
        user = read_sky_keyword(images, args.user_keyword)
    chips = sum(len(image.chips) for image in images)
    # What overlaps no other is not measured there: the bar may end early.
    steps = chips * matching + len(images) * (args.method != "match")
    with progress_bar(args, steps if user is None else 0) as advance:
        found = match_sky(
            images,
            args.method,
            engine=args.engine,
            order=args.order,
            statistic=how,
            static=args.static,
            user=user,
            anchor=args.anchor,
            fallback=args.fallback,
            threads=args.jobs,
            progress=advance,
        )
    print_table(args, found.table, hidden=("rootname",), rest="{:.6g}")
    if args.table is not None:
        write_table(found.table, args.table, overwrite=args.overwrite)
    if args.pairs is not None and found.matched is not None:
        write_table(found.residuals, args.pairs, overwrite=args.overwrite)
    if args.png is not None or args.graph is not None:
        _draw(args, found)
    # Copies first: their pixels must be those of the files measured.
    if args.subtract:
        for path in subtract_sky(found, args.output, overwrite=args.overwrite):
            if not args.json:
                say(args, f"wrote {path}")
    if args.write_header:
        for path in write_headers(found):
            if not args.json:
                say(args, f"MDRIZSKY in {path}")
    return 0


def _draw(args: argparse.Namespace, found: SkyResult) -> None:
    """Figures of the values and of the overlaps."""
    from matplotlib import pyplot

    from upramp.plot import plot_sky_graph, plot_sky_values

    figures: list[tuple[Path, Any]] = []
    if args.png is not None:
        figures.append((args.png, plot_sky_values(found).figure))
    if args.graph is not None:
        figures.append((args.graph, plot_sky_graph(found)))
    for output, figure in figures:
        with atomic_path(output, overwrite=args.overwrite) as temporary:
            figure.savefig(temporary, dpi=150, format=output.suffix.removeprefix(".") or "png")
        pyplot.close(figure)
        if not args.json:
            say(args, f"wrote {output}")
