"""A real stack tells a receiver that fails twice, and whose postman is killed in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.processes import Stack, run_fournil, running_stack, wait_until
from tests.receiver import SECRET, Receiver, receiving


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    options = {
        "FOURNIL_WEBHOOK_SECRET": SECRET,
        "FOURNIL_WEBHOOK_PRIVATE": "true",
        "FOURNIL_SWEEP_SECONDS": "1",
        "FOURNIL_WEBHOOK_SECONDS": "2",
    }
    with running_stack(tmp_path_factory.mktemp("hooks"), **options) as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def told(receiver: Receiver, stack: Stack, times: int) -> None:
    wait_until(
        lambda: len(receiver.told) >= times,
        seconds=60, what=f"the receiver to be told {times} times", show=stack.shown,
    )  # fmt: skip


def delivered(stack: Stack, path: str) -> dict[str, Any]:
    """The webhook of a job or batch, once it is delivered."""
    url = f"{stack.url}{path}"

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = httpx.get(url, timeout=30).json()["webhook"]
        return found if found["state"] == "delivered" else None

    return wait_until(look, seconds=60, what="the webhook to be delivered", show=stack.shown)


def kill_upkeep(stack: Stack) -> None:
    """The child that tells, and its parent: both are started again."""
    parent = stack.child("worker.node", "upkeep")
    family = [*parent.children(recursive=True), parent]
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=5)


def test_a_job_is_told_after_two_failures_and_a_kill(stack: Stack, receiver: Receiver) -> None:
    receiver.answers = [500, 500, 200]
    body = {"pipeline": "fake", "inputs": "x", "metadata": {"mine": 1}, "webhook": {"url": receiver.url}}
    job = httpx.post(f"{stack.url}/api/v1/jobs", json=body, timeout=30).json()
    told(receiver, stack, 1)
    kill_upkeep(stack)

    found = delivered(stack, job["urls"]["self"])

    assert (found["tries"], found["answered"]) == (3, 200)
    messages = [one.verified() for one in receiver.told]
    assert [message["type"] for message in messages] == ["job.succeeded"] * 3
    assert messages[0]["data"]["id"] == job["id"]
    assert messages[0]["data"]["metadata"] == {"mine": 1}
    assert len({one.headers["webhook-id"] for one in receiver.told}) == 1


def test_a_postman_killed_while_it_waits_for_the_answer_tells_again(stack: Stack, receiver: Receiver) -> None:
    receiver.answers = [0]
    body = {"pipeline": "fake", "inputs": "x", "webhook": {"url": receiver.url}}
    job = httpx.post(f"{stack.url}/api/v1/jobs", json=body, timeout=30).json()
    told(receiver, stack, 1)
    kill_upkeep(stack)

    assert delivered(stack, job["urls"]["self"])["tries"] == 2
    assert len({one.headers["webhook-id"] for one in receiver.told}) == 1


def test_a_batch_is_told_once_however_many_rows_it_has(stack: Stack, receiver: Receiver, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("text\n" + "a row\n" * 300, encoding="utf-8")
    words = ["batch", "fake", str(rows), "--webhook", receiver.url, "--json", "--url", stack.url]
    run = run_fournil(*words, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    told(receiver, stack, 1)

    (one,) = receiver.told
    message = one.verified()
    assert message["type"] == "batch.completed"
    assert message["data"]["counts"]["succeeded"] == message["data"]["counts"]["total"] == 300
    assert delivered(stack, message["data"]["urls"]["self"])["tries"] == 1
