"""Operations: what each view takes and answers, said once, beside it.

`operation` refuses query parameters that are not declared and reads those that are, so that the document made from
it (web.api.document) and the behavior are the same thing.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from flask import g

from contract.tasks import JsonSchema
from web.requests import Param, read_query

JSON = "application/json"
View = TypeVar("View", bound=Callable[..., Any])


def ref(name: str) -> JsonSchema:
    """A schema of web.schemas.COMPONENTS."""
    return {"$ref": f"#/components/schemas/{name}"}


@dataclasses.dataclass(frozen=True)
class Header:
    name: str
    schema: JsonSchema
    description: str


PREFER = Header(
    "Prefer",
    {"type": "string", "examples": ["wait=20"]},
    "`wait=N`: hold the answer for up to N seconds (at most 60). Anything else is ignored.",
)
IDEMPOTENCY_KEY = Header(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x21-\\x7e]+$"},
    "The same key with the same body answers the first job, however often it is sent.",
)
IF_NONE_MATCH = Header(
    "If-None-Match", {"type": "string"}, "ETags you have: 304 when the representation is still one of them."
)


@dataclasses.dataclass(frozen=True)
class Answer:
    """A response by status: a schema under a media type, or no body."""

    description: str
    schema: JsonSchema | None = None
    media: str = JSON
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Operation:
    summary: str
    tag: str
    answers: Mapping[int, Answer]
    description: str = ""
    query: tuple[Param, ...] = ()
    headers: tuple[Header, ...] = ()
    #: Media type to schema of the request body.
    body: Mapping[str, JsonSchema] = dataclasses.field(default_factory=dict)
    #: Statuses of the one error shape, beyond 422 (query) and 500.
    errors: tuple[int, ...] = ()


def operation(summary: str, *, tag: str, answers: Mapping[int, Answer], **more: Any) -> Callable[[View], View]:
    """Describe a view, and read its query into `g.query` before it runs."""
    described = Operation(summary=summary, tag=tag, answers=answers, **more)

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def wrapped(**path: Any) -> Any:
            g.query = read_query(*described.query)
            return view(**path)

        wrapped.operation = described  # type: ignore[attr-defined]
        return wrapped  # type: ignore[return-value]

    return decorate
