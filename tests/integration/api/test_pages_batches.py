"""Uploads and batches as pages: one upload, a preview that tells everything, progress, and the way to the results."""

from __future__ import annotations

import io
import itertools
from typing import Any

import pytest
from flask.testing import FlaskClient

from contract.ids import new_ids
from contract.names import INGEST
from contract.statuses import JobStatus
from contract.times import utc_now
from models import batches
from models.batches import BatchRow, find_batch
from models.database import reading, transaction
from models.sheets.export import ENDINGS, MEDIA
from models.sheets.formats import REQUESTABLE
from tests.integration.api.pages import Page, get, post, token
from web.app import create_app

REVIEWS = b'id,review,stars\r\na,Good bread,5\r\nb,"Burnt, and\nlate",1\r\nc,Fine,3\r\n'
SCRIPT = "<script>alert('x')</script>"


def upload(client: FlaskClient, content: bytes = REVIEWS, name: str = "reviews.csv", pipeline: str = "fake") -> Any:
    """What a browser without scripts sends."""
    data = {
        "csrf_token": token(client, "/batches/new"),
        "pipeline": pipeline,
        "file": (io.BytesIO(content), name, "text/csv"),
    }
    return client.post("/batches/new", data=data, headers={"Accept": "text/html"})


def preview(client: FlaskClient, *args: Any, **more: Any) -> str:
    """The address of the preview of an upload."""
    answer = upload(client, *args, **more)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def start(client: FlaskClient, address: str, **data: Any) -> str:
    """The address of the batch that was started."""
    answer = post(client, address, {"do": "start", "on_invalid_rows": "fail", **data})
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def chosen(page: Page, name: str) -> str:
    """The column a select shows."""
    at = page.elements.index(page.one("select", name=name))
    options = []
    for element in page.elements[at + 1 :]:
        if element.tag != "option":
            break
        options.append(element)
    return next((option.attrs["value"] for option in options if "selected" in option.attrs), "")


def fill(engine, batch_id: str, texts: list[str], *, invalid: int = 0) -> None:
    """What reading the file does, in one go."""

    def work(conn):
        batch = find_batch(conn, batch_id)
        cursor = batches.Cursor("insert", 1, 1, len(texts), invalid)
        now = utc_now()
        message = f"inputs.text is missing. {SCRIPT}"
        wrong = [{"row": 9, "line": 11, "code": "invalid_row", "message": message}] * invalid
        assert batches.advance(
            conn, batch, cursor, status="running", total=len(texts) + invalid, ingested=True, started_at=now,
            format="csv", errors=wrong,
        )  # fmt: skip
        numbered = enumerate(zip(new_ids(len(texts)), texts, strict=True))
        rows = [BatchRow(job_id, n, n + 2, None, {"text": text}, {}) for n, (job_id, text) in numbered]
        batches.add_rows(conn, batch, rows, now=now)

    transaction(engine, work)


@pytest.fixture
def batch(client, engine):
    """Start a batch of these texts; its address."""

    def make(*texts: str, invalid: int = 0) -> str:
        address = start(client, preview(client))
        fill(engine, address.rpartition("/")[2], list(texts), invalid=invalid)
        return address

    return make


def close(engine, address: str) -> None:
    transaction(engine, lambda conn: batches.close_if_over(conn, address.rpartition("/")[2], now=utc_now()))


def test_the_upload_page_chooses_the_pipeline_it_was_asked_for(client):
    page = get(client, "/batches/new?pipeline=labels")

    # Of the form for a file, and of the one for a dataset.
    assert [option.attrs["value"] for option in page.all("option", selected="")] == ["labels", "labels"]
    assert page.one("form", action="/batches/new?pipeline=labels").attrs["enctype"] == "multipart/form-data"


def test_a_preview_shows_the_shape_the_guess_and_the_first_rows(client):
    page = get(client, preview(client))

    assert "reviews.csv" in page.one("h1").text
    for words in ("Rows3", "Bad rows0", "FormatCSV", "EncodingUTF-8", "Delimitercomma"):
        assert words in page.text
    assert chosen(page, "column.text") == "review"
    assert "Good bread" in page.text
    assert "Burnt, and late" in page.text
    assert "Start 3 rows" in page.text


def test_a_preview_says_how_long_it_takes_once_the_pipeline_was_measured(client, batch, oven, engine):
    assert "Takes about" not in get(client, preview(client)).text
    address = batch(*(f"row {n}" for n in range(60)))
    oven.finish(oven.take(limit=60), [{"label": "even", "score": 0.9}])
    close(engine, address)

    assert "Takes about" in get(client, preview(client)).text


