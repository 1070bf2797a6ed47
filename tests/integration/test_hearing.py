"""Tasks of recordings: equal to the library's pipelines on the same samples, alone and among others."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from contract.errors import InputError
from contract.media import Media
from tests.integration.beside_library import Oven, assert_same
from tests.recordings import tone, wave
from tests.tiny import sounds
from worker.backends.media import MediaFile

pytestmark = pytest.mark.real_model

SAMPLES = [
    tone(16_000, 1.0),
    (tone(16_000, 0.4, hertz=1_500) * np.linspace(0, 1, 6_400)).astype(np.float32),
    np.random.default_rng(7).normal(0, 0.2, 24_000).astype(np.float32),
]
#: Noise that changes, longer than two windows of Whisper.
LONG = (np.random.default_rng(5).normal(0, 0.2, 16_000 * 65) * np.linspace(0.1, 1, 16_000 * 65)).astype(np.float32)


def sent(samples: Any, rate: int = 16_000) -> dict[str, Any]:
    body = wave(samples, code=3, rate=rate)
    return {"audio": MediaFile(lambda: io.BytesIO(body), "audio", "audio", Media())}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hearing")


@pytest.fixture(scope="module")
def classify(folder: Path) -> Oven:
    return Oven("audio-classification", sounds.classifier(folder / "waves"), folder / "cache")


@pytest.fixture(scope="module")
def listen(folder: Path) -> Oven:
    return Oven("automatic-speech-recognition", sounds.listener(folder / "letters"), folder / "cache")


@pytest.fixture(scope="module")
def whisper(folder: Path) -> Oven:
    return Oven("automatic-speech-recognition", sounds.whisper(folder / "whisper"), folder / "cache")


@pytest.mark.parametrize("function", [None, "softmax", "sigmoid", "none"])
def test_classification_equals_the_pipeline(classify, function):
    more = {} if function is None else {"function_to_apply": function}

    expected = [classify.library(samples, top_k=2, **more) for samples in SAMPLES]

    assert_same(expected, classify.together_and_alone([sent(one) for one in SAMPLES], top_k=2, **more))


def test_windows_of_one_length_share_a_pass_and_equal_the_pipeline(folder):
    oven = Oven("audio-classification", sounds.spectrum_classifier(folder / "spectra"), folder / "cache")

    expected = [oven.library(samples, top_k=None) for samples in SAMPLES]

    assert_same(expected, oven.together_and_alone([sent(one) for one in SAMPLES], top_k=None))


def test_named_labels_equal_the_pipeline(folder):
    checkpoint = sounds.matcher(folder / "clap")
    oven = Oven("zero-shot-audio-classification", checkpoint, folder / "cache")
    library = transformers.pipeline("zero-shot-audio-classification", model=str(checkpoint))
    heard = [tone(8_000, 1.5), tone(8_000, 0.3, hertz=900)]
    labels = ["a dog", "the bell", "rain"]

    expected = [library(samples, candidate_labels=labels) for samples in heard]

    rows = [sent(one, 8_000) for one in heard]
    assert_same(expected, oven.together_and_alone(rows, candidate_labels=labels))
    long = sent(np.random.default_rng(3).normal(0, 0.2, 60_000).astype(np.float32), 8_000)
    first, second = (oven.run([long], candidate_labels=labels)[0] for _ in range(2))
    assert first == second, "a part that is drawn is the same one each time"


@pytest.mark.parametrize("stamps", [False, "word", "char"])
def test_letters_equal_the_pipeline(listen, stamps):
    more = {} if stamps is False else {"return_timestamps": stamps}

    expected = [listen.library(samples.copy(), **more) for samples in SAMPLES]

    found = listen.together_and_alone([sent(one) for one in SAMPLES], return_timestamps=stamps)
    assert_same([listed(one) for one in expected], found)


def test_pieces_equal_the_pipelines(listen):
    more = {"chunk_length_s": 1.0, "stride_length_s": 0.2}
    samples = np.concatenate(SAMPLES * 2)

    expected = listen.library(samples.copy(), return_timestamps="word", **more)

    assert_same(listed(expected), listen.run([sent(samples)], return_timestamps="word", **more)[0])


def test_a_long_recording_is_heard_in_pieces(listen):
    samples = np.random.default_rng(1).normal(0, 0.2, 16_000 * 61).astype(np.float32)

    expected = listen.library(samples.copy(), chunk_length_s=30)

    assert_same(expected, listen.run([sent(samples)])[0])


@pytest.mark.parametrize("stamps", [False, True, "word"])
def test_whisper_equals_the_pipeline(whisper, stamps):
    written = {"max_new_tokens": 8, "num_beams": 2, "language": "en", "task": "transcribe"}
    more = {} if stamps is False else {"return_timestamps": stamps}

    expected = [whisper.library(samples.copy(), generate_kwargs=written, **more) for samples in SAMPLES]

    found = whisper.together_and_alone([sent(one) for one in SAMPLES], return_timestamps=stamps, **written)
    assert_same([listed(one) for one in expected], found)


@pytest.mark.parametrize("stamps", [False, True, "word"])
@pytest.mark.parametrize("pieces", [{}, {"chunk_length_s": 20, "stride_length_s": 2}])
def test_whisper_hears_all_of_a_long_recording_as_the_pipeline_does(whisper, stamps, pieces):
    written = {"max_new_tokens": 8, "num_beams": 1, "language": "en", "task": "transcribe"}
    # By itself it finds its way by the times that it writes, asked for or not.
    more = {"return_timestamps": stamps or (None if pieces else True), **pieces}

    expected = listed(whisper.library(LONG.copy(), generate_kwargs=written, **more))

    rows = [sent(LONG), sent(SAMPLES[0])]
    [found, _] = whisper.run(rows, return_timestamps=stamps, **pieces, **written)
    assert_same(expected if stamps else {"text": expected["text"]}, found)


WRITTEN = {"max_new_tokens": 8, "num_beams": 1, "language": "en", "task": "transcribe"}


@pytest.mark.parametrize(
    "steered",
    [
        {"no_repeat_ngram_size": 1, "repetition_penalty": 1.5},
        {"condition_on_prev_tokens": True},
        {"temperature": 0.7},
        {"temperature": [0, 0.8], "compression_ratio_threshold": 0.5, "condition_on_prev_tokens": True},
        {"temperature": [0, 0.8], "logprob_threshold": -0.1, "no_speech_threshold": 0.9},
        {"prompt": "the bread is"},
    ],
    ids=str,
)
def test_whisper_is_steered_as_the_pipeline_is(whisper, steered, monkeypatch):
    told = {name: tuple(value) if isinstance(value, list) else value for name, value in steered.items()}
    if words := told.pop("prompt", None):
        told["prompt_ids"] = whisper.library.tokenizer.get_prompt_ids(words, return_tensors="pt")
    forward = whisper.library.forward

    def seeded(*inputs: Any, **more: Any) -> Any:
        # Here, as what brings the pieces also draws.
        torch.manual_seed(7)
        return forward(*inputs, **more)

    monkeypatch.setattr(whisper.library, "forward", seeded)
    # Two windows: the second one knows what was written before.
    heard = LONG[: 16_000 * 35]
    expected = whisper.library(heard.copy(), return_timestamps=True, generate_kwargs={**WRITTEN, **told})

    [found] = whisper.run([sent(heard)], return_timestamps=True, seed=7, **WRITTEN, **steered)
    assert_same(listed(expected), found)


@pytest.mark.parametrize("stamps", [False, True])
def test_whisper_names_the_language(whisper, stamps):
    asked = {"return_timestamps": stamps, "return_language": True, "max_new_tokens": 8, "num_beams": 1}
    library = whisper.library(SAMPLES[0].copy(), **{**asked, "return_timestamps": stamps or None})

    [found] = whisper.run([sent(SAMPLES[0])], **asked)

    assert found["language"] == library["chunks"][0]["language"]
    assert found["language"] in ("english", "french")
    assert [chunk["language"] for chunk in found.get("chunks", [])] == [
        chunk["language"] for chunk in library["chunks"] if stamps
    ]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"max_new_tokens": 61}, "max_new_tokens"),
        ({"max_new_tokens": 29, "condition_on_prev_tokens": True}, "max_new_tokens"),
        ({"prompt": "bread " * 20}, "prompt"),
        ({"prompt": "<|en|>"}, "prompt"),
        ({"no_speech_threshold": 0.5}, "no_speech_threshold"),
    ],
    ids=str,
)
def test_what_whisper_has_no_room_for_is_refused(whisper, asked, field):
    [refused] = whisper.run([sent(SAMPLES[0])], **asked)

    assert isinstance(refused, InputError)
    assert refused.field == f"parameters.{field}"


def test_times_of_a_long_recording_go_on_past_the_first_window(whisper):
    written = {"max_new_tokens": 8, "num_beams": 1, "language": "en", "task": "transcribe"}
    whole, beginning = whisper.run([sent(LONG), sent(LONG[: 16_000 * 29])], return_timestamps=True, **written)

    times = [at for chunk in whole["chunks"] for at in chunk["timestamp"] if at is not None]
    assert max(times) > 30
    assert times == sorted(times)
    assert len(whole["text"]) > len(beginning["text"])


def listed(result: dict[str, Any]) -> dict[str, Any]:
    """The library's pairs as JSON has them."""
    chunks = [
        {
            "text": chunk["text"],
            "timestamp": [None if at is None else round(float(at), 3) for at in chunk["timestamp"]],
        }
        for chunk in result.get("chunks", [])
    ]
    return {"text": result["text"], **({"chunks": chunks} if "chunks" in result else {})}


