"""Schemas of what the API answers, by the name they have in the OpenAPI document.

Tests check real answers against them, so they cannot say what is not so.
"""

from __future__ import annotations

from typing import Any

from contract.errors import ErrorCode
from contract.statuses import BatchStatus, JobStatus, OnInvalidRows, PipelineState, Priority
from contract.tasks import CATALOGUE, JsonSchema
from models.webhooks import State
from web.batch_requests import BATCH_REQUEST
from web.intake import JOB_REQUEST
from web.operations import ref

_TEXT: JsonSchema = {"type": "string"}
_TEXT_OR_NULL: JsonSchema = {"type": ["string", "null"]}
_SENT_FOR = "The task it was sent for, whatever its pipeline is for now; null where nobody knows it any more."
_WHOLE: JsonSchema = {"type": "integer", "minimum": 0}
_SECONDS: JsonSchema = {"type": ["number", "null"], "minimum": 0}
_OBJECT: JsonSchema = {"type": "object"}
TIME: JsonSchema = {"type": "string", "format": "date-time", "pattern": "Z$"}
TIME_OR_NULL: JsonSchema = {"type": ["string", "null"], "format": "date-time", "pattern": "Z$"}
ID: JsonSchema = {"type": "string", "maxLength": 64, "pattern": "^[A-Za-z0-9._~-]+$"}


