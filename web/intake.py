"""Intake: from what a caller wrote to a row that is a promise. The API, the pages and the batches share it."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from contract.ids import new_id
from contract.names import PIPELINE_NAME
from contract.pipelines import PipelineSpec
from contract.schemas import checker, first_error, in_one_form, whole_numbers
from contract.statuses import Priority
from contract.tasks import JsonSchema
from contract.times import utc_now
from contract.webhooks import JOB_EVENTS
from models.database import transaction
from models.pipelines import StoredPipeline, find_pipeline, list_pipelines
from models.submit import Named, NewJob, Submitted, submit
from web.counter import unknown_pipeline
from web.luggage import Journey, Parts, submit_with_files, throw_out, with_parts
from web.requests import check
from web.services import Services
from web.webhooks import read_webhook, refuse_webhook, webhook_schema

METADATA: JsonSchema = {
    "type": ["object", "null"],
    "description": "Yours, kept and given back: up to 16 entries of short texts, numbers or true/false.",
    "maxProperties": 16,
    "propertyNames": {"minLength": 1, "maxLength": 64},
    "additionalProperties": {
        "type": ["string", "number", "boolean"],
        "maxLength": 512,
    },
}
EXPIRES_IN: JsonSchema = {
    "type": ["number", "null"],
    "minimum": 0.1,
    "maximum": 2_592_000,
    "description": "Seconds after which it need not run any more; at most 30 days. Left out: it waits for ever.",
}
NO_PARTS: Parts = MappingProxyType({})

JOB_REQUEST: JsonSchema = {
    "type": "object",
    "properties": {
        "pipeline": {"type": "string", "description": "Name of a pipeline, as GET /api/v1/pipelines lists them."},
        "inputs": {
            "type": ["object", "string"],
            "description": "The task's input fields; a bare text stands for the task's main field. "
            "The pipeline's `input_schema` says which.",
        },
        "parameters": {
            "type": ["object", "null"],
            "description": "The pipeline's `parameters_schema` says which, with bounds and defaults.",
        },
        "priority": {
            "type": ["string", "null"],
            "enum": [*(priority.value for priority in Priority), None],
            "default": Priority.INTERACTIVE.value,
            "description": "interactive: somebody waits. bulk: behind everything interactive.",
        },
        "metadata": METADATA,
        "expires_in": EXPIRES_IN,
        "webhook": webhook_schema(JOB_EVENTS),
    },
    "required": ["pipeline", "inputs"],
    "additionalProperties": False,
}


def take_job(
    services: Services,
    body: dict[str, Any],
    *,
    key: str | None = None,
    job_id: str | None = None,
    parts: Parts = NO_PARTS,
) -> Submitted:
    """Check, store and commit one job, then wake a worker. When this returns, the job is accepted.

    `job_id` is what a new job is called; None: a fresh one. Files in `parts`, by input field, become the job's, or
    are deleted.
    """
    now = utc_now()
    try:
        spec, job = read_job(services, body, now=now, parts=parts)
    except BaseException:
        throw_out(services.storage, parts)
        raise
    job_id = job_id or new_id()
    if spec.catalogue.media:
        return submit_with_files(services, Journey(spec, job, job_id, key, body, parts), now=now)
    if key is None:
        services.counter.submit(Named(job_id, job, now))
        return Submitted(job_id, replayed=False)
    # A key is looked up and taken in one transaction, which may end in a conflict that is nobody else's.
    submitted = transaction(
        services.engine,
        lambda conn: submit(conn, job, now=now, job_id=job_id, idempotency_key=key, request_body=body),
    )
    if not submitted.replayed:
        services.dispatch.wake(job.pipeline)
    return submitted


def read_job(
    services: Services, body: dict[str, Any], *, now: datetime, parts: Parts = NO_PARTS
) -> tuple[PipelineSpec, NewJob]:
    """The job that `body` asks for; raises RequestError that names the first wrong field and lists the others."""
    refuse_webhook(services.settings, body)
    check(JOB_REQUEST, body)
    spec = services.counter.pipeline(body["pipeline"])
    inputs, parameters = read_inputs(spec, body["inputs"]), body.get("parameters") or {}
    if parts:
        inputs = with_parts(spec, inputs, parts)
    inputs, problems = in_one_form(spec.catalogue, checker(spec.catalogue.inputs), inputs)
    problems += checker(spec.parameters_schema()).problems(parameters, at="parameters")
    if problems:
        raise first_error(problems)
    job = NewJob(
        pipeline=spec.name,
        inputs=inputs,
        parameters=whole_numbers(spec.catalogue.parameters, parameters),
        priority=Priority(body.get("priority") or Priority.INTERACTIVE),
        metadata=body.get("metadata"),
        expires_at=expiry(body.get("expires_in"), now),
        webhook=read_webhook(services.settings, body),
        task=spec.task,
    )
    return spec, job


def read_inputs(spec: PipelineSpec, inputs: Any) -> Any:
    """A bare text is short for the task's only text field; it is never a path and never fetched."""
    return {spec.catalogue.main_field: inputs} if isinstance(inputs, str) else inputs


def read_parameters(spec: PipelineSpec, parameters: dict[str, Any], *, mapped: frozenset[str] = frozenset()) -> Any:
    """Parameters for all rows of a batch; those in `mapped` come from columns and are not required here."""
    schema = spec.parameters_schema()
    schema = {**schema, "required": [name for name in schema["required"] if name not in mapped]}
    check(schema, parameters, at="parameters")
    return whole_numbers(schema, parameters)


def named_pipeline(conn: sa.Connection, name: str) -> StoredPipeline:
    """The pipeline a body names; 422 with the nearest name when there is none."""
    found = find_pipeline(conn, name) if PIPELINE_NAME.match(name) else None
    if found is None:
        raise unknown_pipeline(name, [stored.spec.name for stored in list_pipelines(conn)])
    return found


def expiry(expires_in: float | None, now: datetime) -> datetime | None:
    return None if expires_in is None else now + timedelta(seconds=expires_in)
