"""Files over HTTPS, with nothing but the standard library: resumed, checked, whole or not at all.

A file is written to ``<name>.part`` beside its destination and gets its name once its length, its checksum (where
one is known) and, for FITS, its first card and its blocks are right. What was cut short stays as ``.part`` and is
continued by the next call; what is wrong is removed.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from upramp.exceptions import NetworkError, OutputError

__all__ = ["HST_REFERENCES", "DownloadError", "fetch", "is_complete"]

log = logging.getLogger(__name__)

HST_REFERENCES = "https://hst-crds.stsci.edu/unchecked_get/references/hst/"
"""Where CRDS serves the reference files of HST by name."""

CHUNK = 1 << 20
FITS_BLOCK = 2880
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
TRANSIENT_STATUS = (408, 425, 429, 500, 502, 503, 504)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_HASHES: dict[int, Callable[[], Any]] = {40: hashlib.sha1, 64: hashlib.sha256}

Progress = Callable[[str, int, int | None], None]


class DownloadError(NetworkError):
    """Some files of a batch could not be fetched.

    Parameters
    ----------
    failures : mapping of str to str
        Reason by name.
    fetched : mapping of str to Path
        The files that are there all the same.
    """

    def __init__(self, failures: Mapping[str, str], fetched: Mapping[str, Path]) -> None:
        self.failures = dict(failures)
        self.fetched = dict(fetched)
        reasons = list(self.failures.values())
        total = len(self.failures) + len(self.fetched)
        head = f"{len(reasons)} of {total} files could not be fetched:\n  " if total > 1 else ""
        super().__init__(head + "\n  ".join(reasons))


class _TransientError(Exception):
    """Worth another attempt."""


class _FatalError(Exception):
    """Another attempt would end likewise."""


@dataclass(slots=True)
class _Job:
    """One file: where from, where to, what is known about it."""

    name: str
    url: str
    target: Path
    size: int | None
    checksum: str | None
    timeout: float
    progress: Progress | None
    stop: threading.Event = field(repr=False)

    @property
    def part(self) -> Path:
        return self.target.with_name(self.target.name + ".part")


def fetch(
    names: Iterable[str],
    directory: str | os.PathLike[str],
    *,
    server: str = HST_REFERENCES,
    sizes: Mapping[str, int] | None = None,
    checksums: Mapping[str, str] | None = None,
    retries: int = 3,
    backoff: float = 0.5,
    timeout: float = 60.0,
    workers: int = 4,
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Fetch files by name into a directory, which is made if it is missing.

    Complete files are left as they are, so a second call costs no traffic. A failure does not stop the others.

    Parameters
    ----------
    names : iterable of str
        Plain file names; each is fetched once.
    directory : path-like
        Where they go.
    server : str, optional
        URL that the names are appended to: https, or http to this machine.
    sizes : mapping of str to int, optional
        Bytes a file must have, where known.
    checksums : mapping of str to str, optional
        SHA-1 (which CRDS gives) or SHA-256 of a file in hexadecimal digits, told apart by their number.
    retries : int, optional
        Further attempts after a dropped connection, a timeout, a short answer or a busy server.
    backoff : float, optional
        Seconds before the first further attempt; doubled each time.
    timeout : float, optional
        Seconds without a byte after which a connection counts as dropped.
    workers : int, optional
        Files at a time.
    progress : callable, optional
        Called with name, bytes at hand and bytes expected (None if unknown), from several threads.

    Returns
    -------
    dict of str to Path
        Path by name, in the order given.

    Raises
    ------
    DownloadError
        Some could not be fetched; names every one of them. Those that could are in place.
    OutputError
        The directory cannot be made.
    ValueError
        The server is neither https nor local, a checksum has another length, a number is out of range.
    """
    base = _checked_server(server)
    if retries < 0 or workers < 1 or not timeout > 0:
        raise ValueError(
            f"retries is {retries}, workers is {workers}, timeout is {timeout}; expected retries >= 0, "
            "workers >= 1, timeout > 0"
        )
    for name, checksum in (checksums or {}).items():
        if len(checksum) not in _HASHES:
            raise ValueError(
                f"checksum of {name} is {checksum!r}, expected 40 (SHA-1) or 64 (SHA-256) digits"
            )
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
    stop = threading.Event()
    unique = list(dict.fromkeys(names))
    jobs = [
        _Job(
            name,
            base + quote(name),
            folder / name,
            (sizes or {}).get(name),
            (checksums or {}).get(name),
            timeout,
            progress,
            stop,
        )
        for name in unique
    ]
    failures = _run(jobs, retries, backoff, min(workers, max(len(jobs), 1)), stop)
    fetched = {job.name: job.target for job in jobs if job.name not in failures}
    if failures:
        # In the order asked for: which thread was done first is chance.
        raise DownloadError({name: failures[name] for name in unique if name in failures}, fetched)
    return fetched


