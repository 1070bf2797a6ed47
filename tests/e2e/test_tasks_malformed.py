"""Every task is asked for what it cannot do, in hundreds of ways: each is refused by name or fails with a code."""

from __future__ import annotations

import contextlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest

from contract.errors import ErrorCode
from contract.tasks import CATALOGUE
from tests.malformed import Case, cases
from tests.processes import Stack, alive, described, wait_until

pytestmark = pytest.mark.real_model
MINUTE = 60
OVER = {"succeeded", "failed", "canceled", "expired"}
#: A job may fail for what was sent, and for nothing else.
SENDERS = {ErrorCode.INPUT_TOO_LONG, ErrorCode.INPUT_REJECTED, ErrorCode.RESULT_NOT_FINITE}
#: What no sentence of ours holds: names of classes and modules, paths, traces.
INSIDES = re.compile(
    r"Traceback|[a-z](Error|Exception)\b|<class|object at 0x|transformers|torch|PIL|ffmpeg|pdfium|\.py\b|/tmp/|/home/"
)


@pytest.mark.timeout(600)
def test_whatever_is_sent_is_refused_or_fails_with_a_code_and_no_worker_dies(all_tasks: Stack) -> None:
    bakers = _bakers(all_tasks)
    sent = list(cases())
    with httpx.Client(base_url=all_tasks.url, timeout=2 * MINUTE) as http, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda case: _send(http, case), sent))
        good = {task: _send(http, _example(task)).json() for task in CATALOGUE}
        ended = _ended(http, all_tasks, [*_taken(answers), *good.values()])
    wrong = [said for case, answer in zip(sent, answers, strict=True) if (said := _wrong(case, answer, ended))]
    assert not wrong, "\n".join([f"{len(wrong)} of {len(sent)}", *wrong[:60]])
    refused = [case for case, answer in zip(sent, answers, strict=True) if _is_refused(answer, ended)]
    assert len({case.name for case in refused}) >= 200
    assert {case.task for case in refused} == set(CATALOGUE)
    assert {task: ended[job["id"]]["status"] for task, job in good.items()} == dict.fromkeys(CATALOGUE, "succeeded")
    assert len(alive(bakers)) == len(bakers), [described(one) for one in bakers]


def _bakers(stack: Stack) -> list[psutil.Process]:
    """Everything that a job passes through: its pages, its oven and what that holds."""
    family = [one for one in stack.descendants() if "resource_tracker" not in described(one)]
    assert any("oven" in described(one) for one in family)
    return family


def _send(http: httpx.Client, case: Case) -> httpx.Response:
    if not case.parts:
        return http.post("/api/v1/jobs", content=case.body, headers={"Content-Type": "application/json"})
    parts = [(name, (f"{name}.bin", body)) for name, body in case.parts]
    return http.post("/api/v1/jobs", files=[("request", (None, case.body)), *parts])  # type: ignore[list-item]


def _example(task: str) -> Case:
    return Case(f"{task}: as it should be", task, json.dumps({"pipeline": task, **CATALOGUE[task].example}).encode())


def _taken(answers: list[httpx.Response]) -> list[dict[str, Any]]:
    return [answer.json() for answer in answers if answer.status_code == 202]


def _ended(http: httpx.Client, stack: Stack, jobs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The jobs as they are when all are over, by id."""
    ended: dict[str, dict[str, Any]] = {}
    for job in jobs:

        def over(url: str = job["urls"]["self"]) -> dict[str, Any] | None:
            found: dict[str, Any] = http.get(url, headers={"Prefer": "wait=30"}).json()
            return found if found["status"] in OVER else None

        ended[job["id"]] = wait_until(over, seconds=5 * MINUTE, what=f"the end of {job}", show=stack.shown)
    return ended


def _is_refused(answer: httpx.Response, ended: dict[str, dict[str, Any]]) -> bool:
    return answer.status_code != 202 or ended[answer.json()["id"]]["status"] == "failed"


def _wrong(case: Case, answer: httpx.Response, ended: dict[str, dict[str, Any]]) -> str | None:
    """What is not as it should be, as a line; None where all is."""
    if not _is_refused(answer, ended):
        return None if case.answered else f"{case.name}: was answered: {ended[answer.json()['id']]['result']!s:.100}"
    with contextlib.suppress(ValueError, KeyError):
        taken = answer.status_code == 202
        error = ended[answer.json()["id"]]["error"] if taken else answer.json()["error"]
        known = error["code"] in (SENDERS if taken else set(ErrorCode))
        if known and not INSIDES.search(error["message"]) and (taken or answer.status_code in (400, 413, 422)):
            return None
        return f"{case.name}: {answer.status_code} {error}"
    return f"{case.name}: {answer.status_code} {answer.text:.300}"
