"""`fournil migrate`: tables, then pipelines. `up` runs it at every start; compose runs it before anything else."""

from __future__ import annotations

import logging

import click

from cli.configuration import pipeline_specs, pipelines_file, settings_and_environment
from contract.logs import set_up_logs
from contract.pipelines import PipelineSpec
from contract.settings import Settings
from contract.times import utc_now


@click.command()
@click.option("--pipelines", type=click.Path(dir_okay=False), help="TOML file of pipelines.  [./pipelines.toml]")
def migrate(**typed: object) -> None:
    """Bring the database to this version, and the pipelines of the TOML file into it."""
    settings, _ = settings_and_environment(**typed)
    specs = pipeline_specs(settings)
    set_up_logs(level=settings.logs.level, fmt=settings.logs.format)
    _upgrade(settings)
    if specs is None:
        click.echo("The database is up to date; without a pipelines file its pipelines stay.", err=True)
        return
    _sync(settings, specs)
    click.echo(f"The database is up to date; {len(specs)} pipelines from {pipelines_file(settings)}.", err=True)


def _upgrade(settings: Settings) -> None:
    from models.migrate import upgrade

    logging.getLogger("alembic.runtime.plugins").setLevel("WARNING")
    settings.storage.data_dir.mkdir(parents=True, exist_ok=True)
    upgrade(settings.storage.url)


def _sync(settings: Settings, specs: list[PipelineSpec]) -> None:
    from models.database import make_engine
    from models.pipelines import sync_pipelines

    engine = make_engine(settings.storage.url)
    try:
        sync_pipelines(engine, specs, utc_now())
    finally:
        engine.dispose()
