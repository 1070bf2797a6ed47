"""Batches through the API, from upload to download; a baker stands for the worker."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from python_calamine import CalamineWorkbook

from contract.errors import FournilError
from contract.schemas import checker
from models import results
from models.outcomes import RowOutcome
from tests.integration.caller import LABELS, MAPPED, ROWS, sheet
from tests.integration.conftest import NOW
from tests.nasty import FILES as NASTY
from tests.sheets import arrow, parquet, xlsx
from web.schemas import BATCH_REPORT


def test_a_csv_goes_through_joined_and_in_order(caller):
    answer = caller.upload(sheet(), MAPPED | {"metadata": {"a": "b"}, "parameters": {"top_k": 2}})
    path = answer.headers["Location"]
    assert (answer.status_code, path) == (202, f"/api/v1/batches/{answer.json['id']}")
    assert (answer.json["status"], answer.json["counts"]["total"], answer.json["progress"]) == ("validating", None, 0)
    assert (answer.json["metadata"], answer.json["filename"]) == ({"a": "b"}, "reviews.csv")
    caller.read(path)
    batch = caller.bake(path)
    assert (batch["status"], batch["progress"], batch["eta"], batch["format"]) == ("completed", 1, None, "csv")
    assert {k: v for k, v in batch["counts"].items() if v} == {"total": 6, "succeeded": 5, "failed": 1}
    answer = caller.get(f"{path}/results?format=csv")
    assert answer.headers["Content-Disposition"] == "attachment; filename=reviews-results.csv"
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert list(rows[0]) == ["ref", "review", "note", "label", "score", "status", "error"]
    assert [(row["ref"], row["review"].lstrip("'")) for row in rows] == ROWS
    assert [row["label"] for row in rows] == ["good", "good", "good", "", "good", "good"]
    assert (rows[3]["status"], rows[3]["error"]) == ("failed", "inference_failed: It raised.")
    assert rows[5]["review"] == "'=1+1"


def test_results_as_jsonl_and_json_are_nested(caller):
    path = caller.done(sheet(), MAPPED)
    lines = [json.loads(line) for line in caller.get(f"{path}/results?format=jsonl").text.splitlines()]
    assert lines == caller.get(f"{path}/results?format=json").json
    assert [(line["row"], line["id"], line["review"]) for line in lines] == [
        (n, ref, text) for n, (ref, text) in enumerate(ROWS)
    ]
    assert lines[0]["result"] == LABELS
    assert lines[3]["error"] == {"code": "inference_failed", "message": "It raised."}


def test_a_number_that_no_computer_word_holds_comes_back_as_it_was_sent(caller):
    path = caller.done(b'{"text": "x", "n": 123456789012345678901}', {"pipeline": "fake"}, name="n.jsonl")
    for format in ("jsonl", "json", "csv"):
        assert re.findall(r"\b1234567[0-9.e+]+", caller.get(f"{path}/results?format={format}").text) == [
            "123456789012345678901"
        ]


@pytest.mark.parametrize("format", ["parquet", "xlsx"])
def test_results_as_tables_are_flat_typed_and_in_order(caller, format):
    path = caller.done(sheet(), MAPPED)
    answer = caller.get(f"{path}/results?format={format}")
    assert f"reviews-results.{format}" in answer.headers["Content-Disposition"]
    if format == "parquet":
        rows = pq.read_table(io.BytesIO(answer.data)).to_pylist()
    else:
        header, *cells = CalamineWorkbook.from_filelike(io.BytesIO(answer.data)).get_sheet_by_index(0).to_python()
        rows = [dict(zip(header, row, strict=True)) for row in cells]
    assert list(rows[0]) == ["ref", "review", "note", "label", "score", "status", "error"]
    assert [(row["ref"], row["review"].lstrip("'")) for row in rows] == ROWS
    assert (rows[0]["score"], rows[3]["status"], rows[3]["label"] or None) == (0.75, "failed", None)
    assert rows[5]["review"] == ("=1+1" if format == "parquet" else "'=1+1")
    assert caller.stored() == [caller.shown(path)["file_id"]]


def test_a_download_that_broke_goes_on_from_a_row(caller):
    path = caller.done(sheet(), MAPPED)
    for format in ("csv", "jsonl"):
        whole = caller.get(f"{path}/results?format={format}&columns=ref,status").text
        rest = caller.get(f"{path}/results?format={format}&columns=ref,status&from_row=4").text
        assert whole.endswith(rest)
        assert rest.count("\n") == 2
    assert caller.get(f"{path}/results?format=json&from_row=6").json == []


@pytest.mark.parametrize("format", ["csv", "jsonl", "json", "parquet", "xlsx", "datasets"])
def test_a_batch_that_is_deleted_while_it_is_downloaded_is_no_shorter_file(caller, monkeypatch, format):
    path, read = caller.done(sheet(), MAPPED), results.outcomes
    monkeypatch.setattr("models.results._PAGE", 2)

    def and_deleted(*args: Any, **more: Any) -> list[RowOutcome]:
        page = read(*args, **more)
        caller.http.delete(path)
        return page

    monkeypatch.setattr("models.results.outcomes", and_deleted)
    answer = caller.http.get(f"{path}/results?format={format}")
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "not_found")


def test_a_batch_that_is_deleted_behind_the_first_piece_of_its_download_cuts_it(caller, monkeypatch):
    monkeypatch.setattr("models.sheets.export._PIECE", 1)
    monkeypatch.setattr("models.results._PAGE", 2)
    path = caller.done(sheet(), MAPPED)
    pieces = iter(caller.get(f"{path}/results?format=json", buffered=False).response)
    assert next(pieces).startswith(b"[")
    assert caller.http.delete(path).status_code == 204
    with pytest.raises(FournilError, match="deleted"):
        list(pieces)


UPLOADS = {
    "rows.json": json.dumps([{"ref": ref, "review": text} for ref, text in ROWS]).encode(),
    "rows.csv.gz": gzip.compress(sheet()),
    "rows.parquet": parquet([{"ref": ref, "review": text} for ref, text in ROWS]),
    "rows.arrow": arrow([{"ref": ref, "review": text} for ref, text in ROWS]),
    "rows.xlsx": xlsx([["ref", "review"], *map(list, ROWS)]),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_every_format_goes_in_and_comes_out_joined_and_in_order(caller, name):
    path = caller.done(UPLOADS[name], MAPPED, name=name)
    batch = caller.shown(path)
    assert (batch["status"], batch["counts"]["total"]) == ("completed", 6)
    assert batch["format"] == {"gz": "csv"}.get(name.rpartition(".")[2], name.rpartition(".")[2])
    rows = list(csv.DictReader(io.StringIO(caller.get(f"{path}/results?format=csv").text, newline="")))
    assert [(row["ref"], row["review"].lstrip("'")) for row in rows] == ROWS
    assert caller.get(f"{path}/results").status_code == 200
    assert caller.http.delete(path).status_code == 204
    assert caller.stored() == []


def test_no_file_whatever_is_an_error_of_ours(caller, monkeypatch):
    monkeypatch.setattr("models.sheets.packed.HARMLESS", 1 << 20)
    for what, (name, data, _, _) in NASTY.items():
        report = caller.upload(data, path="/validate", name=name)
        assert report.status_code in (200, 413), what
        taken = caller.upload(data, name=name)
        assert taken.status_code in (202, 413, 422), what
        if taken.status_code == 202:
            status = caller.read(taken.headers["Location"])["status"]
            assert status == ("running" if report.json["valid"] else "failed"), what


def test_a_dry_run_of_a_packed_file_says_so_and_leaves_nothing(caller):
    for name in ("rows.csv.gz", "rows.xlsx"):
        report = caller.upload(UPLOADS[name], MAPPED, name=name, path="/validate").json
        assert not checker(BATCH_REPORT).problems(report, at="report")
        assert (report["valid"], report["counts"]["total"]) == (True, 6)
        assert report["compression"] == ("gzip" if name.endswith("gz") else None)
    assert caller.stored() == []


def test_errors_name_row_line_id_and_input(caller):
    path = caller.done(sheet(), MAPPED)
    assert [json.loads(line) for line in caller.get(f"{path}/errors").text.splitlines()] == [
        {"row": 3, "line": 6, "id": "r3", "code": "inference_failed", "message": "It raised.",
         "input": {"text": "raise"}},
    ]  # fmt: skip


def test_results_can_be_narrowed(caller):
    path = caller.done(sheet(), MAPPED)
    assert caller.get(f"{path}/results?columns=results&status=succeeded").text.splitlines()[:2] == [
        "label,score,status,error", "good,0.75,succeeded,",
    ]  # fmt: skip
    assert caller.get(f"{path}/results?columns=ref,score&status=failed").text.split() == ["ref,score", "r3,"]
    for query in ("columns=nope", "status=odd", "format=pdf", "from_row=-1"):
        field = query.partition("=")[0]
        answer = caller.http.get(f"{path}/results?{query}")
        assert (answer.status_code, answer.json["error"]["field"]) == (422, field)


def test_results_while_it_runs_are_the_rows_that_are_over(caller):
    path = caller.batch(sheet(), MAPPED)
    assert caller.get(f"{path}/results").text == "label,score,status,error\r\n"
    caller.read(path)
    batch = caller.bake(path, limit=2)
    assert (batch["status"], batch["counts"]["succeeded"]) == ("running", 2)
    assert 0.3 < batch["progress"] < 0.4
    assert [row["ref"] for row in csv.DictReader(caller.get(f"{path}/results").text.splitlines())] == ["r0", "r1"]


def test_bad_rows_are_skipped_listed_and_exported(caller):
    data = b"text,n\na,1\n,2\nraise,3\n"
    path = caller.done(data, {"pipeline": "fake", "on_invalid_rows": "skip"})
    batch = caller.shown(path)
    assert {k: v for k, v in batch["counts"].items() if v} == {"total": 3, "succeeded": 1, "failed": 1, "invalid": 1}
    assert [(error["row"], error["line"], error["column"]) for error in batch["errors"]] == [(1, 3, "text")]
    rows = list(csv.DictReader(caller.get(f"{path}/results").text.splitlines()))
    assert [(row["n"], row["status"]) for row in rows] == [("1", "succeeded"), ("2", "invalid"), ("3", "failed")]
    found = [json.loads(line) for line in caller.get(f"{path}/errors").text.splitlines()]
    assert [(error["row"], error["code"]) for error in found] == [(1, "invalid_value"), (2, "inference_failed")]
    assert found[0]["input"] == {"text": "", "n": "2"}
    assert caller.get(f"{path}/results?status=invalid").text.count("\r\n") == 2


def test_null_is_as_good_as_leaving_a_field_out(caller):
    fields = ("inputs", "parameters", "id_column", "format", "on_invalid_rows", "metadata", "expires_in", "webhook")
    nothing = dict.fromkeys((*fields, "file_id", "dataset"))
    batch = caller.shown(caller.batch(b"text\na\n", {"pipeline": "fake", **nothing}))
    assert (batch["parameters"], batch["inputs"], batch["on_invalid_rows"]) == ({}, {"text": "text"}, "fail")
    answer = caller.http.post("/api/v1/batches", json={"pipeline": "fake", **nothing})
    assert (answer.status_code, answer.json["error"]["field"]) == (422, "file")


def test_one_bad_row_refuses_the_file(caller):
    path = caller.batch(b'{"text": "x"}\n{nope\n', name="j.jsonl")
    batch = caller.read(path)
    assert (batch["status"], batch["progress"], batch["counts"]["invalid"]) == ("failed", 0, 1)
    assert (batch["counts"]["total"], batch["rows_read"]) == (None, 2)
    assert (batch["errors"][0]["line"], batch["errors"][0]["code"]) == (2, "invalid_row")
    assert json.loads(caller.get(f"{path}/errors").text)["row"] == 1
    assert caller.http.get(f"{path}/results").status_code == 409
    assert caller.http.post(f"{path}/retry").status_code == 409


def test_the_file_part_may_come_first_and_jsonl_works(caller):
    data = b"".join(json.dumps({"text": text, "k": n}).encode() + b"\n" for n, (_, text) in enumerate(ROWS))
    path = caller.done(data, name="rows.jsonl", file_first=True)
    batch = caller.shown(path)
    assert (batch["status"], batch["counts"]["total"], batch["format"]) == ("completed", 6, "jsonl")
    first = json.loads(caller.get(f"{path}/results").text.splitlines()[0])
    assert (first["k"], first["text"]) == (0, "plain")


@pytest.mark.parametrize(
    ("data", "request_", "code"),
    [
        (b"", {}, "empty_file"),
        (b"text\n", {}, "no_rows"),
        (b"a,b\n1,2\n", {"inputs": {"text": "missing"}}, "unknown_column"),
        (bytes(range(256)) * 16, {}, "unreadable_file"),
    ],
)
def test_useless_files_are_refused_at_once_and_leave_nothing(caller, data, request_, code):
    before = caller.everything()
    answer = caller.upload(data, {"pipeline": "fake", **request_})
    assert (answer.status_code, answer.json["error"]["code"]) == (422, code)
    assert (caller.everything(), caller.stored()) == (before, [])


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "missing_field", "pipeline"),
        ({"pipeline": "fak"}, "unknown_pipeline", "pipeline"),
        ({"pipeline": "fake", "colour": 1}, "unknown_field", "colour"),
        ({"pipeline": "fake", "inputs": {"txt": "a"}}, "unknown_field", "inputs.txt"),
        ({"pipeline": "fake", "inputs": {"text": 1.5}}, "invalid_value", "inputs.text"),
        ({"pipeline": "fake", "parameters": {"top_k": -1}}, "invalid_value", "parameters.top_k"),
        ({"pipeline": "fake", "on_invalid_rows": "maybe"}, "invalid_value", "on_invalid_rows"),
        ({"pipeline": "fake", "format": "xls"}, "invalid_value", "format"),
        ({"pipeline": "fake", "dataset": {"name": "x"}}, "invalid_value", "dataset"),
        ({"pipeline": "fake", "webhook": {"url": "x"}}, "invalid_value", "webhook"),
        ({"pipeline": "fake", "id_column": "nope"}, "unknown_column", "id_column"),
        ({"pipeline": "fake", "expires_in": 0}, "invalid_value", "expires_in"),
        ({"pipeline": "fake", "file_id": "x"}, "invalid_value", "file_id"),
    ],
)
def test_a_bad_request_is_named_and_leaves_nothing(caller, body, code, field):
    for path in ("", "/validate"):
        if path and field == "id_column":
            continue
        answer = caller.upload(b"text\na\n", body, path=path)
        assert (answer.status_code, answer.json["error"]["code"], answer.json["error"]["field"]) == (422, code, field)
    assert caller.stored() == []


def test_a_near_name_of_a_pipeline_is_offered(caller):
    answer = caller.upload(b"text\na\n", {"pipeline": "fakee"})
    assert "Did you mean 'fake'?" in answer.json["error"]["message"]


def test_a_broken_form_is_refused(caller):
    def post(**parts: Any) -> Any:
        return caller.http.post("/api/v1/batches", data=parts, content_type="multipart/form-data")

    file = lambda: (io.BytesIO(b"text\na\n"), "a.csv")  # noqa: E731
    cases = [
        (post(request="{nope", file=file()), 400, "request"),
        (post(request="[]", file=file()), 400, "request"),
        (post(file=file()), 422, "request"),
        (post(request='{"pipeline": "fake"}'), 422, "file"),
        (post(request='{"pipeline": "fake"}', file=file(), extra="x"), 422, "extra"),
        (caller.http.post("/api/v1/batches", json={"pipeline": "fake"}), 422, "file"),
    ]
    assert [(answer.status_code, answer.json["error"]["field"]) for answer, _, _ in cases] == [c[1:] for c in cases]
    assert caller.http.post("/api/v1/batches", data=b"text\na\n", content_type="text/csv").status_code == 415
    assert caller.stored() == []


def test_a_file_beyond_the_limit_is_refused_and_not_kept(caller):
    answer = caller.upload(b"text\n" + b"a\n" * 30_000)
    assert (answer.status_code, answer.json["error"]["code"], caller.stored()) == (413, "too_large", [])


def test_a_file_that_was_uploaded_before_is_named_by_its_id(caller):
    file_id = caller.http.post("/api/v1/files?filename=a.csv", data=b"text\na\n", content_type="text/csv").json["id"]
    body = {"pipeline": "fake", "file_id": file_id}
    assert caller.http.post("/api/v1/batches/validate", json=body).json["counts"] == {"total": 1, "invalid": 0}
    first = caller.http.post("/api/v1/batches", json=body)
    second = caller.http.post("/api/v1/batches", json=body)
    assert (first.status_code, second.status_code, first.json["filename"]) == (202, 202, "a.csv")
    for answer in (first, second):
        assert caller.stored() == [file_id]
        caller.read(answer.headers["Location"])
        caller.bake(answer.headers["Location"])
        assert caller.http.delete(answer.headers["Location"]).status_code == 204
    assert caller.stored() == []
    unknown = caller.http.post("/api/v1/batches", json={"pipeline": "fake", "file_id": "nope"})
    assert (unknown.status_code, unknown.json["error"]["field"]) == (422, "file_id")


def test_a_file_that_is_gone_from_the_disk_is_one_that_is_not_there(caller):
    file_id = caller.http.post("/api/v1/files?filename=a.csv", data=b"text\na\n", content_type="text/csv").json["id"]
    [kept] = caller.files.rglob(file_id)
    kept.unlink()
    for path in ("/api/v1/batches/validate", "/api/v1/batches"):
        answer = caller.http.post(path, json={"pipeline": "fake", "file_id": file_id})
        assert (answer.status_code, answer.json["error"]["field"]) == (422, "file_id")
    assert caller.http.get(f"/batches/new/{file_id}?pipeline=fake").status_code == 404


def test_a_dry_run_says_what_would_be_sent_and_creates_nothing(caller):
    before = caller.everything()
    answer = caller.upload(sheet(";").decode().replace("☕", "").encode("cp1252"), MAPPED, path="/validate")
    report = answer.json
    assert answer.status_code == 200
    assert not checker(BATCH_REPORT).problems(report, at="report")
    assert (report["format"], report["encoding"], report["delimiter"], report["valid"]) == (
        "csv",
        "cp1252",
        ";",
        True,
    )
    assert (report["columns"], report["inputs"]) == (["ref", "review", "note"], {"text": "review"})
    assert report["counts"] == {"total": 6, "invalid": 0}
    assert report["rows"][1] == {
        "row": 1, "line": 3, "id": "r1", "inputs": {"text": 'with "quotes", and commas'}, "parameters": {},
    }  # fmt: skip
    assert (caller.everything(), caller.stored()) == (before, [])


def test_a_dry_run_of_a_useless_file_is_an_answer_and_no_error(caller):
    report = caller.upload(b"a,b\n1,2\n", path="/validate")
    assert (report.status_code, report.json["valid"], report.json["error"]["code"]) == (200, False, "unknown_column")
    assert caller.stored() == []


def test_a_batch_that_is_as_it_was_is_304_and_says_when_to_ask_again(caller):
    path = caller.batch(sheet(), MAPPED)
    answer = caller.get(path)
    assert answer.headers["Retry-After"]
    again = caller.http.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    caller.read(path)
    caller.bake(path)
    answer = caller.get(path)
    assert "Retry-After" not in answer.headers
    assert caller.http.get(path, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert caller.get(path, headers={"Prefer": "wait=30"}).json["status"] == "completed"


def test_rows_page_in_the_order_of_the_file(caller):
    path = caller.done(sheet(), MAPPED)
    seen, cursor = [], ""
    while True:
        page = caller.get(f"{path}/jobs?limit=4{cursor}").json
        seen += [(job["row"], job["external_id"]) for job in page["data"]]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [(n, f"r{n}") for n in range(6)]
    assert [job["row"] for job in caller.get(f"{path}/jobs?status=failed").json["data"]] == [3]
    assert caller.http.get(f"{path}/jobs?cursor=x").json["error"]["field"] == "cursor"


def test_batches_page_newest_first(caller):
    made = [caller.batch(sheet(), MAPPED).rpartition("/")[2] for _ in range(3)]
    first = caller.get("/api/v1/batches?limit=2").json
    rest = caller.get(f"/api/v1/batches?limit=2&cursor={first['next_cursor']}").json
    assert [batch["id"] for batch in first["data"] + rest["data"]] == made[::-1]
    assert (first["has_more"], rest["has_more"], rest["next_cursor"]) == (True, False, None)


def test_cancel_keeps_what_is_done_and_is_idempotent(caller):
    path = caller.batch(sheet(), MAPPED)
    caller.read(path)
    caller.bake(path, limit=2)
    assert caller.http.delete(path).status_code == 409
    for _ in range(2):
        answer = caller.http.post(f"{path}/cancel")
        assert (answer.status_code, answer.json["status"]) == (200, "canceled")
        assert {k: v for k, v in answer.json["counts"].items() if v} == {"total": 6, "succeeded": 2, "canceled": 4}


def test_a_large_batch_is_left_to_a_worker_to_cancel(caller, monkeypatch):
    monkeypatch.setattr("web.batches.CANCELED_AT_ONCE", 3)
    path = caller.batch(sheet(), MAPPED)
    caller.read(path)
    answer = caller.http.post(f"{path}/cancel")
    assert (answer.status_code, answer.json["status"]) == (202, "canceling")


def test_cancel_before_a_row_is_read(caller):
    path = caller.batch(sheet(), MAPPED)
    answer = caller.http.post(f"{path}/cancel")
    assert (answer.status_code, answer.json["status"], answer.json["counts"]["total"]) == (200, "canceled", 0)


def test_retry_runs_only_what_did_not_succeed(caller):
    path = caller.done(sheet(), MAPPED)
    counts = caller.shown(path)["counts"]
    answer = caller.http.post(f"{path}/retry")
    assert (answer.status_code, answer.json["status"], answer.json["counts"]["queued"]) == (202, "running", 1)
    assert caller.http.post(f"{path}/retry").status_code == 409
    assert caller.bake(path)["counts"] == counts
    attempts = [job["attempts"] for job in caller.get(f"{path}/jobs").json["data"]]
    assert attempts == [1, 1, 1, 2, 1, 1]


def test_a_retry_with_nothing_to_run_changes_nothing(caller):
    path = caller.done(b"text\nfine\n")
    answer = caller.http.post(f"{path}/retry")
    assert (answer.status_code, answer.json["status"]) == (200, "completed")


def test_delete_takes_rows_and_file_along(caller):
    before = caller.everything()
    path = caller.done(sheet(), MAPPED)
    assert caller.http.delete(path).status_code == 204
    assert caller.http.get(path).status_code == 404
    assert (caller.everything(), caller.stored()) == (before, [])


@pytest.mark.parametrize("part", ["", "/jobs", "/results", "/errors", "/events"])
def test_what_is_not_there_is_404(caller, part):
    for batch_id in ("0" * 32, "no-such-batch"):
        assert caller.http.get(f"/api/v1/batches/{batch_id}{part}").status_code == 404


def test_events_are_snapshots_and_end_with_done(caller):
    path = caller.done(sheet(), MAPPED)
    answer = caller.get(f"{path}/events")
    assert answer.mimetype == "text/event-stream"
    events = [part.split("\n") for part in answer.text.strip().split("\n\n")[1:]]
    assert [lines[1] for lines in events] == ["event: batch", "event: done"]
    assert all(lines[0].startswith("id: ") for lines in events)
    assert json.loads(events[0][2].removeprefix("data: "))["counts"]["total"] == 6


def test_a_batch_that_expires_says_so(caller):
    path = caller.batch(sheet(), MAPPED | {"expires_in": 60})
    assert caller.shown(path)["expires_at"] > caller.shown(path)["created_at"]
    with caller.engine.begin() as conn:
        conn.execute(sa.text("UPDATE batches SET expires_at = :then"), {"then": NOW.replace(tzinfo=None)})
    caller.read(path)
    assert caller.bake(path)["status"] == "expired"


def test_a_dry_run_says_how_long_it_would_take_once_the_pipeline_was_measured(caller):
    rows = [(f"r{n}", f"text {n}") for n in range(60)]
    assert caller.upload(sheet(rows=rows), MAPPED, path="/validate").json["estimate"] is None
    caller.done(sheet(rows=rows), MAPPED)
    with caller.engine.begin() as conn:
        conn.execute(sa.text("UPDATE jobs SET started_at = :then"), {"then": NOW.replace(tzinfo=None)})
        conn.execute(
            sa.text("UPDATE batches SET finished_at = :then"),
            {"then": (NOW + timedelta(seconds=6)).replace(tzinfo=None)},
        )
    caller.read(caller.batch(sheet(rows=rows[:20]), MAPPED))
    bad = sheet(rows=[*rows[:30], ("r99", "")])
    report = caller.upload(bad, MAPPED, path="/validate").json
    assert not checker(BATCH_REPORT).problems(report, at="report")
    assert report["counts"] == {"total": 31, "invalid": 1}
    assert report["estimate"] == {"rate": 10.0, "rows_before": 20, "seconds": 5.0}


def test_a_dry_run_names_every_bad_row_up_to_a_thousand_and_counts_them_all(caller):
    data = b"text,ref\n" + b"".join(b",%d\n" % n for n in range(1_500))
    report = caller.upload(data, {"pipeline": "fake"}, path="/validate").json
    assert (len(report["errors"]), report["counts"]) == (1_000, {"total": 1_500, "invalid": 1_500})
    first = report["errors"][0]
    assert (first["row"], first["line"], first["field"]) == (0, 2, "inputs.text")


def events_of(answer: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """`(id, event, data)` of each event of a stream that has ended."""
    parts = [part.split("\n") for part in answer.text.strip().split("\n\n")[1:]]
    return [(one[0][4:], one[1][7:], json.loads(one[2][6:])) for one in parts]


def test_a_reader_that_comes_back_gets_a_snapshot_only_of_what_it_has_not_seen(caller):
    path = caller.done(sheet(), MAPPED)
    (seen, _, _), _ = events_of(caller.get(f"{path}/events"))
    again = events_of(caller.get(f"{path}/events", headers={"Last-Event-ID": seen}))
    assert [(one[0], one[1]) for one in again] == [(seen, "done")]
    caller.http.post(f"{path}/retry")
    caller.bake(path)
    changed = events_of(caller.get(f"{path}/events", headers={"Last-Event-ID": seen}))
    assert [one[1] for one in changed] == ["batch", "done"]
    assert changed[0][0] != seen


def test_columns_give_parameters_to_their_rows_and_the_batch_to_the_others(caller):
    request = {"pipeline": "fake", "inputs": {"text": "text", "parameters.top_k": "k"}, "parameters": {"top_k": 5}}
    path = caller.done(b"text,k\na,1\nb,\nc,3\n", request)
    jobs = caller.get(f"{path}/jobs").json["data"]
    assert [job["parameters"] for job in jobs] == [{"top_k": 1}, {"top_k": 5}, {"top_k": 3}]
    report = caller.upload(b"text,k\na,1\nb,many\n", request, path="/validate").json
    assert [(error["line"], error["field"]) for error in report["errors"]] == [(3, "parameters.top_k")]


def test_an_id_that_comes_twice_is_an_invalid_row_with_its_line(caller):
    data = b'ref,text\nr1,a\nr2,"two\nlines"\nr1,b\n'
    path = caller.batch(data, {"pipeline": "fake", "id_column": "ref", "on_invalid_rows": "skip"})
    batch = caller.read(path)
    assert [(error["row"], error["line"], error["code"]) for error in batch["errors"]] == [(2, 5, "duplicate_id")]
    caller.bake(path)
    assert [row["ref"] for row in csv.DictReader(caller.get(f"{path}/results").text.splitlines())] == [
        "r1",
        "r2",
        "r1",
    ]


def test_a_row_of_a_batch_that_is_canceled_alone_is_counted(caller):
    path = caller.batch(sheet(), MAPPED)
    caller.read(path)
    first = caller.get(f"{path}/jobs").json["data"][0]
    caller.http.post(f"{first['urls']['self']}/cancel")
    counts = caller.shown(path)["counts"]
    assert (counts["queued"], counts["canceled"], counts["total"]) == (5, 1, 6)
