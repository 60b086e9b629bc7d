"""Best reference files by the rules of CRDS, through the ``crds`` package.

The package is imported when it is needed. It takes its settings from the environment and keeps answers for the
life of the process; here both are set for one call and put back.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from upramp.exceptions import InputError, NetworkError, ReferenceFileError, UprampError
from upramp.io import FitsReader

__all__ = [
    "CRDS_SERVER",
    "REFERENCE_KEYWORDS",
    "CrdsMissingError",
    "best_references",
    "matching_parameters",
    "require_crds",
]

log = logging.getLogger(__name__)

CRDS_SERVER = "https://hst-crds.stsci.edu"
"""Server of the rules for HST."""

REFERENCE_KEYWORDS = (
    "BPIXTAB",
    "CCDTAB",
    "OSCNTAB",
    "CRREJTAB",
    "DARKFILE",
    "NLINFILE",
    "PFLTFILE",
    "DFLTFILE",
    "LFLTFILE",
    "IMPHTTAB",
    "IDCTAB",
)
"""Primary header keywords that name the reference files of WFC3/IR."""

NEVER_NEEDED = ("DFLTFILE", "LFLTFILE")
"""Flats that WFC3/IR has no files for: calwf3 reads the keywords, CRDS need not have rules for them."""

Reference = Path | Literal["N/A"]

_lock = threading.Lock()


class CrdsMissingError(UprampError, ImportError):
    """Best references were asked for but the crds package is not installed."""

    exit_code = 2


def require_crds() -> None:
    """Raise :class:`CrdsMissingError` unless the crds package can be imported."""
    try:
        import crds  # noqa: F401
    except ImportError as error:
        raise CrdsMissingError(
            f"best references need the crds package, which cannot be imported ({error}); pip install 'upramp[net]'"
        ) from error


def best_references(
    files: Iterable[str | os.PathLike[str]],
    *,
    directory: str | os.PathLike[str] | None = None,
    server: str | None = None,
    context: str | None = None,
    keywords: Sequence[str] = REFERENCE_KEYWORDS,
) -> dict[Path, dict[str, Reference]]:
    """Best references of exposures, downloaded and checked; the exposures stay as they are.

    The rules are loaded once for all files, and each reference file is fetched once.

    Parameters
    ----------
    files : iterable of path-like
        WFC3/IR exposures (RAW, IMA or FLT).
    directory : path-like, optional
        Where reference files go, side by side; the rules of CRDS go into its folders ``mappings`` and ``config``.
        Default: the CRDS cache that the environment (``CRDS_PATH``) names, laid out as CRDS does.
    server : str, optional
        CRDS server. Default: ``CRDS_SERVER_URL`` of the environment, else that of HST.
    context : str, optional
        Rules to use, such as ``hst_1200.pmap``; default those in operation.
    keywords : sequence of str, optional
        Which references to ask for.

    Returns
    -------
    dict of Path to (dict of str to Path or 'N/A')
        By file and keyword: the reference file on disk, or 'N/A' where the exposure needs none.

    Raises
    ------
    CrdsMissingError
        The crds package is not installed.
    InputError
        A file cannot be read or is not a WFC3/IR exposure.
    NetworkError
        Neither the server nor rules in the cache can be had, or a reference file could not be downloaded.
    ReferenceFileError
        CRDS knows no reference for a keyword; names all of them.
    ValueError
        Neither `directory` nor the environment says where files go.
    """
    if directory is None and not {"CRDS_PATH", "CRDS_PATH_SINGLE"} & set(os.environ):
        raise ValueError(
            "directory (--refs) is not given and CRDS_PATH is not set: where shall references go?"
        )
    parameters = {Path(path): matching_parameters(path) for path in files}
    wanted = [keyword.lower() for keyword in keywords]
    with _crds(directory, server) as (crds, errors):
        try:
            rules = crds.get_context_name("hst", context)
            answers = {
                path: crds.getrecommendations(header, reftypes=wanted, context=rules, observatory="hst")
                for path, header in parameters.items()
            }
            names = _checked_names(answers, keywords)
            unique = sorted({name for row in names.values() for name in row.values() if name != "N/A"})
            # Failures are found below, all of them, instead of the first one alone.
            cached = crds.client.api.dump_references(rules, baserefs=unique, raise_exceptions=False)
        except (UprampError, KeyboardInterrupt):
            raise
        # Without server and cache, crds leaves the process by SystemExit.
        except (Exception, SystemExit) as error:
            told = "; ".join([*errors, "" if isinstance(error, SystemExit) else str(error)]).strip("; ")
            raise NetworkError(f"CRDS at {_server(server)} failed: {told or repr(error)}") from error
        log.info("references of %d files by %s", len(parameters), rules)
        _check_on_disk(unique, cached, errors, _server(server))
    return {
        path: {key: "N/A" if name == "N/A" else Path(cached[name]) for key, name in row.items()}
        for path, row in names.items()
    }


def matching_parameters(path: str | os.PathLike[str]) -> dict[str, str | int | float | bool]:
    """Header values of an exposure that CRDS rules are matched against.

    Parameters
    ----------
    path : path-like
        WFC3/IR exposure.
    """
    with FitsReader(path) as reader:
        headers = [unit.header for unit in reader.extensions[:2]]
    primary = headers[0]
    for key, expected in (("INSTRUME", "WFC3"), ("DETECTOR", "IR")):
        if str(primary.get(key, "")).strip() != expected:
            raise InputError(f"{path}: {key} is {primary.get(key, 'missing')}, expected {expected}")
    parameters: dict[str, str | int | float | bool] = {}
    # The primary header has the last word; what it lacks (binning) stands in the first SCI.
    for header in reversed(headers):
        for key in header:
            if key and key not in ("COMMENT", "HISTORY") and isinstance(header[key], (str, int, float, bool)):
                parameters[key] = header[key]
    return parameters


def _checked_names(
    answers: Mapping[Path, Mapping[str, Any]], keywords: Sequence[str]
) -> dict[Path, dict[str, str]]:
    """Names by file and keyword; every keyword is there, and all that have no answer are told together."""
    names: dict[Path, dict[str, str]] = {}
    problems = []
    for path, answer in answers.items():
        given = {key.upper(): str(value).strip() for key, value in answer.items()}
        row = names[path] = {}
        for key in (keyword.upper() for keyword in keywords):
            name = given.get(key, "NOT FOUND: the rules say nothing about it")
            refused = name.upper().startswith("NOT FOUND")
            # "NOT FOUND n/a" is an answer: such an exposure needs no such file.
            if name.upper() in ("", "N/A", "NOT FOUND N/A") or (refused and key in NEVER_NEEDED):
                row[key] = "N/A"
            elif refused:
                problems.append(f"{path}: {key}: {name}")
            else:
                row[key] = name
    if problems:
        raise ReferenceFileError("CRDS has no best reference:\n  " + "\n  ".join(problems))
    return names


def _check_on_disk(
    names: Sequence[str], cached: Mapping[str, str], errors: Sequence[str], server: str
) -> None:
    missing = [name for name in names if name not in cached or not Path(cached[name]).is_file()]
    if missing:
        reasons = "".join(f"\n  {text}" for text in errors)
        raise NetworkError(f"CRDS at {server}: not downloaded: {', '.join(missing)}{reasons}")


def _server(server: str | None) -> str:
    return server or os.environ.get("CRDS_SERVER_URL", CRDS_SERVER)


@contextmanager
def _crds(
    directory: str | os.PathLike[str] | None, server: str | None
) -> Iterator[tuple[ModuleType, list[str]]]:
    """Yield the package, set up for one call, and the list that its error messages go to."""
    changes = {"CRDS_SERVER_URL": _server(server), "CRDS_OBSERVATORY": "hst"}
    if directory is not None:
        folder = str(Path(directory).absolute())
        changes |= {"CRDS_PATH": folder, "CRDS_REFPATH_SINGLE": folder}
    # Imported before anything is set: crds puts the defaults of its settings into the environment then.
    require_crds()
    import crds

    with _lock, _environment(changes, clear=directory is not None):
        config, api = crds.core.config, crds.client.api
        kept = api.get_crds_server(), config.CRDS_REF_SUBDIR_MODE
        api.set_crds_server(changes["CRDS_SERVER_URL"])
        # Files side by side, as `Refs` looks for them; None: as the tag file of the cache says.
        config.CRDS_REF_SUBDIR_MODE = None if directory is None else "flat"
        crds.core.utils.clear_function_caches()
        try:
            with _messages() as errors:
                yield crds, errors
        finally:
            api.set_crds_server(kept[0])
            config.CRDS_REF_SUBDIR_MODE = kept[1]
            crds.core.utils.clear_function_caches()


@contextmanager
def _environment(changes: Mapping[str, str], *, clear: bool) -> Iterator[None]:
    """Set variables for a while; with `clear`, hide those that say where the parts of a CRDS cache are."""
    hidden = [name for name in os.environ if clear and name.startswith("CRDS_") and "PATH" in name]
    # Ours alone: what crds itself sets, when it is imported, it needs to find again.
    kept = {name: os.environ.pop(name, None) for name in {*changes, *hidden}}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _messages() -> Iterator[list[str]]:
    """Lead the messages of crds, which go to standard error, into our log; yield its errors."""
    errors: list[str] = []

    class Forward(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage().lstrip("- ").strip()
            if record.levelno >= logging.ERROR:
                errors.append(text)
            log.log(min(record.levelno, logging.WARNING), "CRDS: %s", text)

    source = logging.getLogger("CRDS")
    kept = source.handlers[:]
    source.handlers[:] = [Forward()]
    try:
        yield errors
    finally:
        source.handlers[:] = kept
