"""What the API shows of a row, exactly as the contract names it. Pages read the same dictionaries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from contract.statuses import JOB_OVER, JobStatus
from contract.times import rfc3339, seconds_between
from models.batches import Batch
from models.files import StoredFile
from models.jobs import Job
from models.pipelines import StoredPipeline, list_pipelines
from models.positions import positions
from models.webhooks import Webhook, find_webhooks
from models.workers import Worker
from web.requests import encode_cursor
from web.webhooks import shown_webhook


def show_jobs(conn: sa.Connection, found: Sequence[Job]) -> list[dict[str, Any]]:
    """Jobs as JSON, with what else the database knows of them."""
    places = positions(conn, found)
    known = {stored.spec.name: stored for stored in list_pipelines(conn)}
    hooks = find_webhooks(conn, [job.id for job in found if job.webhook])
    return [
        job_json(job, known.get(job.pipeline), position=places.get(job.id), webhook=hooks.get(job.id))
        for job in found
    ]


def job_json(
    job: Job, pipeline: StoredPipeline | None, *, position: int | None, webhook: Webhook | None = None
) -> dict[str, Any]:
    """`pipeline` is None when the operator took it out of the pipelines file; its jobs stay."""
    path = f"/api/v1/jobs/{job.id}"
    return {
        "object": "job",
        "id": job.id,
        "pipeline": job.pipeline,
        "task": sent_for(job, pipeline),
        "status": job.status.value,
        "inputs": job.inputs,
        "parameters": job.parameters,
        "result": job.result if job.status is JobStatus.SUCCEEDED else None,
        "error": _job_error(job),
        "batch_id": job.batch_id,
        "row": job.row,
        **({} if job.external_id is None else {"external_id": job.external_id}),
        "attempts": job.attempts,
        "priority": job.priority.value,
        "position": position,
        "metadata": job.metadata or {},
        "created_at": rfc3339(job.created_at),
        "started_at": rfc3339(job.started_at),
        "finished_at": rfc3339(job.finished_at),
        "expires_at": rfc3339(job.expires_at),
        "timings": _timings(job),
        "model": model_json(job.model, pipeline),
        **shown_webhook(webhook),
        "urls": {"self": path, "events": f"{path}/events", "cancel": f"{path}/cancel"},
    }


def sent_for(one: Job | Batch, pipeline: StoredPipeline | None) -> str | None:
    """Its task: the one its pipeline had when it was sent, whatever it has now. The first versions kept no record."""
    return one.task or (pipeline.spec.task if pipeline else None)


def _job_error(job: Job) -> dict[str, Any] | None:
    if job.status is not JobStatus.FAILED:
        return None
    return {"code": job.error_code, "message": job.error_message or "It failed."}


def _timings(job: Job) -> dict[str, float | None]:
    """Seconds; `queue` is known as soon as it has started."""
    queue = job.queue_seconds
    if queue is None:
        queue = seconds_between(job.created_at, job.started_at)
    return {"queue": queue, "load": job.load_seconds, "inference": job.inference_seconds}


def model_json(model: dict[str, Any] | None, pipeline: StoredPipeline | None) -> dict[str, Any]:
    """What ran; until it has, which checkpoint the pipeline names."""
    if model is None:
        spec = pipeline.spec if pipeline else None
        model = {"id": spec.model or spec.backend, "backend": spec.backend} if spec else {}
    shown = {key: model.get(key) for key in ("id", "commit", "dtype", "backend")}
    # Only where it is so: what nobody switched on changes no answer.
    kept = {"cached": True} if model.get("cached") else {}
    return {**shown, "id": public_model(shown["id"]), **kept}


def public_model(model: str | None) -> str | None:
    """A checkpoint's id; of a directory of this machine only its name."""
    return model.rstrip("/").rpartition("/")[2] if model and model.startswith("/") else model


def pipeline_json(
    stored: StoredPipeline, *, counts: dict[str, int], warm_on: Iterable[Worker] = ()
) -> dict[str, Any]:
    spec, model, ovens = stored.spec, stored.model or {}, list(warm_on)
    return {
        "object": "pipeline",
        "name": spec.name,
        "task": spec.task,
        "model": public_model(spec.model or spec.backend),
        "revision": spec.revision,
        "commit": model.get("commit"),
        "state": stored.state.value,
        "reason": stored.reason,
        "warm": spec.warm,
        "warm_on": [worker.name for worker in ovens],
        "device": ovens[0].device if ovens else None,
        "backend": model.get("backend") or spec.backend,
        "dtype": model.get("dtype") or spec.dtype,
        "fidelity": stored.fidelity,
        "queued": counts.get("queued", 0),
        "running": counts.get("running", 0),
        "input_schema": spec.catalogue.inputs,
        "parameters_schema": spec.parameters_schema(),
        "description": spec.description,
        "urls": {"self": f"/api/v1/pipelines/{spec.name}"},
    }


def worker_json(worker: Worker, *, live: bool) -> dict[str, Any]:
    return {
        "object": "worker",
        "name": worker.name,
        "host": worker.host,
        "device": worker.device,
        "state": worker.state,
        "live": live,
        "warm": [{"pipeline": name, "bytes": size} for name, size in sorted(worker.warm.items())],
        "memory_bytes": worker.memory_bytes,
        "baking": worker.baking,
        "tally": worker.tally or {},
        "started_at": rfc3339(worker.started_at),
        "heartbeat_at": rfc3339(worker.heartbeat_at),
    }


def file_json(stored: StoredFile) -> dict[str, Any]:
    path = f"/api/v1/files/{stored.id}"
    return {
        "object": "file",
        "id": stored.id,
        "filename": stored.name,
        "content_type": stored.content_type,
        "bytes": stored.bytes,
        "created_at": rfc3339(stored.created_at),
        "url": f"{path}/content",
        "urls": {"self": path, "content": f"{path}/content"},
    }


def page_json(data: list[dict[str, Any]], *, kind: str, after: str | None) -> dict[str, Any]:
    """One page of a list; `after` is the key to go on after, None on the last page."""
    return {
        "object": "list",
        "data": data,
        "has_more": after is not None,
        "next_cursor": None if after is None else encode_cursor(kind, after),
    }


def is_over(body: dict[str, Any]) -> bool:
    """Whether a job's JSON says it will not change any more."""
    return body["status"] in JOB_OVER
