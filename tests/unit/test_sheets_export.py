"""What people take home."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

import pyarrow.parquet as pq
import pytest

from contract.errors import RequestError
from contract.tasks import CATALOGUE
from models.sheets import formats
from models.sheets.export import WRITERS, written
from models.sheets.table import Joined, Table

TASK = CATALOGUE["text-classification"]
BODY = '[{"label":"good","score":0.5},{"label":"bad","score":0.25}]'


def row(number=0, inputs=None, *, status="succeeded", body=BODY, vector=None, error=None):
    return Joined(number, f"r{number}", inputs or {}, status, body, vector, error)


def as_csv(rows, inputs=("text",), columns=None, task=TASK):
    table = Table(task, list(inputs), format="csv")
    text = b"".join(WRITERS["csv"](table.choose(columns), rows)).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def as_json(rows, inputs=("text",), columns=None, fmt="jsonl", task=TASK):
    table = Table(task, list(inputs), format=fmt)
    data = b"".join(WRITERS[fmt](table.choose(columns), rows))
    return json.loads(data) if fmt == "json" else [json.loads(line) for line in data.splitlines()]


def test_a_csv_row_holds_what_was_sent_and_what_came_back():
    assert as_csv([row(inputs={"text": "a"})]) == [
        {"text": "a", "label": "good", "score": "0.5", "status": "succeeded", "error": ""}
    ]


def test_a_failed_row_has_its_error_and_no_result():
    failed = row(status="failed", body=None, error={"code": "input_too_long", "message": "Too long."})
    assert as_csv([failed])[0]["error"] == "input_too_long: Too long."
    assert as_json([failed])[0] | {"row": 0} == {
        "text": None, "row": 0, "id": "r0", "result": None, "status": "failed",
        "error": {"code": "input_too_long", "message": "Too long."},
    }  # fmt: skip


def test_a_result_column_gives_way_to_an_input_column_of_its_name():
    taken = {"label": "mine", "status": "old", "result_label": "too"}
    found = as_csv([row(inputs=taken)], inputs=tuple(taken))[0]
    assert (found["label"], found["result_label"], found["result_result_label"]) == ("mine", "too", "good")
    assert (found["status"], found["result_status"]) == ("old", "succeeded")
    assert as_json([row(inputs={"row": 9})], inputs=("row",))[0]["result_row"] == 0


@pytest.mark.parametrize(
    "formula", ["=1+1", "+cmd|x", "-2+3", "@SUM(A1)", "\tx", "\rx", "\nx", "＝1+1", "-inf", "+1_0"]
)
def test_a_formula_in_a_cell_is_only_text(formula):
    assert as_csv([row(inputs={"text": formula})])[0]["text"] == "'" + formula


@pytest.mark.parametrize("number", ["-5", "+3.2", "-1e-5", "-.5"])
def test_a_number_stays_one(number):
    assert as_csv([row(inputs={"text": number})])[0]["text"] == number


def test_formulas_in_results_and_in_names_are_defused_too():
    body = '[{"label":"=evil()","score":-0.5}]'
    found = as_csv([row(inputs={"=x": "a"}, body=body)], inputs=("=x",))[0]
    assert (found["'=x"], found["label"], found["score"]) == ("a", "'=evil()", "-0.5")


def test_json_keeps_the_result_nested():
    for fmt in ("jsonl", "json"):
        found = as_json([row(0, {"text": "a"}), row(1, {"text": "b"})], fmt=fmt)
        assert [one["result"] for one in found] == [json.loads(BODY)] * 2
        assert [(one["row"], one["id"], one["text"]) for one in found] == [(0, "r0", "a"), (1, "r1", "b")]
    assert as_json([], fmt="json") == []


def test_vectors_are_written_as_numbers():
    task = CATALOGUE["feature-extraction"]
    vector = row(body=None, vector=[0.5, -1.0])
    assert as_csv([vector], task=task)[0]["embedding"] == "[0.5,-1.0]"
    assert as_json([vector], task=task)[0]["result"] == [0.5, -1.0]


def test_columns_can_be_chosen():
    rows = [row(inputs={"text": "a", "b,c": "d"})]
    inputs = ("text", "b,c")
    assert list(as_csv(rows, inputs, "inputs")[0]) == ["text", "b,c"]
    assert list(as_csv(rows, inputs, "results")[0]) == ["label", "score", "status", "error"]
    assert as_csv(rows, inputs, 'score,"b,c",row,id')[0] == {"score": "0.5", "b,c": "d", "row": "0", "id": "r0"}
    assert as_json(rows, inputs, "text,label")[0] == {"text": "a", "label": "good"}
    with pytest.raises(RequestError, match="no column 'nope'"):
        as_csv(rows, inputs, "nope")
    with pytest.raises(RequestError, match="commas between"):
        as_csv(rows, inputs, "text\rlabel")


def test_a_column_that_is_named_twice_comes_once(tmp_path):
    columns = Table(TASK, ["text"], format="parquet").choose("text,label,text")
    data = b"".join(written("parquet", columns, [row(inputs={"text": "a"})], folder=tmp_path))
    assert pq.read_table(io.BytesIO(data)).column_names == ["text", "label"]


def test_only_input_columns_make_the_upload_be_read_again():
    table = Table(TASK, ["text"], format="csv")
    assert table.needs_file(table.choose(None))
    assert not table.needs_file(table.choose("results"))


def test_deep_nests_are_written_all_the_same():
    deep: list = []
    for _ in range(400):
        deep = [deep]
    assert as_json([row(inputs={"text": deep})])[0]["result"] == json.loads(BODY)


FILE = {"id": "f", "content_type": "image/png", "bytes": 1, "url": "/api/v1/files/f/content"}


@pytest.mark.parametrize("task", CATALOGUE.values(), ids=lambda task: task.name)
def test_every_task_names_its_result_columns(task):
    results = {
        "text-classification": json.loads(BODY), "zero-shot-classification": json.loads(BODY),
        "token-classification": [], "fill-mask": [], "feature-extraction": [0.5], "sentence-similarity": [0.5],
        "question-answering": {"answer": "x", "score": 0.5, "start": 0, "end": 1},
        "table-question-answering": {"answer": "SUM > 1", "coordinates": [[0, 1]], "cells": ["1"]},
        "text2text-generation": {"generated_text": "x"}, "summarization": {"summary_text": "x"},
        "translation": {"translation_text": "x"},
        "text-generation": {"message": {"content": "x"}, "finish_reason": "stop"},
        "image-classification": json.loads(BODY), "zero-shot-image-classification": json.loads(BODY),
        "image-feature-extraction": [0.5], "object-detection": [], "zero-shot-object-detection": [],
        "image-segmentation": [], "depth-estimation": {"min": 0.5, "max": 1.5, "depth": {"file": FILE}},
        "visual-question-answering": [{"answer": "x", "score": None}],
        "decision": {"a": {"type": "noul", "noul": 0.5}},
        "image-text-to-text": {"message": {"content": "x"}, "finish_reason": "stop"},
        "any-to-any": {"message": {"content": "x"}, "finish_reason": "stop"},
        "document-question-answering": [{"answer": "x", "score": None}],
        "keypoint-matching": [], "mask-generation": [],
        "video-classification": [], "audio-classification": [], "zero-shot-audio-classification": [],
        "automatic-speech-recognition": {"text": "x"},
        "text-to-audio": {"audio": {"file": FILE}, "sampling_rate": 16_000},
        "image-to-text": [{"generated_text": "x"}], "image-to-image": {"image": {"file": FILE}},
    }  # fmt: skip
    assert set(task.columns(results[task.name])) == set(task.result_columns)


@pytest.mark.parametrize("name", ["image-segmentation", "mask-generation"])
def test_masks_are_exported_as_the_ids_of_their_files(name, tmp_path):
    masks = [{"label": "x", "score": 0.5, "box": {}, "mask": {"file": {**FILE, "id": file}}} for file in ("f1", "f2")]
    found = row(inputs={"image": "a"}, body=json.dumps(masks))
    table = Table(CATALOGUE[name], ["image"], format="parquet")
    parquet = b"".join(written("parquet", table.choose(None), [found], folder=tmp_path))

    cells = [
        as_csv([found], ("image",), task=CATALOGUE[name])[0]["mask_files"],
        pq.read_table(io.BytesIO(parquet))["mask_files"][0].as_py(),
    ]

    assert [json.loads(cell) for cell in cells] == [["f1", "f2"]] * 2


LONG = [2**53 + 1, 2**64, -(2**63) - 1, 123_456_789_012_345_678_901_234_567_890]
LINES = [json.dumps({"n": n, "inner": {"of": [n]}, "part": 0.5 if n > 2**70 else 7}) for n in LONG]


@pytest.mark.parametrize("source", ["\n".join(LINES), f"[{', '.join(LINES)}]"], ids=["jsonl", "json"])
def test_whole_numbers_come_out_as_they_came_in_however_long(tmp_path, source):
    file = tmp_path / "numbers"
    file.write_text(source, encoding="utf-8")
    layout = dataclasses.replace(formats.sniff(file, main_field="text"), exact=True)
    rows = [row(record.row, record.values) for record in formats.records(file, layout)]

    assert [one["n"] for one in as_json(rows, layout.columns)] == LONG
    assert [one["inner"] for one in as_json(rows, layout.columns, fmt="json")] == [{"of": [n]} for n in LONG]
    cells = [(one["n"], json.loads(one["inner"])) for one in as_csv(rows, layout.columns)]
    assert cells == [(str(n), {"of": [n]}) for n in LONG]
    columns = Table(TASK, layout.columns, format="parquet").choose(None)
    table = pq.read_table(io.BytesIO(b"".join(written("parquet", columns, rows, folder=tmp_path)))).to_pydict()
    assert (table["n"], table["part"]) == ([str(n) for n in LONG], [7.0, 7.0, 7.0, 0.5])
    assert list(map(json.loads, table["inner"])) == [{"of": [n]} for n in LONG]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([1, 2**53 + 1, None], [1, 2**53 + 1, None]),
        ([2**53 + 1, 0.5], [str(2**53 + 1), "0.5"]),
        ([0.5, 2], [0.5, 2.0]),
    ],
)
def test_a_column_of_numbers_is_a_column_of_texts_before_one_of_them_changes(tmp_path, values, found):
    columns = Table(TASK, ["n"], format="parquet").choose("n")
    rows = [row(place, {"n": value}) for place, value in enumerate(values)]
    assert (
        pq.read_table(io.BytesIO(b"".join(written("parquet", columns, rows, folder=tmp_path))))["n"].to_pylist()
        == found
    )
