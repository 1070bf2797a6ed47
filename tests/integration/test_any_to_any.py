"""any-to-any: what the library writes about images and about recordings, and what a model has no sense for."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.errors import CheckpointError, InputError
from contract.media import Media
from tests.integration.beside_library import Oven
from tests.integration.test_conversing import BLUE, RED, ROWS, Image, as_row, chat_for, said
from tests.recordings import tone, wave
from tests.tiny import conversing, gpt2
from worker.backends.backend import Context
from worker.backends.candidates import look
from worker.backends.fitting import check_task, likeliest
from worker.backends.media import MediaFile

pytestmark = pytest.mark.real_model

TASK = "any-to-any"
RATE = 16_000
LOW, HIGH = tone(RATE, 1.0), tone(RATE, 0.4, hertz=1_500)


def heard(*recordings: Any) -> list[MediaFile]:
    def sent(samples: Any, place: int) -> MediaFile:
        body = wave(samples, code=3, rate=RATE)
        return MediaFile(lambda: io.BytesIO(body), f"audio.{place}", "audio", Media())

    return [sent(samples, place) for place, samples in enumerate(recordings)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


@pytest.fixture(scope="module")
def seer(folder: Path) -> Oven:
    return Oven(TASK, conversing.seer(folder / "seer"), folder / "cache")


@pytest.fixture(scope="module")
def hearer(folder: Path) -> Oven:
    return Oven(TASK, conversing.hearer(folder / "hearer"), folder / "cache")


def written(oven: Oven, chat: list[dict[str, Any]]) -> str:
    """What the library's pipeline says next."""
    library = oven.library(text=chat, max_new_tokens=8, return_full_text=False, generate_kwargs={"do_sample": False})
    return str(library[0]["generated_text"])


def texts(answers: list[Any]) -> list[str]:
    return [one["message"]["content"] if "message" in one else one["generated_text"] for one in answers]


def test_what_is_written_about_images_is_what_the_library_writes(seer, monkeypatch):
    # It asks for torchvision, which videos alone would need.
    monkeypatch.setattr("transformers.pipelines.any_to_any.requires_backends", lambda *_: None)

    found = seer.together_and_alone([as_row(*row) for row in ROWS], max_new_tokens=8)

    assert texts(found) == [written(seer, chat_for(*row)) for row in ROWS]


def test_what_is_written_about_recordings_is_what_the_library_writes(hearer):
    rows = [
        {"messages": [said("audio", "what is it?")], "audio": heard(LOW)},
        {"messages": [said("first ", "audio", " then ", "audio")], "audio": heard(LOW, HIGH)},
        {"text": "what is it?", "audio": heard(HIGH)},
        {"text": "no sound at all"},
    ]

    found = hearer.together_and_alone(rows, max_new_tokens=8)

    def part(samples: Any) -> dict[str, Any]:
        return {"type": "audio", "audio": samples}

    def words(text: str) -> dict[str, Any]:
        return {"type": "text", "text": text}

    chats = [
        [part(LOW), words("what is it?")],
        [words("first "), part(LOW), words(" then "), part(HIGH)],
        [part(HIGH), words("what is it?")],
        [words("no sound at all")],
    ]
    assert texts(found) == [written(hearer, [{"role": "user", "content": chat}]) for chat in chats]
    assert len({*texts(found)}) > 1


def test_words_that_name_the_place_of_an_image_are_not_given_another(folder):
    oven = Oven(TASK, conversing.seer(folder / "plain", chat=False), folder / "cache")

    found = oven.run([as_row({"text": text}, [RED]) for text in ("<image>and then?", "and then?")], max_new_tokens=6)

    assert found[0] == found[1]
    assert found[0]["generated_text"]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"text": "a", "images": as_row({}, [RED])["images"]}, "inputs.images"),
        ({"messages": [said("audio", "audio")], "audio": heard(LOW)}, "inputs.audio"),
        ({"text": "a", "audio": heard(np.zeros(RATE * 31, np.float32))}, "inputs.audio"),
        ({"text": "a", "audio": heard(np.zeros(100, np.float32))}, "inputs.audio"),
    ],
)
def test_a_model_that_hears_refuses_by_name_what_it_has_no_sense_for(hearer, row, field):
    [found] = hearer.run([row], max_new_tokens=4)

    assert isinstance(found, InputError)
    assert found.field == field


