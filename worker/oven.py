"""The oven: one device slot's child process. Claim, prepare, plan, bake, record, until nothing waits.

Batches form by waiting work, not by waiting: an idle oven starts with what there is, a busy one finds more when it
comes back. Between microbatches people go before files, a slice of time ends, and a request to stop is heard.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from contract.errors import CheckpointError, ErrorCode, InputError
from contract.jsons import canonical
from contract.logs import get_logger
from contract.pipelines import PipelineSpec
from contract.settings import Inference
from contract.statuses import PRIORITY_RANK, PipelineState, Priority
from contract.times import utc_now
from models import claims, sweeps
from models.claims import Claimed
from models.database import reading, transaction
from models.pipelines import find_pipeline, list_pipelines, note_loaded, set_state
from models.records import Timing
from worker.backends.backend import DeviceLost, LoadedPipeline, OutOfMemory, Prepared
from worker.baking import Baker, Dough
from worker.hand import Hand
from worker.pace import Pace
from worker.planner import Portion, plan
from worker.recorder import Recorder
from worker.shelf import Shelf
from worker.signals import Signals

log = get_logger(__name__)

_PEOPLE = Priority.INTERACTIVE
_BULK_RANK = PRIORITY_RANK[Priority.BULK]
_FRESH_SECONDS = 0.25
_LOST = 70  # EX_SOFTWARE: this process cannot go on


@dataclasses.dataclass(frozen=True)
class Tray:
    """One microbatch: rows that share a forward pass."""

    rows: list[Claimed]
    prepared: list[Prepared]
    parameters: dict[str, Any]


class Oven:
    def __init__(
        self, *, name: str, engine: sa.Engine, shelf: Shelf, hand: Hand, signals: Signals, settings: Inference
    ) -> None:
        self._pid = os.getpid()
        #: Stands in the rows it holds; a replacement child has another.
        self.name = f"{name}#{self._pid}"
        self._engine = engine
        self._shelf = shelf
        self._hand = hand
        self._signals = signals
        self._settings = settings
        self._recorder = Recorder(engine, signals)
        self._pace = Pace(most=settings.claim_rows)
        self._budgets: dict[str, int] = {}

    def warm_up(self) -> None:
        """Load and prove every pipeline that is to be warm; one that cannot be is marked, and the rest go on."""
        self._hand.put_down(self._pid)
        with reading(self._engine) as conn:
            stored = list_pipelines(conn)
        for pipeline in stored:
            if pipeline.spec.warm and pipeline.state is PipelineState.ACTIVE:
                self._load(pipeline.spec)
        self._hand.put_down(self._pid)

    def serve(self, pipeline: str) -> None:
        """Bake what waits for a pipeline, for one slice of time. Nothing passes through to Celery.

        A MemoryError that reached it would take the node down; and rows that a living process has forgotten would
        have their lease renewed for ever.
        """
        try:
            self._serve(pipeline)
            self._hand.put_down(self._pid)
        except DeviceLost:
            log.exception("The device is lost; a new process takes over.", pipeline=pipeline)
            os._exit(_LOST)
        except SQLAlchemyError:
            log.exception("The database failed; the claimed rows go back.", pipeline=pipeline)
            self._let_go(blamed=())
        except Exception:
            log.exception("A slice broke; the rows in hand are suspects now.", pipeline=pipeline)
            note = self._hand.read()
            self._let_go(blamed=note.rows if note else ())

    def _let_go(self, *, blamed: Collection[str]) -> None:
        """Give back every row this process holds; the next sweep calls for them again."""
        most = self._settings.max_attempts

        def work(conn: sa.Connection) -> None:
            sweeps.reap_worker(conn, self.name, in_hand=blamed, max_attempts=most, now=utc_now())

        self._hand.put_down(self._pid)
        try:
            transaction(self._engine, work)
        except SQLAlchemyError:
            # The warden has more patience with the database than a task may have.
            log.exception("The claimed rows could not be given back; a new process takes over.")
            os._exit(_LOST)

    def _serve(self, pipeline: str) -> None:
        # Before the first claim: whoever commits after it sends a message of their own.
        self._signals.awake(pipeline)
        ends = time.monotonic() + self._settings.slice_seconds
        while not self._hand.should_stop():
            spec = self._active(pipeline)
            rows = self._claim(pipeline, only=None) if spec else []
            if spec is None or not rows:
                return
            if len(rows) == self._pace.rows(pipeline):
                # A full claim: there may be more than we can bake, and another oven may be idle.
                self._signals.wake(pipeline)
            if not self._bake(spec, rows, ends=ends) or time.monotonic() >= ends:
                self._signals.wake(pipeline)
                return

    def _active(self, pipeline: str) -> PipelineSpec | None:
        """The pipeline as it is defined now; None when it is paused, broken or gone."""
        with reading(self._engine) as conn:
            stored = find_pipeline(conn, pipeline)
        return stored.spec if stored is not None and stored.state is PipelineState.ACTIVE else None

    def _claim(self, pipeline: str, *, only: Priority | None) -> list[Claimed]:
        now = utc_now()
        lease = timedelta(seconds=self._settings.lease_seconds)

        def work(conn: sa.Connection) -> list[Claimed]:
            limit = self._pace.rows(pipeline)
            return claims.claim(conn, pipeline, limit=limit, worker=self.name, lease=lease, now=now, only=only)

        return transaction(self._engine, work, lasting=False)

    def _bake(self, spec: PipelineSpec, rows: list[Claimed], *, ends: float | None) -> bool:
        """Bake claimed rows; False when some were put back. `ends` is None for rows that people wait for."""
        claimed = time.monotonic()
        loaded = self._load(spec)
        if loaded is None:
            self._put_back(rows)
            return True
        model, load_seconds = loaded
        trays = self._trays(spec, model, rows)
        for done, planned in enumerate(trays):
            if ends is not None and not self._may_go_on(planned, ends=ends, first=done == 0):
                self._put_back([row for left in trays[done:] for row in left.rows])
                return False
            # A look at the table before each microbatch but one that was claimed a moment ago.
            fresh = time.monotonic() - claimed < _FRESH_SECONDS
            tray = planned if fresh else self._still_wanted(planned)
            if tray.rows:
                self._bake_tray(spec, model, tray, load_seconds)
        self._recorder.close_batches({row.batch_id for row in rows if row.batch_id})
        return True

    def _may_go_on(self, tray: Tray, *, ends: float, first: bool) -> bool:
        """Between microbatches: people in, and whether there is time for another."""
        if self._hand.should_stop():
            return False
        if tray.rows[0].priority == _BULK_RANK:
            self._let_people_in()
        return first or time.monotonic() < ends

    def _let_people_in(self) -> None:
        with reading(self._engine) as conn:
            waiting = sweeps.pipelines_with_work(conn, now=utc_now(), only=_PEOPLE)
        for pipeline in waiting:
            spec = self._active(pipeline)
            if spec and (rows := self._claim(pipeline, only=_PEOPLE)):
                self._bake(spec, rows, ends=None)

    def _load(self, spec: PipelineSpec) -> tuple[LoadedPipeline, float] | None:
        """The warm pipeline and its load time; None when it cannot be loaded, which its operator is told."""
        if not self._shelf.is_warm(spec):
            self._hand.take(self._pid, spec.name, (), seconds=self._settings.microbatch_timeout)
        try:
            pipeline, seconds = self._shelf.get(spec)
        except CheckpointError as error:
            self._broken(spec.name, error.message)
            return None
        except (OutOfMemory, MemoryError):
            self._broken(spec.name, "Its weights do not fit into the memory of this device.")
            return None
        except Exception:
            log.exception("A pipeline could not be loaded.", pipeline=spec.name)
            self._broken(spec.name, "It could not be loaded; the worker's log says why.")
            return None
        if seconds:
            identity = dataclasses.asdict(pipeline.identity)
            transaction(self._engine, lambda conn: note_loaded(conn, spec.name, identity))
        return pipeline, seconds

    def _broken(self, pipeline: str, reason: str) -> None:
        log.error("A pipeline is broken; its jobs wait.", pipeline=pipeline, reason=reason)

        def work(conn: sa.Connection) -> None:
            set_state(conn, pipeline, PipelineState.BROKEN, reason=reason, now=utc_now())

        transaction(self._engine, work)

    def _trays(self, spec: PipelineSpec, model: LoadedPipeline, rows: list[Claimed]) -> list[Tray]:
        """Prepare and plan rows, lane by lane; rows that are refused are recorded here."""
        lanes: dict[str, list[Claimed]] = {}
        for row in rows:
            lanes.setdefault(canonical(row.parameters), []).append(row)
        trays = [tray for lane in lanes.values() for tray in self._lane_trays(spec, model, lane)]
        return sorted(trays, key=lambda tray: tray.rows[0].priority)

    def _lane_trays(self, spec: PipelineSpec, model: LoadedPipeline, rows: list[Claimed]) -> list[Tray]:
        parameters = spec.effective(rows[0].parameters)
        self._hand.take(self._pid, spec.name, [row.id for row in rows], seconds=self._settings.microbatch_timeout)
        answers = _prepare(model, rows, parameters)
        ready = [(row, answer) for row, answer in zip(rows, answers, strict=True) if isinstance(answer, Prepared)]
        refused = [(row, answer) for row, answer in zip(rows, answers, strict=True) if isinstance(answer, InputError)]
        if refused:
            timing = Timing(load=0.0, inference=0.0)
            self._recorder.record(
                [row for row, _ in refused], [error for _, error in refused], model.identity, timing
            )
        portions = [Portion(i, p.length, p.sequences, row.priority) for i, (row, p) in enumerate(ready)]
        planned = plan(portions, budget=self._budget(spec.name), max_rows=rows[0].max_group)
        return [Tray([ready[i][0] for i in tray], [ready[i][1] for i in tray], parameters) for tray in planned]

    def _bake_tray(self, spec: PipelineSpec, model: LoadedPipeline, tray: Tray, load_seconds: float) -> None:
        baker = Baker(
            pipeline=model,
            parameters=tray.parameters,
            take=lambda ids: self._hand.take(self._pid, spec.name, ids, seconds=self._settings.microbatch_timeout),
            wanted=self._is_wanted({row.id: row for row in tray.rows}),
            publish=self._signals.wrote,
        )
        start = time.perf_counter()
        answers = baker.bake([Dough(r.id, p) for r, p in zip(tray.rows, tray.prepared, strict=True)])
        seconds = time.perf_counter() - start
        if baker.ran_out:
            self._budgets[spec.name] = max(1, self._budget(spec.name) // 2)
        self._pace.took(spec.name, rows=len(tray.rows), seconds=seconds)
        timing = Timing(load=round(load_seconds, 4), inference=round(seconds, 4))
        self._recorder.record(tray.rows, answers, model.identity, timing)

    def _still_wanted(self, tray: Tray) -> Tray:
        """Leave out rows that were canceled or expired since they were claimed."""
        with reading(self._engine) as conn:
            mine = claims.still_mine(conn, tray.rows)
        kept = [(r, p) for r, p in zip(tray.rows, tray.prepared, strict=True) if r.id in mine]
        return Tray([r for r, _ in kept], [p for _, p in kept], tray.parameters)

    def _is_wanted(self, rows: dict[str, Claimed]) -> Any:
        def wanted(job_id: str) -> bool:
            with reading(self._engine) as conn:
                return bool(claims.still_mine(conn, [rows[job_id]]))

        return wanted

    def _put_back(self, rows: Sequence[Claimed]) -> None:
        transaction(self._engine, lambda conn: claims.release(conn, rows), lasting=False)

    def _budget(self, pipeline: str) -> int:
        return self._budgets.get(pipeline, self._settings.token_budget)


def _prepare(model: LoadedPipeline, rows: list[Claimed], parameters: dict[str, Any]) -> list[Prepared | InputError]:
    """Prepare rows together, and one by one when that breaks: the culprit alone is refused."""
    try:
        return model.prepare([row.inputs for row in rows], parameters)
    except Exception:
        if len(rows) == 1:
            log.exception("A row could not be prepared.", job_id=rows[0].id)
            return [InputError(ErrorCode.INPUT_REJECTED, "This input could not be read by the model.")]
        return [answer for row in rows for answer in _prepare(model, [row], parameters)]
