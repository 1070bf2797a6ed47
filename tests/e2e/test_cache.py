"""Two files and a job that ask the same, through a real stack: the second costs no forward pass, and says so."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import tiny
from tests.processes import Stack, running_stack, wait_until

pytestmark = pytest.mark.real_model
TEXTS = ["the bread is good", "late", "the oven is warm", "late"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("cache")
    real = tiny.classifier(folder / "classifier")
    looking = tiny.MAKERS["image-classification"](folder / "looking")
    pipelines = f"""
[pipelines.fake]
task = "text-classification"
backend = "fake"
[pipelines.real]
task = "text-classification"
model = "{real}"
backend = "torch"
[pipelines.looking]
task = "image-classification"
model = "{looking}"
backend = "torch"
"""
    options = {"FOURNIL_CACHE_BYTES": "10000000", "FOURNIL_TOKEN_BUDGET": "64"}
    with running_stack(folder / "stack", pipelines=pipelines, **options) as running:
        yield running


def baked(stack: Stack, pipeline: str, texts: list[str], **parameters: Any) -> list[dict[str, Any]]:
    """The jobs of a batch that is over."""
    sent = httpx.post(
        f"{stack.url}/api/v1/batches",
        data={"request": json.dumps({"pipeline": pipeline, "parameters": parameters})},
        files={"file": ("rows.csv", "text\n" + "\n".join(texts) + "\n")},
        timeout=60,
    )
    assert sent.status_code == 202, sent.text
    url = f"{stack.url}{sent.headers['Location']}"
    wait_until(
        lambda: httpx.get(url, timeout=60).json()["status"] == "completed",
        seconds=90, what="the end of the batch", show=stack.shown,
    )  # fmt: skip
    jobs: list[dict[str, Any]] = httpx.get(f"{url}/jobs", timeout=60).json()["data"]
    return jobs


def cached(jobs: list[dict[str, Any]]) -> list[bool]:
    return [job["model"].get("cached", False) for job in jobs]


@pytest.mark.parametrize("pipeline", ["fake", "real"])
def test_a_second_file_is_answered_by_the_first(stack, pipeline):
    first, second = baked(stack, pipeline, TEXTS), baked(stack, pipeline, [*TEXTS[::-1], "a loaf"])
    assert cached(first) == [False] * 4
    assert cached(second) == [True] * 4 + [False]
    assert [job["result"] for job in second[:4]] == [job["result"] for job in first[::-1]]
    assert {job["model"]["commit"] for job in first + second} == {first[0]["model"]["commit"]}
    assert cached(baked(stack, pipeline, TEXTS, top_k=1)) == [False] * 4
    body = {"pipeline": pipeline, "inputs": TEXTS[0]}
    job = httpx.post(f"{stack.url}/api/v1/jobs", json=body, headers={"Prefer": "wait=30"}, timeout=60).json()
    assert (job["result"], cached([job])) == (first[0]["result"], [True])
    assert "kept from before" in httpx.get(f"{stack.url}/jobs/{job['id']}", timeout=60).text
    wait_until(lambda: counted(stack, pipeline) == 5, what="five rows in the metric", show=stack.shown)


def counted(stack: Stack, pipeline: str) -> float:
    lines = httpx.get(f"{stack.url}/metrics", timeout=60).text.splitlines()
    found = [line for line in lines if line.startswith("fournil_rows_cached_total{") and f'"{pipeline}"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def test_an_equal_picture_under_another_name_is_the_same_question(stack):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    answers = [_look(stack, image.new("RGB", (20, 20), color)) for color in ("red", "red", "blue")]
    assert cached(answers) == [False, True, False]
    assert answers[0]["result"] == answers[1]["result"]


def _look(stack: Stack, picture: Any) -> dict[str, Any]:
    out = io.BytesIO()
    picture.save(out, "PNG")
    parts = {"request": (None, json.dumps({"pipeline": "looking"})), "image": ("a.png", out.getvalue())}
    answer = httpx.post(f"{stack.url}/api/v1/jobs", files=parts, headers={"Prefer": "wait=60"}, timeout=90)
    job: dict[str, Any] = answer.json()
    assert job["status"] == "succeeded", job
    return job
