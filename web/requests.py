"""What a request says: its body, its query, its preferences. Whatever is wrong is refused by name."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from typing import Any

from flask import request

from contract.errors import ErrorCode, RequestError
from contract.jsons import loads
from contract.schemas import checker, first_error
from contract.tasks import JsonSchema

LONGEST_WAIT = 60
_WAIT = re.compile(r'^\s*wait\s*=\s*"?(\d{1,9})"?\s*$', re.IGNORECASE)
_WHOLE = re.compile(r"^-?[0-9]{1,9}$")
_KEY = re.compile(r"^[\x21-\x7e]{1,255}$")


@dataclasses.dataclass(frozen=True)
class Param:
    """One query parameter: read and documented by the same schema."""

    name: str
    schema: JsonSchema
    description: str


LIMIT = Param(
    "limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "How many entries a page holds."
)
CURSOR = Param("cursor", {"type": "string", "minLength": 1, "maxLength": 200}, "`next_cursor` of the page before.")


def json_object() -> dict[str, Any]:
    """The body, which must be a JSON object sent as application/json."""
    if not request.is_json:
        raise RequestError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "Send JSON with Content-Type: application/json.")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise RequestError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "Send the body without a Content-Encoding.")
    return object_from(request.get_data(cache=False))


def object_from(body: bytes | str, *, field: str | None = None) -> dict[str, Any]:
    """A JSON object from text; 400 when it is not JSON in UTF-8, or not an object."""
    try:
        value = loads(body)
    except ValueError as error:
        message = "This is not JSON in UTF-8. NaN and Infinity are not JSON either."
        raise RequestError(ErrorCode.INVALID_JSON, message, field=field) from error
    if not isinstance(value, dict):
        raise RequestError(ErrorCode.INVALID_REQUEST, "The JSON must be an object.", field=field)
    return value


def check(schema: JsonSchema, value: Any, *, at: str = "") -> None:
    """Raise the first problem of `value`, with all of them in `details`."""
    problems = checker(schema).problems(value, at=at)
    if problems:
        raise first_error(problems)


def read_query(*params: Param) -> dict[str, Any]:
    """The query by parameter name; None for one that is absent or empty and has no default."""
    known = {param.name: param for param in params}
    for name in request.args:
        if name not in known:
            names = ", ".join(known) or "none"
            raise RequestError(
                ErrorCode.UNKNOWN_FIELD, f"{name[:64]} is not a query parameter. Known: {names}.", field=name[:64]
            )
    return {name: _one(param) for name, param in known.items()}


def _one(param: Param) -> Any:
    given = [text for text in request.args.getlist(param.name) if text]
    if not given:
        return param.schema.get("default")
    if len(given) > 1:
        raise RequestError(ErrorCode.INVALID_VALUE, f"Give {param.name} once.", field=param.name)
    value = _value(param.schema["type"], given[0])
    check(param.schema, value, at=param.name)
    return value


def _value(kind: str, text: str) -> Any:
    """A text as its schema's type; one that is none stays a text, so that the check names it."""
    if kind == "integer" and _WHOLE.match(text):
        return int(text)
    return {"true": True, "false": False}.get(text, text) if kind == "boolean" else text


def encode_cursor(kind: str, key: str) -> str:
    """An opaque cursor: `kind` says which list it belongs to, `key` where to go on."""
    return base64.urlsafe_b64encode(f"{kind}:{key}".encode()).decode().rstrip("=")


def decode_cursor(kind: str, cursor: str | None, *, pattern: str = r"[0-9a-f]{32}") -> str | None:
    """The key in a cursor of this list; 422 when somebody made it up."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        text = ""
    found, _, key = text.partition(":")
    if found != kind or not re.fullmatch(pattern, key):
        message = "cursor must be next_cursor of an earlier page of this list."
        raise RequestError(ErrorCode.INVALID_VALUE, message, field="cursor")
    return key


def wait_seconds() -> int:
    """N of `Prefer: wait=N`, at most 60; 0 when there is none that makes sense."""
    for part in request.headers.get("Prefer", "").split(","):
        for preference in part.split(";"):
            if found := _WAIT.match(preference):
                return min(int(found.group(1)), LONGEST_WAIT)
    return 0


def idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.match(key):
        message = "Idempotency-Key must be 1 to 255 visible ASCII characters."
        raise RequestError(ErrorCode.INVALID_VALUE, message, field="Idempotency-Key")
    return key