def _checked_server(server: str) -> str:
    parts = urlsplit(server)
    if not parts.hostname or not (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL_HOSTS)
    ):
        raise ValueError(f"server is {server!r}, expected an https:// address")
    return server if server.endswith("/") else server + "/"


def _run(
    jobs: list[_Job], retries: int, backoff: float, workers: int, stop: threading.Event
) -> dict[str, str]:
    failures: dict[str, str] = {}
    pool = ThreadPoolExecutor(workers)
    try:
        futures = {pool.submit(_fetch_one, job, retries, backoff): job for job in jobs}
        for future in as_completed(futures):
            job = futures[future]
            try:
                future.result()
            except (_FatalError, OSError) as error:
                failures[job.name] = (
                    str(error) if isinstance(error, _FatalError) else f"{job.target}: {error}"
                )
    finally:
        # Also on an interrupt: a thread ends at its next chunk, and what it has stays as a part.
        stop.set()
        pool.shutdown(cancel_futures=True)
    return failures


def is_complete(path: Path, size: int | None = None, checksum: str | None = None) -> bool:
    """Whether a file is there and is what it should be, as far as is known.

    Parameters
    ----------
    path : Path
        File.
    size : int, optional
        Bytes it must have.
    checksum : str, optional
        SHA-1 or SHA-256 in hexadecimal digits.
    """
    return path.is_file() and _fault(path, path.name, size, checksum) is None


def _fault(path: Path, name: str, size: int | None, checksum: str | None) -> str | None:
    """What is wrong with a file that shall be called `name`; None if nothing is."""
    have = path.stat().st_size
    if size is not None and have != size:
        return f"{have} bytes got, {size} expected"
    if name.lower().endswith(".fits"):
        with path.open("rb") as stream:
            start = stream.read(16)
        if not start.startswith(b"SIMPLE"):
            return f"not a FITS file: SIMPLE expected, it begins with {start!r}"
        if have % FITS_BLOCK:
            return f"{have} bytes got, expected a multiple of {FITS_BLOCK} as in every FITS file"
    if checksum is not None:
        digest = _HASHES[len(checksum)]()
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
        if digest.hexdigest() != checksum.lower():
            return f"{digest.name.upper()} is {digest.hexdigest()}, expected {checksum.lower()}"
    return None


def _fetch_one(job: _Job, retries: int, backoff: float) -> None:
    if not _PLAIN_NAME.fullmatch(job.name):
        raise _FatalError(f"{job.name!r} is not a plain file name")
    if is_complete(job.target, job.size, job.checksum):
        log.info("%s: at hand", job.target)
        return
    for attempt in range(retries + 1):
        try:
            _attempt(job)
        except FileNotFoundError:
            # Another process may have fetched the same file and given our part its name.
            if not is_complete(job.target, job.size, job.checksum):
                raise
            return
        except _TransientError as error:
            if attempt == retries or job.stop.is_set():
                raise _FatalError(f"{error} ({attempt + 1} attempts)") from error
            log.info("%s; trying again", error)
            job.stop.wait(backoff * 2**attempt)
        else:
            log.info("%s: fetched from %s", job.target, job.url)
            return


