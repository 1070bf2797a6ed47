"""image-text-to-text: what the library writes about one image, several or none, in words and in chats."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import transformers

from contract.errors import CheckpointError, ErrorCode, InputError
from contract.media import Media
from tests.integration.beside_library import Listener, Oven
from tests.tiny import conversing, gpt2
from worker.backends.media import MediaFile

Image = pytest.importorskip("PIL.Image", reason="needs Pillow")
pytestmark = pytest.mark.real_model

TASK = "image-text-to-text"


def picture(color: str = "red") -> Any:
    return Image.effect_noise((50, 40), 80).convert("RGB") if color == "noise" else Image.new("RGB", (50, 40), color)


def sent(image: Any, place: int = 0) -> MediaFile:
    out = io.BytesIO()
    image.save(out, "PNG")
    return MediaFile(lambda: io.BytesIO(out.getvalue()), f"images.{place}", "image", Media())


def said(*parts: str) -> dict[str, Any]:
    """A turn of the user; `image` and `audio` stand for a file."""
    content = [{"type": part} if part in ("image", "audio") else {"type": "text", "text": part} for part in parts]
    return {"role": "user", "content": content}


RED, BLUE = picture("red"), picture("blue")
ROWS: list[tuple[dict[str, Any], list[Any]]] = [
    ({"messages": [said("image", "what is it?")]}, [RED]),
    ({"messages": [said("the bread ", "image", " or the cake ", "image")]}, [RED, BLUE]),
    ({"messages": [{"role": "system", "content": "be good"}, said("no image at all")]}, []),
    ({"text": "what is on the table?"}, [BLUE]),
    ({"text": "the bread is warm"}, []),
]


def as_row(inputs: dict[str, Any], images: list[Any]) -> dict[str, Any]:
    return inputs | ({"images": [sent(image, place) for place, image in enumerate(images)]} if images else {})


@pytest.fixture(scope="module")
def oven(tmp_path_factory: pytest.TempPathFactory) -> Oven:
    folder = tmp_path_factory.mktemp("seer")
    return Oven(TASK, conversing.seer(folder / "model"), folder / "cache")


@pytest.fixture(scope="module")
def library(oven: Oven) -> Any:
    return transformers.pipeline(TASK, model=str(oven.folder))


def chat_for(inputs: dict[str, Any], images: list[Any]) -> list[dict[str, Any]]:
    """As the library takes it, with pictures in their places."""
    coming = iter(images)
    turns = inputs.get("messages") or [said(*["image"] * len(images), inputs["text"])]
    return [
        {
            "role": turn["role"],
            "content": [
                {"type": "image", "image": next(coming)} if part["type"] == "image" else part
                for part in (
                    turn["content"]
                    if isinstance(turn["content"], list)
                    else [{"type": "text", "text": turn["content"]}]
                )
            ],
        }
        for turn in turns
    ]


def test_what_is_written_is_what_the_library_writes(oven, library):
    found = oven.together_and_alone([as_row(*row) for row in ROWS], max_new_tokens=8)

    for row, answer in zip(ROWS, found, strict=True):
        [expected] = library(
            text=chat_for(*row), max_new_tokens=8, return_full_text=False, generate_kwargs={"do_sample": False}
        )
        text = answer["message"]["content"] if "message" in answer else answer["generated_text"]
        assert text == expected["generated_text"]


def test_what_is_published_adds_up_to_the_answer_of_each_row(oven):
    listener = Listener("one", "two")

    found = oven.run([as_row(*row) for row in ROWS[:2]], listener.context, max_new_tokens=40)

    assert list(listener.texts.values()) == [answer["message"]["content"] for answer in found]
    assert len(listener.pieces) > 2


def test_a_stop_string_is_not_published(oven):
    whole = oven.run([as_row(*ROWS[0])], max_new_tokens=12)[0]["message"]["content"]
    listener = Listener("one")

    oven.run([as_row(*ROWS[0])], listener.context, max_new_tokens=12, stop=[whole[4:6]])

    assert listener.texts["one"] == whole[: whole.index(whole[4:6])]


def test_a_sampled_answer_depends_on_its_seed_alone(oven):
    row = as_row(*ROWS[1])

    one, same, other = (
        oven.run([row], max_new_tokens=12, do_sample=True, seed=seed)[0]["message"]["content"] for seed in (1, 1, 2)
    )

    assert one == same
    assert one != other


@pytest.mark.parametrize(
    "asked", [{"num_beams": 3, "num_return_sequences": 2}, {"num_return_sequences": 2, "do_sample": True}], ids=str
)
def test_several_texts_are_the_best_beams_or_drawn(oven, library, asked):
    inputs, images = ROWS[0]
    [found] = oven.run([as_row(inputs, images)], max_new_tokens=12, seed=7, **asked)
    assert len(found["alternatives"]) == 1
    if "num_beams" in asked:
        more = {"do_sample": False, **asked}
        expected = library(
            text=chat_for(inputs, images), return_full_text=False, max_new_tokens=12, generate_kwargs=more
        )
        assert found["message"]["content"] == expected[0]["generated_text"]


def test_a_stop_string_ends_the_answer_and_is_left_out(oven):
    row = as_row(*ROWS[0])
    whole = oven.run([row], max_new_tokens=12)[0]["message"]["content"]
    stop = whole[4:6]

    [found] = oven.run([row], max_new_tokens=12, stop=[stop])

    assert found["message"]["content"] == whole[: whole.index(stop)]
    assert found["finish_reason"] == "stop"


def test_tokens_are_counted_with_those_of_images(oven):
    [few, more] = oven.run([as_row({"messages": [said("a")]}, []), as_row({"messages": [said("image", "a")]}, [RED])],
                           max_new_tokens=2)  # fmt: skip

    assert more["usage"]["prompt_tokens"] - few["usage"]["prompt_tokens"] == 4


def test_images_without_a_place_stand_before_what_is_said_first(oven):
    row = as_row({"messages": [{"role": "user", "content": "what is it?"}]}, [RED])

    assert oven.run([row], max_new_tokens=6) == oven.run([as_row(*ROWS[0])], max_new_tokens=6)


def refusal(oven: Oven, row: dict[str, Any], **asked: Any) -> InputError:
    [found] = oven.run([row], **asked)
    assert isinstance(found, InputError)
    return found


def test_what_does_not_fit_is_refused_by_name(oven):
    two_places = {"messages": [said("image", "image", "a")]}

    assert refusal(oven, as_row(two_places, [RED])).field == "inputs.images"
    assert refusal(oven, as_row({"text": "a" * 600}, [])).code is ErrorCode.INPUT_TOO_LONG
    assert refusal(oven, as_row({"text": "\ud800"}, [])).message.startswith("This text holds")
    assert refusal(oven, as_row({"text": "a"}, []), min_new_tokens=9, max_new_tokens=2).field
    broken = {
        **as_row({"text": "a"}, [RED]),
        "images": [MediaFile(lambda: io.BytesIO(b"x"), "images.0", "image", Media())],
    }
    assert refusal(oven, broken).field == "images.0"


def test_a_checkpoint_that_does_not_look_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointError):
        Oven(TASK, gpt2(tmp_path / "model"), tmp_path / "cache")
