"""kill -9 of whoever has a part in reading a file, at points that dice choose: its rows are those of the file, once.

FOURNIL_CHAOS_ROUNDS=30 pytest tests/chaos/test_ingest.py      more rounds than the few of every run
    FOURNIL_CHAOS_SEED=8                                           other dice
    FOURNIL_CHAOS_LOG=FILE                                         each round is noted there (tests.chaos.record)
"""

from __future__ import annotations

import contextlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx
import psutil
import pytest

from tests.chaos.record import note
from tests.chaos.stacks import FAST, batch, completed, rows_of, total_so_far, upload
from tests.processes import Stack, running_stack, wait_until

T = TypeVar("T")
ROUNDS = int(os.environ.get("FOURNIL_CHAOS_ROUNDS", "4"))
SEED = int(os.environ.get("FOURNIL_CHAOS_SEED", "7"))
ROWS = 6_000
#: Small pieces and short slices: many places to die at.
EAGER = {**FAST, "FOURNIL_INGEST_ROWS": "200", "FOURNIL_INGEST_SLICE_SECONDS": "0.3"}


def web(stack: Stack) -> psutil.Process:
    return stack.child("web.wsgi")


def reader(stack: Stack) -> psutil.Process:
    """The process that reads files; its parent's, while it has none."""
    main = stack.child("worker.node", "upkeep")
    with contextlib.suppress(psutil.Error):
        for child in main.children():
            if "spawn_main" in " ".join(child.cmdline()):
                return child
    return main


def reader_node(stack: Stack) -> psutil.Process:
    return stack.child("worker.node", "upkeep")


def broker(stack: Stack) -> psutil.Process:
    return stack.child("valkey-server")


VICTIMS = (web, reader, reader_node, broker)


def patient(stack: Stack, look: Callable[[], T]) -> T:
    """What `look` says once the web server is back."""

    def tried() -> tuple[T] | None:
        with contextlib.suppress(httpx.TransportError):
            return (look(),)
        return None

    return wait_until(tried, seconds=60, what="the web server to be back", show=stack.shown)[0]


def test_whoever_dies_while_a_file_is_read_its_rows_are_those_of_the_file(
    database: dict[str, str], tmp_path: Path
) -> None:
    dice = random.Random(SEED)
    texts = [f"row {n}" for n in range(ROWS)]
    expected = [(f"r{n}", text) for n, text in enumerate(texts)]
    with running_stack(tmp_path, **EAGER, **database) as stack:
        for turn in range(ROUNDS):
            # Each dies once, the first two early and late, before the dice repeat one.
            victims = [VICTIMS[turn % len(VICTIMS)], dice.choice(VICTIMS)]
            places = sorted(dice.randrange(ROWS) for _ in victims)
            batch_id = patient(stack, lambda: upload(stack, texts))
            for victim, place in zip(victims, places, strict=True):
                _wait_for_rows(stack, batch_id, place)
                with contextlib.suppress(psutil.NoSuchProcess):
                    victim(stack).kill()
            counts = patient(stack, lambda batch_id=batch_id: _completed(stack, batch_id))
            happened = [(victim.__name__, place) for victim, place in zip(victims, places, strict=True)]
            assert (counts["total"], counts["succeeded"]) == (ROWS, ROWS), happened
            rows = patient(stack, lambda batch_id=batch_id: rows_of(stack, batch_id))
            assert [(row["ref"], row["text"]) for row in rows] == expected, happened
            name = "postgresql" if database else "sqlite"
            note(database=name, seed=SEED, round=turn, rows=ROWS, kills=happened)


def _wait_for_rows(stack: Stack, batch_id: str, place: int) -> None:
    wait_until(
        lambda: patient(stack, lambda: total_so_far(stack, batch_id)) >= place,
        seconds=90,
        what=f"{place} rows read",
        show=stack.shown,
    )


def _completed(stack: Stack, batch_id: str) -> dict[str, int]:
    return completed(stack, batch_id, seconds=120)


def test_a_server_that_dies_in_an_upload_leaves_no_batch_and_the_next_try_is_whole(tmp_path: Path) -> None:
    with running_stack(tmp_path, **FAST) as stack:
        parts = [b"ref,text\n", *(b"r%d,row %d\n" % (n, n) for n in range(1_000))]

        def body():
            yield b'--b\r\nContent-Disposition: form-data; name="request"\r\n\r\n{"pipeline": "fake"}\r\n'
            yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="rows.csv"\r\n\r\n'
            for n, part in enumerate(parts):
                if n == 500:
                    web(stack).kill()
                yield part
            yield b"\r\n--b--\r\n"

        with pytest.raises(httpx.TransportError):
            httpx.post(
                f"{stack.url}/api/v1/batches", content=body(), timeout=30,
                headers={"Content-Type": "multipart/form-data; boundary=b"},
            )  # fmt: skip
        listed = patient(stack, lambda: httpx.get(f"{stack.url}/api/v1/batches", timeout=30).json())
        assert listed["data"] == []
        batch_id = patient(stack, lambda: upload(stack, ["one", "two"]))
        assert completed(stack, batch_id, seconds=60)["succeeded"] == 2


def test_a_page_and_a_stream_find_their_batch_again_after_the_web_server_was_killed(tmp_path: Path) -> None:
    with running_stack(tmp_path, **FAST) as stack:
        batch_id = upload(stack, [f"sleep:0.02 row {n}" for n in range(300)])
        last, _ = _first_event(stack, batch_id, last="")
        web(stack).kill()
        # A browser does this by itself: it comes back with the id of the last event it has.
        again, snapshot = patient(stack, lambda: _first_event(stack, batch_id, last=last))
        assert again != last
        assert snapshot["id"] == batch_id
        page = patient(stack, lambda: httpx.get(f"{stack.url}/batches/{batch_id}/fragment", timeout=30))
        assert page.status_code == 200
        assert completed(stack, batch_id, seconds=60)["succeeded"] == 300
        assert batch(stack, batch_id)["progress"] == 1


def _first_event(stack: Stack, batch_id: str, *, last: str) -> tuple[str, dict[str, object]]:
    """Id and data of the first event of a stream; the stream is left then."""
    address = f"{stack.url}/api/v1/batches/{batch_id}/events"
    with httpx.stream("GET", address, headers={"Last-Event-ID": last}, timeout=30) as answer:
        event_id = ""
        for line in answer.iter_lines():
            if line.startswith("id: "):
                event_id = line[4:]
            if line.startswith("data: "):
                return event_id, json.loads(line[6:])
    raise httpx.ReadError("the stream ended before its first event")
