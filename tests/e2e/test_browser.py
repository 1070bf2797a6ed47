"""A person at a browser, with real processes behind it: a form to its result, a file to its download.

Screenshots of every step are kept beside the test's other files; `pytest --basetemp DIR` says where.
"""

from __future__ import annotations

import base64
import csv
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from contract.tasks.media import EXAMPLE_IMAGE
from tests.e2e.browser import CHROMIUM, FLAGS, SECONDS, Visit, expect, sync_api
from tests.processes import FAKE, Stack, running_stack

pytestmark = pytest.mark.browser

PIPELINES = FAKE + '\n[pipelines.slow]\ntask = "text-classification"\nbackend = "fake"\n'


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[Stack]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    with running_stack(tmp_path_factory.mktemp("browser"), pipelines=PIPELINES) as running:
        yield running


@pytest.fixture(scope="module")
def chromium(stack):
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, stack, tmp_path):
    """A window; `visit(java_script_enabled=False)` is one without scripts."""
    contexts = []
    visits: list[Visit] = []

    def make(**options) -> Visit:
        context = chromium.new_context(viewport={"width": 1200, "height": 850}, accept_downloads=True, **options)
        contexts.append(context)
        visits.append(Visit(context, stack.url, tmp_path))
        return visits[-1]

    yield make
    for context in contexts:
        context.close()
    assert [error for one in visits for error in one.errors] == []


def write_rows(path: Path, texts: list[str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["id", "review", "stars"])
        writer.writerows([f"r{number}", text, number % 5] for number, text in enumerate(texts))
    return path


def test_a_text_goes_through_the_form_to_its_result_and_is_still_there_elsewhere(visit):
    window = visit()
    page = window.go("/")
    page.get_by_role("link", name="fake", exact=True).first.click()
    page.get_by_label("Text", exact=True).fill("even sleep:1")
    window.keep("form")
    page.get_by_role("button", name="Run").click()

    expect(page.locator("[data-waiting]")).to_be_visible()
    window.keep("waiting")
    expect(page.locator(".bars .name").first).to_have_text("even")
    expect(page.get_by_role("status")).to_have_text("Job succeeded")
    expect(page).to_have_title("Succeeded · fake · Fournil")
    window.keep("result")

    page.reload()
    expect(page.locator(".bars .name").first).to_have_text("even")
    other = visit().go(page.url.removeprefix(window.base))
    expect(other.locator(".bars .name").first).to_have_text("even")


def test_a_wrong_value_is_refused_beside_its_field_and_what_was_written_stays(visit):
    window = visit()
    window.errors = _without_422(window)
    page = window.go("/pipelines/fake")
    page.get_by_label("Text", exact=True).fill("keep me")
    page.locator("summary", has_text="Parameters").click()
    page.get_by_label("Labels to return").fill("-3")
    page.get_by_role("button", name="Run").click()

    field = page.get_by_label("Labels to return")
    expect(field).to_be_visible()
    expect(field).to_be_focused()
    expect(field).to_have_value("-3")
    expect(page.locator("#parameters-top_k-wrong")).to_have_text("This must be at least 1.")
    expect(page.get_by_label("Text", exact=True)).to_have_value("keep me")
    window.keep("refused")

    field.fill("1")
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".bars .name")).to_have_count(1)


def _without_422(window: Visit) -> list[str]:
    """The console calls a page with status 422 an error; here it is the answer."""

    class Errors(list):
        def append(self, text: str) -> None:
            if "422" not in text:
                super().append(text)

    return Errors()


def test_a_running_job_can_be_canceled_and_sent_again_with_changes(visit):
    window = visit()
    page = window.go("/pipelines/slow")
    page.get_by_label("Text", exact=True).fill("sleep:30")
    page.get_by_role("button", name="Run").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".state").first).to_have_text("canceled")

    page.get_by_role("link", name="Again, with changes").click()
    expect(page.get_by_label("Text", exact=True)).to_have_value("sleep:30")


def test_a_file_is_previewed_run_watched_and_taken_home(visit, tmp_path):
    texts = ["even sleep:0.4" if number % 40 == 0 else f"review number {number}" for number in range(200)]
    window = visit()
    page = window.go("/batches/new?pipeline=fake")
    page.get_by_label("File").set_input_files(write_rows(tmp_path / "reviews.csv", texts))
    page.get_by_role("button", name="Preview").click()

    expect(page.get_by_role("heading", name="reviews.csv")).to_be_visible()
    expect(page.get_by_label("Text", exact=False).first).to_have_value("review")
    expect(page.get_by_text("review number 1", exact=True)).to_be_visible()
    window.keep("preview")
    page.get_by_label("Your own id").select_option("id")
    expect(page.get_by_role("cell", name="r1", exact=True)).to_be_visible()
    page.get_by_role("button", name="Start").click()

    expect(page.locator("h1")).to_have_text("reviews.csv")
    window.keep("progress")
    page.reload()
    expect(page.locator(".state").first).to_have_text("completed", timeout=60_000)
    expect(page.locator(".tiles dd").first).to_have_text("200")
    window.keep("completed")

    with page.expect_download() as download:
        page.get_by_role("link", name="Results as CSV").click()
    path = tmp_path / "results.csv"
    download.value.save_as(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"r{number}" for number in range(200)]
    assert {row["label"] for row in rows} <= {"even", "odd"}
    assert [row["review"] for row in rows] == texts


