"""A batch changes its mind on a real stack: what is done stays, what is in hand stops, the rest can run again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import Stack, running_stack, wait_until

ROWS = 600
#: What a row takes, in seconds: the fake backend sleeps, and a microbatch of these a few hundred times as long.
SLOW = 0.01


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("life"), FOURNIL_SWEEP_SECONDS="1") as running:
        yield running


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{stack.url}/api/v1", timeout=60) as client:
        yield client


def upload(http: httpx.Client, rows: int, *, text: str = f"sleep:{SLOW} row", **request: Any) -> str:
    sheet = "text\n" + "".join(f"{text} {n}\n" for n in range(rows))
    parts: dict[str, Any] = {
        "request": (None, json.dumps({"pipeline": "fake", **request}), "application/json"),
        "file": ("rows.csv", sheet.encode(), "text/csv"),
    }
    answer = http.post("/batches", files=parts)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def shown(http: httpx.Client, batch_id: str) -> dict[str, Any]:
    batch: dict[str, Any] = http.get(f"/batches/{batch_id}").json()
    counts = dict(batch["counts"])
    total = counts.pop("total")
    assert total is None or sum(counts.values()) == total
    return batch


def until(http: httpx.Client, stack: Stack, batch_id: str, what: str, *, seconds: float = 30) -> dict[str, Any]:
    def there() -> dict[str, Any] | None:
        batch = shown(http, batch_id)
        return batch if batch["status"] == what else None

    return wait_until(there, seconds=seconds, what=f"the batch to be {what}", show=stack.shown)


def test_a_cancel_stops_within_a_microbatch_keeps_what_is_done_and_a_retry_runs_the_rest(stack, http):
    batch_id = upload(http, ROWS)
    wait_until(lambda: shown(http, batch_id)["counts"]["succeeded"] >= 20, what="20 rows", show=stack.shown)
    asked = time.monotonic()
    answer = http.post(f"/batches/{batch_id}/cancel")
    assert answer.status_code == 200
    assert answer.json()["status"] == "canceled"
    done = answer.json()["counts"]["succeeded"]
    # The oven is free for somebody else once its microbatch is over, and writes nothing of it.
    job = http.post("/jobs", json={"pipeline": "fake", "inputs": "next"}, headers={"Prefer": "wait=30"}).json()
    assert (job["status"], time.monotonic() - asked < ROWS * SLOW) == ("succeeded", True)
    counts = shown(http, batch_id)["counts"]
    assert (counts["succeeded"], counts["canceled"]) == (done, ROWS - done)

    assert http.post(f"/batches/{batch_id}/retry").status_code == 202
    assert until(http, stack, batch_id, "completed")["counts"]["succeeded"] == ROWS
    attempts = [job["attempts"] for job in http.get(f"/batches/{batch_id}/jobs?limit=20").json()["data"]]
    assert attempts == [1] * 20


def test_a_batch_whose_time_is_up_keeps_what_is_done_and_can_be_retried(stack, http):
    batch_id = upload(http, ROWS, expires_in=1.5)
    batch = until(http, stack, batch_id, "expired")
    done = batch["counts"]["succeeded"]
    assert batch["counts"]["expired"] == ROWS - done > 0
    assert http.post(f"/batches/{batch_id}/retry").status_code == 202
    assert until(http, stack, batch_id, "completed")["counts"]["succeeded"] == ROWS


def test_a_large_batch_is_canceled_and_deleted_whole(stack, http):
    batch_id = upload(http, 30_000)
    wait_until(lambda: shown(http, batch_id)["counts"]["total"], what="the file to be read", show=stack.shown)
    assert http.delete(f"/batches/{batch_id}").status_code == 409
    assert http.post(f"/batches/{batch_id}/cancel").status_code == 202
    batch = until(http, stack, batch_id, "canceled")
    assert batch["counts"]["total"] == 30_000
    file = stack.data_dir / "files" / batch["file_id"][-2:] / batch["file_id"]
    assert file.exists()
    row = http.get(f"/batches/{batch_id}/jobs?limit=1").json()["data"][0]["id"]
    assert http.delete(f"/batches/{batch_id}").status_code == 204
    for path in (f"/batches/{batch_id}", f"/batches/{batch_id}/jobs", f"/batches/{batch_id}/results"):
        assert http.get(path).status_code == 404
    wait_until(lambda: http.get(f"/jobs/{row}").status_code == 404, what="its rows to go", show=stack.shown)
    wait_until(lambda: not Path(file).exists(), what="its file to go", show=stack.shown)


def test_a_stream_of_a_running_batch_goes_on_from_the_event_that_was_seen(stack, http):
    batch_id = upload(http, 200)
    first = _events(http, batch_id, last="", until_done=False)[0]
    rest = _events(http, batch_id, last=first[0], until_done=True)
    assert rest[0][0] != first[0]
    assert [kind for _, kind, _ in rest][-1] == "done"
    done = [data["counts"]["succeeded"] for _, _, data in (first, *rest)]
    assert done == sorted(done)
    assert done[-1] == 200


def _events(
    http: httpx.Client, batch_id: str, *, last: str, until_done: bool
) -> list[tuple[str, str, dict[str, Any]]]:
    found: list[tuple[str, str, dict[str, Any]]] = []
    event_id = kind = ""
    with http.stream("GET", f"/batches/{batch_id}/events", headers={"Last-Event-ID": last}) as answer:
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                event_id = value
            elif name == "event":
                kind = value
            elif name == "data":
                found.append((event_id, kind, json.loads(value)))
                if not until_done:
                    break
    return found
