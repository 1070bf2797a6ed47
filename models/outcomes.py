"""What became of the rows of a batch, in the order of its file and a page at a time."""

from __future__ import annotations

import dataclasses
from typing import Any

import sqlalchemy as sa

from contract.statuses import JobStatus
from models.tables import NOT_SUCCEEDED, job_results, jobs, rejected_rows


def rejected(conn: sa.Connection, batch_id: str, *, after_row: int, limit: int) -> list[dict[str, Any]]:
    """Rows that were not taken, in the order of the file."""
    query = (
        sa.select(rejected_rows)
        .where(rejected_rows.c.batch_id == batch_id, rejected_rows.c.row > after_row)
        .order_by(rejected_rows.c.row)
        .limit(limit)
    )
    return [dict(row._mapping) for row in conn.execute(query)]


# A lookup costs a tenth of calling the enum, once for every row of every download.
_STATUS = {status.value: status for status in JobStatus}


@dataclasses.dataclass(frozen=True, slots=True)
class RowOutcome:
    """One row of a batch as an export joins it: what became of it, without what was sent."""

    row: int
    line: int
    job_id: str
    external_id: str | None
    status: JobStatus
    body: str | None
    vector: bytes | None
    error_code: str | None
    error_message: str | None


def _opaque() -> sa.ColumnElement[str]:
    return jobs.c.status.concat("")


def outcomes(
    conn: sa.Connection, batch_id: str, *, after_row: int, limit: int, statuses: frozenset[JobStatus] | None = None
) -> list[RowOutcome]:
    """Rows of a batch after `after_row` in the order of its file, at most `limit`."""
    query = (
        sa.select(
            jobs.c.row, jobs.c.line, jobs.c.id.label("job_id"), jobs.c.external_id, jobs.c.status, job_results.c.body,
            job_results.c.vector, jobs.c.error_code, jobs.c.error_message,
        )
        .outerjoin(job_results, job_results.c.job_id == jobs.c.id)
        .where(jobs.c.batch_id == batch_id, jobs.c.row > after_row)
        .order_by(jobs.c.row)
        .limit(limit)
    )  # fmt: skip
    if statuses is not None:
        wanted = [status.value for status in statuses]
        # Behind an operator PostgreSQL does not guess from what it last knew: that no row is over would have it sort
        # a million rows for each page. Where the few are asked for that did not succeed, their index has them.
        few = JobStatus.SUCCEEDED not in statuses
        query = query.where(jobs.c.status.in_(wanted), NOT_SUCCEEDED) if few else query.where(_opaque().in_(wanted))
    return [RowOutcome(*row[:4], _STATUS[row.status], *row[5:]) for row in conn.execute(query)]
