"""Engines and transactions for SQLite (WAL) and PostgreSQL.

A SQLite transaction that reads first and writes later fails at once when another writer came between, whatever
busy_timeout says; so writing transactions begin IMMEDIATE, and only `reading` ones do not.

A commit waits for the disk, unless what it holds may be forgotten when the power goes: a claim or a heartbeat. Those
ask for `lasting=False`; they are lost together with nothing else, and a lost claim is a queued row.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, OperationalError

T = TypeVar("T")

_PRAGMAS = (
    "journal_mode=WAL",
    # FULL: a 202 is a promise, and NORMAL may forget the last commits when the power goes.
    "synchronous=FULL",
    "busy_timeout=30000",
    "foreign_keys=ON",
    "temp_store=MEMORY",
    "cache_size=-32000",
    "wal_autocheckpoint=4000",
)
_TRIES = 5
_CONNECT_SECONDS = 5


def make_engine(url: str) -> sa.Engine:
    """An engine for a `sqlite:///` or `postgresql+psycopg://` URL; connects when it is first used."""
    if url.startswith("sqlite"):
        return _sqlite_engine(url)
    return _postgres_engine(url)


def _postgres_engine(url: str) -> sa.Engine:
    # A server that does not answer must cost a request seconds, not minutes.
    waits = {"connect_timeout": _CONNECT_SECONDS}
    engine = sa.create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=40, connect_args=waits)

    @event.listens_for(engine, "connect")
    def set_up(dbapi: Any, _record: Any) -> None:
        # Everything here reads a page: to start workers for it takes 8 ms, to read it 2.
        dbapi.execute("SET max_parallel_workers_per_gather = 0")
        dbapi.commit()

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        if not connection.get_execution_options().get("lasting", True):
            connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")

    return engine


def _sqlite_engine(url: str) -> sa.Engine:
    database = sa.make_url(url).database
    if database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    # As many connections as threads ask for: waiting for one would look like a lock that never ends.
    # The one used last goes first: each that is used at all fills a page cache of its own.
    engine = sa.create_engine(url, pool_size=16, max_overflow=256, pool_use_lifo=True)

    @event.listens_for(engine, "connect")
    def set_up(dbapi: Any, _record: Any) -> None:
        dbapi.isolation_level = None  # SQLAlchemy says BEGIN itself, below
        for pragma in _PRAGMAS:
            dbapi.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        options = connection.get_execution_options()
        # Straight to the driver: as statements of SQLAlchemy these took as long as what they frame.
        dbapi = connection.connection.dbapi_connection
        assert dbapi is not None
        if options.get("reading", False):
            _execute(dbapi, "BEGIN")
            return
        synchronous = "FULL" if options.get("lasting", True) else "NORMAL"
        if connection.info.get("synchronous") != synchronous:
            # Only possible between transactions; the setting stays with the pooled connection.
            _execute(dbapi, f"PRAGMA synchronous={synchronous}")
            connection.info["synchronous"] = synchronous
        _execute(dbapi, "BEGIN IMMEDIATE")

    return engine


def _execute(dbapi: Any, statement: str) -> None:
    try:
        dbapi.execute(statement)
    except sqlite3.Error as error:
        raise OperationalError(statement, None, error) from error


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection that only reads: on SQLite it waits for no writer and stops none."""
    with engine.connect().execution_options(reading=True) as connection:
        yield connection


def transaction(engine: sa.Engine, work: Callable[[sa.Connection], T], *, lasting: bool = True) -> T:
    """Run `work` in one committed transaction; run it again when the database chose it as a deadlock's victim.

    With `lasting=False` the commit does not wait for the disk.
    """
    if not lasting:
        engine = engine.execution_options(lasting=False)
    for tried in range(1, _TRIES + 1):
        try:
            with engine.begin() as connection:
                return work(connection)
        except DBAPIError as error:
            if tried == _TRIES or not _worth_another_try(error):
                raise
            time.sleep(0.02 * 2**tried)
    raise AssertionError("unreachable")


def note_growth(engine: sa.Engine, *tables: str) -> None:
    """Let PostgreSQL look at tables that have just grown by much.

    It does so by itself after a minute; until then it takes them for as small as they were, and sorts a million rows
    for a page of fifty. SQLite's plans do not depend on it.
    """
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.exec_driver_sql(f"ANALYZE {', '.join(tables)}")


def _worth_another_try(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    return state in ("40001", "40P01") or "database is locked" in str(error.orig)
