"""Brings a database to the newest tables: one migration run at a time, whoever asks."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from models.database import make_engine, reading

MIGRATIONS = Path(__file__).parent / "migrations"


def alembic_config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    # ConfigParser reads % as its own; a password may hold one.
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def upgrade(url: str) -> None:
    """Migrate to the newest revision; safe to run from several processes at once."""
    command.upgrade(alembic_config(url), "head")


def is_current(engine: sa.Engine) -> bool:
    """Whether the database has the newest tables."""
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    with reading(engine) as connection:
        return MigrationContext.configure(connection).get_current_revision() == head


__all__ = ["alembic_config", "is_current", "make_engine", "upgrade"]
