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
from tests.integration.beside_library import Oven
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


@pytest.mark.parametrize(
    "asked",
    [{"do_sample": False}, {}, {"temperature": 0.5, "guidance_scale": 1.5}, {"top_k": 3}, {"top_p": 0.5}],
    ids=str,
)
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


@pytest.fixture(scope="module")
def read(folder: Path) -> Oven:
    vocoder = sounds.vocoder(folder / "vocoder")
    return Oven(TASK, sounds.reader(folder / "reader"), folder / "cache", vocoder=str(vocoder))


@pytest.mark.parametrize("speaker", [[0.5, -1, 0.25, 2], None])
def test_a_spectrogram_in_a_voice_equals_the_pipeline_with_the_same_seed(read, folder, speaker):
    vocoder = transformers.SpeechT5HifiGan.from_pretrained(folder / "vocoder")
    library = transformers.pipeline(TASK, model=str(read.folder), vocoder=vocoder)
    vector = torch.tensor([speaker or [0.0] * 4], dtype=torch.float32)
    torch.manual_seed(7)

    expected = library("warm", forward_params={"speaker_embeddings": vector})["audio"].reshape(-1)

    asked = {} if speaker is None else {"speaker_embeddings": speaker}
    found = said(read, "warm", seed=7, **asked)
    assert len(found) == len(expected) > 16
    assert np.abs(found - as_kept(expected)).max() < 1e-3


def test_a_voice_and_its_vocoder_are_one_identity_and_one_weight(read):
    identity = read.loaded.identity
    assert identity.id == "reader+vocoder"
    assert [len(part) for part in identity.commit.split("+")] == [16, 12]
    alone = sum(part.numel() for part in read.loaded._loaded.model.parameters())
    assert read.loaded.nbytes() > 4 * alone


def test_a_long_text_ends_before_its_positions_do_and_a_longer_one_is_refused(read):
    assert len(said(read, "a" * 60, seed=1)) <= 200 * 2 * 16
    [refused] = read.prepare([{"text": "a" * 70}])
    assert isinstance(refused, InputError)
    # There is no truncation to ask for.
    assert refused.message.endswith("Shorten it.")


def test_nobody_wants_it_any_more_and_it_ends(read):
    rows = read.prepare([{"text": "a" * 60}])
    parameters = read.spec.effective({"seed": 1})
    [whole] = read.loaded.bake(rows, parameters, Context())
    [cut] = read.loaded.bake(rows, parameters, Context(job_ids=("x",), wanted=lambda _: set()))
    assert len(cut.result["audio"].encode()) < len(whole.result["audio"].encode())


@pytest.mark.parametrize("parameters", [{"speaker_embeddings": [1.0] * 3}, {"speaker_id": 0}, {"max_new_tokens": 4}])
def test_what_is_no_voice_of_a_reader_is_named(read, parameters):
    [refused] = read.prepare([{"text": "a"}], **parameters)

    assert isinstance(refused, InputError)
    assert refused.field == f"parameters.{next(iter(parameters))}"


@pytest.fixture(scope="module")
def bark(folder: Path) -> Oven:
    return Oven(TASK, sounds.bark(folder / "bark"), folder / "cache")


@pytest.mark.parametrize(
    "asked", [{}, {"do_sample": False, "max_new_tokens": 5}, {"do_sample": True, "temperature": 2.0}]
)
def test_bark_equals_the_pipeline_with_the_same_seed(bark, asked):
    tokenizer = transformers.AutoTokenizer.from_pretrained(bark.folder)
    library = transformers.pipeline(TASK, model=str(bark.folder), processor=transformers.BarkProcessor(tokenizer))
    stages = {f"{stage}_{name}": value for stage in ("semantic", "coarse") for name, value in asked.items()}
    stages.pop("coarse_max_new_tokens", None)
    torch.manual_seed(7)

    expected = library("the oven is warm", generate_kwargs=stages)["audio"].reshape(-1)

    found = said(bark, "the oven is warm", seed=7, **asked)
    assert len(found) == len(expected) >= 8
    assert expected.std() > 0.01
    assert np.abs(found - as_kept(expected)).max() < 1e-3


def test_a_bark_that_would_say_nothing_says_a_moment(folder):
    mute = Oven(TASK, sounds.bark(folder / "mute", mute=True), folder / "cache")
    assert len(said(mute, "the oven is warm", seed=7)) > 0


def test_bark_draws_a_voice_by_its_seed_and_takes_no_more_than_it_has_room_for(bark):
    once, again, other = (said(bark, "good bread", seed=seed) for seed in (1, 1, 2))
    assert (once == again).all()
    assert len(once) != len(other) or (once != other).any()
    refused = [*bark.prepare([{"text": "bread " * 40}]), *bark.prepare([{"text": "a"}], max_new_tokens=13)]
    assert [isinstance(one, InputError) and one.field for one in refused] == [None, "parameters.max_new_tokens"]


@pytest.mark.parametrize(
    ("make", "vocoder", "words"),
    [
        (sounds.reader, None, 'vocoder = "microsoft/speecht5_hifigan"'),
        (sounds.reader, lambda folder: sounds.vocoder(folder, bands=4), "reads 4 bands of sound"),
        (sounds.reader, sounds.speaker, "no HiFi-GAN"),
        (sounds.speaker, sounds.vocoder, "makes sound by itself"),
    ],
)
def test_a_vocoder_that_does_not_go_with_its_voice_is_refused(tmp_path, make, vocoder, words):
    named = {} if vocoder is None else {"vocoder": str(vocoder(tmp_path / "vocoder"))}
    with pytest.raises(CheckpointError, match=words):
        Oven(TASK, make(tmp_path / "voice"), tmp_path / "cache", **named)


def test_a_pickled_vocoder_is_refused(tmp_path):
    weights = sounds.vocoder(tmp_path / "vocoder") / "model.safetensors"
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(CheckpointError, match="pickled"):
        Oven(TASK, sounds.reader(tmp_path / "voice"), tmp_path / "cache", vocoder=str(weights.parent))


def test_a_voice_of_another_kind_is_refused_with_those_that_are_served(folder):
    checkpoint = gpt2(folder / "other")
    config = transformers.FastSpeech2ConformerConfig(
        hidden_size=8, num_mel_bins=8, encoder_layers=1, encoder_linear_units=8, decoder_layers=1,
        decoder_linear_units=8,
        speech_decoder_postnet_units=8, duration_predictor_channels=8, energy_predictor_channels=8,
        pitch_predictor_channels=8,
    )  # fmt: skip
    transformers.FastSpeech2ConformerModel(config).save_pretrained(checkpoint)

    with pytest.raises(CheckpointError, match="speecht5 or bark, and this one is of type fastspeech2_conformer"):
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
