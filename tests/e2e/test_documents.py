"""Documents through HTTP to a real worker and back: pictures and PDFs, good and bad, and the page of a job."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.documents import MENDED, broken, pdf
from tests.e2e.answers import succeeded
from tests.processes import Stack, running_stack
from tests.tiny import documents

Image = pytest.importorskip("PIL.Image", reason="needs Pillow")
pytestmark = pytest.mark.real_model

TASK = "document-question-answering"
WORDS = [["Total:", [100, 100, 200, 120]], ["12", [210, 100, 240, 120]]]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("documents")
    makers = {"pointer": documents.pointer, "looker": documents.looker, "reader": documents.reader}
    tables = [
        f'[pipelines.{name}]\ntask = "{TASK}"\nmodel = "{make(folder / name)}"\n' for name, make in makers.items()
    ]
    with running_stack(folder / "stack", pipelines="\n".join(tables), FOURNIL_TOKEN_BUDGET="64") as running:
        yield running


def send(http: httpx.Client, body: bytes, pipeline: str = "pointer", words: Any = None, **parameters: Any) -> Any:
    inputs = {"question": "What is the total?"} | ({"word_boxes": words} if words else {})
    request = {"pipeline": pipeline, "inputs": inputs, "parameters": parameters}
    parts = {"request": (None, json.dumps(request)), "image": ("an invoice.pdf", body)}
    return http.post("/api/v1/jobs", files=parts)


def png(width: int = 40, height: int = 60) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("pipeline", ["pointer", "looker", "reader"])
def test_a_pdf_and_a_picture_are_answered(http, pipeline):
    of_pdf = succeeded(send(http, pdf(), pipeline, max_new_tokens=4))
    of_picture = succeeded(send(http, png(), pipeline, words=WORDS, max_new_tokens=4))

    assert of_pdf["inputs"]["image"]["file"]["content_type"] == "application/pdf"
    assert "page" not in of_picture["result"][0]
    assert of_pdf["result"][0].get("page", 1) == 1


def test_the_page_of_a_job_shows_the_document_with_its_answer_marked(http):
    job = succeeded(send(http, pdf([[], [(72, 700, "Total: 12")]]), top_k=3))

    page = http.get(f"/jobs/{job['id']}").text
    picture = http.get(f"/jobs/{job['id']}/pages/2")
    assert job["result"][0]["page"] == 2
    assert f"/jobs/{job['id']}/pages/2" in page
    assert '<rect class="box' in page
    assert picture.headers["Content-Type"] == "image/png"
    assert Image.open(io.BytesIO(picture.content)).size == (1700, 2200)
    missing = [f"/jobs/{job['id']}/pages/{number}" for number in (0, 3)] + ["/jobs/none/pages/1"]
    assert {http.get(path).status_code for path in missing} == {404}


@pytest.mark.parametrize("wrong", sorted(broken()))
@pytest.mark.parametrize("pipeline", ["pointer", "reader"])
def test_a_broken_document_is_refused_or_fails_with_a_code(http, pipeline, wrong):
    answer = send(http, broken()[wrong], pipeline, max_new_tokens=2)

    if answer.status_code == 422:
        error = answer.json()["error"]
        assert error["field"] == "inputs.image"
    elif answer.json()["status"] == "succeeded":
        assert wrong in MENDED
        return
    else:
        error = answer.json()["error"]
        assert error["code"] == "input_rejected"
    assert error["message"].endswith(".")
    assert not any(word in error["message"] for word in ("Error", "Traceback", "pdfium"))


def test_words_that_are_no_words_with_boxes_are_named(http):
    def ask(words: Any) -> str | None:
        answer = send(http, png(), words=words)
        body = answer.json()
        return body["error"].get("field", body["error"]["code"]) if body.get("error") else None

    assert ask(["a"]) == "inputs.word_boxes.0"
    assert ask([["a"]]) == "inputs.word_boxes.0"
    assert ask([["a", [0, 0, 5]]]) == "inputs.word_boxes.0.1"
    assert ask([["a", [0, 0, 5, 1001]]]) == "inputs.word_boxes.0.1.3"
    assert ask([["a", [0, 0, 5, -1]]]) == "inputs.word_boxes.0.1.3"
    assert ask([["a", [0, 0, 5, 0.5]]]) == "inputs.word_boxes.0.1.3"
    assert ask([[5, [0, 0, 5, 5]]]) == "inputs.word_boxes.0.0"
    assert ask([["a", [9, 0, 5, 5]]]) == "input_rejected"
    assert ask("words") == "inputs.word_boxes"
    assert ask(None) == "input_rejected"


def test_after_all_that_the_same_worker_still_answers(http):
    assert all(worker["live"] for worker in http.get("/api/v1/workers").json()["data"])
    succeeded(send(http, pdf()))
