"""URLs as inputs: fetched from where anybody may look, and from nowhere else."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from contract.pipelines import PipelineSpec
from contract.tasks.media import EXAMPLE_IMAGE
from contract.times import utc_now
from models import fetching
from models.pipelines import sync_pipelines
from web.app import create_app

BODY = base64.b64decode(EXAMPLE_IMAGE["data"])


class Site(BaseHTTPRequestHandler):
    """/image, /moved to it, /loop, /large, /slow, /late, /missing, /text; and /private, which leads to loopback.

    /drip is never over, /endless neither and as fast as it can, /short has less than it says.
    """

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        if self.path in ("/moved", "/loop", "/private", "/file"):
            to = {
                "/moved": "/image",
                "/loop": "/loop",
                "/private": "http://localhost/",
                "/file": "file:///etc/passwd",
            }
            self._answer(302, b"", Location=to[self.path])
        elif self.path == "/slow":
            self._answer(200, b"", wait=True)
        elif self.path == "/late":
            self.server.leave.wait(0.7)  # type: ignore[attr-defined]
            self._answer(200, BODY)
        elif self.path in ("/drip", "/endless", "/short"):
            self._go_on(self.path)
        else:
            bodies = {"/image": BODY, "/large": b"x" * 200_000, "/text": b"no image"}
            self._answer(200 if self.path in bodies else 404, bodies.get(self.path, b""))

    def _go_on(self, path: str) -> None:
        """A body that is not as long as its header says, or says of no length."""
        self.send_response(200)
        if path == "/short":
            self.send_header("Content-Length", "9999")
        self.end_headers()
        self.wfile.write(BODY[:20])
        leave: threading.Event = self.server.leave  # type: ignore[attr-defined]
        with contextlib.suppress(OSError):
            while path != "/short" and not leave.wait(0.1 if path == "/drip" else 0):
                self.wfile.write(b"x" * (1 if path == "/drip" else 9_999))

    def _answer(self, status: int, body: bytes, *, wait: bool = False, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "9" if wait else str(len(body)))
        self.end_headers()
        if wait:
            self.server.leave.wait(20)  # type: ignore[attr-defined]
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        return


@pytest.fixture
def site() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.asked, server.leave = [], threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.leave.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def ask(change, engine, site):
    """POST a job whose image, or pair of images, is at a URL; a path is one of the site's."""
    offers = {"images": "image-classification", "pairs": "keypoint-matching"}
    sync_pipelines(engine, [PipelineSpec(name, task, model="tiny") for name, task in offers.items()], utc_now())

    def make(*urls: str, **media):
        app = create_app(change("media", max_bytes=100_000, fetch_seconds=1.0, **media))
        at = f"http://127.0.0.1:{site.server_port}"
        files = [{"url": at + url if url.startswith("/") else url} for url in urls]
        pair = {"pipeline": "pairs", "inputs": {"images": files}}
        body = pair if len(files) > 1 else {"pipeline": "images", "inputs": {"image": files[0]}}
        answer = app.test_client().post("/api/v1/jobs", json=body)
        app.extensions["fournil"].close()
        return answer

    return make


@pytest.mark.parametrize("path", ["/image", "/moved"])
def test_an_image_is_fetched_and_kept_as_a_file(ask, path):
    answer = ask(path, fetch_private=True)

    assert answer.status_code == 202, answer.get_json()
    assert answer.get_json()["inputs"]["image"]["file"] | {"id": "", "url": ""} == {
        "id": "", "content_type": "image/png", "bytes": len(BODY), "url": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/missing", "status 404"),
        ("/loop", "more than 5 times"),
        ("/large", "100,000 bytes"),
        ("/slow", "longer than the 1 s"),
        ("/drip", "longer than the 1 s"),
        ("/endless", "100,000 bytes"),
        ("/short", "HTTP as it should"),
        ("/text", "no image"),
        ("/file", "http://"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(ask, settings, path, words):
    answer = ask(path, fetch_private=True)

    assert answer.status_code == 422
    error = answer.get_json()["error"]
    assert error["field"] == "inputs.image"
    assert words in error["message"]
    assert [file for file in settings.storage.files_dir.rglob("*") if file.is_file()] == []


@pytest.mark.parametrize(
    "url",
    [
        "/image", "http://localhost/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://10.0.0.1/", "http://0/",
        "http://169.254.169.254/latest/meta-data/", "http://192.168.1.1/", "http://[fe80::1]/", "http://[fd00::1]/",
        "http://2130706433/", "http://0x7f.1/", "http://224.0.0.1/", "http://[64:ff9b::7f00:1]/", "http://100.64.0.1/",
        "file:///etc/passwd", "ftp://example.org/a.png", "http://user:word@example.org/", "//example.org", "http://",
        "http://exa mple.org/", "http://[::1", "http://example.org:0/", "gopher://127.0.0.1:6379/_FLUSHALL",
    ],
)  # fmt: skip
def test_what_is_not_public_or_no_web_address_is_never_asked(ask, site, url):
    answer = ask(url)

    assert answer.status_code == 422, answer.get_json()
    assert answer.get_json()["error"]["field"] == "inputs.image"
    assert site.asked == []


def test_a_redirect_to_what_is_not_public_is_not_followed(ask, site, monkeypatch):
    """Only the site's own address is taken for a public one."""
    real = fetching.refuse_private

    def but_for_the_site(address):
        if address != ipaddress.ip_address("127.0.0.1"):
            real(address)

    monkeypatch.setattr(fetching, "refuse_private", but_for_the_site)
    names = {"localhost": "127.0.0.2"}
    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: look_up(names.get(host, host), *a, **k))

    assert ask("/image").status_code == 202
    answer = ask("/private")
    assert answer.status_code == 422
    assert "not public" in answer.get_json()["error"]["message"]


def test_a_name_is_asked_for_once_and_the_answer_that_was_checked_is_connected_to(ask, site, monkeypatch):
    """A rebinding name: public for whoever checks, loopback the next time."""
    answers = iter(["93.184.215.14", "127.0.0.1"])
    connected: list[str] = []

    def look_up(host, port, **_more):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    def connect(self, host, *_more):
        connected.append(host)
        raise OSError("no network in a test")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(fetching.httpcore.SyncBackend, "connect_tcp", connect)

    assert ask(f"http://rebinding.example:{site.server_port}/image").status_code == 422
    assert connected == ["93.184.215.14"]
    assert site.asked == []


def test_urls_of_one_job_share_the_time_that_one_may_take(ask, site):
    """Each answers within it, and both together do not."""
    answer = ask("/late", "/late", fetch_private=True)

    assert answer.status_code == 422
    assert answer.get_json()["error"]["field"] == "inputs.images.1"
    assert "longer than the 1 s" in answer.get_json()["error"]["message"]
    assert site.asked == ["/late", "/late"]


def test_fetching_can_be_switched_off(ask, site):
    answer = ask("/image", fetch=False, fetch_private=True)

    assert answer.status_code == 422
    assert "fetches no URLs" in answer.get_json()["error"]["message"]
    assert site.asked == []
