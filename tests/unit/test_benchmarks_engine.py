"""What benchmarks.engine counts with: a benchmark that counts wrongly is worse than none."""

from __future__ import annotations

import socket
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.engine import report
from benchmarks.engine.bars import Bar, Group, draw
from benchmarks.engine.client import Refused, Target, ask, drive
from benchmarks.engine.offline import _cut
from benchmarks.engine.overhead import _largest


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503 if self.path == "/busy" else 200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(
                b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:2], body[2:])) + b"0\r\n\r\n"
            )
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize("path", ["/", "/chunked"])
def test_an_answer_is_read_whole_however_it_is_framed(port: int, path: str) -> None:
    assert ask(Target(port, path, [b'{"input": "bread"}'])) == b'{"input": "bread"}'


def test_only_calls_that_were_answered_with_success_count(port: int) -> None:
    with pytest.raises(Refused, match="503"):
        drive(Target(port, "/busy", [b"{}"]), callers=2, seconds=0.1, warm_up=0.0)


def test_calls_a_second_are_the_calls_that_ended_in_time(port: int) -> None:
    driven = drive(Target(port, "/", [b"{}"]), callers=3, seconds=0.3, warm_up=0.1)
    assert driven.seconds
    assert driven.calls_per_second == pytest.approx(len(driven.seconds) / 0.3)


def test_nobody_at_the_port_is_an_error_and_no_zero() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="Connect call failed"):
            ask(Target(taken.getsockname()[1], "/", [b"{}"]))


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(1, 2048))
def test_the_loop_by_hand_computes_every_text_once_within_its_budget(lengths: list[int], budget: int) -> None:
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches = list(_cut(order, [[0] * length for length in lengths], budget))
    assert sorted(index for batch in batches for index in batch) == sorted(order)
    assert all(len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget for batch in batches)


def test_a_sample_counts_for_the_innermost_function_of_ours() -> None:
    raw = (
        "run (/usr/lib/python3.11/threading.py:1);serve (worker/oven.py:9);record (worker/recorder.py:5);"
        "transaction (models/database.py:3);commit (/site-packages/sqlalchemy/engine.py:7) 3\n"
        "run (/usr/lib/python3.11/threading.py:1);serve (worker/oven.py:9);dumps (/site-packages/orjson.py:7) 1\n"
    )
    found = _largest(raw)
    assert found["samples"] == 4
    assert found["parts"] == {"worker/recorder.py record (its transaction)": 0.75, "worker/oven.py serve": 0.25}


def test_a_drawing_is_xml_with_every_value_in_it() -> None:
    drawn = draw("Rows a second", "", [Group("a < b", [Bar("one", 250.0), Bar("two", 2.5)])], line=1.0)
    words = [element.text for element in ET.fromstring(drawn).iter() if element.text]
    assert {"Rows a second", "a < b", "one", "two", "250", "2.50"} <= set(words)


def test_the_docs_say_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of benchmarks/results and nothing older: `python -m benchmarks.engine.report` writes them again."""
    docs = report.DOCS
    (tmp_path / "images").mkdir()
    monkeypatch.setattr(report, "DOCS", tmp_path)
    report.main()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in written} == {".md", ".svg"}
    for path in written:
        assert path.read_text() == (docs / path.relative_to(tmp_path)).read_text(), path.name
