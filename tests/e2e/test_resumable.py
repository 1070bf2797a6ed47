"""Large files over bad lines, both ways: with the web server killed and lines cut, files go on where they were."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from cli import resuming
from cli.api import Api
from cli.main import main
from cli.stack import backoff
from cli.unfinished import Unfinished
from tests.cutting import cutting
from tests.e2e.browser import CHROMIUM, FLAGS, SECONDS
from tests.processes import Stack, running_stack, wait_until

client = pytest.importorskip("tusclient.client", reason="needs tuspy")

TUS = {"Tus-Resumable": "1.0.0"}
ROW = b"a row of a file that is too large to be sent twice\n"
CUT = ("net::ERR_CONNECTION_RESET", "net::ERR_INTERNET_DISCONNECTED", "net::ERR_UPLOAD_FILE_CHANGED")


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("resumable"), FOURNIL_TIDY_SECONDS="1") as running:
        yield running


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch) -> None:
    """What the command remembers is not the user's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def rows(tmp_path) -> Path:
    """Some megabytes of text, a header and then a row a line; its name is its own."""
    path = tmp_path / f"{tmp_path.name}.txt"
    path.write_bytes(ROW * 60_000)
    return path


def kill_web(stack: Stack) -> None:
    web = stack.child("web.wsgi")
    family = [web, *web.children(recursive=True)]
    for process in family:
        process.kill()


def offset_of(stack: Stack, url: str) -> int:
    """How far an upload is, as soon as the web server is there again."""

    def ask() -> httpx.Response | None:
        try:
            return httpx.head(url, headers=TUS, timeout=30)
        except httpx.TransportError:
            return None

    answer = wait_until(ask, what="the web server", show=stack.shown)
    return int(answer.headers["Upload-Offset"])


def content(stack: Stack, file_id: str) -> bytes:
    return httpx.get(f"{stack.url}/api/v1/files/{file_id}/content", timeout=30).raise_for_status().content


def test_a_tus_client_goes_on_after_the_web_server_was_killed_between_and_within_requests(stack, rows):
    tus = client.TusClient(f"{stack.url}/api/v1/uploads")
    size = rows.stat().st_size
    begun = tus.uploader(str(rows), chunk_size=500_000, metadata={"filename": "rows.txt"})
    begun.upload_chunk()
    kill_web(stack)
    assert offset_of(stack, begun.url) == 500_000

    on_disk = next(stack.data_dir.glob(f"files/*/{begun.url.rpartition('/')[2]}.upload"))

    def torn() -> Iterator[bytes]:
        yield rows.read_bytes()[500_000:1_500_000]
        wait_until(lambda: on_disk.stat().st_size > 500_000, what="bytes on the disk", show=stack.shown)
        kill_web(stack)
        yield rows.read_bytes()[1_500_000:]

    headers = {**TUS, "Upload-Offset": "500000", "Content-Length": str(size - 500_000)}
    headers["Content-Type"] = "application/offset+octet-stream"
    with pytest.raises(httpx.TransportError):
        httpx.patch(begun.url, headers=headers, content=torn(), timeout=30)
    kept = offset_of(stack, begun.url)
    assert 500_000 < kept < size

    resumed = tus.uploader(str(rows), url=begun.url, chunk_size=500_000, upload_checksum=True)
    assert resumed.offset == kept
    resumed.upload()
    file_id = begun.url.rpartition("/")[2]
    assert content(stack, file_id) == rows.read_bytes()
    asked = {"pipeline": "fake", "file_id": file_id}
    made = httpx.post(f"{stack.url}/api/v1/batches", json=asked, timeout=30).raise_for_status().json()
    assert (made["filename"], made["file_id"]) == ("rows.txt", file_id)
    httpx.post(f"{stack.url}/api/v1/batches/{made['id']}/cancel", timeout=30).raise_for_status()


def test_the_command_goes_on_where_the_web_server_was_killed(stack, rows, monkeypatch):
    monkeypatch.setattr(resuming, "_REQUEST", 1_000_000)
    killed_at: list[int] = []
    told: list[int] = []

    def moved(at: int) -> None:
        told.append(at)
        if at > 1_200_000 and not killed_at:
            killed_at.append(at)
            kill_web(stack)

    file_id = resuming.send_file(Api(stack.url), rows, moved, Unfinished.of(stack.url, rows))

    assert content(stack, file_id) == rows.read_bytes()
    behind = told[told.index(killed_at[0]) + 1 :]
    # What was there was not sent again: the request that was cut began at 1,000,000.
    assert min(behind) > 1_000_000