def test_a_model_that_sees_refuses_recordings_and_its_neighbors_go_on(seer):
    refused, good = seer.run([{"text": "a", "audio": heard(LOW)}, as_row({"text": "a"}, [BLUE])], max_new_tokens=4)

    assert (refused.field, refused.message) == ("inputs.audio", "This model does not hear. Send no recordings.")
    assert good["generated_text"]


@pytest.fixture(scope="module")
def painter(folder: Path) -> Oven:
    return Oven(TASK, conversing.painter(folder / "painter"), folder / "cache")


def painted(answer: Any) -> Any:
    """The pixels of a result."""
    file = answer.result["image"]
    assert file.content_type == "image/png"
    return np.asarray(Image.open(io.BytesIO(file.encode())))


def test_an_image_is_painted_as_the_library_paints_it(painter, monkeypatch):
    # What makes pixels of numbers in the library fails: it takes an image's rows for its channels.
    monkeypatch.setattr("transformers.pipelines.any_to_any.requires_backends", lambda *_: None)
    as_it_is = "transformers.JanusProcessor.post_process_multimodal_output"
    monkeypatch.setattr(as_it_is, lambda self, found, **_: list(found))
    rows = [as_row({"text": "a loaf"}, []), as_row({"messages": [said("image", "but blue")]}, [RED])]
    found = [painted(one) for one in painter.run(rows, generation_mode="image")]
    again = [painted(painter.run([row], generation_mode="image")[0]) for row in rows]

    for row, ours, alone in zip(rows, found, again, strict=True):
        inputs = {name: value for name, value in row.items() if name != "images"}
        chat = chat_for(inputs, [RED] if "images" in row else [])
        [expected] = painter.library(
            text=chat, generation_mode="image", generate_kwargs={"do_sample": False},
            processor_kwargs={"generation_mode": "image"},
        )  # fmt: skip
        shown = (expected["generated_image"] * 0.5 + 0.5) * 255
        assert (ours == shown.clamp(0, 255).byte().numpy()).all()
        assert (ours == alone).all()
    assert (found[0] != found[1]).any()


def test_a_painting_that_nobody_waits_for_ends(painter, monkeypatch):
    monkeypatch.setattr("worker.backends.generating._STEPS_BETWEEN_ASKING", 1)
    alone = Context(job_ids=["a"], wanted=lambda _ids: [])

    [ended] = painter.run([as_row({"text": "a"}, [])], alone, generation_mode="image")

    assert isinstance(ended, InputError)


def test_a_drawn_image_depends_on_its_seed_and_words_are_written_as_ever(painter):
    row = as_row({"text": "a loaf"}, [])
    one, same, other = (
        painted(painter.run([row], generation_mode="image", temperature=2, seed=seed)[0]) for seed in (1, 1, 2)
    )

    assert (one == same).all()
    assert (one != other).any()
    assert texts(painter.run([row], max_new_tokens=4)) == texts(
        painter.run([row], max_new_tokens=4, generation_mode="text")
    )


def test_what_says_nothing_of_an_image_and_a_model_that_never_paints_are_named(painter, seer):
    [words] = painter.run([as_row({"text": "a"}, [])], generation_mode="image", max_new_tokens=4)
    [never] = seer.run([as_row({"text": "a"}, [])], generation_mode="image")

    assert (words.field, never.field) == ("parameters.max_new_tokens", "parameters.generation_mode")


def test_a_checkpoint_that_hears_is_offered_for_it_and_one_that_sees_may_be(seer, hearer, folder):
    ears, eyes = (look(str(oven.folder), revision=None, cache=folder) for oven in (hearer, seer))

    assert likeliest(ears) == [TASK]
    assert likeliest(eyes)[0] == "image-text-to-text"
    check_task(eyes, TASK)


def test_a_checkpoint_of_words_alone_is_refused(folder):
    with pytest.raises(CheckpointError):
        Oven(TASK, gpt2(folder / "words"), folder / "cache")
