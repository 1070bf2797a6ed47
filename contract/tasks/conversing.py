"""Text that a model writes about images and words together: an answer, or the next turn of a conversation.

Messages hold places of images, parts of {"type": "image"}, and `images` holds the files, in the same order. A part
may also bring its image along, as in chats of other servers; what is stored has one form.
"""

from __future__ import annotations

from typing import Any

from contract.tasks.generation import TEXT_GENERATION
from contract.tasks.media import EXAMPLE_IMAGE, IMAGE_SYNONYMS, MOST_FILES, images_field
from contract.tasks.task import TEXT_SYNONYMS, JsonSchema, Task, an_object, text_field

#: Ways in which a part brings its image; base64 is another word for data.
_WAYS = ("url", "data", "base64", "file_id")


def _of_type(name: str, then: JsonSchema) -> JsonSchema:
    return {"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": then}


_PART: JsonSchema = {
    **an_object(
        {
            "type": {"type": "string", "enum": ["text", "image", "image_url"]},
            "text": {"type": "string", "maxLength": 1_000_000},
            **{way: {"type": "string", "minLength": 1} for way in _WAYS},
            "image_url": an_object(
                {"url": {"type": "string", "minLength": 1}, "detail": {"type": ["string", "null"], "maxLength": 64}},
                required=("url",),
            ),
        },
        required=("type",),
    ),
    "maxProperties": 2,
    "x-words": "have its type, and besides it either its text or its image",
    "allOf": [_of_type("text", {"required": ["text"]}), _of_type("image_url", {"required": ["image_url"]})],
}
_MESSAGES: JsonSchema = {
    "type": "array",
    "minItems": 1,
    "maxItems": 1000,
    "title": "Messages",
    "description": "A conversation so far; the model writes the next turn. A content is a text or a list of parts, "
    '{"type": "text", "text"}, {"type": "image"}, which takes the next of images, and {"type": "image", "url"} (or '
    '"data", "base64", "file_id") or {"type": "image_url", "image_url": {"url"}}, which bring their own.',
    "items": an_object(
        {
            "role": {"type": "string", "enum": ["system", "user", "assistant"]},
            "content": {"type": ["string", "array"], "maxLength": 1_000_000, "maxItems": 100, "items": _PART},
        },
        required=("role", "content"),
    ),
}
_PARAMETERS: dict[str, JsonSchema] = {
    name: rule
    for name, rule in TEXT_GENERATION.parameters["properties"].items()
    if name not in ("truncation", "return_full_text")
}


def in_places(inputs: dict[str, Any]) -> dict[str, Any]:
    """Inputs whose messages hold places alone, with all their images in `images`, in the order of the places."""
    parts = [part for said in inputs.get("messages", ()) for part in said["content"] if isinstance(part, dict)]
    own = [_brought(part) for part in parts if part["type"] != "text"]
    if not any(own):
        return inputs
    coming = list(inputs.get("images", ()))
    images = [one or coming.pop(0) for one in own if one or coming]
    messages = [{**said, "content": _placed(said["content"])} for said in inputs["messages"]]
    # Images for which there is no place stay behind the others, to be refused where places are counted.
    return {**inputs, "messages": messages, "images": images + coming}


def _brought(part: dict[str, Any]) -> dict[str, str] | None:
    """The image that a part brings, as `images` holds one."""
    given = {"url": part["image_url"]["url"]} if part["type"] == "image_url" else part
    for way in _WAYS:
        if way in given:
            is_data = way == "base64" or given[way][:5].lower() == "data:"
            return {"data" if is_data else way: given[way]}
    return None


def _placed(content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    return [part if part["type"] == "text" else {"type": "image"} for part in content]


IMAGE_TEXT_TO_TEXT = Task(
    name="image-text-to-text",
    title="Image and text to text",
    summary="Answers about images in words, or goes on with a conversation about them.",
    modality="multimodal",
    inputs=an_object(
        {
            "text": text_field("Text", "What you want to know of the images."),
            "messages": _MESSAGES,
            "images": images_field(
                "Images", "The images, in the order in which they are spoken of.", least=1, most=MOST_FILES
            ),
        },
        oneOf=[{"required": ["text"]}, {"required": ["messages"]}],
    ),
    parameters=an_object(_PARAMETERS),
    result=TEXT_GENERATION.result,
    example={
        "inputs": {"text": "What is on the table?", "images": [EXAMPLE_IMAGE]},
        "parameters": {"max_new_tokens": 12},
    },
    main_field="text",
    synonyms={
        "text": ("text", "prompt", "question", *TEXT_SYNONYMS[1:]),
        "messages": ("messages", "conversation"),
        "images": ("images", *IMAGE_SYNONYMS),
    },
    columns=TEXT_GENERATION.columns,
    result_columns=("generated_text", "finish_reason"),
    view="text",
    streams=True,
    read=in_places,
)
