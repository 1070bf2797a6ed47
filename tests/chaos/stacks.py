"""What chaos does to a stack besides killing it: hand in, ask, and wait for an end."""

from __future__ import annotations

import contextlib
import csv
import io

import httpx
import psutil

from tests.processes import Stack, wait_until

OVER = {"succeeded", "failed", "canceled", "expired"}
FAST = {"FOURNIL_SWEEP_SECONDS": "1"}


def submit(stack: Stack, text: str) -> str:
    body = {"pipeline": "fake", "inputs": {"text": text}}
    answer = httpx.post(f"{stack.url}/api/v1/jobs", json=body, timeout=30)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def job(stack: Stack, job_id: str) -> dict[str, object]:
    found: dict[str, object] = httpx.get(f"{stack.url}/api/v1/jobs/{job_id}", timeout=30).json()
    return found


def finished(stack: Stack, job_ids: list[str], *, seconds: float) -> list[dict[str, object]]:
    def over() -> list[dict[str, object]] | None:
        jobs = [job(stack, job_id) for job_id in job_ids]
        return jobs if all(found["status"] in OVER for found in jobs) else None

    return wait_until(over, seconds=seconds, what=f"the end of {len(job_ids)} jobs", show=stack.shown)


def upload(stack: Stack, texts: list[str]) -> str:
    sheet = io.StringIO()
    writer = csv.writer(sheet)
    writer.writerow(["ref", "text"])
    writer.writerows((f"r{n}", text) for n, text in enumerate(texts))
    parts = {
        "request": (None, '{"pipeline": "fake", "id_column": "ref"}', "application/json"),
        "file": ("rows.csv", sheet.getvalue().encode(), "text/csv"),
    }
    answer = httpx.post(f"{stack.url}/api/v1/batches", files=parts, timeout=60)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def batch(stack: Stack, batch_id: str) -> dict[str, object]:
    found: dict[str, object] = httpx.get(f"{stack.url}/api/v1/batches/{batch_id}", timeout=30).json()
    return found


def succeeded(stack: Stack, batch_id: str) -> int:
    counts = batch(stack, batch_id)["counts"]
    assert isinstance(counts, dict)
    return int(counts["succeeded"])


def completed(stack: Stack, batch_id: str, *, seconds: float) -> dict[str, int]:
    def over() -> dict[str, int] | None:
        found = batch(stack, batch_id)
        return found["counts"] if found["status"] == "completed" else None  # type: ignore[return-value]

    return wait_until(over, seconds=seconds, what="the batch to complete", show=stack.shown)


def rows_of(stack: Stack, batch_id: str) -> list[dict[str, str]]:
    answer = httpx.get(f"{stack.url}/api/v1/batches/{batch_id}/results?format=csv", timeout=60)
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def oven_child(stack: Stack) -> psutil.Process:
    """The process that holds the pipelines."""

    def child() -> psutil.Process | None:
        with contextlib.suppress(psutil.Error):
            for process in stack.child("worker.node", "oven").children():
                if "spawn_main" in " ".join(process.cmdline()):
                    return process
        return None

    return wait_until(child, what="the oven's child", show=stack.shown)


def total_so_far(stack: Stack, batch_id: str) -> int:
    counts = batch(stack, batch_id)["counts"]
    assert isinstance(counts, dict)
    return sum(int(value or 0) for status, value in counts.items() if status != "total")
