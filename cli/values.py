"""NAME=VALUE words as the types that the server's schemas ask for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from contract.schemas import from_text
from contract.statuses import PipelineState
from contract.tasks import CATALOGUE
from contract.tasks.task import JsonSchema


def pairs(words: Iterable[str], *, option: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, mark, value = word.partition("=")
        if not mark or not name:
            raise click.UsageError(f"{option} {word}: write NAME=VALUE.")
        if name in found:
            raise click.UsageError(f"{option} names {name} twice.")
        found[name] = value
    return found


def typed(words: dict[str, str], schema: JsonSchema) -> dict[str, Any]:
    """Values read as their schema says. A name that the schema lacks stays a text: the server refuses it by name."""
    rules = schema.get("properties", {})
    return {name: from_text(rules.get(name, {}), value) for name, value in words.items()}


def warn_if_idle(pipeline: dict[str, Any]) -> None:
    """A job of a pipeline that runs nothing waits; whoever waits with it should know."""
    if pipeline["state"] != PipelineState.ACTIVE:
        reason = pipeline.get("reason") or ""
        click.echo(f"{pipeline['name']} is {pipeline['state']}: its jobs wait. {reason}".rstrip(), err=True)


def main_field(pipeline: dict[str, Any]) -> str:
    """The input field that a bare text stands for."""
    task = CATALOGUE.get(pipeline["task"])
    if task:
        return task.main_field
    schema = pipeline["input_schema"]
    return next(iter([*schema.get("required", []), *schema.get("properties", {})]), "text")


def column(word: str) -> str | int:
    """A column by its name, or by its number from 0."""
    return int(word) if word.isdecimal() else word
