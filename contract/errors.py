"""Every code a caller can meet, and the HTTP status each one answers with.

The list is closed and documented (docs/errors.md); a test holds the table against the enum. A message is a
sentence we wrote: never the text of an exception, a class name or a path.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class ErrorCode(StrEnum):
    # The request is not what HTTP or JSON says it should be.
    INVALID_JSON = "invalid_json"
    INVALID_REQUEST = "invalid_request"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    TOO_LARGE = "too_large"
    # A named field is wrong.
    UNKNOWN_FIELD = "unknown_field"
    MISSING_FIELD = "missing_field"
    INVALID_VALUE = "invalid_value"
    UNKNOWN_PIPELINE = "unknown_pipeline"
    # The thing in the path, or its state.
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    # The server, for now.
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    FORBIDDEN = "forbidden"
    INTERNAL = "internal"
    # Why a job failed.
    INPUT_TOO_LONG = "input_too_long"
    INPUT_REJECTED = "input_rejected"
    RESULT_NOT_FINITE = "result_not_finite"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    INFERENCE_FAILED = "inference_failed"
    WORKER_LOST = "worker_lost"
    PIPELINE_CHANGED = "pipeline_changed"
    # Why a file, or a row of it, was not taken.
    EMPTY_FILE = "empty_file"
    NO_ROWS = "no_rows"
    UNREADABLE_FILE = "unreadable_file"
    UNKNOWN_FORMAT = "unknown_format"
    UNKNOWN_COLUMN = "unknown_column"
    INVALID_ROW = "invalid_row"
    DUPLICATE_ID = "duplicate_id"
    # Why a pipeline does not load; written to the pipeline, not to its jobs.
    CHECKPOINT_MISSING = "checkpoint_missing"
    CHECKPOINT_CORRUPT = "checkpoint_corrupt"
    CHECKPOINT_UNSAFE = "checkpoint_unsafe"


HTTP_STATUS: dict[ErrorCode, int] = {
    ErrorCode.INVALID_JSON: 400,
    ErrorCode.INVALID_REQUEST: 400,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.CONFLICT: 409,
    ErrorCode.IDEMPOTENCY_CONFLICT: 409,
    ErrorCode.PIPELINE_CHANGED: 409,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: 415,
    ErrorCode.UNKNOWN_FIELD: 422,
    ErrorCode.MISSING_FIELD: 422,
    ErrorCode.INVALID_VALUE: 422,
    ErrorCode.UNKNOWN_PIPELINE: 422,
    ErrorCode.EMPTY_FILE: 422,
    ErrorCode.NO_ROWS: 422,
    ErrorCode.UNREADABLE_FILE: 422,
    ErrorCode.UNKNOWN_FORMAT: 422,
    ErrorCode.UNKNOWN_COLUMN: 422,
    ErrorCode.INVALID_ROW: 422,
    ErrorCode.DUPLICATE_ID: 422,
    ErrorCode.INPUT_TOO_LONG: 422,
    ErrorCode.INPUT_REJECTED: 422,
    ErrorCode.RESULT_NOT_FINITE: 422,
    ErrorCode.OVERLOADED: 429,
    ErrorCode.INTERNAL: 500,
    ErrorCode.INFERENCE_FAILED: 500,
    ErrorCode.OUT_OF_MEMORY: 500,
    ErrorCode.WORKER_LOST: 500,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.CHECKPOINT_MISSING: 503,
    ErrorCode.CHECKPOINT_CORRUPT: 503,
    ErrorCode.CHECKPOINT_UNSAFE: 503,
    ErrorCode.TIMED_OUT: 504,
}


class FournilError(Exception):
    """Base of every error whose message may be shown to a caller."""

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        field: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.details = details


class RequestError(FournilError):
    """The caller must change the request."""


class InputError(FournilError):
    """One row cannot be served: its caller must change it. Never retried."""


class CheckpointError(FournilError):
    """A pipeline cannot be loaded: the operator must mend it. Its jobs stay queued."""
