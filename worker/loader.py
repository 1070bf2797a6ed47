"""Loading for the oven: a warm pipeline with its budget, or one marked broken with a sentence that says why."""

from __future__ import annotations

import dataclasses
import os
from weakref import WeakValueDictionary

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from contract.errors import CheckpointError
from contract.logs import get_logger
from contract.pipelines import PipelineSpec
from contract.statuses import PipelineState
from contract.times import utc_now
from models.database import transaction
from models.pipelines import note_loaded, set_state
from worker.backends.backend import LoadedPipeline, OutOfMemory
from worker.budgets import Budgets
from worker.hand import Hand
from worker.ledger import Ledger
from worker.shelf import Shelf

log = get_logger(__name__)


class Loader:
    """`seconds`: a load that takes longer is a child that hangs."""

    def __init__(
        self, engine: sa.Engine, shelf: Shelf, budgets: Budgets, ledger: Ledger, hand: Hand, *, seconds: float
    ) -> None:
        self._engine = engine
        self._shelf = shelf
        self._budgets = budgets
        self._ledger = ledger
        self._hand = hand
        self._seconds = seconds
        #: Loaded with all that belongs to it: a database that went away in between leaves some of it to do.
        self._ready: WeakValueDictionary[str, LoadedPipeline] = WeakValueDictionary()

    def load(self, spec: PipelineSpec) -> tuple[LoadedPipeline, float] | None:
        """The warm pipeline and its load time; None when it cannot be loaded, which its operator is told."""
        if not self._shelf.is_warm(spec):
            self._hand.take(os.getpid(), spec.name, (), seconds=self._seconds)
        try:
            pipeline, seconds = self._shelf.get(spec)
            if self._ready.get(spec.name) is pipeline:
                return pipeline, seconds
            self._find_budget(spec, pipeline)
        except CheckpointError as error:
            self._broken(spec.name, error.message)
            return None
        except SQLAlchemyError:
            # Whoever serves gives the rows back; a checkpoint is not broken by a database that restarts.
            raise
        except (OutOfMemory, MemoryError):
            self._broken(spec.name, "Its weights do not fit into the memory of this device.")
            return None
        except Exception:
            log.exception("A pipeline could not be loaded.", pipeline=spec.name)
            self._broken(spec.name, "It could not be loaded; the worker's log says why.")
            return None
        identity, fidelity = dataclasses.asdict(pipeline.identity), pipeline.fidelity
        transaction(self._engine, lambda conn: note_loaded(conn, spec.name, identity, fidelity=fidelity))
        self._ready[spec.name] = pipeline
        return pipeline, seconds

    def _find_budget(self, spec: PipelineSpec, pipeline: LoadedPipeline) -> None:
        self._budgets.open(spec.name, spec.task, pipeline, room=self._shelf.room_for_passes())
        if tokens := self._hand.killed_with(spec.name):
            self._budgets.ran_out(spec.name, padded_tokens=tokens)
        self._ledger.loaded(spec.name)

    def _broken(self, pipeline: str, reason: str) -> None:
        log.error("A pipeline is broken; its jobs wait.", pipeline=pipeline, reason=reason)

        def work(conn: sa.Connection) -> None:
            set_state(conn, pipeline, PipelineState.BROKEN, reason=reason, now=utc_now())

        transaction(self._engine, work)
