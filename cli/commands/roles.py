"""Single roles, for a container or a service manager that supervises: each becomes the process it names."""

from __future__ import annotations

import os
from collections.abc import Mapping

import click

from cli.configuration import pipelines_file, settings_and_environment
from cli.stack import plan
from cli.stack.listen import refuse_open_network
from contract.options import SettingsError
from contract.settings import Settings


@click.command()
@click.option("--host", help="Address to listen on.  [127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.  [8000]")
def web(**typed: object) -> None:
    """Run the web server only."""
    settings, env = settings_and_environment(**typed)
    try:
        refuse_open_network(settings.web)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    host = f"[{settings.web.host}]" if ":" in settings.web.host else settings.web.host
    _become(plan.web_argv(settings, bind=f"{host}:{settings.web.port}"), settings, env)


@click.command()
def upkeep() -> None:
    """Run the upkeep node only: sweeps, the reading of files, webhooks. It never imports torch."""
    settings, env = settings_and_environment()
    _become(plan.node_argv("upkeep"), settings, env)


@click.command()
def scheduler() -> None:
    """Run the scheduler only. It just asks for work: any number of them is harmless."""
    settings, env = settings_and_environment()
    _become(plan.node_argv("scheduler"), settings, env)


def _become(argv: tuple[str, ...], settings: Settings, env: Mapping[str, str]) -> None:
    if not settings.broker.url:
        raise click.UsageError("FOURNIL_BROKER_URL is not set: a single role joins a broker that is already there.")
    file = pipelines_file(settings)
    os.execve(argv[0], argv, plan.environment(settings, env, broker_url=settings.broker.url, pipelines=file))
