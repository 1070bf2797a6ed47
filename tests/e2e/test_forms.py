"""The form of every task in Chromium: filled with its example or files from a disk, run, and its result drawn."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.tasks import CATALOGUE
from tests.e2e.browser import CHROMIUM, FLAGS, SECONDS, Page, Visit, expect, sync_api
from tests.processes import Stack

pytestmark = [pytest.mark.browser, pytest.mark.real_model]

#: What each kind of result is drawn as.
DRAWN = {
    "labels": ".bars .name",
    "entities": ".marked",
    "tokens": ".gap-word",
    "vector": ".vector-picture rect",
    "scores": ".bars .name",
    "text": ".chat .said-assistant",
    "written": "p.quiet",
    "answers": ".bars .name",
    "table": "table.marked",
    "boxes": ".seen img",
    "masks": ".seen img",
    "depth": ".seen img",
    "picture": ".seen img",
    "replies": ".bars .name, .written",
    "caption": ".written",
    "found": ".seen img",
    "matches": "svg.pair image",
    "transcript": "audio",
    "sound": "audio",
    "things": ".seen img",
    "decisions": ".bars .name",
    "watched": ".watched video",
}
#: One task of each kind of field that takes files: there they are chosen from a disk, in place of the example's.
FROM_A_DISK = (
    "image-segmentation",
    "keypoint-matching",
    "image-text-to-text",
    "document-question-answering",
    "automatic-speech-recognition",
    "video-classification",
)


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


@pytest.mark.proves("chromium")
@pytest.mark.parametrize("task", CATALOGUE)
def test_the_example_is_filled_in_and_run_and_its_result_drawn(page: Page, tmp_path: Path, task: str) -> None:
    page.goto(f"/pipelines/{task}")
    page.get_by_role("link", name="Fill in an example").click()
    places = page.locator("form input[type=file]")
    for place, file in enumerate(_files(task, tmp_path) if task in FROM_A_DISK else ()):
        places.nth(place).set_input_files(file)
    page.get_by_role("button", name="Run").click()

    result = page.locator("section", has=page.locator("#result"))
    expect(result.locator(DRAWN[CATALOGUE[task].view]).first).to_be_visible(timeout=3 * SECONDS)
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