def _attempt(job: _Job) -> None:
    resumed = _transfer(job)
    fault = _fault(job.part, job.name, job.size, job.checksum)
    if fault is not None:
        job.part.unlink(missing_ok=True)
        message = f"{job.url}: {fault}; {job.target.name} not written"
        # An old part may have been the culprit: only a transfer in one piece is the server's last word.
        raise _TransientError(message) if resumed else _FatalError(message)
    with job.part.open("rb+") as written:
        os.fsync(written.fileno())
    job.part.replace(job.target)


def _transfer(job: _Job) -> bool:
    """Bring the part to its full length; return whether an older part is in it."""
    offset = job.part.stat().st_size if job.part.exists() else 0
    headers = {"User-Agent": "upramp", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        opened = _opener.open(Request(job.url, headers=headers), timeout=job.timeout)
    except HTTPError as error:
        with closing(error):
            return _refused(job, error, offset)
    except (URLError, http.client.HTTPException, OSError) as error:
        raise _TransientError(f"{job.url}: no answer ({getattr(error, 'reason', error)})") from error
    with closing(opened) as response:
        if response.status == 200:
            offset, total = 0, _number(response.headers.get("Content-Length"))
        else:
            total = _resumed_total(job, response, offset)
        if total is not None and job.size is not None and total != job.size:
            job.part.unlink(missing_ok=True)
            raise _FatalError(f"{job.url}: the server offers {total} bytes, {job.size} expected")
        have = _save(job, response, offset, total)
    if total is not None and have < total:
        raise _TransientError(f"{job.url}: cut short, {have} bytes got, {total} expected")
    return offset > 0


def _refused(job: _Job, error: HTTPError, offset: int) -> bool:
    """Deal with an HTTP error status; return True if the part is complete as it is."""
    if error.code == 416 and offset:
        total = re.fullmatch(r"bytes \*/(\d+)", (error.headers.get("Content-Range") or "").strip())
        if total is not None and int(total[1]) == offset:
            return True
        job.part.unlink(missing_ok=True)
        raise _TransientError(f"{job.url}: HTTP 416, {offset} bytes at hand are not the start of this file")
    message = f"{job.url}: HTTP {error.code} {error.reason}; {job.target.name} not fetched"
    raise _TransientError(message) if error.code in TRANSIENT_STATUS else _FatalError(message)


def _resumed_total(job: _Job, response: Any, offset: int) -> int | None:
    """Full length of the file from a partial answer, which must go on where the part ends."""
    stated = response.headers.get("Content-Range") or ""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", stated.strip())
    if response.status != 206 or found is None or int(found[1]) != offset:
        job.part.unlink(missing_ok=True)
        raise _TransientError(
            f"{job.url}: HTTP {response.status} with Content-Range {stated!r}, expected bytes from {offset}"
        )
    # Without the full length, the end of this answer is all that can be held against it.
    return int(found[2]) + 1 if found[3] == "*" else int(found[3])


def _save(job: _Job, response: Any, offset: int, total: int | None) -> int:
    """Write the answer to the part from `offset` on; return the bytes at hand."""
    have = offset
    # Not in append mode: what another process does to the same part then ends in the same bytes.
    with job.part.open("rb+" if offset else "wb") as stream:
        stream.seek(offset)
        while not job.stop.is_set():
            left = CHUNK if total is None else min(CHUNK, total - have)
            try:
                # Not `read`, which loses what came before the connection broke.
                chunk = response.read1(left) if left > 0 else b""
            except (http.client.HTTPException, OSError) as error:
                raise _TransientError(
                    f"{job.url}: connection lost after {have} bytes, {_words(total)} expected ({error!r})"
                ) from error
            if not chunk:
                return have
            stream.write(chunk)
            have += len(chunk)
            if job.progress is not None:
                job.progress(job.name, have, total)
    raise _TransientError(f"{job.url}: interrupted after {have} bytes, {_words(total)} expected")


def _words(total: int | None) -> str:
    return "an unknown number" if total is None else str(total)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isdecimal() else None


class _Redirects(HTTPRedirectHandler):
    """Follow redirections, but never from https to http."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        parts = urlsplit(newurl)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL_HOSTS):
            raise HTTPError(req.full_url, code, f"redirected to {newurl}, which is not https", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_opener = build_opener(_Redirects)
