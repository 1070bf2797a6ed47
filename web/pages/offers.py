"""What a card says of a pipeline: what the API says of it, in words for people."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from contract.tasks import CATALOGUE
from web.api.pipelines import show_pipelines


def offers(conn: sa.Connection) -> list[dict[str, Any]]:
    """Every pipeline, in the order of the pipelines file."""
    return [_offer(shown) for shown in show_pipelines(conn)]


def offer_of(conn: sa.Connection, name: str) -> dict[str, Any]:
    return next(offer for offer in offers(conn) if offer["name"] == name)


def _offer(shown: dict[str, Any]) -> dict[str, Any]:
    task = CATALOGUE[shown["task"]]
    return {**shown, "task_title": task.title, "summary": shown["description"] or task.summary}
