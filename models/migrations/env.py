"""Alembic's entry: runs the migrations against the URL of the config, one run at a time."""

from __future__ import annotations

from alembic import context

from models.database import make_engine
from models.tables import metadata

# Any number; the same in every Fournil, so that two migration runs wait for each other.
ADVISORY_LOCK = 0x466F7572


def run() -> None:
    url = context.config.get_main_option("sqlalchemy.url")
    assert url is not None
    engine = make_engine(url)
    with engine.begin() as connection:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            render_as_batch=connection.dialect.name == "sqlite",
            compare_type=True,
            # SQLite has transactional DDL too, now that we say BEGIN ourselves (models.database).
            transactional_ddl=True,
        )
        with context.begin_transaction():
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
                # The database may be in use: better to fail soon than to queue everybody behind a lock.
                connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'")
            context.run_migrations()
    engine.dispose()


run()
