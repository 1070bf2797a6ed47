"""Image tasks through HTTP to a real worker and back: what is sent in every way, and what comes of it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from contract.schemas import checker
from contract.tasks import CATALOGUE
from tests.processes import Stack, running_stack
from tests.tiny_images import MAKERS

Image = pytest.importorskip("PIL.Image", reason="needs Pillow")
pytestmark = pytest.mark.real_model

TASKS = sorted(MAKERS)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("images")
    tables = [
        f'[pipelines.{task}]\ntask = "{task}"\nmodel = "{MAKERS[task](folder / task)}"\nbackend = "torch"\n'
        for task in TASKS
    ]
    # A fixed budget: measuring one takes seconds for each pipeline.
    with running_stack(folder / "stack", pipelines="\n".join(tables), FOURNIL_TOKEN_BUDGET="64") as running:
        yield running


@pytest.fixture(scope="module")
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, headers={"Prefer": "wait=60"}, timeout=90) as client:
        yield client


def png(width: int = 40, height: int = 30, color: Any = (200, 120, 40), mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), color).save(out, "PNG")
    return out.getvalue()


def send(http: httpx.Client, task: str, body: bytes, **parameters: Any) -> httpx.Response:
    example = CATALOGUE[task].example
    inputs = {name: value for name, value in example["inputs"].items() if name != "image"}
    request = {"pipeline": task, "inputs": inputs, "parameters": {**example["parameters"], **parameters}}
    parts = {"request": (None, json.dumps(request)), "image": ("a photo.png", body)}
    return http.post("/api/v1/jobs", files=parts)


def succeeded(answer: httpx.Response) -> dict[str, Any]:
    job: dict[str, Any] = answer.json()
    assert answer.status_code == 200, job
    assert job["status"] == "succeeded", job["error"]
    assert checker(CATALOGUE[job["task"]].result).problems(job["result"], at="result") == []
    return job


@pytest.mark.parametrize("task", TASKS)
def test_the_example_of_the_catalogue_runs(http, task):
    example = CATALOGUE[task].example

    succeeded(http.post("/api/v1/jobs", json={"pipeline": task, **example}))


def files_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every {"file": ...} of a result."""
    if isinstance(value, dict):
        if set(value) == {"file"}:
            yield value["file"]
        for one in value.values():
            yield from files_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from files_in(one)


@pytest.mark.parametrize("task", ["image-segmentation", "depth-estimation", "image-to-image"])
def test_files_of_a_result_are_pngs_and_go_with_their_job(http, task):
    job = succeeded(send(http, task, png(40, 30)))
    scale = 2 if task == "image-to-image" else 1

    files = list(files_in(job["result"]))
    assert files
    for file in files:
        answer = http.get(file["url"])
        assert answer.headers["Content-Type"] == "image/png"
        assert len(answer.content) == file["bytes"]
        assert Image.open(io.BytesIO(answer.content)).size == (40 * scale, 30 * scale)
    everything = [*files, job["inputs"]["image"]["file"]]
    assert {http.delete(f"/api/v1/files/{file['id']}").status_code for file in everything} == {409}
    assert http.delete(job["urls"]["self"]).status_code == 204
    assert {http.get(file["url"]).status_code for file in everything} == {404}


def test_boxes_and_masks_are_drawn_over_the_image(http):
    boxes = succeeded(send(http, "zero-shot-object-detection", png(), threshold=0))
    masks = succeeded(send(http, "image-segmentation", png()))

    assert boxes["result"]
    assert '<rect class="box' in http.get(f"/jobs/{boxes['id']}").text
    assert '<rect class="part' in http.get(f"/jobs/{masks['id']}").text


@pytest.mark.parametrize("task", TASKS)
def test_an_image_as_a_part_is_seen_on_the_page_of_its_job(http, task):
    job = succeeded(send(http, task, png()))

    page = http.get(f"/jobs/{job['id']}").text
    file = job["inputs"]["image"]["file"]
    assert set(file) == {"id", "content_type", "bytes", "url"}
    assert file["url"] in page
    assert 'id="raw-json"' in page


def test_bytes_as_base64_and_by_file_id_give_the_same_as_a_part(http):
    body = png()
    part = succeeded(send(http, "image-classification", body))
    file_id = http.post("/api/v1/files", content=body, headers={"Content-Type": "x/y"}).json()["id"]
    forms = ({"data": base64.b64encode(body).decode()}, {"file_id": file_id}, part["inputs"]["image"])
    for image in forms:
        sent = {"pipeline": "image-classification", "inputs": {"image": image}}
        job = succeeded(http.post("/api/v1/jobs", json=sent))
        assert job["result"] == part["result"]
        assert job["inputs"]["image"]["file"]["content_type"] == "image/png"
