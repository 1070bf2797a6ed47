"""What every page keeps to: nothing from another host, nothing inline, one face for errors; and the other pages."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from contract.statuses import PipelineState
from contract.times import utc_now
from models.database import transaction
from models.pipelines import note_loaded, set_state, sync_pipelines
from models.workers import set_worker
from tests.integration.api.conftest import PIPELINES
from tests.integration.api.pages import Page, get
from web.pages import filters

WEB = Path(__file__).resolve().parents[3] / "web"
PAGES = ["/", "/pipelines", "/pipelines/fake", "/pipelines/chat", "/jobs", "/batches", "/batches/new", "/workers"]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_nothing_from_elsewhere_and_nothing_inline(client, oven, submit, path):
    oven.be_seen()
    submit()
    answer = client.get(path, headers={"Accept": "text/html"})
    page = Page(answer.text)

    assert [url for url in page.addresses() if re.match(r"(?:[a-z]+:)?//", url)] == []
    assert [script for script in page.all("script") if "src" not in script.attrs] == []
    assert page.all("style") == []
    assert [e for e in page.elements if "style" in e.attrs or any(name.startswith("on") for name in e.attrs)] == []
    assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_can_be_read_aloud(client, path):
    page = get(client, path)

    assert page.one("html").attrs["lang"] == "en"
    assert page.one("h1").text.strip()
    assert page.one("title").text.strip()
    assert page.one("a", class_="skip-link").attrs["href"] == "#main"
    ids = [e.attrs["id"] for e in page.elements if "id" in e.attrs]
    assert len(ids) == len(set(ids))
    named = {label.attrs.get("for") for label in page.all("label")}
    for control in [*page.all("input"), *page.all("select"), *page.all("textarea")]:
        if control.attrs.get("type") != "hidden":
            assert control.attrs.get("id") in named or control.attrs.get("aria-label"), control


@pytest.mark.parametrize("path", PAGES)
def test_everything_a_page_loads_is_there(client, path):
    page = get(client, path)
    loaded = [e.attrs["href"] for e in page.all("link")] + [e.attrs["src"] for e in page.all("script")]

    assert len(loaded) >= 4
    assert {client.get(url).status_code for url in loaded} == {200}


def test_stylesheets_and_scripts_ask_no_other_host():
    own = [*WEB.glob("static/**/*.css"), *WEB.glob("static/**/*.js"), *WEB.glob("templates/**/*.html")]

    assert own
    for file in own:
        urls = re.findall(r"""(?:https?:)?//[a-z0-9][\w.-]*\.[a-z]{2,}""", file.read_text(encoding="utf-8"))
        assert [url for url in urls if "www.w3.org" not in url] == [], file


def test_scripts_stay_a_few_dozen_lines_each():
    lengths = {file.name: len(file.read_text().splitlines()) for file in WEB.glob("static/js/*.js")}

    assert {name: lines for name, lines in lengths.items() if lines > 80} == {}
    assert lengths


def test_an_unknown_address_is_a_page_for_people_and_json_for_programs(client):
    page = client.get("/nowhere", headers={"Accept": "text/html"})
    program = client.get("/nowhere", headers={"Accept": "application/json"})

    assert (page.status_code, program.status_code) == (404, 404)
    assert "Not on the shelf" in Page(page.text).text
    assert program.get_json()["error"]["code"] == "not_found"


def test_a_mistake_of_ours_is_a_page_with_a_request_id_and_no_traceback(app, client):
    @app.get("/burns")
    def burns() -> str:
        raise RuntimeError("secret detail")

    answer = client.get("/burns", headers={"Accept": "text/html", "X-Request-ID": "abc-123"})

    assert answer.status_code == 500
    assert "Something burned" in Page(answer.text).text
    assert "abc-123" in answer.text
    assert "secret" not in answer.text


def test_an_empty_front_page_says_what_to_do(client):
    page = get(client, "/")

    assert "Nothing yet. Choose a pipeline above" in page.text
    assert "A CSV, JSONL, Parquet or Excel file becomes a batch" in page.text


def test_without_pipelines_the_pages_say_how_to_name_one(client, engine):
    sync_pipelines(engine, [], utc_now())

    for path in ("/", "/pipelines", "/batches/new"):
        assert "[pipelines.sentiment]" in get(client, path).text


def test_cards_say_warm_or_cold_and_how_much_waits(client, oven, submit):
    oven.be_seen()
    submit()
    submit()
    oven.take()
    cards = [" ".join(card.text.split()) for card in get(client, "/pipelines").all("article")]

    assert "fake" in cards[0]
    assert "warm1 running, 1 waiting" in cards[0]
    assert "labels" in cards[1]
    assert "cold" in cards[1]


def test_a_checkpoint_in_a_folder_shows_its_name_and_not_its_place(client):
    assert "/srv/secret" not in client.get("/").text + client.get("/pipelines/chat").text


