"""What a card says of a pipeline: what the API says of it, in words for people."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from contract.statuses import PipelineState
from contract.tasks import CATALOGUE
from contract.times import utc_now
from models.workers import live_workers
from web.api.pipelines import show_pipelines
from web.serializers import is_over


def offers(conn: sa.Connection) -> list[dict[str, Any]]:
    """Every pipeline, in the order of the pipelines file."""
    return [_offer(shown) for shown in show_pipelines(conn)]


def offer_of(conn: sa.Connection, name: str) -> dict[str, Any]:
    return next(offer for offer in offers(conn) if offer["name"] == name)


def waits_for(conn: sa.Connection, job: dict[str, Any]) -> str:
    """Why a job that is not over takes a while, in a word; empty where it takes no longer than computing it."""
    if is_over(job):
        return ""
    offer = next((offer for offer in show_pipelines(conn) if offer["name"] == job["pipeline"]), None)
    if offer is None:
        return "gone"
    if offer["state"] != PipelineState.ACTIVE:
        return str(offer["state"])
    if not live_workers(conn, now=utc_now()):
        return "workers"
    return "" if offer["warm_on"] else "loading"


def _offer(shown: dict[str, Any]) -> dict[str, Any]:
    task = CATALOGUE[shown["task"]]
    return {
        **shown,
        "task_title": task.title,
        "summary": shown["description"] or task.summary,
        "runs_on": _RUNTIMES.get(shown["backend"]),
        "likeness": _likeness(shown["fidelity"]),
    }


#: What computes, as people know it.
_RUNTIMES = {"onnx": "ONNX Runtime", "torch": "PyTorch", "fake": "nothing: it pretends"}


def _likeness(fidelity: dict[str, Any] | None) -> str:
    """What quantizing cost, in a sentence; empty where nothing was quantized."""
    if not fidelity:
        return ""
    found = []
    if "cosine_min" in fidelity:
        found.append(f"cosine {fidelity['cosine_mean']} on average and {fidelity['cosine_min']} at the least")
    if "same_first" in fidelity:
        found.append(f"the same first answer for {fidelity['same_first']} of {fidelity['of']}")
    if "same_text" in fidelity:
        found.append(
            f"the same text for {fidelity['same_text']} of {fidelity['texts']}, and on average the first "
            f"{fidelity['same_words']:.0%} of a text's words the same"
        )
    if "score_mean" in fidelity:
        found.append(f"its score off by {fidelity['score_mean']} on average and {fidelity['score_max']} at most")
    on = f"the last {fidelity['inputs']} inputs" if fidelity["recent"] else "the task's example alone"
    return f"Against float32, on {on}: {', '.join(found)}."
