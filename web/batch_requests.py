"""What a caller asks of a batch: its schema, and the request once it is checked. The API and the pages share it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from contract.errors import ErrorCode, RequestError
from contract.pipelines import PipelineSpec
from contract.statuses import OnInvalidRows
from contract.tasks import JsonSchema
from contract.webhooks import BATCH_EVENTS
from models.hub.dataset import NAME, Dataset
from models.sheets import encodings, formats
from models.sheets.layout import AS_FOUND, MAX_SKIPPED, Corrections
from models.sheets.mapping import PARAMETER, Column, check_request
from models.webhooks import NewWebhook
from web.intake import EXPIRES_IN, METADATA, named_pipeline, read_parameters
from web.requests import check
from web.services import Services
from web.webhooks import read_webhook, refuse_webhook, webhook_schema

_COLUMN: JsonSchema = {"type": ["string", "integer"], "minimum": 0, "minLength": 1, "maxLength": 1_000}

_WORD: JsonSchema = {"type": ["string", "null"], "minLength": 1, "maxLength": 255}
DATASET: JsonSchema = {
    "type": ["object", "null"],
    "description": "A dataset of the Hugging Face Hub, in place of a file; or a folder that the operator offers.",
    "properties": {
        "name": {
            "type": "string",
            "pattern": NAME,
            "x-pattern-words": "be a name of the Hub, such as owner/name",
            "description": "As the Hub has it: `owner/name`.",
        },
        "config": {**_WORD, "description": "Left out: the only one, or the one it calls its default."},
        "split": {**_WORD, "description": "Left out: the only one, or `train`."},
        "revision": {**_WORD, "description": "Branch, tag or commit; pinned to a commit when the batch is accepted."},
    },
    "required": ["name"],
    "additionalProperties": False,
}

BATCH_REQUEST: JsonSchema = {
    "type": "object",
    "properties": {
        "pipeline": {"type": "string", "description": "Name of a pipeline, as GET /api/v1/pipelines lists them."},
        "inputs": {
            "type": ["object", "null"],
            "description": "Input field to column, by name or by number from 0; `parameters.NAME` takes that "
            "parameter from a column. Left out: columns are found by their names.",
            "additionalProperties": _COLUMN,
        },
        "parameters": {"type": ["object", "null"], "description": "For every row that has none of its own."},
        "id_column": {**_COLUMN, "type": ["string", "integer", "null"], "description": "Your ids; each only once."},
        "format": {
            "type": ["string", "null"],
            "enum": [*formats.REQUESTABLE, None],
            "description": "A hint; the content decides.",
        },
        "encoding": {
            "type": ["string", "null"],
            "minLength": 1,
            "maxLength": 40,
            "description": "Of text, where another one than its own was found: utf-8, utf-16, windows-1250, "
            "iso-8859-2, koi8-r, shift_jis, gb18030, ...",
        },
        "delimiter": {
            "type": ["string", "null"],
            "pattern": '^[^"\\r\\n]$',
            "x-pattern-words": "be one character, neither a quote nor a line break",
            "description": "What stands between the cells of a CSV, where another was found. A file with one is CSV.",
        },
        "header": {
            "type": ["boolean", "null"],
            "default": True,
            "description": "false: the first row of a CSV or workbook is data; its columns are then called column_0, "
            "column_1, ...",
        },
        "sheet": {
            "type": ["string", "null"],
            "minLength": 1,
            "maxLength": 255,
            "description": "Of a workbook, by its name. Left out: the first that is seen and holds anything.",
        },
        "skip_lines": {
            "type": ["integer", "null"],
            "minimum": 0,
            "maximum": MAX_SKIPPED,
            "default": 0,
            "description": "Lines of a CSV, or rows of a sheet, that stand above the table: a title, a note.",
        },
        "on_invalid_rows": {
            "type": ["string", "null"],
            "enum": [*(word.value for word in OnInvalidRows), None],
            "default": OnInvalidRows.FAIL.value,
            "description": "fail: one bad row and nothing runs. skip: good rows run, bad ones are listed.",
        },
        "metadata": METADATA,
        "expires_in": EXPIRES_IN,
        "webhook": webhook_schema(BATCH_EVENTS),
        "file_id": {
            "type": ["string", "null"],
            "description": "A file of POST /api/v1/files, in place of the part `file`.",
        },
        "dataset": DATASET,
    },
    "required": ["pipeline"],
    "additionalProperties": False,
}


@dataclasses.dataclass(frozen=True)
class BatchRequest:
    """A checked request for a batch."""

    spec: PipelineSpec
    mapping: dict[str, Column]
    parameters: dict[str, Any]
    id_column: Column | None
    format: str | None
    on_invalid_rows: OnInvalidRows
    metadata: dict[str, Any] | None
    expires_in: float | None
    dataset: Dataset | None = None
    webhook: NewWebhook | None = None
    corrections: Corrections = AS_FOUND


def read_request(here: Services, conn: sa.Connection, body: Mapping[str, Any]) -> BatchRequest:
    """What a body asks for; raises RequestError that names the field. `file_id` is the caller's affair."""
    refuse_webhook(here.settings, dict(body))
    check(BATCH_REQUEST, dict(body))
    spec = named_pipeline(conn, body["pipeline"]).spec
    mapping = check_request(spec, body.get("inputs"))
    mapped = frozenset(name.removeprefix(PARAMETER) for name in mapping if name.startswith(PARAMETER))
    return BatchRequest(
        spec=spec,
        mapping=mapping,
        parameters=read_parameters(spec, body.get("parameters") or {}, mapped=mapped),
        id_column=body.get("id_column"),
        format=body.get("format"),
        on_invalid_rows=OnInvalidRows(body.get("on_invalid_rows") or OnInvalidRows.FAIL),
        metadata=body.get("metadata"),
        expires_in=body.get("expires_in"),
        dataset=_dataset(body),
        webhook=read_webhook(here.settings, dict(body)),
        corrections=_corrections(body),
    )


def _corrections(body: Mapping[str, Any]) -> Corrections:
    said = body.get("encoding")
    encoding = None if said is None else encodings.named(said)
    if said is not None and encoding is None:
        message = f"encoding must be one of {', '.join(encodings.NAMED)}, by any of its names."
        raise RequestError(ErrorCode.INVALID_VALUE, message, field="encoding")
    given = {name: body.get(name) for name in ("delimiter", "header", "sheet")}
    # 2.0 is a whole number in JSON.
    return Corrections(encoding, **given, skip_lines=int(body.get("skip_lines") or 0) or None)


def _dataset(body: Mapping[str, Any]) -> Dataset | None:
    named = body.get("dataset")
    if named is None:
        return None
    for other in ("file_id", "format", *(field.name for field in dataclasses.fields(Corrections))):
        if body.get(other) is not None:
            raise RequestError(ErrorCode.INVALID_VALUE, f"Give a dataset or a {other}, not both.", field=other)
    return Dataset(**named)
