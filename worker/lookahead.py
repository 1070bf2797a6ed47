"""Loading ahead: an oven that nobody calls loads what will be asked for, where that puts nothing away.

One pipeline at a time and only one whose size is known from an earlier load, by this process or by one before it: no
download, and no first export, while somebody may knock.
"""

from __future__ import annotations

import time

import sqlalchemy as sa

from contract.logs import get_logger
from contract.pipelines import PipelineSpec
from contract.statuses import PipelineState, Priority
from contract.times import utc_now
from models import sweeps
from models.database import reading
from models.pipelines import StoredPipeline, list_pipelines
from worker.loader import Loader
from worker.shelf import Shelf

log = get_logger(__name__)

#: An idle oven asks the table no more often.
_EVERY_SECONDS = 5.0


class LookAhead:
    def __init__(self, engine: sa.Engine, shelf: Shelf, loader: Loader, *, every: float = _EVERY_SECONDS) -> None:
        self._engine = engine
        self._shelf = shelf
        self._loader = loader
        self._every = every
        self._looked_at = float("-inf")

    def look(self) -> str | None:
        """Load one pipeline that will be wanted, if there is one; its name."""
        if time.monotonic() - self._looked_at < self._every:
            return None
        self._looked_at = time.monotonic()
        spec = self._wanted()
        if spec is None or self._loader.load(spec) is None:
            return None
        log.info("A pipeline was loaded ahead.", pipeline=spec.name)
        return spec.name

    def _wanted(self) -> PipelineSpec | None:
        """A cold pipeline with rows in line, or else one that is to be warm; None while somebody waits."""
        with reading(self._engine) as conn:
            if sweeps.pipelines_with_work(conn, now=utc_now(), only=Priority.INTERACTIVE):
                # A call for them is on its way here, and must not find us loading.
                return None
            waiting = set(sweeps.pipelines_with_work(conn, now=utc_now()))
            active = [stored for stored in list_pipelines(conn) if stored.state is PipelineState.ACTIVE]
        cold = [one for one in active if one.spec.warm or one.spec.name in waiting]
        cold = [one for one in cold if not self._shelf.is_warm(one.spec)]
        cold.sort(key=lambda one: one.spec.name not in waiting)
        return next((one.spec for one in cold if self._shelf.has_room_for(one.spec, _commit(one))), None)


def _commit(stored: StoredPipeline) -> str | None:
    return stored.model["commit"] if stored.model else None
