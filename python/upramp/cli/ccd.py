"""``upramp ccd``: master bias, dark and flat, and reduced science frames."""

from __future__ import annotations

import argparse
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from upramp.cli.batch import run_batch
from upramp.cli.combining import Failures, add_combine_options, extension, rejection, target
from upramp.cli.common import add_output_options, complain, finite, say
from upramp.io import atomic_path, check_output

if TYPE_CHECKING:
    from upramp.ccd import CcdImage, Detector

__all__ = ["HELP", "NAME", "configure", "run"]

NAME = "ccd"
HELP = "reduce CCD frames: master bias, dark and flat, science frames, statistics"

_drawing = threading.Lock()
"""matplotlib draws one figure at a time."""

ACTIONS = {
    "stats": "list frames with the statistics of their pixels",
    "bias": "combine bias frames into a master bias",
    "dark": "combine dark frames into a dark current",
    "flat": "combine flats into a master flat for every filter",
    "reduce": "reduce science frames: (raw - overscan - bias - dark t) / flat",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of the command.
    """
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    for name, text in ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument(
            "files", nargs="+", type=Path, metavar="FILE", help="raw frames (.fits, .gz, .fz)"
        )
        if name in ("flat", "dark", "reduce"):
            action.add_argument("--bias", type=Path, metavar="FILE", help="master bias")
        if name in ("flat", "reduce"):
            action.add_argument("--dark", type=Path, metavar="FILE", help="master dark")
        {"stats": _configure_stats, "flat": _configure_flat, "reduce": _configure_reduce}.get(
            name, lambda _: None
        )(action)
        if name != "stats":
            action.add_argument(
                "-o", "--output", type=Path, default=Path(), metavar="DIR", help="where products go"
            )
            action.add_argument("--log", metavar="FILE", help="append a log to FILE")
        action.add_argument(
            "--overwrite", action="store_true", help="replace existing outputs (never an input)"
        )
        _add_detector_options(action)
        if name in ("bias", "dark", "flat"):
            add_combine_options(action)
        add_output_options(action)


def _configure_stats(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write the table as CSV, or ECSV if named .ecsv"
    )


def _configure_flat(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--norm", choices=("median", "mean"), default="median", help="what becomes 1 (median)"
    )
    parser.add_argument(
        "--mask-below",
        type=float,
        default=0.8,
        metavar="F",
        help="NaN where the flat is below F (0.8); 0: nowhere",
    )
    parser.add_argument(
        "--max-saturated",
        type=float,
        default=0.02,
        metavar="F",
        help="leave out flats with more saturated (0.02)",
    )
    parser.add_argument(
        "--faint", type=float, default=1000.0, metavar="ADU", help="and fainter ones (1000 ADU)"
    )
    parser.add_argument(
        "--odd", type=float, default=0.02, metavar="F", help="and those of another shape (0.02)"
    )
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="write the table as CSV, or ECSV if named .ecsv"
    )


def _configure_reduce(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--flat",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="master flat; may be given several times, each frame takes its filter's",
    )
    parser.add_argument(
        "--gain", type=float, metavar="G", help="electrons per ADU (default: header, or measured)"
    )
    parser.add_argument(
        "--readnoise", type=float, metavar="N", help="electrons (default: header, or measured)"
    )
    parser.add_argument("--unit", choices=("adu", "electron"), default="adu", help="unit of the result (adu)")
    parser.add_argument("--mask", type=Path, metavar="FILE", help="bad pixels: not zero in this FITS image")
    parser.add_argument(
        "--cosmics", action="store_true", help="find, flag and replace cosmic rays in the reduced frames"
    )
    parser.add_argument("--no-uncertainty", action="store_true", help="do not compute uncertainties")
    parser.add_argument(
        "--png", type=Path, metavar="DIR", help="write a figure of each frame, before and after"
    )
    parser.add_argument("--resume", action="store_true", help="skip files whose products exist")
    parser.add_argument("--jobs", type=int, metavar="N", help="files at a time (default: one a core)")


def _add_detector_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("detector")
    group.add_argument(
        "--overscan",
        default="auto",
        metavar="SEC",
        help="[x1:x2,y1:y2], none, or auto: BIASSEC, else beside DATASEC (default)",
    )
    group.add_argument(
        "--trim",
        default="auto",
        metavar="SEC",
        help="[x1:x2,y1:y2], none, or auto: TRIMSEC, else DATASEC (default)",
    )
    group.add_argument(
        "--overscan-method",
        choices=("fit", "median", "mean"),
        default="fit",
        help="a polynomial along the rows (default), or every row's own",
    )
    group.add_argument("--overscan-order", type=int, default=2, metavar="N", help="of the polynomial (2)")
    group.add_argument("--saturation", type=float, metavar="ADU", help="default: SATURATE, else 65535")
    group.add_argument("--ext", type=extension, metavar="EXT", help="extension (default: the first image)")
    group.add_argument("--filter-key", metavar="KEY", help="keyword of the filter")
    group.add_argument("--exptime-key", metavar="KEY", help="keyword of the exposure time")


def _detector(args: argparse.Namespace) -> Detector:
    from upramp.ccd import Detector

    return Detector(
        overscan=None if args.overscan == "none" else args.overscan,
        trim=None if args.trim == "none" else args.trim,
        overscan_method=args.overscan_method,
        overscan_order=args.overscan_order,
        gain=getattr(args, "gain", None),
        read_noise=getattr(args, "readnoise", None),
        saturation=args.saturation,
        ext=args.ext,
        filter_key=args.filter_key,
        exptime_key=args.exptime_key,
    )


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Parameters
    ----------
    args : Namespace
        Parsed arguments.

    Returns
    -------
    int
        0; the code of the failure of a single file; or 6 if some of several could not be used.
    """
    actions = {"stats": _stats, "bias": _master, "dark": _master, "flat": _flat, "reduce": _reduce}
    return actions[args.action](args)


def _stats(args: argparse.Namespace) -> int:
    from upramp.ccd import frame_table
    from upramp.cli.ls import print_table, write_table

    if args.csv is not None:
        check_output(args.csv, overwrite=args.overwrite)
    failures = Failures(args)
    table = frame_table(args.files, detector=_detector(args), on_error=failures.note)
    print_table(args, table, rest="{:.6g}")
    if args.csv is not None:
        write_table(table, args.csv, overwrite=args.overwrite)
    return failures.exit_code()


def _master(args: argparse.Namespace) -> int:
    from upramp.ccd import master_bias, master_dark

    path = target(args.output, f"master_{args.action}.fits")
    _check(args, path)
    failures = Failures(args)
    options = {"detector": _detector(args), "on_error": failures.note, **rejection(args)}
    if args.action == "bias":
        image = master_bias(args.files, **options)
    else:
        image = master_dark(args.files, bias=args.bias, **options)
    image.write(path, overwrite=args.overwrite)
    _tell(args, path, image)
    return failures.exit_code()


def _flat(args: argparse.Namespace) -> int:
    from upramp.ccd import FlatLimits, master_flat
    from upramp.cli.ls import print_table, write_table

    if not args.output.is_dir():
        raise ValueError(
            f"--output is {str(args.output)!r}, expected a directory, since every filter has a flat"
        )
    if args.table is not None:
        check_output(args.table, overwrite=args.overwrite)
    failures = Failures(args)
    found = master_flat(
        args.files,
        bias=args.bias,
        dark=args.dark,
        norm=args.norm,
        mask_below=args.mask_below or None,
        limits=FlatLimits(args.max_saturated, args.faint, args.odd),
        detector=_detector(args),
        on_error=failures.note,
        **rejection(args),
    )
    paths = {name: args.output / f"master_flat{_suffix(name)}.fits" for name in found.flats}
    for path in paths.values():
        _check(args, path)
    print_table(args, found.table, rest="{:.5g}")
    if args.table is not None:
        write_table(found.table, args.table, overwrite=args.overwrite)
    for name, image in found.flats.items():
        image.write(paths[name], overwrite=args.overwrite)
        _tell(args, paths[name], image)
    for name, reason in found.failed.items():
        complain(f"no flat of filter {name!r}: {reason}")
    return failures.exit_code() or (6 if found.failed else 0)


def _suffix(name: str) -> str:
    """Filter as part of a file name."""
    plain = re.sub(r"[^A-Za-z0-9+-]+", "_", name).strip("_")
    return f"_{plain}" if plain else ""


def _check(args: argparse.Namespace, path: Path) -> None:
    check_output(path, overwrite=args.overwrite)
    if any(path.resolve() == given.resolve() for given in args.files):
        raise ValueError(f"{path} is an input, expected another file")


def _tell(args: argparse.Namespace, path: Path, image: CcdImage) -> None:
    from upramp.ccd.masters import CARDS

    known = image.data[np.isfinite(image.data)]
    record: dict[str, Any] = {
        "frames": int(image.header["NCOMBINE"]),
        "median": float(np.median(known)) if known.size else None,
        "read_noise_adu": image.header.get(CARDS["read_noise"]),
        "gain": image.header.get(CARDS["gain"]),
        "masked": int((image.dq != 0).sum()),
    }
    words = {
        "frames": "{} frames",
        "median": "median {:.6g}",
        "read_noise_adu": "read noise {:.3f} ADU",
        "gain": "gain {:.3f} e-/ADU",
        "masked": "{} pixels masked",
    }
    line = ", ".join(words[key].format(value) for key, value in record.items() if value is not None)
    say(args, f"{path}: {line}", file=str(path), **record)


def product(path: Path, directory: Path) -> list[Path]:
    """File that is written of a science frame.

    Parameters
    ----------
    path : Path
        Raw frame.
    directory : Path
        Where products go.
    """
    stem = re.sub(r"\.(fits?|fz|gz)$", "", re.sub(r"\.(gz|fz)$", "", path.name, flags=re.I), flags=re.I)
    return [directory / f"{stem}_red.fits"]


def _reduce(args: argparse.Namespace) -> int:
    from upramp.ccd import read_image, reduce
    from upramp.ccd.reduce import read_flats

    detector = _detector(args)
    bias, dark = (None if path is None else read_image(path) for path in (args.bias, args.dark))
    flats = read_flats(args.flat, detector)
    # A single flat without a filter in its header is meant for all.
    flat: Any = flats.get("") if list(flats) == [""] else flats or None
    mask = None if args.mask is None else read_image(args.mask).data != 0
    if args.png is not None:
        from upramp.plot.style import require_matplotlib

        require_matplotlib()
        args.png.mkdir(parents=True, exist_ok=True)

    def task(path: Path, threads: int) -> CcdImage:
        (written,) = product(path, args.output)
        check_output(written, overwrite=args.overwrite)
        image = reduce(
            path,
            bias=bias,
            dark=dark,
            flat=flat,
            detector=detector,
            unit=args.unit,
            mask=mask,
            uncertainty=not args.no_uncertainty,
            cosmics=args.cosmics,
        )
        image.write(written, overwrite=args.overwrite)
        if args.png is not None:
            _draw(path, image, args.png / f"{written.stem}.png", detector, overwrite=args.overwrite)
        return image

    return run_batch(args, task, product, _report)


def _draw(path: Path, image: CcdImage, png: Path, detector: Detector, *, overwrite: bool) -> None:
    from matplotlib.figure import Figure

    from upramp.plot.ccd import plot_reduction

    with _drawing:
        figure = plot_reduction(path, image, detector=detector, figure=Figure(figsize=(11, 7)))
        with atomic_path(png, overwrite=overwrite) as temporary:
            figure.savefig(temporary, format="png", dpi=110)


def _report(args: argparse.Namespace, path: Path, image: CcdImage) -> None:
    from upramp.ccd import Dq
    from upramp.ccd.masters import CARDS

    good = image.data[image.dq == 0]
    level = float(np.median(good)) if good.size else np.nan
    noise = 1.4826 * float(np.median(np.abs(good - level))) if good.size else np.nan
    error = np.nan
    if image.uncertainty is not None and good.size:
        error = float(np.median(image.uncertainty[image.dq == 0]))
    flags = {str(bit.name).lower(): int(((image.dq & bit) != 0).sum()) for bit in Dq}
    (written,) = product(path, args.output)
    told = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in flags.items() if count)
    line = f"{path.name} -> {written}  median {level:.2f} ± {noise:.2f} {image.unit}"
    if np.isfinite(error):
        line += f"  uncertainty {error:.2f}"
    say(
        args,
        line + (f"  ({told})" if told else ""),
        file=str(path),
        status="ok",
        product=str(written),
        median=finite(level),
        noise=finite(noise),
        uncertainty=finite(error),
        unit=image.unit,
        gain=image.header.get(CARDS["gain"]),
        **flags,
    )
