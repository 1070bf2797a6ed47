"""video-classification: equal to the library's pipeline on the same file, alone and among others."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import transformers

from contract.errors import CheckpointError, InputError
from contract.media import Media
from tests.integration.beside_library import Oven, assert_same
from tests.tiny import images, videos
from tests.videos import clip
from worker.backends import fitting, weights
from worker.backends.candidates import look
from worker.backends.media import MediaFile

pytestmark = pytest.mark.real_model

TASK = "video-classification"
KINDS = ["mp4", "webm of VP9", "mov"]


def sent(body: bytes) -> dict[str, Any]:
    return {"video": MediaFile(lambda: io.BytesIO(body), "video", "video", Media())}


def as_images(oven: Oven) -> Oven:
    """With torchvision the library would prepare videos otherwise than these were published."""
    oven.library.video_processor = None
    return oven


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("watching")


@pytest.fixture(scope="module")
def oven(folder: Path) -> Oven:
    return as_images(Oven(TASK, videos.classifier(folder / "videomae"), folder / "cache"))


@pytest.fixture(scope="module")
def files(folder: Path) -> list[Path]:
    made = [folder / f"clip{number}" for number in range(len(KINDS))]
    for file, kind in zip(made, KINDS, strict=True):
        file.write_bytes(clip(kind, width=64 if kind == "mp4" else 96))
    return made


@pytest.mark.parametrize(
    "asked",
    [{}, {"frame_sampling_rate": 3}, {"function_to_apply": "sigmoid", "top_k": 2}, {"function_to_apply": "none"}],
)
def test_labels_equal_the_pipeline_on_the_same_files(oven, files, asked):
    expected = [oven.library(str(file), **asked) for file in files]

    assert_same(expected, oven.together_and_alone([sent(file.read_bytes()) for file in files], **asked))


def test_an_architecture_that_stretches_takes_other_numbers_of_frames(folder, files):
    stretcher = as_images(Oven(TASK, videos.stretcher(folder / "timesformer"), folder / "cache"))
    rows = [sent(file.read_bytes()) for file in files]

    for asked in ({}, {"num_frames": 4, "frame_sampling_rate": 2}):
        expected = [stretcher.library(str(file), **asked) for file in files]
        assert_same(expected, stretcher.together_and_alone(rows, **asked))


def test_a_number_of_frames_that_the_model_does_not_see_is_named(oven):
    [refused] = oven.run([sent(clip())], num_frames=4)

    assert isinstance(refused, InputError)
    assert (refused.field, "8 frames" in refused.message) == ("parameters.num_frames", True)


def test_a_short_video_is_seen_whole_and_a_broken_one_fails_alone(oven):
    good, bad = oven.run([sent(clip(frames=3)), sent(b"\0\0\0\x1cftypisom" + bytes(60))])

    assert len(good) == 3
    assert isinstance(bad, InputError)
    assert bad.field == "video"


def test_an_architecture_that_needs_torchvision_is_refused_by_name(tmp_path, monkeypatch):
    for module in (fitting, weights):
        monkeypatch.setattr(module, "is_torchvision_available", lambda: False)
    config = transformers.VJEPA2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, crop_size=32, frames_per_clip=4,
        pred_hidden_size=16, pred_num_attention_heads=2, pred_num_hidden_layers=1, num_pooler_layers=1,
    )  # fmt: skip
    transformers.VJEPA2ForVideoClassification(config).save_pretrained(tmp_path / "vjepa2")
    (tmp_path / "vjepa2" / "video_preprocessor_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="of type vjepa2 needs the package torchvision; run pip install"):
        Oven(TASK, tmp_path / "vjepa2", tmp_path / "cache")
    with pytest.raises(CheckpointError, match="of type vjepa2 needs the package torchvision; run pip install"):
        fitting.likeliest(look(str(tmp_path / "vjepa2"), revision=None, cache=tmp_path))


def test_a_checkpoint_of_images_is_refused(folder):
    with pytest.raises(CheckpointError):
        Oven(TASK, images.MAKERS["image-classification"](folder / "vit"), folder / "cache")
