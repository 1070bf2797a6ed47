"""The form of each kind of input in a browser: chosen and written there, run, and drawn as what it is."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.tasks import CATALOGUE
from tests.e2e.test_browser import CHROMIUM, FLAGS, SECONDS, Page, Visit, expect, sync_api
from tests.processes import Stack

pytestmark = [pytest.mark.browser, pytest.mark.real_model]

#: Task, the way its form is asked where there are several, and what its result is drawn as.
FORMS = {
    "text": ("token-classification", None, ".marked"),
    "numbers": ("feature-extraction", None, ".vector-picture rect"),
    "chat": ("text-generation", "messages", ".chat .said-assistant"),
    "table": ("table-question-answering", None, "table.marked"),
    "json": ("decision", None, ".bars .name"),
    "image": ("image-segmentation", None, ".seen img"),
    "two images": ("keypoint-matching", None, "svg.pair image"),
    "image and text": ("image-text-to-text", "text", ".chat, .written"),
    "document": ("document-question-answering", None, ".seen img"),
    "audio": ("automatic-speech-recognition", None, "audio"),
    "sound": ("text-to-audio", None, "audio"),
    "video": ("video-classification", None, ".watched video"),
}


@pytest.fixture(scope="module")
def page(all_tasks: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One window for all of them, which may not hold an error at the end."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        window = Visit(browser.new_context(base_url=all_tasks.url), all_tasks.url, tmp_path_factory.mktemp("forms"))
        yield window.page
        browser.close()
    assert window.errors == []


@pytest.mark.parametrize("kind", FORMS)
def test_a_form_is_filled_run_and_its_result_drawn(page: Page, tmp_path: Path, kind: str) -> None:
    task, way, drawn = FORMS[kind]
    page.goto(f"/pipelines/{task}?example=1" + (f"&as={way}" if way else ""))
    places = page.locator("form input[type=file]")
    for place, file in enumerate(_files(task, tmp_path)):
        places.nth(place).set_input_files(file)
    page.get_by_role("button", name="Run").click()

    result = page.locator("section", has=page.locator("#result"))
    expect(result.locator(drawn).first).to_be_visible(timeout=3 * SECONDS)
    expect(page.locator("#raw-json")).to_be_hidden()
    page.locator("#raw > summary").click()
    expect(page.locator("#raw-json")).to_be_visible()


def _files(task: str, folder: Path) -> Iterator[Path]:
    """The files of the example, as a person has them: with a name, on a disk."""
    for field in CATALOGUE[task].media:
        given = CATALOGUE[task].example["inputs"].get(field, [])
        for number, one in enumerate(given if isinstance(given, list) else [given]):
            file = folder / f"{field} {number}"
            file.write_bytes(base64.b64decode(one["data"]))
            yield file
