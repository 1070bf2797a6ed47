"""Every task on a tiny checkpoint, in one real stack: the example of the catalogue by API, and a file of two rows."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from contract.ids import is_id
from contract.schemas import checker
from contract.tasks import CATALOGUE
from tests import tiny
from tests.processes import ROOT, Stack, clean_environment, running_stack, wait_until

pytestmark = pytest.mark.real_model
MINUTE = 60


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("tasks")
    command = [sys.executable, "-m", "tests.tiny", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, env=clean_environment(), capture_output=True)
    assert sum(file.stat().st_size for file in folder.rglob("*")) < 200_000_000
    pipelines = (folder / "pipelines.toml").read_text(encoding="utf-8")
    with running_stack(folder, pipelines=pipelines) as running:
        yield running


def test_every_task_has_a_tiny_checkpoint() -> None:
    assert set(tiny.MAKERS) == set(CATALOGUE)


@pytest.mark.proves("api", "view")
@pytest.mark.parametrize("task", CATALOGUE)
def test_the_example_comes_back_in_the_shape_of_the_task(stack: Stack, task: str) -> None:
    body = {"pipeline": task, **CATALOGUE[task].example}
    answer = httpx.post(f"{stack.url}/api/v1/jobs", json=body, headers={"Prefer": "wait=60"}, timeout=2 * MINUTE)
    job = answer.json()
    assert job["status"] == "succeeded", job
    assert job["task"] == task
    assert not checker(CATALOGUE[task].result).problems(job["result"], at="result")
    page = httpx.get(f"{stack.url}/jobs/{job['id']}", timeout=MINUTE)
    assert page.status_code == 200
    assert "no picture of its own" not in page.text


@pytest.mark.proves("bulk")
@pytest.mark.parametrize("task", CATALOGUE)
def test_two_rows_of_a_file_come_back_in_order(stack: Stack, task: str) -> None:
    inputs = CATALOGUE[task].example["inputs"]
    request = {"pipeline": task, "parameters": CATALOGUE[task].example["parameters"], "id_column": "id"}
    rows = [{"id": name, **{field: _cell(value) for field, value in inputs.items()}} for name in ("one", "two")]
    sent = httpx.post(
        f"{stack.url}/api/v1/batches",
        data={"request": json.dumps(request)},
        files={"file": ("rows.csv", _as_csv(rows))},
        timeout=MINUTE,
    )
    assert sent.status_code == 202, sent.text

    def over() -> dict[str, Any] | None:
        batch = httpx.get(f"{stack.url}{sent.headers['Location']}", timeout=MINUTE).json()
        return batch if batch["finished_at"] else None

    batch = wait_until(over, seconds=2 * MINUTE, what="the end of the batch", show=stack.shown)
    assert batch["counts"]["succeeded"] == 2, batch
    found = httpx.get(f"{stack.url}{batch['urls']['results']}", timeout=MINUTE).text
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
