"""From a stored file to rows in the queue, through kills, doubled messages and changes of mind."""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from contract.statuses import BatchStatus, JobStatus, OnInvalidRows
from models import batches, sweeps
from models.database import transaction
from models.sheets import formats
from tests.integration.conftest import NOW
from tests.integration.reading_bench import Bench, Killed, killed_at
from tests.sheets import arrow, parquet, xlsx
from worker import ingest
from worker.ingest import ingest_slice


@pytest.fixture
def bench(engine: sa.Engine, tmp_path: Path) -> Bench:
    return Bench(engine, tmp_path / "files")


def sheet(count: int, *, bad: Callable[[int], bool] = lambda _: False) -> bytes:
    return b"text,ref\n" + b"".join(b",%d\n" % n if bad(n) else b"row %d,%d\n" % (n, n) for n in range(count))


def expected(count: int) -> list[str]:
    return [f"row {n}" for n in range(count)]


def test_rows_go_in_in_the_order_of_the_file(bench):
    batch_id = bench.batch(sheet(10), mapping={"text": "text"}, id_column="ref", parameters={"top_k": 1})
    batch = bench.read(batch_id)
    assert (batch.status, batch.total, batch.ingested, batch.invalid) == (BatchStatus.RUNNING, 10, True, 0)
    rows = bench.rows(batch_id)
    assert [job.inputs["text"] for job in rows] == expected(10)
    assert [job.row for job in rows] == list(range(10))
    assert [job.line for job in rows] == list(range(2, 12))
    assert [job.external_id for job in rows] == [str(n) for n in range(10)]
    assert sorted(job.id for job in rows) == [job.id for job in rows]
    assert {job.available_at for job in rows} == {NOW}
    assert rows[0].parameters == {"top_k": 1}
    assert (batch.started_at, set(bench.woken)) == (NOW, {"fake"})


def test_nothing_runs_before_the_whole_file_is_checked(bench):
    batch_id = bench.batch(sheet(7))
    assert bench.slice(batch_id) == "again"
    assert bench.slice(batch_id) == "again"
    assert bench.found(batch_id).status is BatchStatus.VALIDATING
    assert (bench.rows(batch_id), bench.woken) == ([], [])


def test_skip_runs_the_first_piece_while_the_rest_is_read(bench):
    batch_id = bench.batch(sheet(7), on_invalid_rows=OnInvalidRows.SKIP)
    assert bench.slice(batch_id) == "again"
    assert bench.texts(batch_id) == expected(3)
    assert bench.found(batch_id).status is BatchStatus.RUNNING
    assert bench.woken == ["fake"]


def test_one_bad_row_and_nothing_of_the_file_runs(bench):
    batch_id = bench.batch(sheet(250, bad=lambda n: n % 2 == 1))
    batch = bench.read(batch_id, rows=20)
    assert (batch.status, batch.invalid, batch.total, bench.rows(batch_id)) == (BatchStatus.FAILED, 125, None, [])
    assert batch.cursor.row == 250
    assert len(batch.errors) == 100
    first = {name: batch.errors[0][name] for name in ("row", "line", "code")}
    assert first == {"row": 1, "line": 3, "code": "invalid_value"}
    assert len(bench.rejected(batch_id)) == 125


def test_skip_lists_bad_rows_and_runs_the_others(bench):
    batch_id = bench.batch(sheet(10, bad=lambda n: n in (0, 4, 9)), on_invalid_rows=OnInvalidRows.SKIP)
    batch = bench.read(batch_id)
    assert (batch.status, batch.total, batch.invalid) == (BatchStatus.RUNNING, 10, 3)
    assert [job.row for job in bench.rows(batch_id)] == [1, 2, 3, 5, 6, 7, 8]
    assert [bad["row"] for bad in bench.rejected(batch_id)] == [0, 4, 9]
    assert bench.rejected(batch_id)[0]["input"] == {"text": "", "ref": "0"}


