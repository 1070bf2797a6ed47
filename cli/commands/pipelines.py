"""`fournil pipelines`: what the server offers."""

from __future__ import annotations

import click

from cli import options
from cli.exits import EXIT_CODES
from contract.jsons import dumps


@click.group(invoke_without_command=True, epilog=EXIT_CODES)
@options.as_json
@options.url
@click.pass_context
def pipelines(context: click.Context, *, as_json: bool, url: str) -> None:
    """List the pipelines, or show one."""
    if context.invoked_subcommand is None:
        context.invoke(list_all, as_json=as_json, url=url)


@pipelines.command("list", epilog=EXIT_CODES)
@options.as_json
@options.url
def list_all(*, as_json: bool, url: str) -> None:
    """List the pipelines."""
    from cli import show
    from cli.api import Api

    answer = Api(url).get("/pipelines")
    if as_json:
        click.echo(dumps(answer))
        return
    show.pipelines(answer["data"])


@pipelines.command("show", epilog=EXIT_CODES)
@click.argument("name")
@options.as_json
@options.url
def show_one(*, name: str, as_json: bool, url: str) -> None:
    """Show one pipeline: its inputs and parameters."""
    from cli import show
    from cli.api import Api

    answer = Api(url).get(f"/pipelines/{name}")
    if as_json:
        click.echo(dumps(answer))
        return
    show.pipeline(answer)
