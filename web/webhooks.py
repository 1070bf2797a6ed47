"""Webhooks at the door: what a caller may ask for, and what is shown of telling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contract.errors import ErrorCode, RequestError
from contract.settings import Settings
from contract.tasks import JsonSchema
from contract.times import rfc3339
from contract.webhooks import ANY_END
from models.fetching import Refused
from models.posting import look_at
from models.webhooks import NewWebhook, Webhook

_NOT_OFFERED = (
    "This server sends no webhooks: its operator has not set FOURNIL_WEBHOOK_SECRET. Poll, or follow the events."
)


def webhook_schema(events: Sequence[str]) -> JsonSchema:
    return {
        "type": ["object", "null"],
        "description": "Whom to tell when it is over: one signed POST (Standard Webhooks), repeated until it is "
        "answered with 2xx.",
        "properties": {
            "url": {"type": "string", "minLength": 1, "maxLength": 2_000, "description": "http:// or https://"},
            "events": {
                "type": ["array", "null"],
                "items": {"type": "string", "enum": [ANY_END, *events]},
                "minItems": 1,
                "maxItems": 10,
                "description": f"Which ends; left out, or `{ANY_END}`: all of them.",
            },
        },
        "required": ["url"],
        "additionalProperties": False,
    }


def refuse_webhook(settings: Settings, body: dict[str, Any]) -> None:
    """Where none are sent, that is what is wrong, whatever else is."""
    if body.get("webhook") is not None and not settings.webhooks.secret:
        raise RequestError(ErrorCode.INVALID_VALUE, _NOT_OFFERED, field="webhook")


def read_webhook(settings: Settings, body: dict[str, Any]) -> NewWebhook | None:
    """What a body that fits its schema asks for."""
    asked = body.get("webhook")
    if asked is None:
        return None
    try:
        look_at(asked["url"], private=settings.webhooks.private)
    except Refused as refused:
        raise RequestError(ErrorCode.INVALID_VALUE, f"This URL {refused}", field="webhook.url") from refused
    events = asked.get("events")
    return NewWebhook(asked["url"], None if events is None or ANY_END in events else sorted(set(events)))


def webhook_json(webhook: Webhook) -> dict[str, Any]:
    """How far telling is. Of the URL not what follows its path: that may be a secret of the receiver's."""
    return {
        "url": webhook.url.partition("#")[0].partition("?")[0],
        "events": webhook.events,
        "state": webhook.state.value,
        "tries": webhook.tries,
        "next_try_at": rfc3339(webhook.next_at),
        "answered": webhook.answered,
        "problem": webhook.problem,
        "delivered_at": rfc3339(webhook.told_at),
    }


def shown_webhook(webhook: Webhook | None) -> dict[str, Any]:
    """The field of a job or batch; only where there is one."""
    return {} if webhook is None else {"webhook": webhook_json(webhook)}
