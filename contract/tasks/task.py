"""What the catalogue says of one Hugging Face task: what may be sent, and what comes back.

One `Task` is everything the form, the API, the bulk reader and the exports need to know. The other half, how it
is computed, is a module of the same name under worker/backends/tasks/.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

from contract.tasks.media import media_kind

JsonSchema = dict[str, Any]
Columns = Callable[[Any], dict[str, Any]]
View = Literal[
    "labels", "entities", "tokens", "vector", "scores", "text", "written", "answers", "table",
    "boxes", "masks", "depth", "picture", "replies", "caption", "found", "matches", "transcript", "sound",
    "things", "decisions", "watched",
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Task:
    #: The Hugging Face task string.
    name: str
    title: str
    #: One line: what a user gets from it.
    summary: str
    modality: Literal["text", "audio", "image", "video", "multimodal"]
    #: JSON Schema 2020-12 of an object; `title` and `description` of each property label the form.
    inputs: JsonSchema
    #: JSON Schema 2020-12 of an object: the whitelist of parameters with bounds and defaults.
    parameters: JsonSchema
    #: JSON Schema of a result, as the HF inference API gives it where it has the task; every field says what it is.
    result: JsonSchema
    #: A request that runs: {"inputs": ..., "parameters": ...}.
    example: Mapping[str, Any]
    #: A result, made up to show the shape; it may have fields that the example above does not ask for.
    example_result: Any
    #: The field a bare string stands for.
    main_field: str
    #: Column names that stand for an input field in a file, best first.
    synonyms: Mapping[str, tuple[str, ...]]
    #: One result as flat columns of an export.
    columns: Columns
    #: Every name `columns` may give, in the order of an export.
    result_columns: tuple[str, ...]
    #: Which of the result partials the page draws it with.
    view: View
    #: Whether equal inputs give equal results with default parameters.
    deterministic: bool = True
    #: Whether its text can be read while it is written.
    streams: bool = False
    #: The one form of inputs that are right, for a task that takes several.
    read: Callable[[dict[str, Any]], dict[str, Any]] | None = None

    @functools.cached_property
    def media(self) -> dict[str, str]:
        """Input fields that are files or lists of them, each with its kind; empty for most tasks."""
        rules = self.inputs["properties"]
        return {name: kind for name, rule in rules.items() if (kind := media_kind(rule))}

    @functools.cached_property
    def media_lists(self) -> dict[str, int]:
        """Those of `media` that are lists, each with the most files that it takes."""
        rules = self.inputs["properties"]
        return {name: rules[name]["maxItems"] for name in self.media if "x-media" not in rules[name]}


TEXT_SYNONYMS = (
    "text", "sentence", "content", "review", "body", "message", "comment", "document", "input", "inputs", "title",
)  # fmt: skip


def an_object(properties: dict[str, JsonSchema], *, required: tuple[str, ...] = (), **more: Any) -> JsonSchema:
    """A closed object: a field that is not named is refused by name."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


def text_field(title: str = "Text", description: str = "", **more: Any) -> JsonSchema:
    return {
        "type": "string",
        "title": title,
        "description": description,
        "minLength": 1,
        "maxLength": 1_000_000,
        "x-multiline": True,
        **more,
    }


def a_number(title: str, description: str, low: float, high: float, **more: Any) -> JsonSchema:
    return {
        "type": "number",
        "minimum": low,
        "maximum": high,
        "title": title,
        "description": description,
        **more,
    }


def a_whole(title: str, description: str, low: int, high: int, **more: Any) -> JsonSchema:
    """A whole number."""
    return {**a_number(title, description, low, high, **more), "type": "integer"}


TRUNCATION: JsonSchema = {
    "type": "boolean",
    "default": False,
    "title": "Cut text that is too long",
    "description": "true: cut the text to what the model takes. false: such a job fails with input_too_long.",
}

#: Of a result: what it is of follows from where it stands.
SCORE: JsonSchema = {"type": "number", "description": "How sure the model is, from 0 to 1."}