def test_a_page_says_that_the_server_is_away_and_goes_on_when_it_is_back_and_what_was_deleted(visit, stack, tmp_path):
    window = visit()
    page = window.go("/batches/new?pipeline=slow")
    page.get_by_label("File").set_input_files(write_rows(tmp_path / "slow.csv", ["sleep:20"]))
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".state").first).to_have_text("running")
    path = "/api/v1" + page.url.removeprefix(stack.url)
    status = page.locator("[data-live-status]")

    page.route("**/fragment", lambda route: route.abort())
    expect(status).to_have_text("The server does not answer. Trying again…")
    expect(status).to_have_class("notice")
    window.keep("away")
    page.unroute("**/fragment")
    expect(status).to_have_text("Batch running", timeout=SECONDS)
    expect(status).to_have_class("visually-hidden")

    # As another window of the same batch would.
    page.route("**/fragment", lambda route: route.abort())
    expect(status).to_have_class("notice", timeout=SECONDS)
    assert httpx.post(f"{stack.url}{path}/cancel").json()["status"] == "canceled"
    assert httpx.delete(f"{stack.url}{path}").status_code == 204
    page.unroute("**/fragment")
    expect(page.locator("h1")).to_have_text("Not on the shelf", timeout=SECONDS)
    # The browser itself speaks of each question that failed.
    assert {error.partition(": ")[0] for error in window.errors} == {"Failed to load resource"}
    window.errors.clear()


def test_bad_rows_are_shown_before_the_start_and_can_be_left_out(visit, tmp_path):
    window = visit()
    page = window.go("/batches/new?pipeline=fake")
    page.get_by_label("File").set_input_files(write_rows(tmp_path / "holes.csv", ["one", "", "three"]))
    page.get_by_role("button", name="Preview").click()

    expect(page.get_by_role("heading", name="1 bad row")).to_be_visible()
    page.get_by_label("leave it out and run the others").check()
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".state").first).to_have_text("completed", timeout=60_000)
    expect(page.get_by_role("heading", name="What went wrong")).to_be_visible()
    window.keep("left-out")


def test_everything_works_without_scripts(visit, tmp_path):
    window = visit(java_script_enabled=False)
    page = window.go("/pipelines/fake?example=1")
    page.get_by_role("button", name="Run").click()
    # A refresh of the page's own polls.
    expect(page.locator(".bars .name").first).to_be_visible()
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)

    page = window.go("/batches/new?pipeline=fake")
    page.get_by_label("File").set_input_files(write_rows(tmp_path / "plain.csv", ["one", "two"]))
    page.get_by_role("button", name="Preview").click()
    page.get_by_label("Text", exact=False).first.select_option("id")
    page.get_by_role("button", name="Look again").first.click()
    expect(page.get_by_role("cell", name="r1", exact=True)).to_be_visible()
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".state").first).to_have_text("completed", timeout=60_000)
    window.keep("without-scripts")


def test_every_page_fits_a_phone_and_can_be_dark(visit):
    window = visit(color_scheme="dark")
    window.page.set_viewport_size({"width": 400, "height": 800})
    for path in ("/", "/pipelines", "/pipelines/fake?example=1", "/jobs", "/batches", "/batches/new", "/workers"):
        page = window.go(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, path
        assert page.evaluate("document.documentElement.dataset.bsTheme") == "dark"
        window.keep("phone" + path.partition("?")[0].replace("/", "-"))


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(visit, tmp_path):
    page = visit().go("/batches/new?pipeline=fake")
    page.evaluate("document.querySelector('[data-upload]').dataset.largest = '10'")
    page.get_by_label("File").set_input_files(write_rows(tmp_path / "large.csv", ["one", "two"]))
    page.get_by_role("button", name="Preview").click()

    expect(page.locator("[data-upload-words]")).to_have_text("The file is larger than this server takes.")
    expect(page.get_by_role("button", name="Preview")).to_be_enabled()


@pytest.mark.real_model
def test_an_image_is_chosen_in_a_form_and_its_boxes_are_drawn_over_it(chromium, tmp_path):
    images = pytest.importorskip("tests.tiny.images", reason="needs torch and Pillow")
    image = tmp_path / "loaf.png"
    image.write_bytes(base64.b64decode(EXAMPLE_IMAGE["data"]))
    model = images.MAKERS["object-detection"](tmp_path / "model")
    table = f'[pipelines.things]\ntask = "object-detection"\nmodel = "{model}"\nthreshold = 0.0\n'
    with running_stack(tmp_path / "stack", pipelines=table, FOURNIL_TOKEN_BUDGET="64") as stack:
        context = chromium.new_context(viewport={"width": 1200, "height": 850})
        window = Visit(context, stack.url, tmp_path)
        page = window.go("/pipelines/things")
        page.get_by_label("Image", exact=True).set_input_files(image)
        page.get_by_role("button", name="Run").click()

        expect(page.locator(".seen .box").first).to_be_visible(timeout=60_000)
        assert page.locator(".seen img").evaluate("image => [image.naturalWidth, image.naturalHeight]") == [64, 48]
        window.keep("boxes")
        page.get_by_role("link", name="Again, with changes").click()
        expect(page.locator(".kept-file img")).to_be_visible()
        page.get_by_role("button", name="Run").click()
        expect(page.locator(".seen .box").first).to_be_visible(timeout=60_000)
        context.close()
    assert window.errors == []
