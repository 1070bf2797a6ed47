"""Answers to jobs that were sent with a wait."""

from __future__ import annotations

from typing import Any

import httpx

from contract.schemas import checker
from contract.tasks import CATALOGUE


def succeeded(answer: httpx.Response) -> dict[str, Any]:
    """The job, which must be over, and its result what the catalogue says."""
    job: dict[str, Any] = answer.json()
    assert answer.status_code == 200, job
    assert job["status"] == "succeeded", job["error"]
    assert checker(CATALOGUE[job["task"]].result).problems(job["result"], at="result") == []
    return job
