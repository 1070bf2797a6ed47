"""Answers kept for whoever asks the same again: over all jobs and batches, by a digest of everything they depend on.

Holds answers and never rows: what it forgets is computed again, and nothing else depends on it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from models.bulk import load_new
from models.database import reading, transaction
from models.tables import kept_answers as kept

#: What a row takes beside its answer, about.
_ENTRY_BYTES = 100
_PIECE = 5_000
#: Of a bound that was passed, so much is left: the next answer must not pass it again.
_LEFT = 0.95


class Answer(NamedTuple):
    """`body` and `vector` as models.vectors packs a result."""

    key: bytes
    body: str | None
    vector: bytes | None

    @property
    def size(self) -> int:
        return _ENTRY_BYTES + len(self.vector if self.vector is not None else (self.body or "").encode())


def find_answers(conn: sa.Connection, keys: Collection[bytes]) -> list[Answer]:
    """Those that are kept, in no order."""
    # Straight to the driver: SQLAlchemy takes as long over thousands of keys as the database over its answer.
    given: tuple[Any, ...] = tuple(keys)
    if conn.dialect.name == "postgresql":
        which, given = "= ANY(%s)", (list(keys),)
    else:
        which = f"IN ({', '.join('?' * len(keys))})"
    found = conn.exec_driver_sql(f"SELECT key, body, vector FROM {kept.name} WHERE key {which}", given)
    return [Answer(*row) for row in found]


def keep_answers(conn: sa.Connection, answers: Sequence[Answer], *, now: datetime) -> None:
    """Keep those that are not kept yet. The last statement of its transaction, which waits here for others'."""
    # In one order: two workers that wait for each other's keys would be a deadlock.
    rows = ((*answer, answer.size) for answer in sorted(answers, key=lambda answer: answer.key))
    load_new(conn, kept, ("key", "body", "vector", "bytes"), rows, kept_at=now)


def trim(engine: sa.Engine, *, most_rows: int, most_bytes: int, before: datetime) -> int:
    """Forget what is from before a moment, and then the oldest until both bounds hold; how many."""
    gone = _forget(engine, kept.c.kept_at < before)
    with reading(engine) as conn:
        rows, size = conn.execute(sa.select(sa.func.count(), sa.func.sum(kept.c.bytes))).one()
        if rows <= most_rows and (size or 0) <= most_bytes:
            return gone
        until = conn.scalar(_passes(int(_LEFT * most_rows), int(_LEFT * most_bytes)))
    return gone + _forget(engine, kept.c.kept_at <= until)


def _passes(rows: int, size: int) -> sa.Select[tuple[datetime]]:
    """When the newest answer was kept that does not fit any more with all that are newer."""
    newest = (kept.c.kept_at.desc(), kept.c.key)
    counted = sa.select(
        kept.c.kept_at,
        sa.func.row_number().over(order_by=newest).label("rows"),
        sa.func.sum(kept.c.bytes).over(order_by=newest).label("size"),
    ).subquery()
    return sa.select(sa.func.max(counted.c.kept_at)).where(sa.or_(counted.c.rows > rows, counted.c.size > size))


def _forget(engine: sa.Engine, which: sa.ColumnElement[bool]) -> int:
    """In pieces: whoever records waits for one of them at most."""
    some = sa.select(kept.c.key).where(which).limit(_PIECE).scalar_subquery()
    gone = 0
    while count := transaction(
        engine, lambda conn: conn.execute(sa.delete(kept).where(kept.c.key.in_(some))).rowcount, lasting=False
    ):
        gone += count
    return gone
