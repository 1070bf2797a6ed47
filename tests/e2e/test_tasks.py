"""Every task on a tiny checkpoint, in one real stack: the example of the catalogue by API, and a file of two rows."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import httpx
import pytest

from contract.ids import is_id
from contract.schemas import checker
from contract.tasks import CATALOGUE
from contract.tasks.media import EXAMPLE_IMAGE
from tests import tiny
from tests.processes import Stack, wait_until

pytestmark = pytest.mark.real_model
MINUTE = 60


def test_every_task_has_a_tiny_checkpoint() -> None:
    assert set(tiny.MAKERS) == set(CATALOGUE)


@pytest.mark.proves("api", "view")
@pytest.mark.parametrize("task", CATALOGUE)
def test_the_example_comes_back_in_the_shape_of_the_task(all_tasks: Stack, task: str) -> None:
    body = {"pipeline": task, **CATALOGUE[task].example}
    answer = httpx.post(f"{all_tasks.url}/api/v1/jobs", json=body, headers={"Prefer": "wait=60"}, timeout=2 * MINUTE)
    job = answer.json()
    assert job["status"] == "succeeded", job
    assert job["task"] == task
    assert not checker(CATALOGUE[task].result).problems(job["result"], at="result")
    page = httpx.get(f"{all_tasks.url}/jobs/{job['id']}", timeout=MINUTE)
    assert page.status_code == 200
    assert "no picture of its own" not in page.text


def test_a_chat_brings_its_image_along_and_its_text_is_read_while_it_is_written(all_tasks: Stack) -> None:
    url = "data:image/png;base64," + EXAMPLE_IMAGE["data"]
    image = {"type": "image_url", "image_url": {"url": url, "detail": "auto"}}
    said = {"role": "user", "content": [{"type": "text", "text": "what is it?"}, image]}
    body = {"pipeline": "image-text-to-text", "inputs": {"messages": [said]}, "parameters": {"max_new_tokens": 30}}
    sent = httpx.post(f"{all_tasks.url}/api/v1/jobs", json=body, timeout=MINUTE)
    assert sent.status_code == 202, sent.text
    told = httpx.get(f"{all_tasks.url}{sent.json()['urls']['events']}", timeout=MINUTE).text
    events = [
        dict(line.split(": ", 1) for line in one.splitlines()) for one in told.split("\n\n") if "event: " in one
    ]
    job = json.loads(events[-1]["data"])
    assert (events[-1]["event"], job["status"]) == ("done", "succeeded")
    assert [part["type"] for part in job["inputs"]["messages"][0]["content"]] == ["text", "image"]
    assert [one["file"]["content_type"] for one in job["inputs"]["images"]] == ["image/png"]
    pieces = [json.loads(event["data"])["text"] for event in events if event["event"] == "token"]
    assert "".join(pieces) == job["result"]["message"]["content"]


@pytest.mark.proves("bulk")
@pytest.mark.parametrize("task", CATALOGUE)
def test_two_rows_of_a_file_come_back_in_order(all_tasks: Stack, task: str) -> None:
    inputs = CATALOGUE[task].example["inputs"]
    request = {"pipeline": task, "parameters": CATALOGUE[task].example["parameters"], "id_column": "id"}
    rows = [{"id": name, **{field: _cell(value) for field, value in inputs.items()}} for name in ("one", "two")]
    sent = httpx.post(
        f"{all_tasks.url}/api/v1/batches",
        data={"request": json.dumps(request)},
        files={"file": ("rows.csv", _as_csv(rows))},
        timeout=MINUTE,
    )
    assert sent.status_code == 202, sent.text

    def over() -> dict[str, Any] | None:
        batch = httpx.get(f"{all_tasks.url}{sent.headers['Location']}", timeout=MINUTE).json()
        return batch if batch["finished_at"] else None

    batch = wait_until(over, seconds=2 * MINUTE, what="the end of the batch", show=all_tasks.shown)
    assert batch["counts"]["succeeded"] == 2, batch
    found = httpx.get(f"{all_tasks.url}{batch['urls']['results']}", timeout=MINUTE).text
    listed = list(csv.DictReader(io.StringIO(found)))
    assert [{name: row[name] for name in rows[0]} for row in listed] == rows
    assert set(CATALOGUE[task].result_columns) <= listed[0].keys()
    first, second = (row[CATALOGUE[task].result_columns[0]] for row in listed)
    # Files that came back are two, each with an id of its own.
    assert first == second or (is_id(first) and is_id(second))


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _as_csv(rows: list[dict[str, str]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()