@pytest.mark.parametrize(
    ("state", "words"), [(PipelineState.PAUSED, "is paused"), (PipelineState.BROKEN, "No such checkpoint.")]
)
def test_a_pipeline_that_does_not_run_says_so_above_its_form(client, engine, state, words):
    transaction(engine, lambda conn: set_state(conn, "fake", state, reason="No such checkpoint.", now=utc_now()))

    assert words in get(client, "/pipelines/fake").text


def test_the_workers_page_shows_what_is_warm_and_in_hand(client, oven, engine):
    oven.be_seen(state="busy")
    more = {"baking": {"pipeline": "fake", "rows": 12, "since": None}, "memory_bytes": 4_000_000}
    transaction(engine, lambda conn: set_worker(conn, "host/cpu", **more))
    page = get(client, "/workers")

    assert "host/cpu" in page.text
    assert "busy" in page.text
    assert "12 rows of fake" in page.text
    assert "1.0 MB of 4.0 MB" in page.text
    assert page.one("rect", class_="bar-fill").attrs["width"] == "25.0%"


def test_the_workers_page_shows_how_well_microbatches_were_filled(client, oven):
    count = {"rows": 3000, "real_tokens": 950, "padded_tokens": 1000, "seconds": 20.0, "budget": 2048}
    oven.be_seen(tally={"fake": count})
    page = get(client, "/workers")

    cells = [cell.text.replace("\xa0", " ") for cell in page.all("td")]
    assert cells == [
        "1.0 MB",
        "3,000",
        "150.0",
        "2,048",
        "5.0%",
    ]


def test_a_quantized_pipeline_says_what_that_costs(client, engine):
    model = {"id": "m", "commit": "c", "dtype": "int8", "backend": "onnx"}
    fidelity = {
        "inputs": 100, "recent": True, "same_first": 98, "of": 100, "score_mean": 0.0041, "score_max": 0.0512,
    }  # fmt: skip
    transaction(engine, lambda conn: note_loaded(conn, "fake", model, fidelity=fidelity))
    page = get(client, "/pipelines/fake")

    assert "ONNX Runtime" in page.text
    assert "on the last 100 inputs: the same first answer for 98 of 100, its score off by 0.0041" in page.text
    assert client.get("/api/v1/pipelines/fake").json["fidelity"] == fidelity


def test_what_writes_in_int8_says_how_much_of_it_is_the_same(client, engine):
    model = {"id": "m", "commit": "c", "dtype": "int8", "backend": "torch"}
    fidelity = {"inputs": 8, "recent": True, "same_text": 5, "texts": 8, "same_words": 0.874}
    transaction(engine, lambda conn: note_loaded(conn, "fake", model, fidelity=fidelity))
    page = get(client, "/pipelines/fake")

    assert "the same text for 5 of 8, and on average the first 87% of a text's words the same" in page.text


def test_a_worker_that_was_not_heard_from_is_silent(client, oven):
    oven.be_seen(heartbeat_at=utc_now() - timedelta(minutes=3))
    page = get(client, "/workers")

    assert "silent" in page.text
    assert "3 min ago" in page.text


def test_without_workers_the_page_says_how_to_start_one(client):
    assert "No worker has reported" in get(client, "/workers").text


def test_numbers_read_as_people_write_them():
    seconds = [None, 0.0042, 0.9999, 3.21, 42.4, 125, 11_400]
    assert [filters.duration(one) for one in seconds] == [
        "–",
        "4 ms",
        "1.0 s",
        "3.2 s",
        "42 s",
        "2 min 5 s",
        "3 h 10 min",
    ]
    sizes = [None, 0, 999, 1_200, 1_200_000, 150_000_000, 8 * 10**12]
    assert [filters.size(one) for one in sizes] == ["–", "0 B", "999 B", "1.2 kB", "1.2 MB", "150 MB", "8.0 TB"]
    assert [filters.percent(one) for one in (None, 0, 0.0001, 0.5, 0.99999, 1)] == [
        "–", "0.0 %", "< 0.1 %", "50.0 %", "> 99.9 %", "100.0 %",
    ]  # fmt: skip
    now = utc_now()
    passed = [
        timedelta(seconds=1),
        timedelta(seconds=40),
        timedelta(minutes=1),
        timedelta(hours=5),
        timedelta(days=2),
    ]
    assert [filters.ago(now - one) for one in passed] == [
        "just now", "40 s ago", "1 min ago", "5 h ago", "2 d ago",
    ]  # fmt: skip
    assert filters.short("a " * 200, 10) == "a a a a a…"


def test_the_pipelines_of_these_tests_are_all_on_the_front_page(client):
    text = get(client, "/").text
    assert [spec.name for spec in PIPELINES if spec.name not in text] == []
