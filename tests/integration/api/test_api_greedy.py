"""A file of a kilobyte of which pyarrow would make two gigabytes, sent to a real server."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import psutil

from tests.integration.api.conftest import served
from tests.nasty import GREEDY


def most_held(pid: int) -> int:
    """kB of memory that a process ever held at once."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


def test_a_file_that_asks_for_gigabytes_is_refused_and_the_server_stays_small(settings):
    with served(settings) as url:
        (master,) = [p for p in psutil.Process().children() if "web.wsgi:application()" in p.cmdline()]
        before = {worker.pid: most_held(worker.pid) for worker in master.children()}
        parts = {"request": (None, '{"pipeline": "fake"}', "application/json"), "file": ("a.parquet", GREEDY)}
        dry = httpx.post(f"{url}/api/v1/batches/validate", files=parts, timeout=30)
        sent = httpx.post(f"{url}/api/v1/batches", files=parts, timeout=30)
        assert dry.json()["error"]["code"] == "unreadable_file"
        assert (sent.status_code, sent.json()["error"]["code"]) == (422, "unreadable_file")
        grown = {pid: most_held(pid) - held for pid, held in before.items()}
        assert len(grown) == 1
        assert max(grown.values()) < 300_000
        assert [p.pid for p in master.children()] == list(before)
