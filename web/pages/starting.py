"""Interim: batches as the API will show and change them, until web.api.batches says it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from contract.pipelines import PipelineSpec
from contract.statuses import BATCH_OVER, OnInvalidRows
from contract.times import rfc3339, seconds_between, utc_now
from models import batches
from models.batches import Batch, NewBatch
from models.database import transaction
from models.files import StoredFile
from models.sheets.mapping import PARAMETER, check_request
from web.intake import read_parameters
from web.services import Services


def show_batch(conn: sa.Connection, batch: Batch) -> dict[str, Any]:
    counts = batches.counts(conn, batch)
    done = sum(counts[name] or 0 for name in ("succeeded", "failed", "canceled", "expired", "invalid"))
    total = counts["total"]
    progress = 1.0 if batch.status in BATCH_OVER else (done / total if total else 0.0)
    spent = seconds_between(batch.started_at, batch.finished_at or utc_now())
    rate = done / spent if spent else 0.0
    path = f"/api/v1/batches/{batch.id}"
    return {
        "id": batch.id,
        "pipeline": batch.pipeline,
        "status": batch.status.value,
        "filename": batch.filename,
        "format": batch.format,
        "parameters": batch.parameters,
        "inputs": batch.mapping,
        "counts": counts,
        "progress": progress,
        "rate": rate,
        "eta": (total - done) / rate if total and rate and batch.status not in BATCH_OVER else None,
        "created_at": rfc3339(batch.created_at),
        "started_at": rfc3339(batch.started_at),
        "finished_at": rfc3339(batch.finished_at),
        "errors": batch.errors,
        "urls": {"self": path, "results": f"{path}/results", "errors": f"{path}/errors"},
    }


def start_batch(services: Services, spec: PipelineSpec, stored: StoredFile, body: dict[str, Any]) -> str:
    mapping = check_request(spec, body.get("inputs"))
    mapped = frozenset(name.removeprefix(PARAMETER) for name in mapping if name.startswith(PARAMETER))
    new = NewBatch(
        pipeline=spec.name,
        filename=stored.name,
        file_id=stored.id,
        parameters=read_parameters(spec, body["parameters"], mapped=mapped),
        mapping=mapping,
        on_invalid_rows=OnInvalidRows(body["on_invalid_rows"]),
        id_column=body.get("id_column"),
    )
    batch_id = transaction(services.engine, lambda conn: batches.create_batch(conn, new, now=utc_now()))
    services.dispatch.ingest(batch_id)
    return batch_id


def cancel_batch(services: Services, batch: Batch) -> None:
    if transaction(services.engine, lambda conn: batches.begin_cancel(conn, batch.id)):
        services.dispatch.cancel_batch(batch.id)
        services.dispatch.changed(batch.id)


def retry_batch(services: Services, batch: Batch) -> None:
    if transaction(services.engine, lambda conn: batches.retry(conn, batch, now=utc_now())):
        services.dispatch.wake(batch.pipeline)
        services.dispatch.changed(batch.id)


def delete_batch(services: Services, batch: Batch) -> None:
    if transaction(services.engine, lambda conn: batches.delete_batch(conn, batch)):
        services.storage.delete(batch.file_id)
