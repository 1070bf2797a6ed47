"""The recorder: what became of a microbatch's rows, in one transaction; then word to whoever polls.

What finished stays finished: nothing later in the claim can undo a microbatch that is committed. A commit waits for
the disk, so while more is to be baked it happens in a thread of its own, in order; `settle` waits for it.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from contract.errors import InputError
from contract.logs import get_logger
from contract.times import utc_now
from models import records
from models.answers import keep_answers
from models.batches import close_if_over
from models.claims import Claimed
from models.database import reading, transaction
from models.files import NewFile
from models.job_files import attach
from models.records import Failure, Success, Timing
from models.webhooks import due
from worker.backends.backend import Identity, WithFiles
from worker.cellar import Cellar
from worker.pantry import Pantry
from worker.signals import Signals

log = get_logger(__name__)

#: Microbatches that may be baked and not recorded: what a crash computes again, and results held in memory.
_MOST_BEHIND = 2


class Recorder:
    """`pantry`: where files of results go; None where there are none. `cellar`: what is to be kept."""

    def __init__(
        self, engine: sa.Engine, signals: Signals, pantry: Pantry | None = None, cellar: Cellar | None = None
    ) -> None:
        self._engine = engine
        self._cellar = cellar
        self._pantry = pantry
        self._signals = signals
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recorder")
        self._behind: deque[Future[None]] = deque()
        # Every deck records here.
        self._lock = threading.Lock()

    def record(
        self,
        rows: Sequence[Claimed],
        answers: Sequence[Any | InputError],
        identity: Identity,
        timing: Timing,
        *,
        cached: bool = False,
    ) -> None:
        """Write an answer for each row that is still ours; say so afterwards. `cached`: they came from the cellar."""
        model = dataclasses.asdict(identity) | ({"cached": True} if cached else {})
        if self._pantry is not None and any(isinstance(answer, WithFiles) for answer in answers):
            self._write_with_files(self._pantry, rows, answers, model, timing)
        else:
            self._write(rows, answers, model, timing)
        batches = {row.batch_id for row in rows if row.batch_id}
        self._signals.changed([*(row.id for row in rows if row.batch_id is None), *batches])
        if called := [row.id for row in rows if row.webhook]:
            self._signals.deliver(called)

    def _write_with_files(
        self,
        pantry: Pantry,
        rows: Sequence[Claimed],
        answers: Sequence[Any | InputError],
        model: dict[str, Any],
        timing: Timing,
    ) -> None:
        # Nothing but the transaction may break in here: after it the files are somebody's.
        with pantry.put_away(answers) as put:
            files = {row.id: made for row, made in zip(rows, put.files, strict=True) if made}
            kept = self._write(rows, put.answers, model, timing, files)
        for job_id in files.keys() - kept:
            pantry.throw_out(files[job_id])

    def _write(
        self,
        rows: Sequence[Claimed],
        answers: Sequence[Any | InputError],
        model: dict[str, Any],
        timing: Timing,
        files: Mapping[str, Sequence[NewFile]] = MappingProxyType({}),
    ) -> set[str]:
        """Ids of the rows that succeeded. Only theirs of `files` are needed from now on."""
        now = utc_now()
        good = [
            Success(r.id, r.fence, a) for r, a in zip(rows, answers, strict=True) if not isinstance(a, InputError)
        ]
        bad = [
            Failure(row.id, row.fence, answer.code, answer.message)
            for row, answer in zip(rows, answers, strict=True)
            if isinstance(answer, InputError)
        ]
        new = self._cellar.taken() if self._cellar else []

        def work(conn: sa.Connection) -> set[str]:
            finished = records.finish(conn, good, model=model, timing=timing, now=now)
            for job_id in files.keys() & finished:
                attach(conn, job_id, files[job_id], now=now)
            records.fail(conn, bad, timing=timing, now=now)
            keep_answers(conn, new, now=now)
            return finished

        return transaction(self._engine, work)

    def record_later(
        self,
        rows: Sequence[Claimed],
        answers: Sequence[Any | InputError],
        identity: Identity,
        timing: Timing,
        *,
        cached: bool = False,
    ) -> None:
        """`record` beside the next microbatch. An error of an earlier one is raised here, or by `settle`."""
        with self._lock:
            while len(self._behind) >= _MOST_BEHIND:
                self._behind.popleft().result()
            self._behind.append(self._thread.submit(self.record, rows, answers, identity, timing, cached=cached))

    def record_known(self, known: Sequence[tuple[Claimed, Any]], identity: Identity, *, cached: bool = False) -> None:
        """`record_later` for rows that took no pass: refused, or answered by what was baked for equal ones."""
        if known:
            rows, answers = [row for row, _ in known], [answer for _, answer in known]
            self.record_later(rows, answers, identity, Timing(load=0.0, inference=0.0), cached=cached)

    def is_free(self) -> bool:
        """Whether `record_later` would begin at once."""
        with self._lock:
            return all(one.done() for one in self._behind)

    def settle(self) -> None:
        """Wait until all is written; raises the first error."""
        with self._lock:
            while self._behind:
                self._behind.popleft().result()

    def abandon(self) -> None:
        """Wait until nothing is being written any more, whatever became of it."""
        while self._behind:
            if error := self._behind.popleft().exception():
                log.warning("A microbatch could not be recorded; its rows run again.", error=repr(error))

    def close_batches(self, batch_ids: Collection[str]) -> None:
        """End those batches whose last row is over."""
        now = utc_now()
        closed = [
            batch_id
            for batch_id in batch_ids
            if transaction(self._engine, lambda conn, batch_id=batch_id: close_if_over(conn, batch_id, now=now))  # type: ignore[misc]
        ]
        self._signals.changed(closed)
        self._tell(closed)

    def _tell(self, closed: Sequence[str]) -> None:
        """Bring their webhooks, before a sweep finds them. Few have one, and few batches end."""
        if closed:
            with reading(self._engine) as conn:
                found = due(conn, now=utc_now(), limit=len(closed), of=closed)
            self._signals.deliver([one for one, _ in found])