def test_another_column_is_shown_before_anything_runs(client):
    address = preview(client)
    answer = post(client, address, {"do": "look", "column.text": "stars", "id_column": "id"})
    page = Page(answer.text)

    assert answer.status_code == 200
    assert chosen(page, "column.text") == "stars"
    assert "Good bread" not in page.text
    assert chosen(page, "id_column") == "id"
    assert client.get("/api/v1/batches").get_json()["data"] == []


def options(page: Page, name: str) -> list[str]:
    """What a select offers."""
    at = page.elements.index(page.one("select", name=name))
    found = itertools.takewhile(lambda element: element.tag == "option", page.elements[at + 1 :])
    return [option.attrs["value"] for option in found]


def test_columns_that_are_gone_once_the_file_is_read_another_way_are_guessed_anew(client):
    address = preview(client, b"exported today,,\nid,text,stars\n1,good,5\n2,bad,1\n")
    looked = {"do": "look", "column.text": "exported today", "id_column": "exported today", "skip_lines": "1"}
    page = Page(post(client, address, looked).text)
    assert "Choose the columns" not in page.text
    assert (chosen(page, "column.text"), chosen(page, "id_column")) == ("text", "")
    assert "good" in page.text


def test_every_format_can_be_chosen_and_the_one_that_is_stays_chosen(client):
    address = preview(client)
    page = get(client, address)
    assert options(page, "format") == ["", *REQUESTABLE]
    assert chosen(page, "format") == ""

    answer = Page(post(client, address, {"do": "look", "format": "txt"}).text)
    assert chosen(answer, "format") == "txt"
    assert "FormatTXT" in answer.text
    assert 'b,"Burnt, and' in answer.text


def test_a_format_that_the_file_has_not_is_said_on_the_page(client):
    page = Page(post(client, preview(client), {"do": "look", "format": "parquet"}).text)

    assert chosen(page, "format") == "parquet"
    assert "The file is not parquet" in page.text


def test_the_page_links_results_in_every_format_and_each_link_downloads(client, batch, oven):
    address = batch("one", "two")
    oven.finish(oven.take(limit=2), [{"label": "even", "score": 0.9}])
    links = [url for url in get(client, address).addresses() if "/results?format=" in url]

    assert {url.rpartition("=")[2] for url in links} == set(MEDIA)
    for url in links:
        answer = client.get(url)
        format = url.rpartition("=")[2]
        assert (answer.status_code, answer.content_type) == (200, MEDIA[format])
        assert f"reviews-results.{ENDINGS.get(format, format)}" in answer.headers["Content-Disposition"]
        assert answer.data


def test_starting_makes_one_batch_of_the_file_that_was_sent_once(client, engine, broker, settings):
    address = start(client, preview(client), **{"column.text": "review", "id_column": "id", "parameters.top_k": "1"})
    shown = client.get(f"/api/v1{address}").get_json()

    assert shown["inputs"] == {"text": "review"}
    assert (shown["parameters"], shown["id_column"], shown["on_invalid_rows"]) == ({"top_k": 1}, "id", "fail")
    files = [path for path in (settings.storage.data_dir / "files").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in files] == [REVIEWS]
    assert INGEST in str(broker.lrange(f"{settings.broker.prefix}:ingest", 0, -1))


def test_a_bad_parameter_is_refused_beside_its_field_and_nothing_starts(client):
    answer = post(client, preview(client), {"do": "start", "parameters.top_k": "0", "column.text": "stars"})
    page = Page(answer.text)

    assert answer.status_code == 422
    assert page.one("div", id="parameters-top_k-wrong").text == "This must be at least 1."
    assert page.one("input", name="parameters.top_k").attrs["value"] == "0"
    assert chosen(page, "column.text") == "stars"
    assert client.get("/api/v1/batches").get_json()["data"] == []


def test_a_parameter_that_is_needed_is_asked_for_at_the_start_and_not_called_bad_before(client):
    address = preview(client, pipeline="labels")
    page = get(client, address)
    assert "Bad rows0" in page.text

    refused = Page(post(client, address, {"do": "start"}).text)
    assert refused.one("div", id="parameters-candidate_labels-wrong").text == "This is needed."

    labels = client.get("/api/v1" + start(client, address, **{"parameters.candidate_labels": "a, b"})).get_json()
    assert labels["parameters"] == {"candidate_labels": ["a", "b"]}


def test_a_parameter_may_come_from_a_column(client):
    address = preview(client, b"text,k\na,1\nb,zero\n")
    page = Page(post(client, address, {"do": "look", "column.text": "text", "column.parameters.top_k": "k"}).text)

    assert "Bad rows1" in page.text
    assert '{"top_k":1}' in page.html.replace("&#34;", '"').replace(" ", "")


