"""Fetching reference files from servers good and bad; nothing half-written ever has the final name."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from upramp.exceptions import NetworkError, OutputError
from upramp.io.download import DownloadError, fetch, is_complete

# Larger than one read and than the socket's buffers, so that a cut falls into the middle.
GOOD = b"SIMPLE  =                    T".ljust(2880) + bytes(range(256)) * 45 * 400
HALF = len(GOOD) // 2
HTML = b"<!DOCTYPE html><title>Down for maintenance</title>".ljust(2880)


class Server:
    """A server whose answers are programmed; it notes what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[Any, int], None]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                with outer.lock:
                    outer.asked.append((name, self.headers.get("Range")))
                    count = sum(1 for asked, _ in outer.asked if asked == name)
                outer.answers.get(name, whole)(self, count)

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                pass  # a client that hangs up is what some tests are about

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/references"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Server()
    # A short poll: the fixture waits for it at the end of each test.
    thread = threading.Thread(target=made.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()
    thread.join()


def send(handler: Any, body: bytes, status: int = 200, length: int | None = None, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    for key, value in headers.items():
        handler.send_header(key.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def offset(handler: Any) -> int:
    found = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range") or "")
    return int(found[1]) if found else 0


def whole(handler: Any, _: int) -> None:
    """As a good server does: the whole file, or the rest of it."""
    start = offset(handler)
    if start >= len(GOOD):
        send(handler, b"", 416, Content_Range=f"bytes */{len(GOOD)}")
    elif start:
        send(handler, GOOD[start:], 206, Content_Range=f"bytes {start}-{len(GOOD) - 1}/{len(GOOD)}")
    else:
        send(handler, GOOD)


def ignores_range(handler: Any, _: int) -> None:
    send(handler, GOOD)


def cut_short(handler: Any, _: int) -> None:
    send(handler, GOOD[:HALF], length=len(GOOD))


def drops_once(handler: Any, count: int) -> None:
    cut_short(handler, count) if count == 1 else whole(handler, count)


def stalls_once(handler: Any, count: int) -> None:
    if count > 1:
        return whole(handler, count)
    send(handler, GOOD[:HALF], length=len(GOOD))
    handler.wfile.flush()
    threading.Event().wait(0.6)


def status(code: int) -> Callable[[Any, int], None]:
    return lambda handler, _: send(handler, b"no", code)


def get(server: Server, names: list[str], folder: Path, **options: Any) -> dict[str, Path]:
    return fetch(names, folder, server=server.url, **({"backoff": 0.0} | options))


def clean(folder: Path, name: str = "a.fits") -> bool:
    """Neither the file nor a part of it is there."""
    return not (folder / name).exists() and not (folder / f"{name}.part").exists()


def test_whole_files_in_parallel_each_once(server: Server, tmp_path: Path) -> None:
    barrier = threading.Barrier(2, timeout=10)

    def together(handler: Any, count: int) -> None:
        barrier.wait()  # passes only if both are asked for at once
        whole(handler, count)

    server.answers = {"a.fits": together, "b.fits": together}
    seen: dict[str, int] = {}
    found = get(
        server,
        ["a.fits", "b.fits", "a.fits"],
        tmp_path / "new" / "refs",
        progress=lambda name, have, total: seen.update({name: have}),
    )
    assert list(found) == ["a.fits", "b.fits"]
    assert all(path.read_bytes() == GOOD for path in found.values())
    assert sorted(path.name for path in (tmp_path / "new" / "refs").iterdir()) == ["a.fits", "b.fits"]
    assert seen == dict.fromkeys(("a.fits", "b.fits"), len(GOOD))
    assert len(server.asked) == 2


def test_a_complete_file_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    get(server, ["a.fits"], tmp_path)
    get(server, ["a.fits"], tmp_path, checksums={"a.fits": hashlib.sha1(GOOD).hexdigest()})
    assert len(server.asked) == 1


@pytest.mark.parametrize("kind", ["empty", "cut", "other checksum"])
def test_a_damaged_file_is_replaced(kind: str, server: Server, tmp_path: Path) -> None:
    target = tmp_path / "a.fits"
    old = GOOD[:-1] + b"x"
    target.write_bytes({"empty": b"", "cut": GOOD[:-100], "other checksum": old}[kind])
    get(server, ["a.fits"], tmp_path, checksums={"a.fits": hashlib.sha256(GOOD).hexdigest()})
    assert target.read_bytes() == GOOD


def test_a_part_is_continued(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.fits.part").write_bytes(GOOD[:5000])
    found = get(server, ["a.fits"], tmp_path, checksums={"a.fits": hashlib.sha1(GOOD).hexdigest()})
    assert found["a.fits"].read_bytes() == GOOD
    assert server.asked == [("a.fits", "bytes=5000-")]
    assert [path.name for path in tmp_path.iterdir()] == ["a.fits"]


def test_a_server_that_ignores_range(server: Server, tmp_path: Path) -> None:
    server.answers["a.fits"] = ignores_range
    (tmp_path / "a.fits.part").write_bytes(b"x" * (len(GOOD) + 7))
    assert get(server, ["a.fits"], tmp_path)["a.fits"].read_bytes() == GOOD
    assert len(server.asked) == 1


def test_a_complete_part_gets_its_name(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.fits.part").write_bytes(GOOD)
    assert get(server, ["a.fits"], tmp_path)["a.fits"].read_bytes() == GOOD
    assert server.asked == [("a.fits", f"bytes={len(GOOD)}-")]


def test_a_part_that_is_too_long_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.fits.part").write_bytes(GOOD + b"more")
    assert get(server, ["a.fits"], tmp_path)["a.fits"].read_bytes() == GOOD
    assert [asked for _, asked in server.asked] == [f"bytes={len(GOOD) + 4}-", None]


def test_a_part_of_another_file_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.fits.part").write_bytes(b"x" * 5000)
    assert get(server, ["a.fits"], tmp_path)["a.fits"].read_bytes() == GOOD
    assert len(server.asked) == 2


def test_an_answer_that_goes_on_elsewhere(server: Server, tmp_path: Path) -> None:
    def elsewhere(handler: Any, count: int) -> None:
        if offset(handler):
            send(handler, GOOD[9:], 206, Content_Range=f"bytes 9-{len(GOOD) - 1}/{len(GOOD)}")
        else:
            whole(handler, count)

    server.answers["a.fits"] = elsewhere
    (tmp_path / "a.fits.part").write_bytes(GOOD[:5000])
    assert get(server, ["a.fits"], tmp_path)["a.fits"].read_bytes() == GOOD


def test_a_short_answer_is_kept_as_a_part(server: Server, tmp_path: Path) -> None:
    server.answers["a.fits"] = cut_short
    with pytest.raises(NetworkError, match=rf"a.fits: cut short, {HALF} bytes got, {len(GOOD)} expected"):
        get(server, ["a.fits"], tmp_path, retries=0)
    assert not (tmp_path / "a.fits").exists()
    server.answers.clear()
    assert get(server, ["a.fits"], tmp_path)["a.fits"].read_bytes() == GOOD
    assert server.asked[-1] == ("a.fits", f"bytes={HALF}-")


@pytest.mark.parametrize("behaviour", [drops_once, stalls_once])
def test_a_lost_connection_is_taken_up_again(
    behaviour: Callable[[Any, int], None], server: Server, tmp_path: Path
) -> None:
    server.answers["a.fits"] = behaviour
    found = get(server, ["a.fits"], tmp_path, timeout=0.2)
    assert found["a.fits"].read_bytes() == GOOD
    assert [asked for _, asked in server.asked] == [None, f"bytes={HALF}-"]


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.answers["a.fits"] = lambda handler, count: (status(503) if count < 3 else whole)(handler, count)
    assert get(server, ["a.fits"], tmp_path)["a.fits"].read_bytes() == GOOD
    server.answers["b.fits"] = status(503)
    with pytest.raises(NetworkError, match=r"b.fits: HTTP 503 .*\(2 attempts\)"):
        get(server, ["b.fits"], tmp_path, retries=1)
    assert clean(tmp_path, "b.fits")


def test_wrong_contents_are_removed(server: Server, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"a.fits: SHA1 is \w{40}, expected 0{40}; a.fits not written"):
        get(server, ["a.fits"], tmp_path, checksums={"a.fits": "0" * 40})
    assert clean(tmp_path)
    with pytest.raises(NetworkError, match=rf"offers {len(GOOD)} bytes, 2880 expected"):
        get(server, ["a.fits"], tmp_path, sizes={"a.fits": 2880})
    assert clean(tmp_path)


@pytest.mark.parametrize(
    ("body", "message"),
    [(HTML, r"not a FITS file: .*<!DOCTYPE"), (GOOD[:-1], "expected a multiple of 2880"), (b"", "b''")],
)
def test_what_is_not_fits_is_removed(body: bytes, message: str, server: Server, tmp_path: Path) -> None:
    server.answers["a.fits"] = lambda handler, _: send(handler, body)
    with pytest.raises(NetworkError, match=message):
        get(server, ["a.fits"], tmp_path)
    assert clean(tmp_path)
    assert len(server.asked) == 1


def test_an_answer_without_a_length(server: Server, tmp_path: Path) -> None:
    def unmeasured(handler: Any, _: int) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(GOOD)

    server.answers["a.fits"] = unmeasured
    assert get(server, ["a.fits"], tmp_path, sizes={"a.fits": len(GOOD)})["a.fits"].read_bytes() == GOOD


def test_a_batch_goes_on_and_tells_all(server: Server, tmp_path: Path) -> None:
    server.answers = {"b.fits": status(404), "d.fits": lambda handler, _: send(handler, HTML)}
    with pytest.raises(DownloadError, match=r"3 of 5 files") as caught:
        get(server, ["a.fits", "b.fits", "c.fits", "d.fits", "../e.fits"], tmp_path / "refs")
    error = caught.value
    assert list(error.failures) == ["b.fits", "d.fits", "../e.fits"]
    assert list(error.fetched) == ["a.fits", "c.fits"]
    assert f"{server.url}/b.fits: HTTP 404" in str(error)
    assert "'../e.fits' is not a plain file name" in str(error)
    assert sorted(path.name for path in (tmp_path / "refs").iterdir()) == ["a.fits", "c.fits"]
    assert error.exit_code == 5


def test_an_unreachable_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(NetworkError, match=r"http://127\.0\.0\.1:9/a\.fits: no answer"):
        fetch(["a.fits"], tmp_path, server="http://127.0.0.1:9", retries=1, backoff=0.0)
    assert clean(tmp_path)


@pytest.mark.parametrize("address", ["http://example.org/", "ftp://example.org/", "file:///etc/", "nonsense"])
def test_only_https(address: str, server: Server, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected an https"):
        fetch(["a.fits"], tmp_path, server=address)
    server.answers["a.fits"] = lambda handler, _: send(
        handler, b"", 302, Location="http://example.org/a.fits"
    )
    with pytest.raises(NetworkError, match="which is not https"):
        get(server, ["a.fits"], tmp_path)


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"checksum of a\.fits is '12'"):
        fetch(["a.fits"], tmp_path, checksums={"a.fits": "12"})
    with pytest.raises(ValueError, match="workers is 0"):
        fetch(["a.fits"], tmp_path, workers=0)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        fetch(["a.fits"], tmp_path / "file")


def test_no_names_no_traffic(tmp_path: Path) -> None:
    assert fetch([], tmp_path) == {}


def test_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    assert not is_complete(path)
    path.write_bytes(GOOD)
    assert is_complete(path, len(GOOD), hashlib.sha256(GOOD).hexdigest().upper())
    assert not is_complete(path, len(GOOD) + 1)