def a_record(properties: dict[str, JsonSchema], *, optional: tuple[str, ...] = (), **more: Any) -> JsonSchema:
    """An answer: all fields are there unless named as optional. Clients must bear new ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, **more}


def a_page(of: str) -> JsonSchema:
    return a_record(
        {
            "object": {"const": "list"},
            "data": {"type": "array", "items": ref(of)},
            "has_more": {"type": "boolean"},
            "next_cursor": _TEXT_OR_NULL,
        }
    )


def a_list(of: str) -> JsonSchema:
    """A list that is always whole; it has the fields of a page, so that one loop reads both."""
    return a_page(of)


ERROR = a_record(
    {
        "error": a_record(
            {
                "code": {"type": "string", "enum": [code.value for code in ErrorCode]},
                "message": {**_TEXT, "description": "A sentence for people."},
                "field": {**_TEXT, "description": "What is wrong, as a dotted path."},
                "details": _OBJECT,
            },
            optional=("field", "details"),
        ),
        "request_id": {**_TEXT, "description": "The X-Request-ID of this answer."},
    }
)

WEBHOOK = a_record(
    {
        "url": {**_TEXT, "description": "Without its query."},
        "events": {"type": ["array", "null"], "items": _TEXT, "description": "null: every end."},
        "state": {
            "type": "string",
            "enum": [state.value for state in State],
            "description": "waiting: for the end. due: for its turn, or to be tried again. unwanted: not asked for.",
        },
        "tries": _WHOLE,
        "next_try_at": TIME_OR_NULL,
        "answered": {"type": ["integer", "null"], "description": "Status that the last try was answered with."},
        "problem": _TEXT_OR_NULL,
        "delivered_at": TIME_OR_NULL,
    },
    description="Only where one was asked for.",
)

JOB = a_record(
    {
        "object": {"const": "job"},
        "id": ID,
        "pipeline": _TEXT,
        "task": {**_TEXT_OR_NULL, "description": _SENT_FOR},
        "status": {"type": "string", "enum": [status.value for status in JobStatus]},
        "inputs": _OBJECT,
        "parameters": _OBJECT,
        "result": {"description": "In the shape of the task's `result_schema`; null until `succeeded`."},
        "error": {
            "anyOf": [
                a_record({"code": {"type": "string", "enum": [code.value for code in ErrorCode]}, "message": _TEXT}),
                {"type": "null"},
            ],
            "description": "Only when `failed`.",
        },
        "batch_id": _TEXT_OR_NULL,
        "row": {"type": ["integer", "null"], "description": "Data row of the batch's file, from 0."},
        "external_id": {**_TEXT, "description": "Only of a batch with an `id_column`: what stands there in its row."},
        "attempts": {**_WHOLE, "description": "How often it was begun."},
        "priority": {"type": "string", "enum": [priority.value for priority in Priority]},
        "position": {"type": ["integer", "null"], "description": "Jobs of its pipeline that go first, while queued."},
        "metadata": _OBJECT,
        "created_at": TIME,
        "started_at": TIME_OR_NULL,
        "finished_at": TIME_OR_NULL,
        "expires_at": TIME_OR_NULL,
        "timings": a_record({"queue": _SECONDS, "load": _SECONDS, "inference": _SECONDS}),
        "model": a_record(
            {
                "id": _TEXT_OR_NULL,
                "commit": _TEXT_OR_NULL,
                "dtype": _TEXT_OR_NULL,
                "backend": _TEXT_OR_NULL,
                "cached": {
                    "const": True,
                    "description": "The answer was kept from an earlier job that asked the same.",
                },
            },
            optional=("cached",),
        ),
        "webhook": WEBHOOK,
        "urls": a_record({"self": _TEXT, "events": _TEXT, "cancel": _TEXT}),
    },
    optional=("webhook", "external_id"),
)

PIPELINE = a_record(
    {
        "object": {"const": "pipeline"},
        "name": _TEXT,
        "task": {"type": "string", "enum": list(CATALOGUE)},
        "model": _TEXT_OR_NULL,
        "revision": _TEXT_OR_NULL,
        "commit": {**_TEXT_OR_NULL, "description": "Exactly which weights; known once it was loaded."},
        "state": {"type": "string", "enum": [state.value for state in PipelineState]},
        "reason": {**_TEXT_OR_NULL, "description": "Why it is paused or broken."},
        "warm": {"type": "boolean", "description": "Whether it is kept warm from the start."},
        "warm_on": {"type": "array", "items": _TEXT, "description": "Workers that hold it loaded and proven."},
        "device": _TEXT_OR_NULL,
        "backend": {**_TEXT, "description": "What computes: onnx or torch; as asked for until it was loaded."},
        "dtype": _TEXT,
        "fidelity": {
            "type": ["object", "null"],
            "description": "How far int8 results are from those of float32, on recent inputs; null: not int8.",
        },
        "queued": _WHOLE,
        "running": _WHOLE,
        "input_schema": {**_OBJECT, "description": "JSON Schema 2020-12 of `inputs`."},
        "parameters_schema": {**_OBJECT, "description": "JSON Schema 2020-12 of `parameters`."},
        "description": _TEXT,
        "urls": a_record({"self": _TEXT}),
    }
)

TASK = a_record(
    {
        "object": {"const": "task"},
        "name": _TEXT,
        "title": _TEXT,
        "aliases": {"type": "array", "items": _TEXT},
        "summary": _TEXT,
        "modality": {"type": "string", "enum": ["text", "audio", "image", "video", "multimodal"]},
        "input_schema": _OBJECT,
        "parameters_schema": _OBJECT,
        "result_schema": _OBJECT,
        "main_field": {**_TEXT, "description": "What a bare text as `inputs` stands for."},
        "column_names": {
            **_OBJECT,
            "description": "Columns of a file that are taken for an input field, by field, the likeliest first.",
        },
        "result_columns": {
            "type": "array",
            "items": _TEXT,
            "description": "What an export has for a result.",
        },
        "example": {**_OBJECT, "description": "`inputs` and `parameters` that run."},
        "example_result": {"description": "A result, made up to show the shape that `result_schema` describes."},
        "deterministic": {"type": "boolean"},
    }
)

WORKER = a_record(
    {
        "object": {"const": "worker"},
        "name": _TEXT,
        "host": _TEXT,
        "device": _TEXT,
        "state": {"type": "string", "enum": ["starting", "ready", "busy", "stopped"]},
        "live": {"type": "boolean", "description": "Heard from within the last 15 seconds."},
        "warm": {"type": "array", "items": a_record({"pipeline": _TEXT, "bytes": _WHOLE})},
        "memory_bytes": {"type": ["integer", "null"]},
        "baking": {"type": ["object", "null"], "description": "The microbatch in hand."},
        "tally": {
            **_OBJECT,
            "description": "By pipeline, since it started: rows, tokens, padding, seconds, budget.",
        },
        "started_at": TIME,
        "heartbeat_at": TIME,
    }
)

FILE = a_record(
    {
        "object": {"const": "file"},
        "id": ID,
        "filename": _TEXT,
        "content_type": _TEXT,
        "bytes": _WHOLE,
        "created_at": TIME,
        "url": _TEXT,
        "urls": a_record({"self": _TEXT, "content": _TEXT}),
    }
)

_ROW_ERROR = a_record(
    {
        "row": {"type": ["integer", "null"], "description": "From 0; null for the file as a whole."},
        "line": {"type": ["integer", "null"], "description": "Line of the file where the row starts, from 1."},
        "code": {"type": "string", "enum": [code.value for code in ErrorCode]},
        "field": _TEXT,
        "column": {**_TEXT_OR_NULL, "description": "Of the file; null where the row as such is wrong."},
        "message": _TEXT,
    },
    optional=("field", "column"),
)

BATCH = a_record(
    {
        "object": {"const": "batch"},
        "id": ID,
        "pipeline": _TEXT,
        "task": {**_TEXT_OR_NULL, "description": _SENT_FOR},
        "status": {"type": "string", "enum": [status.value for status in BatchStatus]},
        "filename": _TEXT,
        "format": {**_TEXT_OR_NULL, "description": "As found in the file; until then as the request said."},
        "dataset": {
            "type": ["object", "null"],
            "description": "What is read in place of an upload, with the commit it was pinned to.",
        },
        "parameters": _OBJECT,
        "inputs": {**_OBJECT, "description": "Input field to column, guesses included."},
        "id_column": {"type": ["string", "integer", "null"]},
        "on_invalid_rows": {"type": "string", "enum": [word.value for word in OnInvalidRows]},
        "file_id": ID,
        "metadata": _OBJECT,
        "counts": a_record(
            {
                "total": {
                    "type": ["integer", "null"],
                    "description": "null until the file is read to its end, and of a file that was refused.",
                },
                **{status.value: _WHOLE for status in JobStatus},
                "invalid": {**_WHOLE, "description": "Rows that were not taken."},
            },
            description="Once total is known, the others add up to it.",
        ),
        "rows_read": {
            **_WHOLE,
            "description": "Rows of the file that were read so far; of a refused one: until it was refused. With "
            "on_invalid_rows = fail a file is read to its end twice, first to look at it.",
        },
        "progress": {"type": "number", "minimum": 0, "maximum": 1},
        "rate": {"type": "number", "minimum": 0, "description": "Rows a second; 0 where none is known yet."},
        "eta": {**_SECONDS, "description": "Seconds that are left."},
        "created_at": TIME,
        "started_at": TIME_OR_NULL,
        "finished_at": TIME_OR_NULL,
        "expires_at": TIME_OR_NULL,
        "errors": {"type": "array", "items": _ROW_ERROR, "maxItems": 100},
        "webhook": WEBHOOK,
        "urls": a_record(dict.fromkeys(("self", "events", "results", "errors", "cancel", "retry", "jobs"), _TEXT)),
    },
    optional=("webhook",),
)

BATCH_REPORT = a_record(
    {
        "object": {"const": "batch_report"},
        "pipeline": _TEXT,
        "valid": {"type": "boolean", "description": "Whether it would run with no row left out."},
        "format": _TEXT_OR_NULL,
        "encoding": _TEXT_OR_NULL,
        "delimiter": _TEXT_OR_NULL,
        "sheet": {**_TEXT_OR_NULL, "description": "Of a workbook: the one that is read."},
        "sheets": {
            "type": "array",
            "items": _TEXT,
            "maxItems": 1000,
            "description": "Of a workbook: those there are, hidden ones too; also where `sheet` is none of them.",
        },
        "skip_lines": {
            "type": ["integer", "null"],
            "description": "Of CSV and xlsx: lines above the table that were passed over.",
        },
        "compression": {**_TEXT_OR_NULL, "description": "gzip or zstd."},
        "columns": {"type": "array", "items": _TEXT},
        "inputs": {**_OBJECT, "description": "Input field to column, guesses included."},
        "id_column": _TEXT_OR_NULL,
        "counts": a_record({"total": {"type": ["integer", "null"]}, "invalid": _WHOLE}),
        "rows": {
            "type": "array",
            "items": _OBJECT,
            "maxItems": 10,
            "description": "The first, as they would be sent.",
        },
        "errors": {"type": "array", "items": _ROW_ERROR, "maxItems": 1000},
        "error": {"anyOf": [_ROW_ERROR, {"type": "null"}], "description": "Why the file as a whole cannot be used."},
        "estimate": {
            "anyOf": [a_record({"rate": _SECONDS, "rows_before": _WHOLE, "seconds": _SECONDS}), {"type": "null"}],
            "description": "Seconds until its good rows would be over, behind `rows_before` that are open now, at "
            "the `rate` (rows a second) that the pipeline had last; null where nothing was measured yet.",
        },
    }
)

COMPONENTS: dict[str, JsonSchema] = {
    "Error": ERROR,
    "JobRequest": JOB_REQUEST,
    "Job": JOB,
    "JobPage": a_page("Job"),
    "Pipeline": PIPELINE,
    "PipelineList": a_list("Pipeline"),
    "Task": TASK,
    "TaskList": a_list("Task"),
    "Worker": WORKER,
    "WorkerList": a_list("Worker"),
    "File": FILE,
    "BatchRequest": BATCH_REQUEST,
    "Batch": BATCH,
    "BatchPage": a_page("Batch"),
    "BatchReport": BATCH_REPORT,
    "Alive": a_record({"status": {"const": "alive"}}),
    "Ready": a_record({"status": {"const": "ready"}, "missing": {"type": "array", "items": _TEXT}}),
}
