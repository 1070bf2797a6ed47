"""Webhooks: whom to tell when a job or a batch is over, and how far telling them is.

Whoever ends a job or a batch makes its webhook due in the same transaction, so that no end is forgotten. `take` is a
compare-and-set that puts the next try off to when this one must be over: two postmen never send one at once, and what
a killed one had in hand is due again by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from models.tables import batches, job_data, jobs, webhooks


class State(StrEnum):
    WAITING = "waiting"  # its job or batch is not over
    DUE = "due"  # to be sent at `next_at`
    DELIVERED = "delivered"
    UNWANTED = "unwanted"  # the end was none of those asked for
    GIVEN_UP = "given_up"  # tried as often as it may be, or told 410


@dataclasses.dataclass(frozen=True)
class NewWebhook:
    url: str
    #: None: every end.
    events: list[str] | None = None


@dataclasses.dataclass(frozen=True)
class Webhook:
    """What is shown of one."""

    id: str
    url: str
    events: list[str] | None
    state: State
    tries: int
    next_at: datetime | None
    answered: int | None
    problem: str | None
    told_at: datetime | None


@dataclasses.dataclass(frozen=True)
class Delivery:
    """One try, in a postman's hands."""

    id: str
    job_id: str | None
    url: str
    events: list[str] | None
    round: int
    #: Which try of this round it is, from 1: nobody else has the same.
    tries: int


_SHOWN = [webhooks.c[field.name] for field in dataclasses.fields(Webhook)]
_TAKEN = [webhooks.c[field.name] for field in dataclasses.fields(Delivery)]


def add_webhooks(conn: sa.Connection, new: Sequence[tuple[str, NewWebhook | None]], *, of_jobs: bool = True) -> None:
    """Remember whom to tell of jobs, or of batches, by their ids; in the transaction that accepts those."""
    column = "job_id" if of_jobs else "batch_id"
    rows = [{"id": one, column: one, "url": hook.url, "events": hook.events} for one, hook in new if hook is not None]
    if rows:
        conn.execute(sa.insert(webhooks).values(state=State.WAITING.value, round=0, tries=0), rows)


def job_is_over(conn: sa.Connection, ended: Sequence[Any], *, now: datetime) -> None:
    """Make the webhooks of jobs due; rows (`id`, `webhook`) that this transaction has just ended. Most have none."""
    if ids := [row.id for row in ended if row.webhook]:
        _come_due(conn, webhooks.c.id.in_(ids), now)


def batch_is_over(conn: sa.Connection, batch_id: str, *, now: datetime) -> None:
    _come_due(conn, webhooks.c.id == batch_id, now)


def _come_due(conn: sa.Connection, which: sa.ColumnElement[bool], now: datetime) -> None:
    due = sa.update(webhooks).where(which, webhooks.c.state == State.WAITING.value)
    conn.execute(due.values(state=State.DUE.value, next_at=now, round=webhooks.c.round + 1, tries=0))


def batch_goes_on(conn: sa.Connection, batch_id: str) -> None:
    """A batch that was over runs again: its next end is told, under an id of its own."""
    waits = {"state": State.WAITING.value, "next_at": None, "answered": None, "problem": None, "told_at": None}
    conn.execute(sa.update(webhooks).where(webhooks.c.id == batch_id).values(waits))


def due(
    conn: sa.Connection, *, now: datetime, limit: int, of: Collection[str] | None = None
) -> list[tuple[str, str]]:
    """`(id, url)` of those that are to be sent now, those that wait longest first; of some, or of all."""
    query = sa.select(webhooks.c.id, webhooks.c.url).where(_DUE, webhooks.c.next_at <= now)
    if of is not None:
        query = query.where(webhooks.c.id.in_(list(of)))
    return [(row.id, row.url) for row in conn.execute(query.order_by(webhooks.c.next_at).limit(limit))]


# A literal, so that the partial index serves.
_DUE = webhooks.c.state == sa.literal_column("'due'")


def take(conn: sa.Connection, webhook_id: str, *, until: datetime, now: datetime) -> Delivery | None:
    """Begin a try that is over by `until`; None when it is not its time, or somebody else has it."""
    taken = (
        sa.update(webhooks)
        .where(webhooks.c.id == webhook_id, _DUE, webhooks.c.next_at <= now)
        .values(tries=webhooks.c.tries + 1, next_at=until)
        .returning(*_TAKEN)
    )
    found = conn.execute(taken).first()
    return None if found is None else Delivery(**found._mapping)


def settle(
    conn: sa.Connection,
    delivery: Delivery,
    state: State,
    *,
    now: datetime,
    pause: float = 0.0,
    answered: int | None = None,
    problem: str | None = None,
) -> bool:
    """Write how a try ended, unless the webhook is not its own any more. `pause`: seconds until the next."""
    settled = sa.update(webhooks).where(
        webhooks.c.id == delivery.id, _DUE, webhooks.c.round == delivery.round, webhooks.c.tries == delivery.tries
    )
    values = {
        "state": state.value,
        "next_at": now + timedelta(seconds=pause) if state is State.DUE else None,
        "answered": answered,
        "problem": problem,
        "told_at": now if state is State.DELIVERED else None,
    }
    return conn.execute(settled.values(values)).rowcount == 1


def subject(conn: sa.Connection, delivery: Delivery) -> Any:
    """The row of the job or batch that a delivery is about, while it is over; else None."""
    if delivery.job_id is None:
        batch = sa.select(batches).where(batches.c.id == delivery.id, batches.c.finished_at.is_not(None))
        return conn.execute(batch).first()
    job = sa.select(jobs, job_data.c.metadata).join(job_data, job_data.c.job_id == jobs.c.id)
    return conn.execute(job.where(jobs.c.id == delivery.id, jobs.c.finished_at.is_not(None))).first()


def find_webhooks(conn: sa.Connection, ids: Collection[str]) -> dict[str, Webhook]:
    """Those of jobs or batches, by their id."""
    if not ids:
        return {}
    found = conn.execute(sa.select(*_SHOWN).where(webhooks.c.id.in_(list(ids))))
    return {row.id: Webhook(**{**row._mapping, "state": State(row.state)}) for row in found}


def count_open(conn: sa.Connection) -> dict[str, int]:
    """How many are not delivered, by state."""
    # In the words of the partial index.
    open_ones = sa.text("state NOT IN ('delivered', 'unwanted')")
    counted = sa.select(webhooks.c.state, sa.func.count()).where(open_ones).group_by(webhooks.c.state)
    found: dict[str, int] = {row.state: row[1] for row in conn.execute(counted)}
    return {state.value: found.get(state.value, 0) for state in (State.WAITING, State.DUE, State.GIVEN_UP)}
