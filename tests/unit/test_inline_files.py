"""Files that parts of messages bring along are moved to their places in the fields of their kinds."""

from __future__ import annotations

from typing import Any

import pytest

from contract.errors import ErrorCode
from contract.schemas import Problem, checker, in_one_form
from contract.tasks import CATALOGUE

TASK, ANY = CATALOGUE["image-text-to-text"], CATALOGUE["any-to-any"]
ONE, TWO = {"file_id": "1" * 32}, {"data": "AAAA"}


def read(*parts: Any, **more: Any) -> tuple[Any, list[Problem]]:
    inputs = {"messages": [{"role": "user", "content": list(parts)}], **more}
    return in_one_form(TASK, checker(TASK.inputs), inputs)


def moved(*parts: Any, **more: Any) -> list[Any]:
    inputs, problems = read(*parts, **more)
    assert problems == []
    images: list[Any] = inputs["images"]
    assert [part for part in inputs["messages"][0]["content"] if part["type"] != "text"] == [{"type": "image"}] * len(
        parts
    )
    return images


@pytest.mark.parametrize(
    ("part", "image"),
    [
        ({"type": "image", "url": "https://a.example/b.png"}, {"url": "https://a.example/b.png"}),
        ({"type": "image", "data": "AAAA"}, {"data": "AAAA"}),
        ({"type": "image", "base64": "AAAA"}, {"data": "AAAA"}),
        ({"type": "image", **ONE}, ONE),
        ({"type": "image", "url": "data:image/png;base64,AAAA"}, {"data": "data:image/png;base64,AAAA"}),
        ({"type": "image_url", "image_url": {"url": "https://a.example/b"}}, {"url": "https://a.example/b"}),
        (
            {"type": "image_url", "image_url": {"url": "DATA:image/png;base64,AAAA", "detail": "low"}},
            {"data": "DATA:image/png;base64,AAAA"},
        ),
    ],
)
def test_a_part_brings_its_image_in_every_way(part, image):
    assert moved(part) == [image]


def test_images_stand_in_the_order_of_their_parts():
    place = {"type": "image"}

    assert moved(place, {"type": "image", "data": "AAAA"}, place, images=[ONE, ONE]) == [ONE, TWO, ONE]
    assert moved({"type": "image", "data": "AAAA"}, images=[ONE]) == [TWO, ONE]


def test_inputs_without_such_parts_stay_as_they_are():
    inputs, problems = read({"type": "image"}, {"type": "text", "text": "a"}, images=[ONE])

    assert (inputs["images"], problems) == ([ONE], [])
    assert inputs["messages"][0]["content"] == [{"type": "image"}, {"type": "text", "text": "a"}]


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"type": "image", "url": 5}, ".url"),
        ({"type": "image", "path": "/etc/passwd"}, ".path"),
        ({"type": "image", "url": "a", "data": "b"}, ""),
        ({"type": "image_url"}, ".image_url"),
        ({"type": "image_url", "image_url": "https://a.example"}, ".image_url"),
        ({"type": "image_url", "image_url": {}}, ".image_url.url"),
        ({"type": "film", "url": "a"}, ".type"),
        ({"type": "video", "url": "a", "data": "b"}, ""),
        ({"type": "video_url", "video_url": "https://a.example"}, ".video_url"),
        ({"type": "text"}, ".text"),
    ],
)
def test_a_part_that_is_wrong_is_named_where_it_stands(part, field):
    _, problems = read({"type": "text", "text": "a"}, part)

    assert problems[0].field == f"inputs.messages.0.content.1{field}"


def test_more_images_than_a_job_may_bring_are_too_many():
    _, problems = read(*[{"type": "image", "data": "AAAA"}] * 9)

    assert [(problem.field, problem.code) for problem in problems] == [("inputs.images", ErrorCode.INVALID_VALUE)]


def test_images_videos_and_recordings_have_their_own_order():
    parts = [
        {"type": "image", "data": "AAAA"},
        {"type": "video_url", "video_url": {"url": "https://a.example/b.mp4"}},
        {"type": "video"},
        {"type": "audio"},
        {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "wav"}},
        {"type": "audio", "url": "https://a.example/b.wav"},
    ]
    inputs = {"messages": [{"role": "user", "content": parts}], "audio": [ONE], "videos": [TWO]}

    found, problems = in_one_form(ANY, checker(ANY.inputs), inputs)

    assert problems == []
    assert found["images"] == [TWO]
    assert found["videos"] == [{"url": "https://a.example/b.mp4"}, TWO]
    assert found["audio"] == [ONE, {"data": "BBBB"}, {"url": "https://a.example/b.wav"}]
    assert [part["type"] for part in found["messages"][0]["content"]] == ["image", *["video"] * 2, *["audio"] * 3]


def test_a_recording_is_no_part_where_nothing_hears():
    _, problems = read({"type": "audio", "url": "https://a.example/b.wav"})

    assert problems[0].field == "inputs.messages.0.content.0.type"