def test_a_file_of_bad_rows_alone_is_over_at_once_with_skip(bench):
    batch_id = bench.batch(sheet(4, bad=lambda _: True), on_invalid_rows=OnInvalidRows.SKIP)
    batch = bench.read(batch_id)
    assert (batch.status, batch.total, batch.invalid) == (BatchStatus.COMPLETED, 4, 4)


@pytest.mark.parametrize("mode", OnInvalidRows)
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"text,n\n", "no_rows"),
        (b"a,b\n1,2\n", "unknown_column"),
        (bytes(range(256)) * 16, "unreadable_file"),
    ],
)
def test_a_useless_file_is_refused(bench, mode, data, code):
    batch = bench.read(bench.batch(data, on_invalid_rows=mode))
    assert (batch.status, batch.errors[0]["code"]) == (BatchStatus.FAILED, code)


@pytest.mark.parametrize("mode", OnInvalidRows)
def test_an_id_that_comes_twice_is_found_however_far_apart(bench, mode):
    data = b"text,ref\n" + b"".join(b"t,%d\n" % (n % 8) for n in range(10))
    batch_id = bench.batch(data, id_column="ref", on_invalid_rows=mode)
    batch = bench.read(batch_id)
    assert [(error["row"], error["code"]) for error in batch.errors] == [(8, "duplicate_id"), (9, "duplicate_id")]
    assert len(bench.rows(batch_id)) == (0 if mode is OnInvalidRows.FAIL else 8)


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("mode", OnInvalidRows)
def test_a_kill_between_any_two_pieces_loses_and_repeats_nothing(bench, monkeypatch, mode, after_commit):
    for place in range(9):
        batch_id = bench.batch(sheet(8), id_column="ref", on_invalid_rows=mode)
        with killed_at(monkeypatch, place, after_commit=after_commit), contextlib.suppress(Killed):
            while bench.slice(batch_id, seconds=60) == "again":
                pass
        batch = bench.read(batch_id)
        assert bench.texts(batch_id) == expected(8), f"killed at transaction {place}"
        assert (batch.total, batch.ingested) == (8, True)


PACKED = {
    "rows.csv.gz": gzip.compress(sheet(8)),
    "rows.json": json.dumps([{"text": f"row {n}", "ref": str(n)} for n in range(8)], indent=1).encode(),
    "rows.parquet": parquet([{"text": f"row {n}", "ref": str(n)} for n in range(8)], row_group_size=3),
    "rows.arrow": arrow([{"text": f"row {n}", "ref": str(n)} for n in range(8)]),
    "rows.xlsx": xlsx([["text", "ref"], *[[f"row {n}", n] for n in range(8)]]),
}


@pytest.mark.parametrize("name", PACKED)
def test_a_kill_loses_and_repeats_nothing_of_any_format(bench, monkeypatch, name):
    for place in (0, 1, 3, 5):
        batch_id = bench.batch(PACKED[name], filename=name, id_column="ref")
        with killed_at(monkeypatch, place, after_commit=bool(place % 2)), contextlib.suppress(Killed):
            while bench.slice(batch_id, seconds=60) == "again":
                pass
        assert (bench.read(batch_id).total, bench.texts(batch_id)) == (8, expected(8)), f"killed at {place}"


def test_an_archive_that_is_cut_short_is_refused_as_a_whole(bench):
    data = gzip.compress(b"text\n" + b"".join(b"row %d\n" % n for n in range(50_000)))[:-30]
    batch = bench.read(bench.batch(data, filename="a.csv.gz", on_invalid_rows=OnInvalidRows.SKIP))
    assert (batch.status, batch.errors[0]["code"]) == (BatchStatus.FAILED, "unreadable_file")


def test_two_readers_of_one_file_make_one_set_of_rows(bench, monkeypatch):
    batch_id = bench.batch(sheet(20), on_invalid_rows=OnInvalidRows.SKIP)
    real, rivals = ingest.transaction, iter(range(3))

    def with_a_rival(engine: sa.Engine, work: Callable[[sa.Connection], Any]) -> Any:
        if next(rivals, None) is not None:
            bench.slice(batch_id)
        return real(engine, work)

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "transaction", with_a_rival)
        assert bench.slice(batch_id, seconds=60) == "done"
    bench.read(batch_id)
    assert bench.texts(batch_id) == expected(20)


