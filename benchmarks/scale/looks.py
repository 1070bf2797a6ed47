"""What is timed: each look a caller or a worker takes, by the product's own functions, at the worst places."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from benchmarks.harness import spread
from benchmarks.scale.filling import PIPELINE, Filled
from contract.statuses import JobStatus, Priority
from contract.times import utc_now
from models import batches, claims, counts, records, removal, sweeps
from models.database import reading
from models.jobs import Job, find_job, list_batch_jobs, list_jobs
from models.outcomes import outcomes
from models.positions import positions
from models.records import Success, Timing
from models.tables import jobs

Look = Callable[[sa.Connection], Any]
_TIMES = 15
_CLAIM = 2_048
_PAGE = 50
_ANSWER = [{"label": "even", "score": 0.75}, {"label": "odd", "score": 0.25}]
_MODEL = {"id": "fake", "commit": "fake", "dtype": "none", "backend": "fake"}


def looks(engine: sa.Engine, filled: Filled) -> dict[str, Look]:
    """By what it is, in the words of the report. Each may write: nothing is committed."""
    old, deep = filled.finished[0], filled.rows_each - 2 * _PAGE
    now = utc_now()
    with reading(engine) as conn:
        finished = _row(conn, old, deep)
        last = _row(conn, filled.waiting, filled.waiting_rows - 1)
        page_at_end = list_batch_jobs(conn, filled.waiting, limit=_PAGE, after_row=filled.waiting_rows - _PAGE - 1)
        batch = batches.find_batch(conn, filled.waiting)
    assert batch is not None
    return {
        "poll a job that is over": lambda conn: find_job(conn, finished.id),
        "poll the last job in line": lambda conn: (find_job(conn, last.id), positions(conn, [last])),
        "positions of a page at the end of the line": lambda conn: positions(conn, page_at_end.items),
        "poll a batch": lambda conn: (batches.find_batch(conn, batch.id), counts.count(conn, batch.id)),
        "newest jobs": lambda conn: list_jobs(conn, limit=_PAGE),
        "newest jobs without batches": lambda conn: list_jobs(conn, limit=_PAGE, single=True),
        "newest jobs that failed": lambda conn: list_jobs(conn, limit=_PAGE, status=JobStatus.FAILED),
        "newest jobs that run (none does)": lambda conn: list_jobs(conn, limit=_PAGE, status=JobStatus.RUNNING),
        "newest jobs of a pipeline (it has none)": lambda conn: list_jobs(conn, limit=_PAGE, pipeline="none"),
        "jobs from the middle of all on": lambda conn: list_jobs(conn, limit=_PAGE, after=finished.id),
        "first rows of a batch": lambda conn: list_batch_jobs(conn, old, limit=_PAGE),
        "last rows of a batch": lambda conn: list_batch_jobs(conn, old, limit=_PAGE, after_row=deep),
        "rows of a batch that failed, from its end on": lambda conn: list_batch_jobs(
            conn, old, limit=_PAGE, after_row=deep - 20_000, status=JobStatus.FAILED
        ),
        "1,000 results from the end of a batch": lambda conn: outcomes(
            conn, old, after_row=deep - 1_000, limit=1_000
        ),
        "is anybody waiting": lambda conn: claims.any_waiting(conn, PIPELINE, now=now),
        "pipelines with work": lambda conn: sweeps.pipelines_with_work(conn, now=now),
        "people who wait": lambda conn: sweeps.pipelines_with_work(conn, now=now, only=Priority.INTERACTIVE),
        f"claim {_CLAIM:,} rows": _claim,
        f"claim and record {_CLAIM:,} rows": lambda conn: _record(conn, _claim(conn)),
        "open jobs by pipeline (metrics)": counts.count_open,
        "oldest wait (metrics)": lambda conn: sweeps.oldest_wait(conn, now=now),
        "sweep: what is late": lambda conn: sweeps.expire(conn, now=now),
        "sweep: leases that ran out": lambda conn: sweeps.reap_expired(conn, max_attempts=3, now=now),
        "sweep: batches that are open": batches.open_batches,
        "sweep: is the batch over": lambda conn: batches.close_if_over(conn, batch.id, now=now),
        "sweep: old batches": lambda conn: removal.delete_old_batches(conn, before=now - timedelta(days=90), now=now),
    }


def _row(conn: sa.Connection, batch_id: str, row: int) -> Job:
    job_id = conn.scalar(sa.select(jobs.c.id).where(jobs.c.batch_id == batch_id, jobs.c.row == row))
    job = find_job(conn, str(job_id))
    assert job is not None
    return job


def _claim(conn: sa.Connection) -> list[claims.Claimed]:
    lease, now = timedelta(seconds=30), utc_now()
    return claims.claim(conn, PIPELINE, limit=_CLAIM, worker="h/cpu0#1", lease=lease, now=now)


def _record(conn: sa.Connection, rows: list[claims.Claimed]) -> set[str]:
    done = [Success(row.id, row.fence, _ANSWER) for row in rows]
    return records.finish(conn, done, model=_MODEL, timing=Timing(load=0.0, inference=0.01), now=utc_now())


def timed(engine: sa.Engine, look: Look) -> dict[str, float]:
    """Milliseconds. The first counts too: it reads from the disk what the others find in memory."""
    took = []
    for _ in range(_TIMES):
        with engine.connect() as conn, conn.begin() as going:
            began = time.perf_counter()
            look(conn)
            took.append((time.perf_counter() - began) * 1_000)
            going.rollback()
    return {"first": round(took[0], 2), **{k: round(v, 2) for k, v in spread(took).items() if k in ("p50", "max")}}


def plans(engine: sa.Engine, look: Look) -> list[str]:
    """What PostgreSQL does for each statement of a look."""
    found = []
    with engine.connect() as conn, conn.begin() as going:
        for statement, parameters in _statements(conn, look):
            if not isinstance(parameters, list) and not statement.startswith(
                ("COPY", "SET", "SAVEPOINT", "ROLLBACK", "RELEASE")
            ):
                lines = conn.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", parameters).scalars()
                found.append("\n".join(_shortened(line) for line in lines))
        going.rollback()
    return found


def _shortened(line: str) -> str:
    """Some conditions name thousands of ids."""
    return line if len(line) <= 200 else line[:199] + "…"


def _statements(conn: sa.Connection, look: Look) -> list[tuple[str, Any]]:
    heard: list[tuple[str, Any]] = []

    def hear(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        heard.append((statement, parameters))

    event.listen(conn, "before_cursor_execute", hear)
    with conn.begin_nested() as trial:
        look(conn)
        trial.rollback()
    event.remove(conn, "before_cursor_execute", hear)
    return heard


def stream_rate(engine: sa.Engine, filled: Filled) -> dict[str, float]:
    """Rows a second of a whole batch's outcomes, a page at a time, and of its first and last tenth."""
    parts = {"whole": (0, filled.rows_each), "first tenth": (0, filled.rows_each // 10)}
    parts["last tenth"] = (filled.rows_each - filled.rows_each // 10, filled.rows_each)
    rates: dict[str, float] = {}
    for name, (first, end) in parts.items():
        began = time.perf_counter()
        rows = sum(_pages(engine, filled.finished[len(filled.finished) // 2], first, end))
        rates[name] = round(rows / (time.perf_counter() - began))
    return rates


def _pages(engine: sa.Engine, batch_id: str, first: int, end: int) -> Iterator[int]:
    after = first - 1
    while after < end - 1:
        with reading(engine) as conn:
            page = outcomes(conn, batch_id, after_row=after, limit=min(1_000, end - 1 - after))
        if not page:
            return
        after = page[-1].row
        yield len(page)
