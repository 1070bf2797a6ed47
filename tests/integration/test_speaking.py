"""text-to-audio: equal to the library's pipeline with the same seed, said aloud and written token by token."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from contract.errors import CheckpointError, InputError
from tests.integration.test_transformers_backend import Oven
from tests.recordings import samples_of
from tests.tiny import gpt2, sounds
from worker.backends.backend import Context

pytestmark = pytest.mark.real_model

TASK = "text-to-audio"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("speaking")


@pytest.fixture(scope="module")
def speak(folder: Path) -> Oven:
    return Oven(TASK, sounds.speaker(folder / "voice"), folder / "cache")


@pytest.fixture(scope="module")
def play(folder: Path) -> Oven:
    return Oven(TASK, sounds.musician(folder / "band"), folder / "cache")


def made(oven: Oven, text: str, **parameters: Any) -> bytes:
    """The file in the result."""
    rows = oven.prepare([{"text": text}], **parameters)
    [answer] = oven.loaded.bake(rows, oven.spec.effective(parameters), Context())
    file = answer.result["audio"]
    assert (file.content_type, answer.result["sampling_rate"]) == ("audio/wav", 16_000)
    return bytes(file.encode())


def said(oven: Oven, text: str, **parameters: Any) -> Any:
    return samples_of(made(oven, text, **parameters))


def seeded(oven: Oven, seed: int) -> Any:
    """The library's pipeline, which draws from the seed on once it is loaded."""
    library = oven.library
    torch.manual_seed(seed)
    return library


def as_kept(samples: Any) -> Any:
    """Samples of the library as a file of 16 bits has them."""
    return np.clip(samples, -1, 1)


def test_speech_equals_the_pipeline_with_the_same_seed(speak):
    library = seeded(speak, 7)

    expected = library("the oven is warm")["audio"].reshape(-1)

    found = said(speak, "the oven is warm", seed=7)
    assert len(found) == len(expected)
    assert np.abs(found - as_kept(expected)).max() < 1e-3


@pytest.mark.parametrize("asked", [{"do_sample": False}, {}, {"temperature": 0.5, "guidance_scale": 1.5}])
def test_music_equals_the_pipeline_with_the_same_seed(play, asked):
    library = seeded(play, 7)

    expected = library("the oven is warm", generate_kwargs={"max_new_tokens": 12, **asked})["audio"].reshape(-1)

    found = said(play, "the oven is warm", seed=7, max_new_tokens=12, **asked)
    assert len(found) == len(expected) > 50
    assert expected.std() > 0.01
    assert np.abs(found - as_kept(expected)).max() < 1e-3


def test_music_is_as_long_as_its_checkpoint_says_and_as_is_asked(play):
    usual, short = (said(play, "good bread", seed=1, **more) for more in ({}, {"max_new_tokens": 6}))

    assert len(short) < len(usual)
    assert (short != said(play, "good bread", seed=2, max_new_tokens=6)).any()


def test_two_channels_stay_two(folder):
    oven = Oven(TASK, sounds.musician(folder / "duo", channels=2), folder / "cache")
    library = seeded(oven, 3)

    expected = library("warm bread", generate_kwargs={"max_new_tokens": 8})["audio"]

    body = made(oven, "warm bread", seed=3, max_new_tokens=8)
    with wave.open(io.BytesIO(body)) as file:
        assert file.getnchannels() == 2
    assert np.abs(samples_of(body).reshape(-1, 2).T - as_kept(expected.reshape(2, -1))).max() < 1e-3


@pytest.mark.parametrize("parameters", [{"speaking_rate": 2}, {"speaker_id": 0}])
def test_what_music_has_not_is_named(play, parameters):
    [refused] = play.prepare([{"text": "a"}], **parameters)

    assert isinstance(refused, InputError)
    assert refused.field == f"parameters.{next(iter(parameters))}"


def test_a_voice_of_another_kind_is_refused_with_those_that_are_served(folder):
    config = transformers.SpeechT5Config(
        vocab_size=40, hidden_size=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, conv_dim=[8], conv_kernel=[4],
        conv_stride=[4], num_feat_extract_layers=1,
    )  # fmt: skip
    checkpoint = gpt2(folder / "other")
    transformers.SpeechT5ForTextToSpeech(config).save_pretrained(checkpoint)

    with pytest.raises(CheckpointError, match="of type vits or musicgen, and this one is of type speecht5"):
        Oven(TASK, checkpoint, folder / "cache")


def test_a_seed_says_the_same_again_and_another_does_not(speak):
    once, again, other = (said(speak, "good bread", seed=seed) for seed in (1, 1, 2))

    assert (once == again).all()
    assert len(once) != len(other) or (once != other).any()


def test_speech_may_be_faster(speak):
    assert len(said(speak, "good bread", seed=1, speaking_rate=4)) < len(said(speak, "good bread", seed=1))


@pytest.mark.parametrize("parameters", [{"max_new_tokens": 5}, {"speaker_id": 1}, {"guidance_scale": 2}])
def test_what_a_voice_cannot_do_is_named(speak, parameters):
    [refused] = speak.prepare([{"text": "a"}], **parameters)

    assert isinstance(refused, InputError)
    assert refused.field == f"parameters.{next(iter(parameters))}"
