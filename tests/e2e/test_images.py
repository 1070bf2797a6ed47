"""Image tasks through HTTP to a real worker and back: what is sent in every way, and what comes of it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from contract.tasks import CATALOGUE
from tests.e2e.answers import succeeded
from tests.pictures import broken, png
from tests.processes import Stack, running_stack
from tests.tiny.images import MAKERS

Image = pytest.importorskip("PIL.Image", reason="needs Pillow")
pytestmark = pytest.mark.real_model

TASKS = sorted(task for task in MAKERS if "image" in CATALOGUE[task].media)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("images")
    tables = [
        f'[pipelines.{task}]\ntask = "{task}"\nmodel = "{MAKERS[task](folder / task)}"\nbackend = "torch"\n'
        for task in MAKERS
    ]
    # A fixed budget: measuring one takes seconds for each pipeline.
    with running_stack(folder / "stack", pipelines="\n".join(tables), FOURNIL_TOKEN_BUDGET="64") as running:
        yield running


def send(http: httpx.Client, task: str, body: bytes, **parameters: Any) -> httpx.Response:
    example = CATALOGUE[task].example
    inputs = {name: value for name, value in example["inputs"].items() if name != "image"}
    request = {"pipeline": task, "inputs": inputs, "parameters": {**example["parameters"], **parameters}}
    parts = {"request": (None, json.dumps(request)), "image": ("a photo.png", body)}
    return http.post("/api/v1/jobs", files=parts)


@pytest.mark.parametrize("task", sorted(MAKERS))
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


@pytest.mark.parametrize("wrong", sorted(broken()))
@pytest.mark.parametrize("task", ["image-classification", "object-detection"])
def test_a_broken_file_is_refused_or_fails_with_a_code(http, task, wrong):
    answer = send(http, task, broken()[wrong])

    if answer.status_code == 422:
        error = answer.json()["error"]
        assert error["field"] == "inputs.image"
    else:
        assert answer.json()["status"] == "failed", answer.json()
        error = answer.json()["error"]
        assert error["code"] == "input_rejected"
    assert error["message"].endswith((".", "!"))
    assert not any(word in error["message"] for word in ("Error", "Traceback", "PIL", "/"))


def odd() -> dict[str, bytes]:
    """Images that are unusual and good all the same."""
    made: dict[str, bytes] = {}

    def save(name: str, image: Any, kind: str, **options: Any) -> None:
        out = io.BytesIO()
        image.save(out, kind, **options)
        made[name] = out.getvalue()

    noise = Image.effect_noise((60, 40), 90)
    color = Image.merge("RGB", [noise] * 3)
    turned = Image.Exif()
    turned[0x0112] = 6
    save("EXIF turned", color, "JPEG", exif=turned)
    turned[0x0112] = 99
    save("EXIF of nonsense", color, "JPEG", exif=turned)
    save("EXIF that is cut", color, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    save("animated GIF", color, "GIF", save_all=True, append_images=[color.rotate(9), color.rotate(20)])
    save("animated WebP", color, "WEBP", save_all=True, append_images=[color.rotate(9)])
    save("CMYK", color.convert("CMYK"), "JPEG")
    save("16 bit", noise.convert("I;16"), "PNG")
    save("32 bit float", noise.convert("F"), "TIFF")
    save("one bit", noise.convert("1"), "PNG")
    save("a palette with transparency", color.quantize(8), "PNG", transparency=3)
    save("gray with alpha", noise.convert("LA"), "PNG")
    save("one pixel", Image.new("RGB", (1, 1)), "PNG")
    return made


@pytest.mark.parametrize("kind", sorted(odd()))
def test_an_unusual_image_is_taken_as_what_it_shows(http, kind):
    succeeded(send(http, "image-classification", odd()[kind]))


def test_two_images_come_back_as_lines_between_them(http):
    noise = io.BytesIO()
    Image.effect_noise((64, 48), 60).save(noise, "PNG")
    parts = [("request", (None, json.dumps({"pipeline": "keypoint-matching", "inputs": {}})))]
    parts += [("images", ("a.png", noise.getvalue()))] * 2
    job = succeeded(http.post("/api/v1/jobs", files=parts))

    assert job["result"]
    page = http.get(f"/jobs/{job['id']}").text
    assert page.count('<line class="match') == len(job["result"])
    assert all(one["file"]["url"] in page for one in job["inputs"]["images"])
    cut = [("images", ("a.png", body)) for body in (noise.getvalue(), noise.getvalue()[:300])]
    failed = http.post("/api/v1/jobs", files=[parts[0], *cut]).json()
    assert (failed["status"], failed["error"]["code"]) == ("failed", "input_rejected")
    assert failed["error"]["message"].startswith("inputs.images.1: ")


def test_fields_that_are_no_image_are_named(http):
    def ask(image: Any, **more: Any) -> tuple[int, str | None]:
        body = {"pipeline": "image-classification", "inputs": {"image": image, **more}}
        answer = http.post("/api/v1/jobs", json=body)
        return answer.status_code, answer.json().get("error", {}).get("field")

    assert ask("/etc/passwd") == (422, "inputs.image")
    assert ask("http://127.0.0.1/a.png") == (422, "inputs.image")
    assert ask({"path": "/etc/passwd"}) == (422, "inputs.image.path")
    assert ask({}) == (422, "inputs.image")
    assert ask({"data": "no base64!"}) == (422, "inputs.image.data")
    assert ask({"data": 5}) == (422, "inputs.image.data")
    assert ask({"data": "AAAA", "file_id": "x"}) == (422, "inputs.image")
    assert ask({"file_id": "../../etc/passwd"}) == (422, "inputs.image")
    assert ask({"file_id": "0" * 32}) == (422, "inputs.image")
    assert ask({"url": "http://127.0.0.1:1/"}) == (422, "inputs.image")
    assert ask([1, 2]) == (422, "inputs.image")
    assert ask({"data": "AAAA"}, audio=1) == (422, "inputs.audio")


def test_after_all_that_the_same_worker_still_answers(http):
    assert all(worker["live"] for worker in http.get("/api/v1/workers").json()["data"])
    succeeded(send(http, "image-classification", png()))
