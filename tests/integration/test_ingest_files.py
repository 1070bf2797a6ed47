"""Rows whose inputs are files: ids, base64 and URLs in a column, and files put away with their rows or not at all."""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from contract.media import Media
from contract.pipelines import PipelineSpec
from contract.statuses import BatchStatus, OnInvalidRows
from contract.tasks.recordings import EXAMPLE_AUDIO
from models import batches, removal
from models.batches import Batch
from models.database import transaction
from models.files import FileStorage, add_file
from models.pipelines import sync_pipelines
from models.tables import files, job_files
from tests.integration.conftest import NOW
from tests.integration.reading_bench import Bench, killed_at
from tests.pictures import shaded
from tests.sheets import parquet


def coded(body: bytes) -> str:
    return base64.b64encode(body).decode()


class FilesBench(Bench):
    pipeline, filename = "pictures", "rows.jsonl"
    media = Media(fetch_private=True)

    def upload(self, body: bytes) -> str:
        file_id, size = self.storage.save([body], max_bytes=1 << 30)
        transaction(
            self.engine,
            lambda conn: add_file(conn, file_id=file_id, name="a", content_type="x/y", size=size, now=NOW),
        )
        return file_id

    def bodies(self, batch_id: str, field: str = "image") -> list[bytes]:
        return [self.storage.path(job.inputs[field]["file"]["id"]).read_bytes() for job in self.rows(batch_id)]

    def lying(self) -> set[str]:
        """What is in storage."""
        return {path.name for path in self.storage._folder.glob("*/*")}

    def listed(self) -> set[str]:
        with self.engine.connect() as conn:
            return set(conn.scalars(sa.select(files.c.id)))


@pytest.fixture
def bench(engine: sa.Engine, tmp_path: Path) -> FilesBench:
    sync_pipelines(engine, [PipelineSpec("pictures", "image-classification", backend="fake")], NOW)
    return FilesBench(engine, tmp_path / "files")


@pytest.fixture
def site() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_there = self.path.startswith("/p")
            self.send_response(200 if is_there else 404)
            self.end_headers()
            if is_there:
                self.wfile.write(shaded(int(self.path[2:])))

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps({"image": value, "n": n}).encode() + b"\n" for n, value in enumerate(values))


def test_a_file_comes_as_id_base64_data_url_or_url(bench, site):
    known = bench.upload(shaded(1))
    forms = [
        known, {"file_id": known}, {"file": {"id": known}}, coded(shaded(2)), {"data": coded(shaded(3))},
        f"data:image/png;base64,{coded(shaded(4))}", f"{site}/p5", {"url": f"{site}/p6"},
    ]  # fmt: skip
    batch_id = bench.batch(lines(*forms))
    batch = bench.read(batch_id)
    assert (batch.status, batch.total, batch.invalid) == (BatchStatus.RUNNING, 8, 0), batch.errors
    assert bench.bodies(batch_id) == [shaded(n) for n in (1, 1, 1, 2, 3, 4, 5, 6)]
    assert {job.inputs["image"]["file"]["content_type"] for job in bench.rows(batch_id)} == {"image/png"}
    assert bench.lying() == bench.listed()
    with bench.engine.connect() as conn:
        assert conn.scalar(sa.select(sa.func.count()).select_from(job_files)) == 8


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_cells_of_other_formats_hold_files_too(bench, name):
    if name == "rows.csv":
        out = io.StringIO()
        csv.writer(out).writerows([["image"], [coded(shaded(7))], [json.dumps({"data": coded(shaded(8))})]])
        data = out.getvalue().encode()
    else:
        data = parquet([{"image": {"bytes": shaded(n), "path": f"{n}.png"}} for n in (7, 8)])
    batch_id = bench.batch(data, filename=name)
    bench.read(batch_id)
    assert bench.bodies(batch_id) == [shaded(7), shaded(8)]


def test_a_row_whose_file_is_not_taken_is_a_bad_row(bench, site):
    bad = [
        "/etc/passwd", "cat.png", "0" * 32, coded(b"no picture " * 20), {"data": "%%%"}, f"{site}/gone",
        "ftp://a/b", {"path": "x"}, None, 5,
    ]  # fmt: skip
    batch_id = bench.batch(lines(*bad, coded(shaded())), on_invalid_rows=OnInvalidRows.SKIP)
    batch = bench.read(batch_id)
    assert (batch.invalid, [job.row for job in bench.rows(batch_id)]) == (10, [10]), batch.errors
    words = {error["row"]: error["message"] for error in batch.errors}
    assert "never" not in words[0]
    assert "The name of a file is none of them" in words[1]
    assert "no file with this file_id" in words[2]
    assert "no image that can be read" in words[3]
    assert "404" in words[5]
    assert all(error["line"] == error["row"] + 1 and error["code"] for error in batch.errors)
    assert bench.lying() == bench.listed()


