"""What the bare database does with the rows of a file: the same inserts, updates and reads by its driver alone.

In the product's own tables, with their keys, checks and indexes, settings of the connection, and as many rows a
transaction; nothing else runs. So it is the limit of what any program around these tables could reach on one
connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from contract.statuses import OnInvalidRows
from models import batches
from models.batches import NewBatch
from models.database import make_engine
from models.files import add_file

#: Rows a transaction: of a piece of a file, of a claim, of a microbatch, of a page of results.
PIECE, CLAIM, RECORD, PAGE = 2_000, 2_048, 256, 1_000
_JOBS = ("id", "row", "line", "external_id", "pipeline", "batch_id", "status", "priority", "available_at", "attempts",
         "fence", "crashes", "created_at")  # fmt: skip
_TEXT = '{"text":"Review %d: the bread, as ever, was good good good good good today"}'
_ANSWER = '[{"label":"even","score":0.9},{"label":"odd","score":0.1}]'
_MODEL = '{"id":"fake","commit":"fake","dtype":"none","backend":"fake"}'
_PAGE = (
    "SELECT jobs.row, jobs.line, jobs.id, jobs.external_id, jobs.status, body, vector, error_code, error_message"
    " FROM jobs LEFT JOIN job_results ON job_id = jobs.id WHERE batch_id = {p} AND jobs.row > {p}"
    f" ORDER BY jobs.row LIMIT {PAGE}"
)


def bare(url: str, rows: int) -> dict[str, int]:
    """Rows a second of each step, in a migrated database that is empty."""
    engine = make_engine(url)
    with engine.begin() as conn:
        now = datetime.now(UTC)
        add_file(conn, file_id="f", name="rows.csv", content_type="text/csv", size=9, now=now)
        new = NewBatch(
            pipeline="fake", filename="rows.csv", file_id="f", format="csv", mapping={}, id_column="id",
            on_invalid_rows=OnInvalidRows.SKIP, parameters={},
        )  # fmt: skip
        batch_id = batches.create_batch(conn, new, now=now)
    raw = engine.raw_connection()
    kind = _Postgres if engine.dialect.name == "postgresql" else _Sqlite
    try:
        return _figures(kind(raw.driver_connection), batch_id, rows)
    finally:
        raw.close()
        engine.dispose()


class _Sqlite:
    place = "?"

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def begin(self, *, lasting: bool) -> None:
        self._driver.execute(f"PRAGMA synchronous={'FULL' if lasting else 'NORMAL'}")
        self._driver.execute("BEGIN IMMEDIATE")

    def insert(self, table: str, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        listed = ", ".join(f'"{name}"' for name in names)
        self._driver.executemany(f"INSERT INTO {table} ({listed}) VALUES ({', '.join('?' * len(names))})", rows)

    def update(self, changes: str, ids: list[str]) -> None:
        self._driver.execute(f"UPDATE jobs SET {changes} WHERE id IN ({', '.join('?' * len(ids))})", ids)

    def know(self) -> None:
        """Plans of SQLite do not depend on how much there is."""

    def read(self, query: str, values: tuple[Any, ...]) -> list[Any]:
        found: list[Any] = self._driver.execute(query, values).fetchall()
        return found

    def commit(self) -> None:
        self._driver.execute("COMMIT")


class _Postgres(_Sqlite):
    place = "%s"

    def begin(self, *, lasting: bool) -> None:
        # psycopg begins by itself.
        if not lasting:
            self._driver.execute("SET LOCAL synchronous_commit TO off")

    def insert(self, table: str, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        listed = ", ".join(f'"{name}"' for name in names)
        with self._driver.cursor() as cursor, cursor.copy(f"COPY {table} ({listed}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def update(self, changes: str, ids: list[str]) -> None:
        self._driver.execute(f"UPDATE jobs SET {changes} WHERE id = ANY(%s)", (ids,))

    def know(self) -> None:
        # As the product does when it has read a file: else each page of results is a sort of them all.
        self._driver.execute("ANALYZE jobs, job_data")
        self._driver.commit()

    def commit(self) -> None:
        self._driver.commit()


def _figures(database: _Sqlite, batch_id: str, rows: int) -> dict[str, int]:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")

    def insert(numbers: range) -> None:
        same = ("fake", batch_id, "queued", 1, now, 0, 0, 0, now)
        database.insert("jobs", _JOBS, [(_id(n), n, n + 2, str(n), *same) for n in numbers])
        database.insert("job_data", ("job_id", "inputs", "parameters"), [(_id(n), _TEXT % n, "{}") for n in numbers])

    def claim(numbers: range) -> None:
        changes = "status = 'running', attempts = 1, fence = 1, worker = 'w'"
        database.update(f"{changes}, lease_until = '{now}', started_at = '{now}'", [_id(n) for n in numbers])

    def record(numbers: range) -> None:
        changes = "status = 'succeeded', worker = NULL, lease_until = NULL, queue_seconds = 1.5, load_seconds = 0"
        database.update(f"{changes}, finished_at = '{now}', inference_seconds = 0.01", [_id(n) for n in numbers])
        database.insert("job_results", ("job_id", "body", "model"), [(_id(n), _ANSWER, _MODEL) for n in numbers])

    def export(numbers: range) -> None:
        assert len(database.read(_PAGE.format(p=database.place), (batch_id, numbers[0] - 1))) == len(numbers)

    def seconds(work: Callable[[range], None], piece: int, *, lasting: bool = True) -> float:
        start = time.perf_counter()
        for numbers in _pieces(rows, piece):
            database.begin(lasting=lasting)
            work(numbers)
            database.commit()
        return time.perf_counter() - start

    inserted = seconds(insert, PIECE)
    database.know()
    baked = seconds(claim, CLAIM, lasting=False) + seconds(record, RECORD)
    exported = seconds(export, PAGE)
    return {
        "ingest_rows_per_second": round(rows / inserted),
        "claim_and_record_rows_per_second": round(rows / baked),
        "export_rows_per_second": round(rows / exported),
    }


def _pieces(rows: int, piece: int) -> Iterator[range]:
    return (range(first, min(rows, first + piece)) for first in range(0, rows, piece))


def _id(number: int) -> str:
    # Sorted by time, as ours are.
    return f"{number:032x}"
