"""Masks of everything: those of the library's pipeline before it needs torchvision, and bounded in all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from contract.media import Media
from contract.pipelines import PipelineSpec
from worker.backends.backend import Context, LoadedPipeline, WithFiles, nothing_recent

pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("PIL.Image", reason="needs Pillow")

import numpy as np
import torch
import transformers
from PIL import Image

from tests.tiny.images import MAKERS
from worker.backends.media import MediaFile
from worker.backends.tasks import things
from worker.backends.transformers_backend import TransformersBackend

pytestmark = pytest.mark.real_model
TASK = "mask-generation"
OPEN = {"points_per_crop": 4, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "crops_nms_thresh": 1.0}


def picture(width: int = 64, height: int = 48) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((width, height), 60).convert("RGB").save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MAKERS[TASK](tmp_path_factory.mktemp("things") / TASK)


@pytest.fixture(scope="module")
def spec(checkpoint: Path) -> PipelineSpec:
    return PipelineSpec("things", TASK, model=str(checkpoint), backend="torch")


@pytest.fixture(scope="module")
def pipeline(checkpoint: Path, spec: PipelineSpec) -> LoadedPipeline:
    return TransformersBackend().load(spec, device="cpu", cache=checkpoint.parent / "cache", recent=nothing_recent)


def found(pipeline: LoadedPipeline, spec: PipelineSpec, body: bytes, **parameters: Any) -> list[dict[str, Any]]:
    effective = spec.effective(OPEN | parameters)
    file = MediaFile(lambda: io.BytesIO(body), "image", "image", Media())
    [answer] = pipeline.bake(pipeline.prepare([{"image": file}], effective), effective, Context())
    assert isinstance(answer, WithFiles), answer
    result: list[dict[str, Any]] = answer.result
    return result


def pixels(entry: dict[str, Any]) -> Any:
    return np.asarray(Image.open(io.BytesIO(entry["mask"].encode()))) > 0


@pytest.mark.parametrize("more", [{}, {"crops_n_layers": 1}, {"mask_threshold": 0.2, "points_per_batch": 3}])
def test_masks_scores_and_boxes_are_the_librarys(checkpoint, pipeline, spec, more):
    body = picture()
    library = transformers.pipeline(TASK, model=str(checkpoint))
    image = Image.open(io.BytesIO(body)).convert("RGB")
    before, during, _ = library._sanitize_parameters(**OPEN, **more)
    with torch.inference_mode():
        parts = [library._forward(dict(one), **during) for one in library.preprocess(image, **before)]
    masks = [mask for part in parts for mask in part["masks"]]
    scores = torch.cat([part["iou_scores"] for part in parts])
    boxes = torch.cat([part["boxes"] for part in parts])

    answer = found(pipeline, spec, body, **more)

    assert answer
    assert len(answer) <= len(masks)
    for entry in answer:
        near = [place for place in range(len(masks)) if abs(float(scores[place]) - entry["score"]) < 1e-5]
        assert list(entry["box"].values()) in [boxes[place].int().tolist() for place in near]
        assert any((_decoded(masks[place]) == pixels(entry)).all() for place in near)
    assert answer[0]["score"] == pytest.approx(float(scores.max()), abs=1e-5)


def _decoded(runs: dict[str, Any]) -> Any:
    from transformers.models.sam.image_processing_pil_sam import _rle_to_mask

    return _rle_to_mask(runs)


def test_of_boxes_that_overlap_too_much_the_best_is_kept():
    candidates = things._Candidates()
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [5, 5, 5, 5]])
    candidates.add([{}] * 4, torch.tensor([0.8, 0.9, 0.5, 0.1]), boxes)

    assert candidates.apart(0.7) == [1, 2, 3]
    assert candidates.apart(0.95) == [1, 0, 2, 3]


def test_candidates_are_bounded_and_the_best_stay(monkeypatch):
    monkeypatch.setattr(things, "_MOST_CANDIDATES", 10)
    candidates = things._Candidates()
    for start in range(0, 40, 5):
        scores = torch.arange(start, start + 5) / 40
        candidates.add(
            [{"n": n} for n in range(start, start + 5)], scores, torch.arange(20).reshape(5, 4) + start * 50
        )

    kept = candidates.apart(1.0)
    assert len(kept) <= 10
    assert candidates.at(kept[0])[0] == {"n": 39}


def test_no_more_masks_than_asked_for_and_none_above_what_no_mask_reaches(pipeline, spec):
    assert len(found(pipeline, spec, picture(), max_masks=1)) == 1
    assert found(pipeline, spec, picture(), mask_threshold=20, pred_iou_thresh=1.0, stability_score_thresh=1.0) == []


def test_of_a_large_image_a_smaller_one_is_cut_and_masks_have_its_size(monkeypatch, pipeline, spec):
    monkeypatch.setattr(things, "_MOST_PIXELS", 1_000)
    [first, *_] = found(pipeline, spec, picture(120, 90))

    assert pixels(first).shape == (90, 120)
    assert first["box"]["xmax"] > 60


def test_points_at_once_change_nothing(pipeline, spec):
    body = picture()
    few, many = found(pipeline, spec, body, points_per_batch=1), found(pipeline, spec, body, points_per_batch=64)

    assert [entry["box"] for entry in few] == [entry["box"] for entry in many]
