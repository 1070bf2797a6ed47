"""`fournil pipelines`: what the server offers, and one more offer in the pipelines file."""

from __future__ import annotations

from pathlib import Path

import click

from cli import options
from cli.exits import EXIT_CODES
from contract.jsons import dumps


@click.group(invoke_without_command=True, epilog=EXIT_CODES)
@options.as_json
@options.url
@click.pass_context
def pipelines(context: click.Context, *, as_json: bool, url: str) -> None:
    """List the pipelines, show one, or add one to the pipelines file."""
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


@pipelines.command("add", epilog=EXIT_CODES)
@click.argument("name")
@click.option("--model", required=True, help="A Hub id, a directory, a .gguf file, or package:NAME.")
@click.option("--task", help="What it is offered for.  [what its configuration says]")
@click.option("--revision", help="Of a Hub id: a branch, a tag or a commit.  [its main branch]")
@click.option(
    "--set",
    "words",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option, such as dtype=bfloat16 or attention=eager, or a parameter's default; repeatable.",
)
@click.option(
    "--pipelines", type=click.Path(dir_okay=False), help="TOML file that it is added to.  [./pipelines.toml]"
)
def add(
    *, name: str, model: str, task: str | None, revision: str | None, words: tuple[str, ...], pipelines: str | None
) -> None:
    """Offer a checkpoint: find its task and its commit, and write both into the pipelines file.

    The file keeps its comments and its order. Needs no server; a running one takes the file at `fournil migrate`.
    """
    from cli import adding
    from cli.configuration import pipelines_file, settings_and_environment
    from cli.values import pairs

    settings, _ = settings_and_environment(pipelines=pipelines)
    file = pipelines_file(settings) or Path("pipelines.toml")
    offer = adding.Offer(name, model, task, revision, pairs(words, option="--set"))
    for line in adding.add(offer, file, cache=settings.storage.checkpoints_dir):
        click.echo(line)
