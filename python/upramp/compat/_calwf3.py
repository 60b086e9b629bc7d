"""calwf3 and wf3ir as wfc3tools offers them: files in, files and a trailer out."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from upramp._arrays import __version__
from upramp.compat._inputs import Inputs, is_association, list_paths
from upramp.exceptions import InputError, OutputError
from upramp.io import FitsReader, atomic_path, check_output
from upramp.wfc3ir.association import calibration_inputs
from upramp.wfc3ir.files import calibrate_file
from upramp.wfc3ir.references import Refs

__all__ = ["Trailer", "calwf3", "product_root", "wf3ir"]

LogFunc = Callable[[str], object] | None

PRODUCTS = ("_ima.fits", "_flt.fits")


def calwf3(
    input: Inputs | None = None,
    printtime: bool = False,
    save_tmp: bool = False,
    verbose: bool = False,
    debug: bool = False,
    parallel: bool = True,
    version: bool = False,
    log_func: LogFunc = print,
) -> None:
    """Calibrate WFC3/IR exposures and write IMA, FLT and a trailer beside each.

    Parameters
    ----------
    input : path-like or sequence of path-like
        RAW, IMA or ASN: a file, a list, names separated by commas, a wildcard, or ``@file`` with one name a
        line.
    printtime : bool, optional
        Put the time (UTC) before every line.
    save_tmp : bool, optional
        No effect: there are no temporary files to keep.
    verbose : bool, optional
        Tell of every step.
    debug : bool, optional
        Tell of everything.
    parallel : bool, optional
        Use the cores of the machine; False: one thread. Never changes a number.
    version : bool, optional
        Give the version and do nothing else.
    log_func : callable or None, optional
        Called with every line; None for silence.

    Raises
    ------
    InputError
        No such file, an exposure that is not WFC3/IR or cannot be used, nothing to do, or an association that
        asks for the combination of repeated exposures (RPTCORR).
    ReferenceFileError
        A reference file is missing.
    OutputError
        A product exists already, unless the environment variable ``imclobber`` is ``yes``.

    Notes
    -----
    ``x_raw.fits`` becomes ``x_ima.fits``, ``x_flt.fits`` and ``x.tra``; ``x_ima.fits`` becomes
    ``x_ima_ima.fits``, ``x_ima_flt.fits`` and ``x_ima.tra``. Of an association each exposure is calibrated and
    the trailers are joined in that of the table, which itself is not changed. The first failure ends the call.
    Reference files are sought as their names say, ``iref$`` by the environment variable ``iref``.
    """
    if version:
        if log_func is not None:
            log_func(f"upramp {__version__}")
        return
    del save_tmp
    level = logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING
    options = _Options(log_func, printtime, level, threads=None if parallel else 1)
    for path in list_paths(input):
        if is_association(path):
            _calibrate_association(path, options)
        else:
            _calibrate_all([_Job.of(path)], options)


def wf3ir(
    input: Inputs,
    output: str | os.PathLike[str] | None = None,
    verbose: bool = False,
    quiet: bool = True,
    log_func: LogFunc = print,
) -> None:
    """Calibrate WFC3/IR exposures as :func:`calwf3`, under a name of choice; no associations.

    Parameters
    ----------
    input : path-like or sequence of path-like
        RAW or IMA, given in any way that :func:`calwf3` takes.
    output : path-like, optional
        Name of the product of a single exposure: ``y_flt.fits``, ``y.fits`` or ``y`` give ``y_ima.fits``,
        ``y_flt.fits`` and ``y.tra``.
    verbose : bool, optional
        Tell of every step, with the time.
    quiet : bool, optional
        No effect, as in wfc3tools; ``log_func=None`` is silent.
    log_func : callable or None, optional
        Called with every line; None for silence.

    Raises
    ------
    InputError, ReferenceFileError, OutputError
        As :func:`calwf3`; InputError for an association.
    """
    del quiet
    paths = list_paths(input)
    for path in paths:
        if is_association(path):
            raise InputError(f"{path}: wf3ir takes exposures, not associations; use calwf3")
    if output is not None and len(paths) > 1:
        raise ValueError(f"output is {os.fspath(output)!r}, but there are {len(paths)} inputs")
    options = _Options(log_func, verbose, logging.INFO if verbose else logging.WARNING)
    _calibrate_all([_Job.of(path, output) for path in paths], options)


class _Options(NamedTuple):
    """How the lines about a run are given, and the threads it may use."""

    log_func: LogFunc
    timed: bool
    level: int
    threads: int | None = None


def product_root(path: Path, kind: str = "_raw") -> str:
    """Name of a file without its kind and suffixes.

    Parameters
    ----------
    path : Path
        Any file.
    kind : str, optional
        Ending of the name that tells the kind.

    Returns
    -------
    str
    """
    root = path.name
    for suffix in (".gz", ".fz", ".fits", ".fit", kind):
        root = root.removesuffix(suffix)
    return root


@dataclass(frozen=True, slots=True)
class _Job:
    """One exposure and the names of what is made of it."""

    source: Path
    ima: Path
    flt: Path
    trailer: Path

    @classmethod
    def of(cls, source: Path, output: str | os.PathLike[str] | None = None) -> _Job:
        """Name the products as calwf3 does: `_raw` makes way for their suffix, `_ima` stays."""
        place = source if output is None else Path(output)
        root = product_root(place, "_raw" if output is None else "_flt")
        return cls(source, *(place.with_name(root + suffix) for suffix in (*PRODUCTS, ".tra")))

    def check(self) -> None:
        """Raise unless the products can be written."""
        for path in (self.ima, self.flt):
            if path.exists() and self.source.exists() and path.samefile(self.source):
                raise OutputError(f"{path}: would replace the input")
            if path.exists() and not _clobber():
                raise OutputError(
                    f"{path}: exists already; remove it, or set imclobber=yes in the environment"
                )
            check_output(path, overwrite=_clobber())


def _clobber() -> bool:
    return os.environ.get("imclobber", "").lower() == "yes"  # noqa: SIM112 - the field's name for it


@dataclass(slots=True)
class Trailer:
    """Lines about one run: passed on at once, and kept for the trailer file."""

    path: Path
    log_func: LogFunc = None
    timed: bool = False
    lines: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Pass a line on and keep it.

        Parameters
        ----------
        text : str
            The line.
        """
        line = f"{datetime.now(UTC):%d-%b-%Y %H:%M:%S UTC}  {text}" if self.timed else text
        self.lines.append(line)
        if self.log_func is not None:
            self.log_func(line)

    def write(self) -> None:
        """Write the lines kept."""
        with atomic_path(self.path, overwrite=True) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in self.lines), encoding="utf-8")