def test_one_bad_file_and_nothing_of_the_batch_runs_nor_is_kept(bench):
    batch_id = bench.batch(lines(coded(shaded(1)), "cat.png", coded(shaded(2))))
    batch = bench.read(batch_id)
    assert (batch.status, bench.rows(batch_id)) == (BatchStatus.FAILED, [])
    assert bench.lying() == bench.listed() == {batch.file_id}


def test_a_file_beyond_the_limit_is_refused(bench):
    bench.media = Media(max_bytes=1_000)
    body = shaded() + b"\0" * 2_000
    batch_id = bench.batch(lines(coded(body), bench.upload(body)), on_invalid_rows=OnInvalidRows.SKIP)
    assert [error["code"] for error in bench.read(batch_id).errors] == ["invalid_value"] * 2


def test_a_recording_may_be_as_large_as_recordings_may(bench, engine):
    sync_pipelines(engine, [PipelineSpec("pictures", "audio-classification", backend="fake")], NOW)
    example = EXAMPLE_AUDIO["data"]
    size = len(base64.b64decode(example))
    row = json.dumps({"audio": example}).encode()
    bench.media = Media(max_bytes=1000, max_audio_bytes=size)
    assert bench.read(bench.batch(row)).status == BatchStatus.RUNNING
    bench.media = Media(max_audio_bytes=size - 1)
    refused = bench.read(bench.batch(row))
    assert f"larger than {size - 1:,} bytes" in refused.errors[0]["message"]


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("mode", OnInvalidRows)
def test_a_kill_leaves_no_second_row_and_no_file_without_one(bench, monkeypatch, mode, after_commit):
    for place in (1, 2, 3, 4):
        batch_id = bench.batch(lines(*[coded(shaded(n)) for n in range(8)]), on_invalid_rows=mode)
        with killed_at(monkeypatch, place, after_commit=after_commit), contextlib.suppress(BaseException):
            while bench.slice(batch_id, seconds=60) == "again":
                pass
        batch = bench.read(batch_id)
        assert (batch.total, bench.bodies(batch_id)) == (8, [shaded(n) for n in range(8)]), f"killed at {place}"
        assert bench.lying() == bench.listed(), f"killed at {place}"


def test_a_url_is_asked_once_though_the_file_is_read_twice(bench, site, monkeypatch):
    asked: list[str] = []
    real = __import__("models.porter", fromlist=["fetched"]).fetched

    def counted(url: str, *args: Any, **more: Any) -> Any:
        asked.append(url)
        return real(url, *args, **more)

    monkeypatch.setattr("models.porter.fetched", counted)
    batch_id = bench.batch(lines(*[f"{site}/p{n}" for n in range(5)]))
    assert bench.read(batch_id).total == 5
    assert len(asked) == 5


def test_a_file_deleted_after_it_was_looked_at_makes_a_bad_row(bench, monkeypatch):
    known = bench.upload(shaded())
    batch_id = bench.batch(lines(known, coded(shaded(1))), on_invalid_rows=OnInvalidRows.SKIP)
    real = __import__("worker.ingest", fromlist=["commit"]).commit

    def deleted_first(conn: sa.Connection, *args: Any, **more: Any) -> Batch | None:
        conn.execute(sa.delete(files).where(files.c.id == known))
        return real(conn, *args, **more)

    monkeypatch.setattr("worker.ingest.commit", deleted_first)
    batch = bench.read(batch_id)
    assert (batch.invalid, [job.row for job in bench.rows(batch_id)]) == (1, [1])


def test_what_is_deleted_takes_its_files_along_and_leaves_those_of_others(bench):
    known = bench.upload(shaded())
    batch_id = bench.batch(lines(known, coded(shaded(1))), on_invalid_rows=OnInvalidRows.SKIP)
    bench.read(batch_id)
    transaction(bench.engine, lambda conn: batches.begin_cancel(conn, batch_id))
    from models import sweeps

    transaction(bench.engine, lambda conn: sweeps.cancel_batch_rows(conn, batch_id, limit=10, now=NOW))
    transaction(bench.engine, lambda conn: batches.close_if_over(conn, batch_id, now=NOW))
    batch = bench.found(batch_id)
    remains = transaction(bench.engine, lambda conn: removal.delete_batch(conn, batch, now=NOW))
    assert remains is not None
    assert removal.remove(bench.engine, FileStorage(bench.storage._folder), remains, until=float("inf"))
    assert bench.lying() == bench.listed() == {known}
