"""Where a file of a row comes from: what a cell of a table, or a value of JSON, says of it.

A column that feeds a file holds nothing else, so that a bare text has one meaning: a URL, the id of a stored file, a
data: URL or base64, told apart by its form. It is never a path.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from contract.errors import ErrorCode, RequestError
from contract.ids import is_id
from contract.jsons import loads
from contract.tasks import JsonSchema

WORDS = (
    "must be the id of a stored file, an http(s) URL, base64 or a data: URL. The name of a file is none of them: "
    "upload the file, and name its id."
)
#: Shorter than this no picture and no sound is, and a name may well be.
_SHORTEST = 64
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
_BETWEEN = re.compile(r"[\s,]+")


def reader(rule: JsonSchema) -> Callable[[Any], Any]:
    """How a cell becomes what a field of files takes: one file, or a list of them where `rule` says so."""
    return _one if "x-media" in rule else _several


def _several(value: Any) -> Any:
    listed = _listed(value)
    return [_one(one) for one in listed] if isinstance(listed, list) else listed


def _listed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("["):
        return _from_json(text)
    return text.split() if "data:" in text else _BETWEEN.split(text)


def _one(value: Any) -> Any:
    if isinstance(value, str):
        return _of_text(value.strip(), value)
    if isinstance(value, dict) and value.keys() <= {"bytes", "path"} and isinstance(value.get("bytes"), str):
        # As datasets on Parquet hold a file; what was bytes is base64 here, unless it happened to be a text.
        body = value["bytes"]
        return {"data": body if _BASE64.fullmatch(body) else base64.b64encode(body.encode()).decode()}
    return value


def _of_text(text: str, value: str) -> Any:
    if text.startswith("{"):
        return _from_json(text)
    if is_id(text):
        return {"file_id": text}
    if text.lower().startswith(("http://", "https://")):
        return {"url": text}
    if text.startswith("data:") or (len(text) >= _SHORTEST and _BASE64.fullmatch(text)):
        return {"data": text}
    return value


def _from_json(text: str) -> Any:
    try:
        return loads(text)
    except ValueError:
        return text


def decoded(text: str, *, field: str) -> bytes:
    """Base64, as one line or many, with or without the head of a data: URL; raises RequestError."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        message = f"{field} is not base64. Send the file's bytes as base64, or as a part of a multipart request."
        raise RequestError(ErrorCode.INVALID_VALUE, message, field=field) from error
