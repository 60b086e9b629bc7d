"""``upramp refs``: the reference files of exposures: which, where, fetch, check."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from upramp.cli.common import add_output_options, complain, say
from upramp.exceptions import InputError, ReferenceFileError
from upramp.io import FitsReader, fits
from upramp.wfc3ir.crds import CRDS_SERVER, REFERENCE_KEYWORDS, best_references
from upramp.wfc3ir.references import Refs

if TYPE_CHECKING:
    from upramp.wfc3ir.exposure import Ramp

__all__ = ["HELP", "NAME", "configure", "run"]

NAME = "refs"
HELP = "list, fetch or check the reference files of exposures"

EXIT_REFERENCE, EXIT_SOME_FAILED = 4, 6


@dataclass(frozen=True, slots=True)
class Exposure:
    """What finding references takes of an exposure: no pixels are read."""

    path: Path
    primary: fits.Header


@dataclass(frozen=True, slots=True)
class Entry:
    """A reference that an exposure asks for.

    Attributes
    ----------
    keyword, name : str
        Keyword and the name it holds, or the file of ``--set``.
    found : Path or None
        Where the file is.
    """

    path: Path
    keyword: str
    name: str
    found: Path | None

    @property
    def file(self) -> str:
        """Name without ``iref$`` or directory."""
        return self.name.replace("$", "/").rpartition("/")[2]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of the command.
    """
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="RAW, IMA or FLT files")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument(
        "--from-header",
        action="store_true",
        help="fetch the files that the headers name and that are missing",
    )
    ways.add_argument(
        "--sync",
        action="store_true",
        help="fetch the best references by the rules of CRDS (needs the crds package)",
    )
    ways.add_argument(
        "--check", action="store_true", help="exit with 4 unless every reference is there and fits"
    )
    parser.add_argument("--refs", type=Path, metavar="DIR", help="directory of reference files")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=FILE", help="use FILE for the reference KEY"
    )
    parser.add_argument(
        "--server",
        metavar="URL",
        help=f"where files are fetched from (--from-header), or the CRDS server (--sync; default {CRDS_SERVER})",
    )
    parser.add_argument("--log", metavar="FILE", help="append a log to FILE")
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
        0; 4 if ``--check`` found a reference missing or unfit; 3 if the only file, 6 if one of several, cannot
        be read.
    """
    override = _override(args.set)
    refs = Refs(args.refs, override)
    if args.from_header and args.refs is None:
        raise ValueError("--from-header needs --refs DIR: where shall the files go?")
    if args.server is not None and not (args.from_header or args.sync):
        raise ValueError("--server goes with --from-header or --sync")
    if args.check:
        return _check(args, refs)
    errors: list[InputError] = []
    exposures = _open(args.files, errors)
    if args.sync:
        _sync(args, exposures, override)
    else:
        if args.from_header:
            _fetch(args, exposures, refs)
        for exposure in exposures:
            _list(args, exposure, refs)
    return _code(args, errors)


def _override(items: list[str]) -> dict[str, str]:
    override = {}
    for item in items:
        key, equals, name = item.partition("=")
        if not (key and equals and name):
            raise ValueError(f"--set is {item!r}, expected KEY=FILE")
        if key.upper() not in REFERENCE_KEYWORDS:
            raise ValueError(f"--set names {key.upper()}, expected one of {', '.join(REFERENCE_KEYWORDS)}")
        override[key.upper()] = name
    return override


def _open(files: list[Path], errors: list[InputError]) -> list[Exposure]:
    """Primary headers of the files; those that cannot be read are told of and left out."""
    exposures = []
    for path in files:
        try:
            with FitsReader(path) as reader:
                exposures.append(Exposure(path, reader.extensions[0].header))
        except InputError as error:
            complain(str(error))
            errors.append(error)
    return exposures


def _code(args: argparse.Namespace, errors: list[InputError]) -> int:
    if not errors:
        return 0
    return errors[0].exit_code if len(args.files) == 1 else EXIT_SOME_FAILED


def _entries(exposure: Exposure, refs: Refs) -> Iterator[Entry]:
    for keyword in REFERENCE_KEYWORDS:
        name = str(refs.override.get(keyword, exposure.primary.get(keyword, ""))).strip()
        if name.upper() in ("", "N/A"):
            continue
        try:
            # Path and primary header are all that is looked at.
            found = refs.find(cast("Ramp", exposure), keyword)
        except ReferenceFileError:
            found = None
        yield Entry(exposure.path, keyword, name, found)


def _list(args: argparse.Namespace, exposure: Exposure, refs: Refs) -> None:
    if not args.json:
        say(args, str(exposure.path))
    for entry in _entries(exposure, refs):
        say(
            args,
            f"  {entry.keyword:8}  {entry.name:28}  {entry.found or 'missing'}",
            file=str(entry.path),
            keyword=entry.keyword,
            name=entry.name,
            status="missing" if entry.found is None else "found",
            path=None if entry.found is None else str(entry.found),
        )


def _fetch(args: argparse.Namespace, exposures: list[Exposure], refs: Refs) -> None:
    """Fetch what the headers name, each name once; a file given by ``--set`` is the caller's."""
    from upramp.io.download import HST_REFERENCES, fetch

    names = {
        entry.file: entry.keyword
        for exposure in exposures
        for entry in _entries(exposure, refs)
        # A compressed copy does; a file under the name itself is looked at again, it may be cut short.
        if entry.keyword not in refs.override and (entry.found is None or entry.found.name == entry.file)
    }
    with _progress(args) as progress:
        fetch(names, args.refs, server=args.server or HST_REFERENCES, progress=progress)


