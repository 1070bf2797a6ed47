"""Text that a model writes about words and files together: an answer, or the next turn of a conversation.

Messages hold places of files, parts of {"type": "image"}, {"type": "video"} or {"type": "audio"}, and the field of
that kind holds the files, in the same order. A part may also bring its file along, as in chats of other servers; what
is stored has one form.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from contract.tasks.generation import CALLS, ROLES, TEXT_GENERATION
from contract.tasks.media import (
    EXAMPLE_IMAGE,
    IMAGE_SYNONYMS,
    LONGEST_DATA,
    MOST_FILES,
    STORED_FILE,
    images_field,
    recordings_field,
    videos_field,
)
from contract.tasks.task import TEXT_SYNONYMS, JsonSchema, Task, a_whole, an_object, text_field

#: Ways in which a part brings its file; base64 is another word for data.
_WAYS = ("url", "data", "base64", "file_id")
_A_TEXT: JsonSchema = {"type": "string", "minLength": 1, "maxLength": LONGEST_DATA}


@dataclasses.dataclass(frozen=True)
class Kind:
    """What parts of messages may be besides words."""

    #: The type of a part, and the input field that holds the files.
    part: str
    field: str
    #: The type of a part that other servers write, which is also the name of what it holds.
    foreign: str
    #: What that one holds, and how it says where the file is.
    rule: JsonSchema
    given: Callable[[dict[str, Any]], dict[str, str]]

    def is_of(self, part: dict[str, Any]) -> bool:
        return part["type"] in (self.part, self.foreign)

    def brought(self, part: dict[str, Any]) -> dict[str, str] | None:
        """The file that a part brings, as the field holds one."""
        given = self.given(part[self.foreign]) if part["type"] == self.foreign else part
        for way in _WAYS:
            if way in given:
                is_data = way == "base64" or given[way][:5].lower() == "data:"
                return {"data" if is_data else way: given[way]}
        return None


IMAGE = Kind(
    "image",
    "images",
    "image_url",
    an_object({"url": _A_TEXT, "detail": {"type": ["string", "null"], "maxLength": 64}}, required=("url",)),
    lambda told: {"url": told["url"]},
)
VIDEO = Kind("video", "videos", "video_url", an_object({"url": _A_TEXT}, required=("url",)), IMAGE.given)
RECORDING = Kind(
    "audio",
    "audio",
    "input_audio",
    # What is in a file is told by its content; its format is taken and not believed.
    an_object({"data": _A_TEXT, "format": {"type": ["string", "null"], "maxLength": 64}}, required=("data",)),
    lambda told: {"data": told["data"]},
)


def _of_type(name: str, needs: str) -> JsonSchema:
    return {
        "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
        "then": {"required": [needs]},
    }


def _part(kinds: Sequence[Kind]) -> JsonSchema:
    return {
        **an_object(
            {
                "type": {"type": "string", "enum": ["text", *_types(kinds)]},
                "text": {"type": "string", "maxLength": 1_000_000},
                **dict.fromkeys(_WAYS, _A_TEXT),
                **{kind.foreign: kind.rule for kind in kinds},
            },
            required=("type",),
        ),
        "maxProperties": 2,
        "x-words": f"have its type, and besides it either its text or its {' or '.join(k.part for k in kinds)}",
        "allOf": [_of_type("text", "text"), *(_of_type(kind.foreign, kind.foreign) for kind in kinds)],
    }


def _types(kinds: Sequence[Kind]) -> Iterator[str]:
    for kind in kinds:
        yield from (kind.part, kind.foreign)


def _messages(kinds: Sequence[Kind], description: str) -> JsonSchema:
    return {
        "type": "array",
        "minItems": 1,
        "maxItems": 1000,
        "title": "Messages",
        "description": f"A conversation so far; the model writes the next turn. {description}",
        "items": an_object(
            {
                "role": ROLES,
                "content": {
                    "type": ["string", "array"],
                    "maxLength": 1_000_000,
                    "maxItems": 100,
                    "items": _part(kinds),
                },
                **CALLS,
            },
            required=("role", "content"),
        ),
    }


def in_places(inputs: dict[str, Any], kinds: Sequence[Kind]) -> dict[str, Any]:
    """Inputs whose messages hold places alone, with all their files in the fields, in the order of the places."""
    for kind in kinds:
        inputs = _in_places(inputs, kind)
    return inputs


def _in_places(inputs: dict[str, Any], kind: Kind) -> dict[str, Any]:
    parts = [part for said in inputs.get("messages", ()) for part in said["content"] if isinstance(part, dict)]
    own = [kind.brought(part) for part in parts if kind.is_of(part)]
    if not any(own):
        return inputs
    coming = list(inputs.get(kind.field, ()))
    files = [one or coming.pop(0) for one in own if one or coming]
    messages = [{**said, "content": _placed(said["content"], kind)} for said in inputs["messages"]]
    # Files for which there is no place stay behind the others, to be refused where places are counted.
    return {**inputs, "messages": messages, kind.field: files + coming}


def _placed(content: str | list[dict[str, Any]], kind: Kind) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    return [{"type": kind.part} if kind.is_of(part) else part for part in content]


_PARAMETERS: dict[str, JsonSchema] = {
    name: rule
    for name, rule in TEXT_GENERATION.parameters["properties"].items()
    if name not in ("truncation", "return_full_text")
}
_FRAMES = a_whole(
    "Frames",
    "How many frames of each video the model looks at, spread over all of it. Empty: as its checkpoint says, "
    "or else 32. Never more than the video has.",
    1,
    768,
)
_MODE: JsonSchema = {
    "type": "string",
    "enum": ["text", "image"],
    "title": "Answer in",
    "description": "image: the model paints its answer, of models that do (Janus). Empty: text.",
}
_PAINTED: JsonSchema = {
    "type": "object",
    "description": "Where generation_mode asked for an image.",
    "properties": {"image": {**STORED_FILE, "description": "The image that the model painted, a PNG."}},
    "required": ["image"],
}


def _told(result: dict[str, Any]) -> dict[str, Any]:
    """The text, or the id of the image."""
    if "image" in result:
        return {**dict.fromkeys(TEXT_GENERATION.result_columns), "image": result["image"]["file"]["id"]}
    return {**TEXT_GENERATION.columns(result), "image": None}


_ANSWERS: dict[str, Any] = {
    "modality": "multimodal",
    "parameters": an_object({**_PARAMETERS, "num_frames": _FRAMES}),
    "result": TEXT_GENERATION.result,
    "example": {
        "inputs": {"text": "What is on the table?", "images": [EXAMPLE_IMAGE]},
        "parameters": {"max_new_tokens": 12},
    },
    "example_result": {"generated_text": "A loaf of bread lies on the table."},
    "main_field": "text",
    "columns": TEXT_GENERATION.columns,
    "result_columns": ("generated_text", "finish_reason", "alternatives"),
    "view": "text",
    "streams": True,
}
_SYNONYMS = {
    "text": ("text", "prompt", "question", *TEXT_SYNONYMS[1:]),
    "messages": ("messages", "conversation"),
    "images": ("images", *IMAGE_SYNONYMS),
    "videos": ("videos", "video", "clip", "movie", "video_url"),
}
_ONE_OF = [{"required": ["text"]}, {"required": ["messages"]}]
_IMAGES = images_field("Images", "The images, in the order in which they are spoken of.", least=1, most=MOST_FILES)
_VIDEOS = videos_field(
    "Videos",
    "The videos, in the order in which they are spoken of. Only for models that watch; their sound is not heard.",
    least=1,
    most=MOST_FILES,
)

IMAGE_TEXT_TO_TEXT = Task(
    name="image-text-to-text",
    title="Image and text to text",
    summary="Answers about images and videos in words, or goes on with a conversation about them.",
    inputs=an_object(
        {
            "text": text_field("Text", "What you want to know of the images or the videos."),
            "messages": _messages(
                (IMAGE, VIDEO),
                'A content is a text or a list of parts, {"type": "text", "text"}, {"type": "image"} and {"type": '
                '"video"}, which take the next of images and of videos, and the same with "url" (or "data", '
                '"base64", "file_id"), which bring their own; so do {"type": "image_url", "image_url": {"url"}} and '
                "video_url.",
            ),
            "images": _IMAGES,
            "videos": _VIDEOS,
        },
        oneOf=_ONE_OF,
    ),
    synonyms=_SYNONYMS,
    read=functools.partial(in_places, kinds=(IMAGE, VIDEO)),
    **_ANSWERS,
)

ANY_TO_ANY = Task(
    name="any-to-any",
    title="Anything to anything",
    summary="Answers about images, videos and recordings in words or an image, or goes on with a conversation.",
    inputs=an_object(
        {
            "text": text_field("Text", "What you want to know of the images, the videos and the recordings."),
            "messages": _messages(
                (IMAGE, VIDEO, RECORDING),
                'A content is a text or a list of parts, {"type": "text", "text"}, {"type": "image"}, {"type": '
                '"video"} and {"type": "audio"}, which take the next of images, of videos and of audio, and the same '
                'with "url" (or "data", "base64", "file_id"), which bring their own; so do {"type": "image_url", '
                '"image_url": {"url"}}, video_url, and {"type": "input_audio", "input_audio": {"data"}}.',
            ),
            "images": _IMAGES,
            "videos": _VIDEOS,
            "audio": recordings_field(
                "Recordings",
                "The recordings, in the order in which they are spoken of. Only for models that hear.",
                least=1,
                most=MOST_FILES,
            ),
        },
        oneOf=_ONE_OF,
    ),
    synonyms=_SYNONYMS | {"audio": ("audio", "recordings", "recording", "sound", "speech", "audio_url")},
    read=functools.partial(in_places, kinds=(IMAGE, VIDEO, RECORDING)),
    **_ANSWERS
    | {
        "parameters": an_object({**_PARAMETERS, "num_frames": _FRAMES, "generation_mode": _MODE}),
        "result": {"anyOf": [*TEXT_GENERATION.result["anyOf"], _PAINTED]},
        "columns": _told,
        "result_columns": (*TEXT_GENERATION.result_columns, "image"),
    },
)