def test_the_same_command_goes_on_where_another_was_broken_off(stack, rows, monkeypatch):
    monkeypatch.setattr(resuming, "LARGE", 1)
    monkeypatch.setattr(resuming, "_REQUEST", 1_000_000)
    begun: list[int] = []

    def stopped(at: int) -> None:
        if at > 1_200_000:
            raise KeyboardInterrupt

    def batch_of(*more: str) -> str:
        words = ["batch", "fake", str(rows), "--on-invalid-rows", "skip", "--json", "--url", stack.url, *more]
        done = CliRunner().invoke(main, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        made = json.loads(done.stdout)
        httpx.post(f"{stack.url}/api/v1/batches/{made['id']}/cancel", timeout=30).raise_for_status()
        return str(made["file_id"])

    upload = Unfinished.of(stack.url, rows)
    with pytest.raises(KeyboardInterrupt):
        resuming.send_file(Api(stack.url), rows, stopped, upload)
    kept = upload.recall()
    assert kept is not None
    assert offset_of(stack, f"{stack.url}/api/v1{kept}") >= 1_000_000
    append = resuming._append
    monkeypatch.setattr(resuming, "_append", lambda *words: begun.append(words[3]) or append(*words))

    file_id = batch_of()

    assert kept.endswith(file_id)
    assert content(stack, file_id) == rows.read_bytes()
    assert min(begun) >= 1_000_000
    assert upload.recall() is None
    upload.keep(kept)
    assert batch_of("--no-resume") != file_id
    rows.write_bytes(ROW)
    assert Unfinished.of(stack.url, rows).recall() is None, "another file"


def test_an_upload_that_nobody_comes_back_for_is_removed_while_the_stack_runs(stack):
    begun = httpx.post(f"{stack.url}/api/v1/uploads", headers={**TUS, "Upload-Length": "9"}, timeout=30)
    url = stack.url + begun.headers["Location"]
    parts = list(stack.data_dir.glob(f"files/*/{url.rpartition('/')[2]}*"))
    then = time.time() - 2 * 86_400
    for part in parts:
        os.utime(part, (then, then))

    wait_until(lambda: not any(part.exists() for part in parts), what="the parts to go", show=stack.shown)
    assert (len(parts), httpx.head(url, headers=TUS, timeout=30).status_code) == (2, 404)


@pytest.fixture(scope="module")
def baked(stack) -> str:
    """The id of a batch whose results are some megabytes, every third of its rows failed."""
    texts = ["raise" if n % 3 == 2 else f'{n}: "cold",\r\n' + "crumbs " * 900 for n in range(1_500)]
    lines = (json.dumps({"text": text, "row": n % 7}) for n, text in enumerate(texts))
    files = {"request": (None, '{"pipeline": "fake"}', "application/json"), "file": ("t.jsonl", "\n".join(lines))}
    made = httpx.post(f"{stack.url}/api/v1/batches", files=files, timeout=30).raise_for_status().json()

    def is_over() -> bool:
        return bool(httpx.get(f"{stack.url}/api/v1/batches/{made['id']}").json()["status"] == "completed")

    wait_until(is_over, what="the batch", show=stack.shown)
    return str(made["id"])


def fetched(url: str, batch: str, out: Path, *words: str) -> tuple[int, str]:
    """`fournil results` in this process: its exit code, and what it says."""
    done = CliRunner().invoke(main, ["results", batch, "--out", str(out), "--url", url, *words])
    return done.exit_code, done.stderr


ASKED = {
    "results.csv": [],
    "failed.csv": ["--status", "failed", "--columns", "error,row"],
}


@pytest.mark.parametrize("name", ASKED)
def test_rows_that_come_down_go_on_where_the_line_was_cut(stack, baked, tmp_path, monkeypatch, name):
    monkeypatch.setattr(backoff, "LONGEST", 0.01)
    whole, out = tmp_path / f"whole.{name}", tmp_path / name
    fetched(stack.url, baked, whole, *ASKED[name])
    size = whole.stat().st_size
    with cutting(stack.url, [100, 1_000, size // 3, size // 3]) as line:
        assert fetched(line.url, baked, out, *ASKED[name])[0] == 0

    assert out.read_bytes() == whole.read_bytes()
    assert line.cuts == 4
    # What was there was not asked for again.
    assert "from_row" not in line.asked[0]
    assert int(line.asked[-1].partition("from_row=")[2].split()[0]) > 500


def test_a_download_outlives_the_web_server(stack, baked, tmp_path):
    whole, out = tmp_path / "whole.jsonl", tmp_path / "results.jsonl"
    fetched(stack.url, baked, whole)
    with cutting(stack.url, [1_000_000], on_cut=lambda: kill_web(stack)) as line:
        code, said = fetched(line.url, baked, out)

    assert code == 0, said
    assert out.read_bytes() == whole.read_bytes()
    assert "broke. It goes on with row " in said


def test_files_that_are_no_use_in_parts_begin_again_so_often_and_no_more(stack, baked, tmp_path, monkeypatch):
    monkeypatch.setattr(backoff, "LONGEST", 0.01)
    fetched(stack.url, baked, tmp_path / "whole.parquet")
    with cutting(stack.url, [1_000, 2_000]) as line:
        assert fetched(line.url, baked, tmp_path / "results.parquet")[0] == 0
    with cutting(stack.url, [1_000] * 20) as line:
        code, said = fetched(line.url, baked, tmp_path / "never.parquet")

    assert (tmp_path / "results.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert (code, line.cuts) == (3, 6)
    assert "given up after 6 tries" in said
    assert {path.name for path in tmp_path.iterdir()} == {"whole.parquet", "results.parquet"}


@pytest.fixture
def page(stack):
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context()
        context.set_default_timeout(SECONDS)
        page, errors = context.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        yield page
        browser.close()
    assert [error for error in errors if not any(cut in error for cut in CUT)] == []


def choose(page: Any, file: Path) -> None:
    """Send a file from the page, in pieces of half a megabyte."""
    small = "form => Object.assign(form.dataset, { piecesFrom: '1', piece: '500000' })"
    page.locator("[data-upload]").evaluate(small)
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Preview").click()


@pytest.mark.browser
def test_a_browser_goes_on_after_a_cut_and_after_a_reload(stack, page, rows):
    from playwright.sync_api import expect

    sent: list[int] = []
    cuts: list[int] = []
    line = {"is_bad": True}

    def patch(route):
        """Cuts the third request once, and from the fifth on every one."""
        offset = int(route.request.headers.get("upload-offset", -1))
        if route.request.method != "PATCH":
            route.continue_()
        elif line["is_bad"] and (len(sent) == 4 or (len(sent) == 2 and not cuts)):
            cuts.append(offset)
            route.abort("connectionreset")
        else:
            sent.append(offset)
            route.continue_()

    page.route("**/api/v1/uploads/*", patch)
    page.goto(f"{stack.url}/batches/new?pipeline=fake")
    choose(page, rows)
    # One cut is waited for: it goes on by itself. Past the others only after the page was loaded again.
    expect(page.locator("[data-upload-words]")).to_contain_text("65 % sent. The connection was lost")
    # The page that was left goes no further: else its next try would be sent as well.
    page.goto(f"{stack.url}/batches/new?pipeline=fake")
    line["is_bad"] = False
    choose(page, rows)

    expect(page.get_by_role("heading", name=rows.name)).to_be_visible()
    assert sent == list(range(0, rows.stat().st_size, 500_000))
    assert cuts[:2] == [1_000_000, 2_000_000]
    file_id = page.url.partition("?")[0].rpartition("/")[2]
    assert content(stack, file_id) == rows.read_bytes()


@pytest.mark.browser
def test_a_browser_says_that_a_file_was_changed_meanwhile_and_takes_it_anew(stack, page, rows):
    from playwright.sync_api import expect

    sent: list[int] = []

    def patch(route):
        """The file grows behind the page's back before its second piece is read."""
        if route.request.method == "PATCH":
            sent.append(int(route.request.headers["upload-offset"]))
            if len(sent) == 1:
                rows.write_bytes(ROW * 70_000)
        route.continue_()

    page.route("**/api/v1/uploads/*", patch)
    page.goto(f"{stack.url}/batches/new?pipeline=fake")
    choose(page, rows)
    expect(page.locator("[data-upload-words]")).to_contain_text("was changed or moved after it was chosen")
    assert page.get_by_label("File").input_value() == ""
    tries = len(sent)
    choose(page, rows)

    expect(page.get_by_role("heading", name=rows.name)).to_be_visible()
    assert sent[tries:] == list(range(0, rows.stat().st_size, 500_000))
    assert content(stack, page.url.partition("?")[0].rpartition("/")[2]) == rows.read_bytes()
