"""Batches that are asked for something early, late, or by two at once: downloads of what is not there yet, races."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from python_calamine import CalamineWorkbook

from contract.times import utc_now
from models import tables
from models.database import transaction
from models.files import delete_file
from models.pipelines import sync_pipelines
from models.sheets.export import MEDIA
from tests.integration.caller import LABELS, MAPPED, Caller, sheet
from web import batches

FAILING = [("r0", "raise"), ("r1", "raise")]


def as_texts(caller: Caller, path: str, format: str) -> list[dict[str, Any]]:
    """The rows of a download in a format, read by a library of that format."""
    data = caller.get(f"{path}/results?format={format}").data
    if format == "csv":
        return list(csv.DictReader(io.StringIO(data.decode())))
    if format == "jsonl":
        return [json.loads(line) for line in data.splitlines()]
    if format == "json":
        rows: list[dict[str, Any]] = json.loads(data)
        return rows
    if format == "xlsx":
        cells = CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_index(0).to_python()
        return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]
    if format == "datasets":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith(".parquet")]
            data = archive.read(name)
    return pq.read_table(io.BytesIO(data)).to_pylist()


def statuses(caller: Caller, path: str) -> dict[str, list[str]]:
    return {format: [row["status"] for row in as_texts(caller, path, format)] for format in MEDIA}


def in_all(*expected: str) -> dict[str, list[str]]:
    return {format: list(expected) for format in MEDIA}


def test_results_can_be_had_in_every_format_at_any_moment(caller):
    path = caller.batch(sheet(), MAPPED)
    assert statuses(caller, path) == in_all()
    caller.read(path)
    assert statuses(caller, path) == in_all()
    caller.bake(path, limit=2)
    assert statuses(caller, path) == in_all("succeeded", "succeeded")
    caller.http.post(f"{path}/cancel")
    assert statuses(caller, path) == in_all("succeeded", "succeeded", *["canceled"] * 4)


def test_a_batch_all_of_whose_rows_failed_says_why_in_every_format(caller):
    path = caller.done(sheet(rows=FAILING), MAPPED)
    assert statuses(caller, path) == in_all("failed", "failed")
    for format in MEDIA:
        first = as_texts(caller, path, format)[0]
        assert (first["ref"], first["review"]) == ("r0", "raise")
        assert "inference_failed" in str(first["error"])


def test_a_batch_that_was_canceled_before_a_row_was_read_is_empty_in_every_format(caller):
    path = caller.batch(sheet(), MAPPED)
    caller.http.post(f"{path}/cancel")
    assert statuses(caller, path) == in_all()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_file_that_is_deleted_while_a_batch_is_made_of_it_is_no_error_of_ours(caller, monkeypatch, when):
    file_id = caller.http.post("/api/v1/files?filename=a.csv", data=b"text\na\n", content_type="text/csv").json["id"]
    real = batches.look

    def delete() -> None:
        assert transaction(caller.engine, lambda conn: delete_file(conn, file_id))
        caller.app.extensions["fournil"].storage.delete(file_id)

    def look(*args: Any) -> Any:
        if when == "before":
            delete()
        found = real(*args)
        if when == "after":
            delete()
        return found

    monkeypatch.setattr(batches, "look", look)
    answer = caller.http.post("/api/v1/batches", json={"pipeline": "fake", "file_id": file_id})
    assert (answer.status_code, answer.json["error"]["field"]) == (422, "file_id")
    assert caller.everything()["batches"] == 0


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_results_outlive_their_pipeline_also_where_its_task_was_never_recorded(caller, format):
    path = caller.done(sheet(), MAPPED)
    with caller.engine.begin() as conn:
        conn.execute(sa.update(tables.batches).values(task=None))
    sync_pipelines(caller.engine, [], utc_now())
    batch = caller.shown(path)
    assert (batch["status"], batch["task"]) == ("completed", None)

    rows = as_texts(caller, path, format)
    assert [row["ref"] for row in rows] == ["r0", "r1", "r2", "r3", "r4", "r5"]
    found = [row["result"] for row in rows]
    assert [json.loads(one) if isinstance(one, str) and one else one or None for one in found] == [
        None if place == 3 else LABELS for place in range(6)
    ]
