"""`sheet`: a dry run, its batch, its results and the page read the sheet of a workbook that is said."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from contract.times import utc_now
from models.files import FileStorage
from tests.integration.api.pages import Page, get, post
from tests.integration.api.test_api_corrections import read, send
from tests.integration.api.test_pages_batches import chosen, preview, start
from tests.sheets import workbook
from worker.ingest import ingest_slice

BOOK = workbook({"April": [["text"], ["cold"]], "May": [["text"], ["mild"], ["warm"]], "<June>": []})
SHEETS = ["April", "May", "<June>"]


def texts(oven: Any) -> list[str]:
    return [row.inputs["text"] for row in oven.take(limit=9)]


def test_a_dry_run_tells_the_sheet_and_all_there_are(client):
    report = send(client, BOOK, path="/validate", name="a.xlsx").get_json()
    assert (report["sheet"], report["sheets"], report["counts"]["total"]) == ("April", SHEETS, 1)

    report = send(client, BOOK, path="/validate", name="a.xlsx", sheet="May").get_json()
    assert (report["sheet"], report["sheets"], report["counts"]["total"]) == ("May", SHEETS, 2)

    report = send(client, b"text\na\n", path="/validate").get_json()
    assert (report["sheet"], report["sheets"]) == (None, [])


def test_a_batch_is_of_the_sheet_that_is_said_to_its_results(client, engine, settings, oven):
    batch = send(client, BOOK, name="a.xlsx", sheet="May").get_json()
    assert batch["format"] == "xlsx"
    read(engine, settings, batch["id"])

    rows = oven.take(limit=9)
    assert [(row.inputs["text"]) for row in rows] == ["mild", "warm"]
    oven.finish(rows, [{"label": "even", "score": 0.9}])
    results = client.get(f"{batch['urls']['results']}?columns=inputs&format=csv")
    assert results.text.splitlines() == ["text", "mild", "warm"]


def test_a_restart_in_the_middle_goes_on_in_the_same_sheet_even_without_its_copy(client, engine, settings, oven):
    batch = send(client, BOOK, name="a.xlsx", sheet="May", on_invalid_rows="skip").get_json()
    storage = FileStorage(settings.storage.files_dir)
    ends = []
    while not ends or ends[-1] == "again":
        ends.append(
            ingest_slice(
                engine, storage, batch["id"], seconds=0, rows_per_piece=1, now_fn=utc_now, wake=lambda _: None
            )
        )  # fmt: skip
        for copy in storage.named("*.sheet"):
            copy.unlink()
        assert len(ends) < 9
    assert len(ends) > 2
    assert texts(oven) == ["mild", "warm"]


def test_two_batches_of_one_file_read_a_sheet_each(client, engine, settings, oven):
    file_id = client.post("/api/v1/files?filename=a.xlsx", data=BOOK).get_json()["id"]
    body = {"pipeline": "fake", "file_id": file_id}
    made = [client.post("/api/v1/batches", json=body | said).get_json()["id"] for said in ({"sheet": "May"}, {})]
    for batch_id in made:
        read(engine, settings, batch_id)
    assert sorted(texts(oven)) == ["cold", "mild", "warm"]

    assert client.post("/api/v1/batches/validate", json=body | {"sheet": "May"}).get_json()["sheet"] == "May"
    storage = FileStorage(settings.storage.files_dir)
    assert len(list(storage.named("*.sheet"))) == 2
    storage.delete(file_id)
    assert list(storage.named("*")) == []


@pytest.mark.parametrize("sheet", ["Mai", "<June>"])
def test_a_sheet_that_cannot_be_read_is_named_with_those_there_are(client, sheet):
    answer = send(client, BOOK, name="a.xlsx", sheet=sheet)
    error = answer.get_json()["error"]
    assert (answer.status_code, error["code"], error["field"]) == (422, "invalid_value", "sheet")
    assert error["message"].endswith("Its sheets: 'April', 'May', '<June>'.")

    report = send(client, BOOK, path="/validate", name="a.xlsx", sheet=sheet).get_json()
    assert (report["valid"], report["sheet"], report["sheets"]) == (False, None, SHEETS)
    assert (report["error"]["field"], report["error"]["message"]) == ("sheet", error["message"])


@pytest.mark.parametrize("sheet", ["", 1, "x" * 256, True])
def test_what_is_no_name_is_refused(client, sheet):
    for path in ("", "/validate"):
        answer = send(client, BOOK, path=path, name="a.xlsx", sheet=sheet)
        assert (answer.status_code, answer.get_json()["error"]["field"]) == (422, "sheet")


def test_a_name_that_no_text_holds_is_refused(client):
    assert send(client, BOOK, name="a.xlsx", sheet="\ud800").status_code == 400


def test_only_a_workbook_has_sheets(client):
    error = send(client, b"text\na\n", sheet="May").get_json()["error"]
    assert (error["field"], error["message"]) == ("sheet", "The file is csv and has no sheet.")
    body = {"pipeline": "fake", "dataset": {"name": "bakers/reviews"}, "sheet": "May"}
    answer = client.post("/api/v1/batches", json=body)
    assert (answer.status_code, answer.get_json()["error"]["field"]) == (422, "sheet")


def test_the_page_shows_the_sheet_and_reads_the_one_that_is_chosen(client, engine, settings, oven):
    address = preview(client, BOOK, "a.xlsx")
    page = get(client, address)
    assert "SheetApril of 3" in page.text
    assert [name for name in SHEETS if page.has("option", value=name)] == SHEETS
    assert chosen(page, "sheet") == ""

    page = Page(post(client, address, {"do": "look", "sheet": "May"}).text)
    assert chosen(page, "sheet") == "May"
    for words in ("SheetMay of 3", "mild", "Start 2 rows"):
        assert words in page.text

    read(engine, settings, start(client, address, sheet="May").rpartition("/")[2])
    assert texts(oven) == ["mild", "warm"]


def test_the_page_offers_the_others_where_the_chosen_sheet_holds_nothing(client):
    address = preview(client, BOOK, "a.xlsx")
    page = Page(post(client, address, {"do": "look", "sheet": "<June>"}).text)
    assert "'<June>' holds nothing" in page.one("div", role="alert").text
    assert [name for name in SHEETS if page.has("option", value=name)] == SHEETS
    assert chosen(page, "sheet") == "<June>"


def test_the_page_of_a_workbook_with_one_sheet_asks_nothing(client):
    page = get(client, preview(client, workbook({"Only": [["text"], ["a"]]}), "a.xlsx"))
    assert "SheetOnly" in page.text
    assert not page.has("select", name="sheet")


def test_a_multipart_form_takes_it_with_the_other_words(client):
    request = json.dumps({"pipeline": "fake", "sheet": "May", "header": False, "inputs": {"text": 0}})
    parts = {"file": (io.BytesIO(BOOK), "a.xlsx"), "request": request}
    report = client.post("/api/v1/batches/validate", data=parts, content_type="multipart/form-data").get_json()
    assert [row["inputs"]["text"] for row in report["rows"]] == ["text", "mild", "warm"]


def test_a_dry_run_from_a_shell_tells_the_sheet_and_all_there_are(client, serve, tmp_path):
    (tmp_path / "a.xlsx").write_bytes(BOOK)
    with_url = CliRunner(env={"FOURNIL_URL": serve(), "COLUMNS": "120"})

    done = with_url.invoke(main, ["batch", "fake", str(tmp_path / "a.xlsx"), "--dry-run"])
    assert done.exit_code == 0, done.output
    for words in ("April (of April, May, <June>)", "1 in all", '{"text":"cold"}'):
        assert words in done.stdout

    done = with_url.invoke(main, ["batch", "fake", str(tmp_path / "a.xlsx"), "--dry-run", "--sheet", "Mai"])
    assert (done.exit_code, "'Mai' is not in the workbook" in done.stdout) == (1, True)
    assert client.get("/api/v1/batches").get_json()["data"] == []
