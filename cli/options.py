"""Options that several client commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from contract.settings import Client

_Command = Callable[..., Any]


def _checked_url(context: click.Context, parameter: click.Parameter, url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("write a URL that begins with http:// or https://.")
    return url


url = click.option(
    "--url",
    envvar="FOURNIL_URL",
    default=Client.url,
    show_default=True,
    show_envvar=True,
    callback=_checked_url,
    help="Server to talk to.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the API's JSON and nothing else.")
parameters = click.option(
    "--param", "-p", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter of the task; repeatable."
)


def _one_character(context: click.Context, parameter: click.Parameter, word: str | None) -> str | None:
    return {"tab": "\t", "\\t": "\t"}.get(word, word) if word else None


def _false_if_set(context: click.Context, parameter: click.Parameter, is_set: bool) -> bool | None:  # noqa: FBT001
    return False if is_set else None


_CORRECTIONS = (
    click.option("--format", help="csv, jsonl, ...  [sniffed]"),
    click.option("--encoding", help="Of text: utf-8, windows-1250, utf-16, ...  [sniffed]"),
    click.option("--delimiter", callback=_one_character, help="Of CSV: one character, or tab.  [sniffed]"),
    click.option(
        "--no-header", "header", is_flag=True, callback=_false_if_set, help="The first row of FILE is data."
    ),
    click.option("--sheet", metavar="NAME", help="Of a workbook.  [the first that is seen and holds anything]"),
    click.option("--skip-lines", type=click.IntRange(min=0), metavar="N", help="Lines of FILE above the table.  [0]"),
)


def corrections(command: _Command) -> _Command:
    """How a file is read, where what is found in it is wrong."""
    for option in reversed(_CORRECTIONS):
        command = option(command)
    return command


class OptionalSeconds(click.Command):
    """A command whose --wait may stand alone, before an argument: only a number after it is its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _explicit_wait(args))


def _explicit_wait(args: list[str]) -> list[str]:
    explicit = list(args)
    end = explicit.index("--") if "--" in explicit else len(explicit)
    for place in range(end):
        if explicit[place] == "--wait" and not (place + 1 < end and _is_number(explicit[place + 1])):
            explicit[place] = "--wait=inf"
    return explicit


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


wait = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    metavar="[SECONDS]",
    help="Wait for the end; without SECONDS, as long as it takes.",
)
