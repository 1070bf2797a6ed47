"""Points of two images: the library's own pairs, each pair of images on its own, and broken files named."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from contract.errors import InputError
from contract.media import Media
from contract.pipelines import PipelineSpec
from worker.backends.backend import Context, LoadedPipeline, Prepared, nothing_recent

pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("PIL.Image", reason="needs Pillow")

import transformers
from PIL import Image

from tests.tiny.images import MAKERS
from worker.backends.media import MediaFile, in_place
from worker.backends.transformers_backend import TransformersBackend

pytestmark = pytest.mark.real_model
TASK = "keypoint-matching"
SPEC = {"name": "pairs", "task": TASK, "backend": "torch"}


def picture(seed: int, width: int = 48, height: int = 48) -> bytes:
    out = io.BytesIO()
    noise = Image.effect_noise((width, height), 20 + seed).convert("RGB")
    noise.save(out, "PNG")
    return out.getvalue()


def files(*bodies: bytes) -> list[MediaFile]:
    def bring(body: bytes, field: str, kind: str) -> MediaFile:
        return MediaFile(lambda: io.BytesIO(body), field, kind, Media())

    made: list[MediaFile] = in_place(list(bodies), "images", "image", bring)
    return made


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MAKERS[TASK](tmp_path_factory.mktemp("pairs") / TASK)


@pytest.fixture(scope="module")
def pipeline(checkpoint: Path) -> LoadedPipeline:
    spec = PipelineSpec(model=str(checkpoint), **SPEC)
    return TransformersBackend().load(spec, device="cpu", cache=checkpoint.parent / "cache", recent=nothing_recent)


def matched(pipeline: LoadedPipeline, *pairs: tuple[bytes, bytes], threshold: float = 0.0) -> list[Any]:
    parameters = {"threshold": threshold}
    rows = pipeline.prepare([{"images": files(*pair)} for pair in pairs], parameters)
    ready = [row for row in rows if isinstance(row, Prepared)]
    assert len(ready) == len(pairs), rows
    return pipeline.bake(ready, parameters, Context())


@pytest.mark.parametrize("threshold", [0.0, 0.012, 1.0])
def test_square_images_match_as_the_librarys_pipeline_matches_them(checkpoint, pipeline, threshold):
    library = transformers.pipeline(TASK, model=str(checkpoint))
    pairs = [(picture(n), picture(n + 1)) for n in range(3)]

    found = matched(pipeline, *pairs, threshold=threshold)

    for pair, answer in zip(pairs, found, strict=True):
        images = [Image.open(io.BytesIO(body)).convert("RGB") for body in pair]
        expected = library(images, threshold=threshold)
        assert [match["score"] for match in answer] == pytest.approx([match["score"] for match in expected], abs=1e-5)
        assert sorted(map(_places, answer)) == sorted(map(_places, expected))
    assert any(found) == (threshold < 1)


def _places(match: dict[str, Any]) -> list[int]:
    return [match[f"keypoint_image_{n}"][axis] for n in (0, 1) for axis in ("x", "y")]


def test_points_lie_in_the_pixels_of_each_image_where_it_is_not_square(pipeline):
    [found] = matched(pipeline, (picture(1, 200, 40), picture(2, 30, 300)))

    assert found
    for match in found:
        x, y, other_x, other_y = _places(match)
        assert x < 200
        assert y < 40
        assert other_x < 30
        assert other_y < 300
    assert max(_places(match)[0] for match in found) > 40


def test_a_pair_gets_the_same_alone_and_beside_others(pipeline):
    pairs = [(picture(n), picture(n + 1, 60, 30)) for n in range(4)]

    assert matched(pipeline, *pairs) == [matched(pipeline, pair)[0] for pair in pairs]


def test_a_broken_image_fails_alone_and_is_named(pipeline):
    good, cut = picture(1), picture(2)[:-200]
    rows = pipeline.prepare([{"images": files(good, cut)}, {"images": files(good, good)}], {"threshold": 0.0})

    assert isinstance(rows[1], Prepared)
    assert isinstance(rows[0], InputError)
    assert rows[0].message == "inputs.images.1: This image is broken or cut short. Send it again."
