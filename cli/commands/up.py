"""`fournil up` and `fournil worker`: the two commands that supervise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from cli.configuration import pipeline_specs, pipelines_file, settings_and_environment
from cli.stack import plan
from cli.stack.devices import Slot, find_gpus, slots
from cli.stack.listen import listen, refuse_open_network
from cli.stack.lock import locked
from cli.stack.signals import Signals
from cli.stack.stack import Stack, StackFailed, open_logs, watch
from cli.stack.supervisor import Supervisor
from contract import cores
from contract.options import SettingsError
from contract.settings import Settings

_data_dir = click.option("--data-dir", type=click.Path(file_okay=False), help="Where everything is kept.")
_devices = click.option("--devices", help="auto, cpu, cpu*2 or cuda:0,cuda:1: one process each.")


@click.command()
@click.option("--host", help="Address to listen on.  [127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.  [8000]")
@_data_dir
@_devices
@click.option("--pipelines", type=click.Path(dir_okay=False), help="TOML file of pipelines.  [./pipelines.toml]")
def up(**typed: object) -> None:
    """Start the whole stack on this machine and keep it running until Ctrl-C.

    One line on stdout says that it is ready; everything else goes to stderr and to DATA_DIR/logs.
    Settings come from FOURNIL_* variables (docs/settings.md); an option here wins over its variable.
    """
    settings, env = settings_and_environment(**typed)
    specs = pipeline_specs(settings) or []
    with _sentences():
        refuse_open_network(settings.web)
        chosen = _slots(settings, env)
        with locked(settings.storage.data_dir), listen(settings.web) as listener:
            names = [spec.name for spec in specs]
            file = pipelines_file(settings)
            Stack(settings, env, listener=listener, slots=chosen, pipelines=names, pipelines_file=file).run()


@click.command()
@_data_dir
@_devices
def worker(**typed: object) -> None:
    """Run this machine's ovens only, for a stack whose broker and database are elsewhere."""
    settings, env = settings_and_environment(**typed)
    if not settings.broker.url:
        raise click.UsageError("FOURNIL_BROKER_URL is not set: a worker joins a broker that is already there.")
    with _sentences():
        chosen = _slots(settings, env)
        supervise_ovens(settings, env, chosen)


def supervise_ovens(settings: Settings, env: Mapping[str, str], chosen: list[Slot]) -> None:
    signals = Signals()
    supervisor = Supervisor(open_logs(settings, None), signals)
    child_env = plan.environment(settings, env, broker_url=settings.broker.url, pipelines=None)
    try:
        for program in plan.ovens(chosen, child_env):
            supervisor.start(program)
        watch(supervisor, signals)
    finally:
        supervisor.stop()


def _slots(settings: Settings, env: Mapping[str, str]) -> list[Slot]:
    gpus = find_gpus(env)
    return slots(settings.inference.devices, cores=cores.allowed(), at_once=cores.at_once(), gpus=gpus)


@contextmanager
def _sentences() -> Iterator[None]:
    """A wrong setting is a usage error; a stack that does not start is a failure."""
    try:
        yield
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    except StackFailed as error:
        raise click.ClickException(str(error)) from error
