"""What a token of a pass holds, by the configurations of models that see, hear and write about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.pipelines import PipelineSpec
from tests.tiny import conversing, images, sounds
from worker.backends.backend import LoadedPipeline, nothing_recent
from worker.backends.device import configure
from worker.backends.key_values import bytes_of_a_token
from worker.backends.registry import backend_for

pytestmark = pytest.mark.real_model

PIXELS = 3 * 16 * 16


def load(task: str, folder: Path) -> LoadedPipeline:
    configure(1, "cpu")
    spec = PipelineSpec(name="tiny", task=task, model=str(folder))
    return backend_for(spec).load(spec, device="cpu", cache=folder.parent / "cache", recent=nothing_recent)


def layers(config: object) -> int:
    width = getattr(config, "hidden_size")  # noqa: B009 - configurations have it by many names
    inner = getattr(config, "intermediate_size", None) or getattr(config, "encoder_ffn_dim", None) or 4 * width
    return 6 * width + 2 * inner


def model_of(pipeline: LoadedPipeline) -> object:
    return pipeline._loaded.model  # type: ignore[attr-defined]


def test_of_a_picture_its_pixels_and_what_goes_through_a_layer(tmp_path: Path) -> None:
    pipeline = load("image-classification", images.classifier(tmp_path / "checkpoint"))
    assert pipeline.token_bytes == 4 * (layers(model_of(pipeline).config) + PIXELS)  # type: ignore[attr-defined]


def test_what_writes_about_a_picture_looks_back_at_each_square(tmp_path: Path) -> None:
    pipeline = load("image-to-text", images.captioner(tmp_path / "checkpoint"))
    model = model_of(pipeline)
    assert bytes_of_a_token(model) > 0
    seen = 4 * (layers(model.config.vision_config) + PIXELS)  # type: ignore[attr-defined]
    assert pipeline.token_bytes == seen + bytes_of_a_token(model)


def test_whisper_looks_back_at_each_frame(tmp_path: Path) -> None:
    pipeline = load("automatic-speech-recognition", sounds.whisper(tmp_path / "checkpoint"))
    model = model_of(pipeline)
    assert bytes_of_a_token(model) > 0
    assert pipeline.token_bytes == 4 * layers(model.config) + bytes_of_a_token(model)  # type: ignore[attr-defined]


def test_of_a_recording_its_first_convolution_is_the_most(tmp_path: Path) -> None:
    pipeline = load("automatic-speech-recognition", sounds.listener(tmp_path / "checkpoint"))
    config = model_of(pipeline).config  # type: ignore[attr-defined]
    assert pipeline.token_bytes == 4 * 2 * config.conv_dim[0] * (320 // config.conv_stride[0])


def test_a_conversation_about_pictures_has_keys_and_values(tmp_path: Path) -> None:
    pipeline = load("image-text-to-text", conversing.seer(tmp_path / "checkpoint"))
    assert pipeline.token_bytes == bytes_of_a_token(model_of(pipeline)) > 0
