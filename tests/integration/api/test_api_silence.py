"""Requests that stop in the middle, or drip, on connections that stay open, at a real server that has two threads."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from contract.settings import Settings
from tests.integration.api.conftest import fresh_settings, served
from tests.integration.api.test_api_files import stored_files

TUS = {"Tus-Resumable": "1.0.0"}
FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\ntext\nhalf a ro'


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path, valkey: str) -> Settings:
    return fresh_settings(tmp_path_factory.mktemp("silence"), migrated_file, valkey)


@pytest.fixture(scope="module")
def http(settings: Settings) -> Iterator[httpx.Client]:
    # More silent callers at once than threads: unless they are let go nobody else is answered.
    with (
        served(settings, threads=2, FOURNIL_SILENCE_SECONDS="0.5") as url,
        httpx.Client(base_url=url, timeout=20) as made,
    ):
        yield made


def send(http: httpx.Client, head: str, body: bytes) -> socket.socket:
    """A request that stops behind `body`; its connection, which stays open."""
    connection = socket.create_connection((http.base_url.host, http.base_url.port), timeout=20)
    lines = [*head.splitlines(), f"Host: {http.base_url.host}", "", ""]
    connection.sendall("\r\n".join(lines).encode() + body)
    return connection


def drip(connection: socket.socket, sent: list[bytes]) -> None:
    """A byte every now and then, always before the server would call it silence, until it has hung up."""
    pause = threading.Event()
    with contextlib.suppress(OSError):
        for _ in range(100):
            connection.sendall(b"a")
            sent.append(b"a")
            pause.wait(0.2)


def answered(connection: socket.socket) -> str:
    """All that the server says before it hangs up."""
    said = b""
    with connection:
        while piece := connection.recv(65_536):
            said += piece
    return said.decode()


BODIES = {
    "raw": ("POST /api/v1/files?filename=a.csv HTTP/1.1\nContent-Length: 300000", b"text\nhalf a ro"),
    "chunked": ("POST /api/v1/files?filename=a.csv HTTP/1.1\nTransfer-Encoding: chunked", b"5\r\ntext\n\r\n"),
    "form": (
        "POST /api/v1/batches HTTP/1.1\nContent-Length: 300000\nContent-Type: multipart/form-data; boundary=b", FORM,
    ),
    "json": ("POST /api/v1/jobs HTTP/1.1\nContent-Length: 300\nContent-Type: application/json", b'{"pipeline": '),
}  # fmt: skip


def test_silent_bodies_are_answered_as_cut_short_and_leave_nothing(http: httpx.Client, settings: Settings) -> None:
    with contextlib.ExitStack() as opened:
        held = [opened.enter_context(send(http, *BODIES[name])) for name in (*BODIES, *BODIES)]
        assert http.get("/livez").status_code == 200
        for connection in held:
            said = answered(connection)
            assert said.startswith("HTTP/1.1 400 "), said
            assert "nothing of it, or too little, came for 0.5 s" in said, said
    assert stored_files(settings) == []


def test_what_came_of_a_resumable_upload_before_it_fell_silent_is_kept(http: httpx.Client) -> None:
    url = http.post("/api/v1/uploads", headers={**TUS, "Upload-Length": "9"}).headers["Location"]
    about = "Tus-Resumable: 1.0.0\nUpload-Offset: 0\nContent-Length: 9\nContent-Type: application/offset+octet-stream"

    assert answered(send(http, f"PATCH {url} HTTP/1.1\n{about}", b"abcd")).startswith("HTTP/1.1 400 ")

    assert http.head(url, headers=TUS).headers["Upload-Offset"] == "4"
    rest = {**TUS, "Upload-Offset": "4", "Content-Type": "application/offset+octet-stream"}
    assert http.patch(url, headers=rest, content=b"efghi").headers["Upload-Offset"] == "9"


def test_a_head_that_stops_holds_nobody_up_and_is_a_line_in_the_log(http: httpx.Client, settings: Settings) -> None:
    with contextlib.ExitStack() as opened:
        held = []
        for _ in range(4):
            held.append(opened.enter_context(socket.create_connection((http.base_url.host, http.base_url.port), 20)))
            held[-1].sendall(b"GET /livez HTTP/1.1\r\nHo")
        assert http.get("/livez").status_code == 200
        assert [answered(connection) for connection in held] == [""] * 4
    said = (settings.storage.data_dir / "gunicorn.log").read_text()
    assert said.count("too little came of its head") == 4
    assert "Traceback" not in said


@contextlib.contextmanager
def dripping(opened: list[socket.socket]) -> Iterator[list[list[bytes]]]:
    """What each of these connections has sent of a request that never ends."""
    sent: list[list[bytes]] = [[] for _ in opened]
    threads = [threading.Thread(target=drip, args=pair) for pair in zip(opened, sent, strict=True)]
    for thread in threads:
        thread.start()
    yield sent
    for thread in threads:
        thread.join()


def test_who_drips_a_request_holds_nobody_up(http: httpx.Client, settings: Settings) -> None:
    before = stored_files(settings)
    held = [send(http, *BODIES[name]) for name in BODIES]
    for _ in range(2):
        held.append(socket.create_connection((http.base_url.host, http.base_url.port), 20))
        held[-1].sendall(b"GET /livez HTTP/1.1\r\nX-Long: ")
    with dripping(held):
        assert http.get("/livez").status_code == 200
        said = [answered(connection) for connection in held]
    assert [words[9:12] for words in said] == ["400"] * len(BODIES) + [""] * 2
    assert stored_files(settings) == before


def test_what_dripped_into_a_resumable_upload_is_kept_without_a_hole(http: httpx.Client) -> None:
    url = http.post("/api/v1/uploads", headers={**TUS, "Upload-Length": "100"}).headers["Location"]
    about = "Upload-Offset: 0\nContent-Length: 100\nContent-Type: application/offset+octet-stream"
    connection = send(http, f"PATCH {url} HTTP/1.1\nTus-Resumable: 1.0.0\n{about}", b"bb")

    with dripping([connection]) as ((sent,)):
        assert answered(connection).startswith("HTTP/1.1 400 ")

    offset = int(http.head(url, headers=TUS).headers["Upload-Offset"])
    assert 2 < offset <= 2 + len(sent)
    rest = {**TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    http.patch(url, headers=rest, content=b"c" * (100 - offset))
    content = http.get(f"/api/v1/files/{url.rpartition('/')[2]}/content").content
    assert content == b"bb" + b"a" * (offset - 2) + b"c" * (100 - offset)


def test_a_slow_body_is_waited_for_and_so_is_a_slow_reader(http: httpx.Client) -> None:
    pause, size = threading.Event(), 8_000_000

    def slowly() -> Iterator[bytes]:
        for _ in range(4):
            pause.wait(0.3)
            yield b"0123456789" * (size // 40)

    made = http.post("/api/v1/files?filename=a.csv", content=slowly()).json()
    assert made["bytes"] == size
    # More than the buffers between the two take: the server waits in the middle of its answer.
    with http.stream("GET", made["url"]) as answer:
        pause.wait(1.2)
        assert sum(map(len, answer.iter_raw())) == size