def test_a_reader_does_not_go_on_behind_a_rival_that_overtook_it(bench, monkeypatch):
    batch_id = bench.batch(sheet(12), on_invalid_rows=OnInvalidRows.SKIP)
    bench.slice(batch_id)
    overtaken = iter([True])
    real_wake = bench.woken.append

    def overtake(pipeline: str) -> None:
        real_wake(pipeline)
        if next(overtaken, False):
            bench.slice(batch_id)

    ingest_slice(
        bench.engine, bench.storage, batch_id, seconds=60, rows_per_piece=3, now_fn=lambda: NOW, wake=overtake
    )
    bench.read(batch_id)
    assert bench.texts(batch_id) == expected(12)


def test_a_cancel_while_the_file_is_read_stops_it_and_a_retry_goes_on(bench):
    batch_id = bench.batch(sheet(10), on_invalid_rows=OnInvalidRows.SKIP)
    bench.slice(batch_id)
    assert transaction(bench.engine, lambda conn: batches.begin_cancel(conn, batch_id))
    assert bench.slice(batch_id) == "done"
    transaction(bench.engine, lambda conn: sweeps.cancel_batch_rows(conn, batch_id, limit=100, now=NOW))
    ended = transaction(bench.engine, lambda conn: batches.close_if_over(conn, batch_id, now=NOW))
    assert (ended, bench.found(batch_id).total) == (BatchStatus.CANCELED, 3)
    batch = bench.found(batch_id)
    assert transaction(bench.engine, lambda conn: batches.retry(conn, batch, now=NOW)) == 3
    assert bench.read(batch_id).total == 10
    assert bench.texts(batch_id) == expected(10)
    assert {job.status for job in bench.rows(batch_id)} == {JobStatus.QUEUED}


def test_a_cancel_between_reading_and_writing_a_piece_wins(bench, monkeypatch):
    batch_id = bench.batch(sheet(10), on_invalid_rows=OnInvalidRows.SKIP)
    bench.slice(batch_id)
    real = ingest.transaction

    def canceled_first(engine: sa.Engine, work: Callable[[sa.Connection], Any]) -> Any:
        real(engine, lambda conn: batches.begin_cancel(conn, batch_id))
        return real(engine, work)

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "transaction", canceled_first)
        assert bench.slice(batch_id, seconds=60) == "done"
    assert len(bench.rows(batch_id)) == 3
    assert bench.found(batch_id).status is BatchStatus.CANCELING


def test_a_batch_whose_time_is_up_is_not_read_on(bench):
    late = NOW + timedelta(seconds=5)
    batch_id = bench.batch(sheet(10), on_invalid_rows=OnInvalidRows.SKIP, expires_at=late)
    bench.slice(batch_id)
    assert {job.expires_at for job in bench.rows(batch_id)} == {late}
    bench.now = late
    assert bench.slice(batch_id) == "done"
    transaction(bench.engine, lambda conn: sweeps.expire(conn, now=late))
    ended = transaction(bench.engine, lambda conn: batches.close_if_over(conn, batch_id, now=late))
    assert (ended, bench.found(batch_id).total) == (BatchStatus.EXPIRED, 3)
    expired = bench.found(batch_id)
    transaction(bench.engine, lambda conn: batches.retry(conn, expired, now=late))
    assert bench.read(batch_id).total == 10


def test_a_batch_that_expires_before_its_first_row_is_expired(bench):
    batch_id = bench.batch(sheet(3), expires_at=NOW)
    assert bench.slice(batch_id) == "done"
    assert (
        transaction(bench.engine, lambda conn: batches.close_if_over(conn, batch_id, now=NOW)) is BatchStatus.EXPIRED
    )