def test_bad_rows_are_told_by_their_line_before_anything_runs(client):
    page = get(client, preview(client, b'text\na\n""\nb\n'))

    assert "1 bad row" in page.text
    assert page.one("td", data_name="Line", class_="text-end numbers").text == "3"
    assert "this file would be refused" in page.text


def test_a_file_without_a_column_to_guess_asks_for_one(client):
    address = preview(client, b"alpha,beta\n1,2\n")
    page = get(client, address)

    assert "Choose the columns." in page.text
    answer = post(client, address, {"do": "start"})
    assert answer.status_code == 422
    assert "It was not started." in Page(answer.text).text
    assert start(client, address, **{"column.text": "beta"})


@pytest.mark.parametrize("content", [b"\x00\x01\x02\xff" * 100, b"text\n"])
def test_a_file_that_cannot_be_used_says_so_instead_of_a_start(client, content):
    page = get(client, preview(client, content, "odd.csv"))

    assert page.has("div", role="alert")
    assert "This file cannot be used." in page.text
    assert not page.has("button", name="do", value="start")


def test_nothing_in_a_file_is_read_as_html(client):
    content = f'{SCRIPT},text\n{SCRIPT},{SCRIPT}\nx,""\n'.encode()
    answer = client.get(preview(client, content, f"{SCRIPT}.csv"), headers={"Accept": "text/html"})

    assert not [script for script in Page(answer.text).all("script") if "src" not in script.attrs]
    assert SCRIPT in Page(answer.text).text


@pytest.mark.parametrize("content", [b"", None])
def test_an_upload_without_a_file_is_refused_beside_the_field(client, content):
    data: dict[str, Any] = {"csrf_token": token(client, "/batches/new"), "pipeline": "fake"}
    if content is not None:
        data["file"] = (io.BytesIO(content), "")
    answer = client.post(
        "/batches/new", data=data, headers={"Accept": "text/html"}, content_type="multipart/form-data"
    )

    assert answer.status_code == 422
    assert "Choose a file that holds something." in Page(answer.text).text


def test_a_file_that_is_too_large_is_refused_with_the_limit_and_leaves_nothing(change):
    settings = change("web", max_upload_bytes=1_000)
    client = create_app(settings).test_client()
    answer = upload(client, b"text\n" + b"x" * 3_000)

    assert answer.status_code == 413
    assert "larger than 1,000 bytes" in Page(answer.text).text
    assert not [path for path in (settings.storage.data_dir / "files").rglob("*") if path.is_file()]


def test_an_upload_without_a_token_is_refused_and_leaves_nothing(client, settings):
    data = {"file": (io.BytesIO(REVIEWS), "r.csv")}
    answer = client.post("/batches/new", data=data, headers={"Accept": "text/html"})

    assert answer.status_code == 422
    assert not [path for path in (settings.storage.data_dir / "files").rglob("*") if path.is_file()]


