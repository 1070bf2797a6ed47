"""What a person can do about a job, or a file, that was not served: one sentence a code."""

from __future__ import annotations

from contract.errors import ErrorCode

_ADVICE = {
    ErrorCode.INPUT_TOO_LONG: "Shorten the text, or let it be cut: open Parameters and tick "
    "“Cut text that is too long”.",
    ErrorCode.INPUT_REJECTED: "The model cannot take this input as it is. Change it and send it again.",
    ErrorCode.RESULT_NOT_FINITE: "The model answered with a number that is none. Another input may work; "
    "if many fail this way, the pipeline's dtype may be too small for it.",
    ErrorCode.OUT_OF_MEMORY: "Even alone it did not fit into the device's memory. Shorten the input, or ask the "
    "operator for a larger device.",
    ErrorCode.TIMED_OUT: "It took longer than the operator allows. A shorter input, or fewer "
    "tokens to write, may do.",
    ErrorCode.INFERENCE_FAILED: "The model failed on this input. The operator's log says more under "
    "the id of this job.",
    ErrorCode.WORKER_LOST: "Every process that took this job up died with it. It was tried alone, so it is likely "
    "the input; try a shorter or simpler one.",
    ErrorCode.PIPELINE_CHANGED: "The operator has made something else of this pipeline since. Look for another one "
    "of the same task.",
    ErrorCode.EMPTY_FILE: "Choose the file again: the one that arrived holds nothing.",
    ErrorCode.NO_ROWS: "The file has a header and nothing below it.",
    ErrorCode.UNREADABLE_FILE: "Save it again, as CSV in UTF-8 if you can choose, then upload that; pack an "
    "archive again.",
    ErrorCode.UNKNOWN_FORMAT: "Upload CSV, TSV, JSON, JSONL, plain text, Parquet, Arrow or .xlsx, as it is or as "
    ".gz or .zst; for pipelines that take files, also a .zip or .tar of them.",
    ErrorCode.TOO_LARGE: "Upload it in parts, or ask the operator for more room.",
    ErrorCode.UNKNOWN_COLUMN: "Choose which column holds what in the preview before you start.",
    ErrorCode.INVALID_ROW: "Mend these rows and upload the file again, or leave bad rows out when you start.",
    ErrorCode.DUPLICATE_ID: "Ids must differ. Choose another id column, or none.",
}


def advice(code: str | None) -> str:
    """What to do about an error code; empty where there is nothing to say."""
    try:
        return _ADVICE.get(ErrorCode(code or ""), "")
    except ValueError:
        return ""
