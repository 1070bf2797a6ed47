"""Settings for a command: the environment, with what was typed laid over it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from contract.options import SettingsError
from contract.pipelines import PipelineFileError, PipelineSpec, read_pipelines
from contract.settings import Settings


def settings_and_environment(**typed: object) -> tuple[Settings, dict[str, str]]:
    """`typed` holds options by the end of their variable's name (`data_dir`); None: not typed."""
    given = {f"FOURNIL_{name.upper()}": str(value) for name, value in typed.items() if value is not None}
    env = {**os.environ, **given}
    try:
        return Settings.from_env(env), env
    except SettingsError as error:
        raise click.UsageError(str(error)) from error


def pipelines_file(settings: Settings) -> Path | None:
    """The file that was named, else the one that lies here, else none: the database keeps what it has."""
    if settings.inference.pipelines:
        return settings.inference.pipelines
    here = [Path("pipelines.toml"), Path("examples", "pipelines.toml")]
    return next((path for path in here if path.is_file()), None)


def pipeline_specs(settings: Settings) -> list[PipelineSpec] | None:
    path = pipelines_file(settings)
    if path is None:
        return None
    try:
        return read_pipelines(path)
    except PipelineFileError as error:
        raise click.UsageError(str(error)) from error