def test_an_upload_from_another_site_is_refused_before_it_is_read(client):
    answer = client.post("/batches/new", data=REVIEWS, headers={"Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 403


def test_a_browser_with_scripts_sends_the_file_as_the_body(client):
    headers = {"X-CSRFToken": token(client, "/batches/new"), "Accept": "application/json", "Content-Type": "text/csv"}
    answer = client.post("/batches/new?filename=reviews.csv&pipeline=fake", data=REVIEWS, headers=headers)

    assert answer.status_code == 201
    assert "Good bread" in get(client, answer.get_json()["preview"]).text


def test_the_body_without_a_token_is_refused_as_json(client):
    answer = client.post("/batches/new?filename=a.csv", data=REVIEWS, headers={"Content-Type": "text/csv"})

    assert answer.status_code == 403
    assert answer.get_json()["error"]["code"] == "forbidden"


def test_another_file_can_be_chosen_and_the_first_one_goes(client, settings):
    address = preview(client)
    path, _, query = address.partition("?")
    answer = post(client, f"{path}/discard?{query}", form=address)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/batches/new?pipeline=fake")
    assert not [path for path in (settings.storage.data_dir / "files").rglob("*") if path.is_file()]
    assert client.get(address, headers={"Accept": "text/html"}).status_code == 404


def test_a_batch_page_shows_progress_counts_rows_and_errors(client, batch, oven):
    address = batch("one", "two", f"three {SCRIPT}", "four", invalid=1)
    rows = oven.take(limit=3)
    oven.finish(rows[:2], [{"label": "even", "score": 0.9}])
    oven.fail(rows[2:], f"It {SCRIPT} broke.")
    page = get(client, address)

    assert "80 %" in page.text
    for words in ("rows5", "succeeded2", "failed1", "invalid1", "queued1", "even · 90.0 %", f"It {SCRIPT} broke."):
        assert words in page.text
    widths = {part.attrs["class"]: part.attrs["width"] for part in page.all("rect")}
    assert widths["part-succeeded"] == "40.0%"
    assert not [script for script in page.all("script") if "src" not in script.attrs]
    assert page.one("meta", http_equiv="refresh").attrs["content"] == "3"
    links = page.addresses()
    assert f"/api/v1{address}/results?format=csv" in links
    assert f"/api/v1{address}/errors" in links


def test_a_batch_that_is_over_can_be_run_again_and_deleted(client, batch, oven, engine):
    address = batch("one", "two")
    rows = oven.take(limit=2)
    oven.finish(rows[:1], [{"label": "even", "score": 0.9}])
    oven.fail(rows[1:], "It broke.")
    close(engine, address)
    page = get(client, address)
    assert "completed" in page.text
    assert not page.has("meta", http_equiv="refresh")

    assert post(client, f"{address}/retry", form=address).status_code == 303
    assert "running" in get(client, address).text
    oven.finish(oven.take(), [{"label": "odd", "score": 0.9}])
    close(engine, address)

    answer = post(client, f"{address}/delete", form=address)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/batches")
    assert client.get(address, headers={"Accept": "text/html"}).status_code == 404


def test_a_batch_that_runs_can_be_canceled_and_keeps_what_is_done(client, batch, oven, engine):
    address = batch("one", "two")
    oven.bake()
    post(client, f"{address}/cancel", form=address)

    page = get(client, address)
    assert "canceled" in page.text
    assert "succeeded1" in page.text
    assert "canceled1" in page.text


def test_what_a_batch_cannot_do_now_is_said_on_a_page(client, batch):
    address = batch("one")
    answer = post(client, f"{address}/delete", form=address)

    assert answer.status_code == 409
    assert "not over" in Page(answer.text).text


def test_a_file_that_could_not_be_read_says_that_nothing_ran(client, engine):
    address = start(client, preview(client))
    error = {"row": 0, "line": 3, "code": "invalid_row", "message": "inputs.text is missing."}
    batch_id = address.rpartition("/")[2]
    transaction(engine, lambda conn: batches.refuse_batch(conn, batch_id, [error], now=utc_now()))
    page = get(client, address)

    assert "Nothing of this file ran." in page.text
    assert "Mend these rows" in page.text
    assert not [url for url in page.addresses() if "results" in url]


def test_the_fragment_is_news_only_when_a_row_changed(client, batch, oven):
    path = f"{batch('one', 'two')}/fragment"
    known = client.get(path).headers["ETag"]
    again = client.get(path, headers={"If-None-Match": known})
    oven.bake()
    after = client.get(path, headers={"If-None-Match": known, "Prefer": "wait=3"})

    assert (again.status_code, after.status_code) == (304, 200)
    assert "<html" not in after.text
    assert "succeeded" in after.text


def test_a_waiting_fragment_gives_up_after_a_moment(client, batch, monkeypatch):
    monkeypatch.setattr("web.pages.batches.LONGEST_WAIT", 1)
    path = f"{batch('one')}/fragment"
    known = client.get(path).headers["ETag"]

    assert client.get(path, headers={"If-None-Match": known, "Prefer": "wait=30"}).status_code == 304


def test_the_list_shows_each_batch_with_how_far_it_is(client, batch, oven):
    address = batch("one", "two")
    oven.bake()
    page = get(client, "/batches")

    assert page.has("a", href=address)
    assert "50 %" in page.text


def test_an_empty_list_of_batches_says_what_to_do(client):
    assert "Upload a CSV, JSONL, Parquet or Excel file" in get(client, "/batches").text


def test_rows_of_files_do_not_push_single_jobs_from_the_front_page(client, batch, submit, engine):
    job = submit("a person waits")
    address = batch(*(f"row {n}" for n in range(40)))

    front = get(client, "/")
    assert "a person waits" in front.text
    assert "row 39" not in front.text
    assert front.has("a", href=address)
    assert "row 39" not in get(client, "/jobs").text
    assert "row 39" in get(client, "/jobs?rows=all").text
    with reading(engine) as conn:
        assert batches.find_batch(conn, address.rpartition("/")[2]) is not None
    assert get(client, f"/jobs/{job['id']}")


def test_a_row_leads_back_to_its_batch(client, batch):
    address = batch("one")
    page = get(client, "/jobs?rows=all")
    row = get(client, next(url for url in page.addresses() if url.startswith("/jobs/")))

    assert row.has("a", href=address)
    assert JobStatus.QUEUED in row.text