def test_another_rate_is_brought_to_the_models(classify):
    import soxr

    at_once = soxr.resample(tone(44_100, 1.0), 44_100, 16_000)

    [found] = classify.run([sent(tone(44_100, 1.0), 44_100)], top_k=None)

    expected = {entry["label"]: entry["score"] for entry in classify.library(at_once, top_k=None)}
    assert {entry["label"]: entry["score"] for entry in found} == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("samples", [1, 100, 399])
def test_what_is_too_short_is_refused_alone(classify, listen, samples):
    for oven in (classify, listen):
        good, bad = oven.run([sent(SAMPLES[0]), sent(SAMPLES[0][:samples])])
        assert not isinstance(good, InputError)
        assert isinstance(bad, InputError)
        assert "too short" in bad.message


def test_a_model_of_waveforms_hears_a_minute_at_once(classify):
    [refused] = classify.run([sent(np.zeros(16_000 * 61, np.float32))])

    assert isinstance(refused, InputError)
    assert "at most 60 s" in refused.message


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"return_timestamps": True}, "parameters.return_timestamps"),
        ({"language": "fr"}, "parameters.language"),
        ({"num_beams": 2}, "parameters.num_beams"),
        ({"prompt": "so"}, "parameters.prompt"),
        ({"return_language": True}, "parameters.return_language"),
        ({"stride_length_s": 2}, "parameters.stride_length_s"),
        ({"stride_length_s": 2, "chunk_length_s": 4}, "parameters.stride_length_s"),
    ],
)
def test_what_a_ctc_model_cannot_do_is_named(listen, parameters, field):
    [refused] = listen.run([sent(SAMPLES[0])], **parameters)

    assert isinstance(refused, InputError)
    assert refused.field == field


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"return_timestamps": "char"}, "parameters.return_timestamps"),
        ({"language": "klingon"}, "parameters.language"),
    ],
)
def test_what_whisper_cannot_do_is_named(whisper, parameters, field):
    [refused] = whisper.run([sent(SAMPLES[0])], **parameters)

    assert isinstance(refused, InputError)
    assert refused.field == field
