"""Recording: one transaction a microbatch, then word to whoever polls.

What finished stays finished: nothing later in the claim can undo a microbatch that is committed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from contract.errors import InputError
from contract.times import utc_now
from models import records
from models.batches import close_if_over
from models.claims import Claimed
from models.database import transaction
from models.records import Failure, Success, Timing
from worker.backends.backend import Identity
from worker.signals import Signals


class Recorder:
    def __init__(self, engine: sa.Engine, signals: Signals) -> None:
        self._engine = engine
        self._signals = signals

    def record(
        self, rows: Sequence[Claimed], answers: Sequence[Any | InputError], identity: Identity, timing: Timing
    ) -> None:
        """Write an answer for each row that is still ours; say so afterwards."""
        now = utc_now()
        good = [
            Success(r.id, r.fence, a) for r, a in zip(rows, answers, strict=True) if not isinstance(a, InputError)
        ]
        bad = [
            Failure(row.id, row.fence, answer.code, answer.message)
            for row, answer in zip(rows, answers, strict=True)
            if isinstance(answer, InputError)
        ]

        def work(conn: sa.Connection) -> None:
            records.finish(conn, good, model=dataclasses.asdict(identity), timing=timing, now=now)
            records.fail(conn, bad, timing=timing, now=now)

        transaction(self._engine, work)
        batches = {row.batch_id for row in rows if row.batch_id}
        self._signals.changed([*(row.id for row in rows if row.batch_id is None), *batches])

    def close_batches(self, batch_ids: Collection[str]) -> None:
        """End those batches whose last row is over."""
        now = utc_now()
        closed = [
            batch_id
            for batch_id in batch_ids
            if transaction(self._engine, lambda conn, batch_id=batch_id: close_if_over(conn, batch_id, now=now))  # type: ignore[misc]
        ]
        self._signals.changed(closed)