@pytest.mark.parametrize("problem", [MemoryError, ZeroDivisionError, FileNotFoundError])
def test_a_reader_that_breaks_refuses_the_file_and_does_not_loop(bench, monkeypatch, problem):
    def broken(*_: Any) -> Any:
        raise problem

    batch_id = bench.batch(sheet(3))
    monkeypatch.setitem(formats.READERS, "csv", broken)
    batch = bench.read(batch_id)
    assert (batch.status, batch.errors[0]["code"]) == (BatchStatus.FAILED, "unreadable_file")


def test_a_reader_that_breaks_halfway_keeps_what_runs(bench, monkeypatch):
    batch_id = bench.batch(sheet(10), on_invalid_rows=OnInvalidRows.SKIP)
    bench.slice(batch_id)
    bench.storage.delete(bench.found(batch_id).file_id)
    batch = bench.read(batch_id)
    assert (batch.status, batch.total, batch.ingested) == (BatchStatus.RUNNING, 3, True)
    assert batch.errors[0]["code"] == "unreadable_file"


def test_rows_before_the_place_where_a_file_breaks_run_and_a_retry_says_so_once(bench):
    texts = [f"row {n}" for n in range(1_100)]
    data = json.dumps(texts)[:-1] + ' "b"]'
    batch_id = bench.batch(data.encode(), filename="rows.json", on_invalid_rows=OnInvalidRows.SKIP)
    batch = bench.read(batch_id, rows=400)
    assert (batch.status, batch.total, batch.ingested) == (BatchStatus.RUNNING, 1_100, True)
    assert bench.texts(batch_id) == texts
    assert [error["code"] for error in batch.errors] == ["unreadable_file"]

    def again(conn: sa.Connection) -> None:
        batches.begin_cancel(conn, batch_id)
        sweeps.cancel_batch_rows(conn, batch_id, limit=2_000, now=NOW)
        batches.close_if_over(conn, batch_id, now=NOW)
        found = batches.find_batch(conn, batch_id)
        assert found is not None
        assert batches.retry(conn, found, now=NOW) == 1_100

    transaction(bench.engine, again)
    batch = bench.read(batch_id)
    assert (batch.status, batch.total, len(batch.errors)) == (BatchStatus.RUNNING, 1_100, 1)


def test_a_file_that_breaks_before_any_of_its_rows_runs_is_refused(bench):
    batch_id = bench.batch(b'["a", "b" "c"]', filename="rows.json", on_invalid_rows=OnInvalidRows.SKIP)
    batch = bench.read(batch_id)
    assert (batch.status, batch.total, bench.texts(batch_id)) == (BatchStatus.FAILED, None, [])


def test_a_disk_that_fails_is_tried_again(bench, monkeypatch):
    def failing(*_: Any) -> Any:
        raise OSError("stale file handle")

    batch_id = bench.batch(sheet(3))
    with monkeypatch.context() as patch:
        patch.setitem(formats.READERS, "csv", failing)
        with pytest.raises(OSError, match="stale"):
            bench.slice(batch_id)
    assert bench.read(batch_id).total == 3


def test_columns_that_come_late_in_jsonl_are_known_in_the_end(bench):
    lines = [b'{"text": "a"}\n'] * 1500 + [b'{"text": "b", "late": 1}\n']
    batch_id = bench.batch(b"".join(lines), filename="rows.jsonl", on_invalid_rows=OnInvalidRows.SKIP)
    batch = bench.read(batch_id, rows=1_000)
    assert batch.layout is not None
    assert (batch.format, batch.layout["columns"]) == ("jsonl", ["text", "late"])


def test_a_row_that_no_database_likes_is_still_only_a_bad_row(bench):
    data = b'{"text": 5, "k": "\\u0000"}\n{"text": 1, "k": ' + b"[" * 400 + b"]" * 400 + b'}\n{"text": "ok"}\n'
    batch_id = bench.batch(data, filename="rows.jsonl", id_column="k", on_invalid_rows=OnInvalidRows.SKIP)
    batch = bench.read(batch_id)
    assert (batch.status, batch.invalid) == (BatchStatus.COMPLETED, 3)


def test_an_unknown_batch_is_no_error(bench):
    assert bench.slice("0" * 32) == "done"
