"""Text that a model writes about images and words together: an answer, or the next turn of a conversation.

Messages hold places of images, parts of {"type": "image"}, and `images` holds the files, in the same order.
"""

from __future__ import annotations

from contract.tasks.generation import TEXT_GENERATION
from contract.tasks.media import EXAMPLE_IMAGE, IMAGE_SYNONYMS, MOST_FILES, images_field
from contract.tasks.task import TEXT_SYNONYMS, JsonSchema, Task, an_object, text_field

_PART: JsonSchema = {
    **an_object(
        {
            "type": {"type": "string", "enum": ["text", "image"]},
            "text": {"type": "string", "maxLength": 1_000_000},
        },
        required=("type",),
    ),
    "if": {"properties": {"type": {"const": "text"}}, "required": ["type"]},
    "then": {"required": ["text"]},
}
_MESSAGES: JsonSchema = {
    "type": "array",
    "minItems": 1,
    "maxItems": 1000,
    "title": "Messages",
    "description": "A conversation so far; the model writes the next turn. A content is a text or a list of parts, "
    '{"type": "text", "text"} and {"type": "image"}, each of which takes the next of images.',
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
    deterministic=False,
)
