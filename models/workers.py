"""Workers: one row a device slot, kept by its main process; what the workers page and readiness look at."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from models.tables import workers

#: A worker that was not heard from for so long is not counted on.
SILENT = timedelta(seconds=15)


@dataclasses.dataclass(frozen=True)
class Worker:
    name: str
    host: str
    device: str
    pid: int
    state: str
    warm: dict[str, int]
    baking: dict[str, Any] | None
    memory_bytes: int | None
    started_at: datetime
    heartbeat_at: datetime
    #: What its child counted since it started, by pipeline; None before the first microbatch.
    tally: dict[str, Any] | None = None


def put_worker(conn: sa.Connection, worker: Worker) -> None:
    """Insert or replace the row of a slot."""
    values = dataclasses.asdict(worker)
    insert = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    statement = insert(workers).values(values)
    rest = {key: value for key, value in values.items() if key != "name"}
    conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_=rest))


def beat(conn: sa.Connection, name: str, *, now: datetime, baking: dict[str, Any] | None) -> None:
    conn.execute(sa.update(workers).where(workers.c.name == name).values(heartbeat_at=now, baking=baking))


def set_worker(conn: sa.Connection, name: str, **values: Any) -> None:
    conn.execute(sa.update(workers).where(workers.c.name == name).values(values))


def list_workers(conn: sa.Connection) -> list[Worker]:
    return [Worker(**row._mapping) for row in conn.execute(sa.select(workers).order_by(workers.c.name))]


def live_workers(conn: sa.Connection, *, now: datetime) -> list[Worker]:
    """Those that were heard from and have not stopped."""
    return [w for w in list_workers(conn) if w.state != "stopped" and now - w.heartbeat_at <= SILENT]


def forget_workers(conn: sa.Connection, *, before: datetime) -> int:
    """Remove slots that fell silent before a moment."""
    return conn.execute(sa.delete(workers).where(workers.c.heartbeat_at < before)).rowcount
