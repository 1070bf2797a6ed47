"""Pipelines as the database knows them: their definition, whether they run, and what they were last loaded with."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from contract.pipelines import PipelineSpec
from contract.statuses import PipelineState
from models.database import transaction
from models.tables import pipelines

_ONE = sa.select(pipelines).where(pipelines.c.name == sa.bindparam("pipeline"))


@dataclasses.dataclass(frozen=True)
class StoredPipeline:
    spec: PipelineSpec
    state: PipelineState
    reason: str | None
    #: id, commit, dtype, backend of the last load; None before the first.
    model: dict[str, Any] | None
    #: How far a quantized checkpoint's results are from those of float32; None where they are exact or unmeasured.
    fidelity: dict[str, Any] | None = None


def sync_pipelines(engine: sa.Engine, specs: list[PipelineSpec], now: datetime) -> None:
    """Make the table say what the pipelines file says. A pipeline that is no longer named goes; its jobs stay.

    A changed definition, and every start, gives a broken pipeline another chance. A pause is kept.
    """

    def work(conn: sa.Connection) -> None:
        known = {row.name: row for row in conn.execute(sa.select(pipelines))}
        names = [spec.name for spec in specs]
        conn.execute(sa.delete(pipelines).where(pipelines.c.name.not_in(names)))
        for place, spec in enumerate(specs):
            _put(conn, spec, place, known.get(spec.name), now)

    transaction(engine, work)


def _put(conn: sa.Connection, spec: PipelineSpec, place: int, known: Any, now: datetime) -> None:
    values: dict[str, Any] = {"definition": spec.as_dict(), "place": place, "updated_at": now}
    if known is None:
        conn.execute(
            sa.insert(pipelines).values(name=spec.name, state=PipelineState.ACTIVE.value, created_at=now, **values)
        )
        return
    if known.state == PipelineState.BROKEN.value:
        values |= {"state": PipelineState.ACTIVE.value, "reason": None}
    if known.definition != spec.as_dict():
        values |= {"model": None, "fidelity": None}
    conn.execute(sa.update(pipelines).where(pipelines.c.name == spec.name).values(values))


def _stored(found: Any) -> StoredPipeline:
    return StoredPipeline(
        PipelineSpec.from_dict(found.definition),
        PipelineState(found.state),
        found.reason,
        found.model,
        found.fidelity,
    )


def list_pipelines(conn: sa.Connection) -> list[StoredPipeline]:
    """In the order of the pipelines file."""
    return [_stored(row) for row in conn.execute(sa.select(pipelines).order_by(pipelines.c.place))]


def find_pipeline(conn: sa.Connection, name: str) -> StoredPipeline | None:
    found = conn.execute(_ONE, {"pipeline": name}).first()
    return None if found is None else _stored(found)


def is_so_still(conn: sa.Connection, spec: PipelineSpec) -> bool:
    """Whether a pipeline is defined as it was a moment ago."""
    stored = find_pipeline(conn, spec.name)
    return stored is not None and stored.spec == spec


def set_state(conn: sa.Connection, name: str, state: PipelineState, *, reason: str | None, now: datetime) -> bool:
    changed = sa.update(pipelines).where(pipelines.c.name == name)
    return conn.execute(changed.values(state=state.value, reason=reason, updated_at=now)).rowcount == 1


def note_loaded(
    conn: sa.Connection, name: str, model: dict[str, Any], *, fidelity: dict[str, Any] | None = None
) -> None:
    """Remember what a pipeline was loaded with, and that it can be."""
    values = {"model": model, "fidelity": fidelity, "state": PipelineState.ACTIVE.value, "reason": None}
    conn.execute(sa.update(pipelines).where(pipelines.c.name == name, pipelines.c.state != "paused").values(values))


def note_fidelity(conn: sa.Connection, name: str, fidelity: dict[str, Any]) -> None:
    """What was found when a loaded pipeline was compared with float32 again."""
    conn.execute(sa.update(pipelines).where(pipelines.c.name == name).values(fidelity=fidelity))