def _sync(args: argparse.Namespace, exposures: list[Exposure], override: dict[str, str]) -> None:
    keywords = [keyword for keyword in REFERENCE_KEYWORDS if keyword not in override]
    best = best_references(
        [exposure.path for exposure in exposures],
        directory=args.refs,
        server=args.server,
        keywords=keywords,
    )
    for exposure in exposures:
        if not args.json:
            say(args, str(exposure.path))
        for keyword, path in best[exposure.path].items():
            name = "N/A" if path == "N/A" else Path(path).name
            stated = str(exposure.primary.get(keyword, "")).strip()
            header = Entry(exposure.path, keyword, stated, None).file if stated.upper() != "N/A" else "N/A"
            same = header == name or (name == "N/A" and not header)
            say(
                args,
                f"  {keyword:8}  {name:18}" + ("" if same else f"  (header: {stated or 'none'})"),
                file=str(exposure.path),
                keyword=keyword,
                name=name,
                path=None if path == "N/A" else str(path),
                header=stated,
                changed=not same,
            )


def _check(args: argparse.Namespace, refs: Refs) -> int:
    from upramp.wfc3ir.calibration import check_references

    errors: list[InputError] = []
    count = 0
    for path in args.files:
        try:
            problems = check_references(path, refs)
        except InputError as error:
            complain(str(error))
            errors.append(error)
            continue
        count += len(problems)
        for problem in problems:
            complain(problem)
        say(
            args,
            f"{path}: " + (f"{len(problems)} problems" if problems else "all references at hand"),
            file=str(path),
            status="unfit" if problems else "ok",
            problems=problems,
        )
    return EXIT_REFERENCE if count and not errors else _code(args, errors)


@contextmanager
def _progress(args: argparse.Namespace) -> Iterator[Callable[[str, int, int | None], None] | None]:
    """A bar for each file on a terminal, unless output is for machines or not wanted."""
    if args.quiet or args.json or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    rows: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:

        def advance(name: str, have: int, total: int | None) -> None:
            # Each name belongs to one thread, and adding a row is guarded by the bar.
            if name not in rows:
                rows[name] = shown.add_task(name, total=total)
            shown.update(rows[name], completed=have, total=total)

        yield advance