class _Forward(logging.Handler):
    """Turns log records of one thread into lines of a trailer."""

    def __init__(self, trailer: Trailer, level: int) -> None:
        super().__init__(level)
        self._trailer = trailer
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        # Other threads may be calibrating other files, each with a trailer of its own.
        if record.thread == self._thread:
            prefix = f"{record.levelname}: " if record.levelno >= logging.WARNING else ""
            self._trailer.say(prefix + record.getMessage())


@contextmanager
def _records_to(trailer: Trailer, level: int) -> Iterator[None]:
    logger = logging.getLogger("upramp")
    handler, before = _Forward(trailer, level), logger.level
    logger.addHandler(handler)
    if level < logger.getEffectiveLevel():
        logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def _calibrate_association(path: Path, options: _Options) -> None:
    root = path.name[: path.name.lower().index("_asn")]
    joined = Trailer(path.with_name(f"{root}.tra"), options.log_func, options.timed)
    with _records_to(joined, options.level):
        jobs = [_Job.of(exposure) for exposure in calibration_inputs(path)]
    _calibrate_all(jobs, options, joined)


def _calibrate_all(jobs: Sequence[_Job], options: _Options, joined: Trailer | None = None) -> None:
    # All products are checked before the first is made: a refusal must not leave half an association.
    for job in jobs:
        job.check()
    for job in jobs:
        trailer = Trailer(job.trailer, options.log_func, options.timed)
        try:
            _calibrate(job, trailer, options)
        finally:
            trailer.write()
            if joined is not None:
                joined.lines += trailer.lines
                joined.write()


def _calibrate(job: _Job, trailer: Trailer, options: _Options) -> None:
    trailer.say(f"upramp {__version__}: {job.source}, {datetime.now(UTC):%d-%b-%Y %H:%M:%S UTC}")
    try:
        with _records_to(trailer, options.level):
            done = calibrate_file(
                job.source,
                job.source.parent,
                refs=Refs(),
                parity=True,
                overwrite=_clobber(),
                threads=options.threads,
                names=(job.ima, job.flt),
            )
    except Exception as error:
        trailer.say(f"failed: {error}")
        raise
    for name, value in _switches(done.flt):
        trailer.say(f"{name:<8} {value}")
    trailer.say(f"{done.unstable} pixels unstable, {100 * done.hit_fraction:.2f} % with a cosmic ray")
    trailer.say(f"{done.ima} and {done.flt} written, {sum(done.seconds.values()):.2f} s")


def _switches(path: Path) -> list[tuple[str, str]]:
    with FitsReader(path) as reader:
        cards = reader.extensions[0].header.items()
        return [
            (name, value.strip()) for name, value in cards if name.endswith("CORR") and isinstance(value, str)
        ]
