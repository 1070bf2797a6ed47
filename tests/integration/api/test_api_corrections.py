"""What a caller says of how a file is read: a dry run, its batch, its results and the page read it alike."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest

from contract.times import utc_now
from models.files import FileStorage
from tests.integration.api.pages import Page, get, post
from tests.integration.api.test_pages_batches import chosen, preview, start
from worker.ingest import ingest_slice

REPORT = b"Sales of May\nby hand; nothing checked\n\ntext;n\nmild;1\nwarm;2\n"
CZECH = "žluťoučký kůň:1\npříliš, příliš:2\n"
SAID = {"encoding": "windows-1250", "delimiter": ":", "header": False}
TEXTS = ["žluťoučký kůň", "příliš, příliš"]


def send(client: Any, data: bytes, *, path: str = "", name: str = "a.csv", **said: Any) -> Any:
    request = json.dumps({"pipeline": "fake", **said})
    parts = {"request": request, "file": (io.BytesIO(data), name)}
    return client.post(f"/api/v1/batches{path}", data=parts, content_type="multipart/form-data")


def read(engine: Any, settings: Any, batch_id: str, *, seconds: float = 0) -> None:
    storage = FileStorage(settings.storage.files_dir)
    for _ in range(50):
        if ingest_slice(
            engine, storage, batch_id, seconds=seconds, rows_per_piece=1, now_fn=utc_now, wake=lambda _: None
        ) == "done":  # fmt: skip
            return
    raise AssertionError("reading does not come to an end")


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_is_read_as_the_caller_says_from_the_dry_run_to_the_results(client, engine, settings, oven, packed):
    data = CZECH.encode("cp1250")
    data, name = (gzip.compress(data), "a.csv.gz") if packed else (data, "a.csv")
    asked = {**SAID, "inputs": {"text": 0}}

    report = send(client, data, path="/validate", name=name, **asked).get_json()
    assert (report["encoding"], report["delimiter"], report["columns"]) == ("cp1250", ":", ["column_0", "column_1"])
    assert [row["inputs"]["text"] for row in report["rows"]] == TEXTS

    batch = send(client, data, name=name, **asked).get_json()
    assert batch["format"] == "csv"
    read(engine, settings, batch["id"])
    assert client.get(batch["urls"]["self"]).get_json()["counts"]["total"] == 2
    rows = oven.take(limit=9)
    assert [row.inputs["text"] for row in rows] == TEXTS
    oven.finish(rows, [{"label": "even", "score": 0.9}])
    lines = client.get(f"{batch['urls']['results']}?columns=inputs").text.splitlines()
    assert lines == ["column_0,column_1", "žluťoučký kůň,1", '"příliš, příliš",2']


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"encoding": "utf-9"}, "encoding"),
        ({"encoding": "rot13"}, "encoding"),
        ({"delimiter": "::"}, "delimiter"),
        ({"delimiter": '"'}, "delimiter"),
        ({"delimiter": ""}, "delimiter"),
        ({"header": "no"}, "header"),
        ({"skip_lines": -1}, "skip_lines"),
        ({"skip_lines": 1_001}, "skip_lines"),
        ({"skip_lines": 1.5}, "skip_lines"),
        ({"skip_lines": "2"}, "skip_lines"),
        ({"skip_lines": True}, "skip_lines"),
    ],
)
def test_what_cannot_be_is_named(client, said, field):
    for path in ("", "/validate"):
        answer = send(client, b"text\na\n", path=path, **said)
        assert (answer.status_code, answer.get_json()["error"]["field"]) == (422, field)


@pytest.mark.parametrize("said", [{"header": False}, {"skip_lines": 2}])
def test_a_dataset_is_read_as_it_is(client, said):
    body = {"pipeline": "fake", "dataset": {"name": "bakers/reviews"}, **said}
    answer = client.post("/api/v1/batches", json=body)
    assert (answer.status_code, answer.get_json()["error"]["field"]) == (422, next(iter(said)))


@pytest.mark.parametrize("said", [3, 3.0, 2])
def test_lines_above_a_table_are_passed_over_from_the_dry_run_to_the_results(client, engine, settings, oven, said):
    report = send(client, REPORT, path="/validate", skip_lines=said).get_json()
    assert (report["skip_lines"], report["columns"], report["counts"]["total"]) == (said, ["text", "n"], 2)
    assert [row["line"] for row in report["rows"]] == [5, 6]

    batch = send(client, REPORT + b"late;3;4\n", skip_lines=said, on_invalid_rows="skip").get_json()
    read(engine, settings, batch["id"])
    shown = client.get(batch["urls"]["self"]).get_json()
    assert [(bad["row"], bad["line"]) for bad in shown["errors"]] == [(2, 7)]
    rows = oven.take(limit=9)
    assert [row.inputs["text"] for row in rows] == ["mild", "warm"]
    oven.finish(rows, [{"label": "even", "score": 0.9}])
    assert client.get(f"{batch['urls']['results']}?columns=inputs").text.splitlines()[:3] == [
        "text,n", "mild,1", "warm,2",
    ]  # fmt: skip


def test_what_was_found_of_lines_above_a_table_is_told(client):
    assert send(client, b"text\na\n", path="/validate").get_json()["skip_lines"] == 0
    lines = b'{"text": "a"}\n'
    assert send(client, lines, path="/validate", name="a.jsonl", skip_lines=0).get_json()["skip_lines"] is None
    error = send(client, lines, name="a.jsonl", skip_lines=1).get_json()["error"]
    assert (error["code"], error["field"]) == ("invalid_value", "skip_lines")


def test_the_page_passes_over_lines_above_a_table(client, engine, settings, oven):
    address = preview(client, REPORT)
    assert get(client, address).one("input", name="skip_lines").attrs["value"] == "0"

    page = Page(post(client, address, {"do": "look", "skip_lines": "3"}).text)
    assert page.one("input", name="skip_lines").attrs["value"] == "3"
    for words in ("Lines above3", "mild", "Start 2 rows"):
        assert words in page.text

    read(engine, settings, start(client, address, skip_lines="3").rpartition("/")[2])
    assert [row.inputs["text"] for row in oven.take(limit=9)] == ["mild", "warm"]


@pytest.mark.parametrize(
    ("word", "shown"), [("7", "7"), ("99999", "1000"), ("-1", "0"), ("x", "0"), ("9" * 9_999, "0")]
)
def test_the_page_never_loses_a_file_over_a_number(client, word, shown):
    address = preview(client, REPORT)
    page = Page(post(client, address, {"do": "look", "skip_lines": word}).text)
    assert page.one("input", name="skip_lines").attrs["value"] == shown
    # The first button of a form is what Enter presses in a field.
    first = next(element for element in page.elements if element.tag == "button" and "name" in element.attrs)
    assert (first.attrs["value"], "formaction" in first.attrs) == ("look", False)


def test_the_page_corrects_what_it_found_and_starts_what_it_shows(client, engine, settings, oven):
    address = preview(client, CZECH.encode("cp1250"))
    said = {"encoding": "cp1250", "delimiter": "colon", "header": "no", "column.text": "column_0"}

    page = Page(post(client, address, {"do": "look", **said}).text)
    assert [chosen(page, name) for name in said] == list(said.values())
    for words in ("EncodingCP1250", "Delimitercolon", *TEXTS):
        assert words in page.text

    read(engine, settings, start(client, address, **said).rpartition("/")[2])
    assert [row.inputs["text"] for row in oven.take(limit=9)] == TEXTS
