"""Files as inputs and as results: how a schema says that a field is one or a list of them, and what is stored."""

from __future__ import annotations

from typing import Any

JsonSchema = dict[str, Any]

_FORMS = '{"data": base64}, {"url": "https://…"}, {"file_id": "…"} or a part of a multipart request'

#: Files that one request may bring, whatever its task.
MOST_FILES = 8

#: Characters of a file that comes within JSON. No body can have more: FOURNIL_MAX_JSON_BYTES decides, and ends here.
LONGEST_DATA = 1 << 30

#: A file that the server holds, as inputs and results show it.
STORED_FILE: JsonSchema = {
    "type": "object",
    "properties": {
        "file": {
            "type": "object",
            "properties": {
                "id": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 64,
                    "description": "Of the stored file, which goes when its job goes.",
                },
                "content_type": {"type": "string", "maxLength": 255, "description": "Told by its content."},
                "bytes": {"type": "integer", "minimum": 0, "description": "Its size."},
                "url": {"type": "string", "maxLength": 2048, "description": "Where its bytes are."},
            },
            "required": ["id"],
            "additionalProperties": False,
            "description": "The stored file.",
        }
    },
    "required": ["file"],
    "additionalProperties": False,
}


def stored_example(content_type: str, size: int) -> dict[str, Any]:
    """An example of STORED_FILE; `size` in bytes."""
    file_id = "019ac1e0b6f27d5a9c3e4f1a2b3c4d5e"
    url = f"/api/v1/files/{file_id}/content"
    return {"file": {"id": file_id, "content_type": content_type, "bytes": size, "url": url}}


def image_field(title: str = "Image", description: str = "") -> JsonSchema:
    return a_file("image", title, description)


def a_file(kind: str, title: str, description: str) -> JsonSchema:
    """One file in any of the ways to send it. A bare text is none of them: it is never read as a path or URL.

    `kind` is one of models.media.KINDS.
    """
    return {
        "type": "object",
        "title": title,
        "description": description,
        "x-media": kind,
        "properties": {
            "data": {"type": "string", "minLength": 1, "maxLength": LONGEST_DATA, "contentEncoding": "base64"},
            "url": {"type": "string", "minLength": 1, "maxLength": 2048},
            "file_id": {"type": "string", "minLength": 1, "maxLength": 64},
            **STORED_FILE["properties"],
        },
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "x-words": f"be one of {_FORMS}",
    }


def images_field(title: str, description: str, *, least: int, most: int) -> JsonSchema:
    """Several images in order, each in any of the ways to send one."""
    return _several(image_field("Image"), title, description, least, most)


def recordings_field(title: str, description: str, *, least: int, most: int) -> JsonSchema:
    """Several recordings in order, each in any of the ways to send one."""
    return _several(audio_field("Recording"), title, description, least, most)


def videos_field(title: str, description: str, *, least: int, most: int) -> JsonSchema:
    """Several videos in order, each in any of the ways to send one."""
    return _several(video_field("Video"), title, description, least, most)


def _several(one: JsonSchema, title: str, description: str, least: int, most: int) -> JsonSchema:
    return {
        "type": "array",
        "items": one,
        "minItems": least,
        "maxItems": min(most, MOST_FILES),
        "title": title,
        "description": description,
    }


def media_kind(rule: JsonSchema) -> str | None:
    """Which kind of file a field is, or is a list of; None for one that is neither."""
    kind: str | None = rule.get("x-media") or rule.get("items", {}).get("x-media")
    return kind


def audio_field(title: str = "Recording", description: str = "") -> JsonSchema:
    return a_file("audio", title, description)


def video_field(title: str = "Video", description: str = "") -> JsonSchema:
    return a_file("video", title, description)


VIDEO_SYNONYMS = ("video", "clip", "movie", "file", "file_id", "url", "video_url")
AUDIO_SYNONYMS = ("audio", "recording", "sound", "speech", "file", "file_id", "url", "audio_url")
IMAGE_SYNONYMS = ("image", "picture", "photo", "img", "file", "file_id", "url", "image_url")

#: A loaf on a table, 64 by 48 pixels: every image task can bake it.
EXAMPLE_IMAGE: dict[str, Any] = {
    "data": (
        "iVBORw0KGgoAAAANSUhEUgAAAEAAAAAwBAMAAABTZWEsAAAAJFBMVEX48uX27t/27t727t3brHPHgDTGgDW8eDGZbEOXZz6WZz6T"
        "Zj5TFinYAAABj0lEQVR42uWUzUrDQBSFz21jTQWbGXWh4qLWjRZq/QVBlz6FT+Tr+BSioFApLqvowl+aSRB6VfS6mDaZVGt1q1l8"
        "kOTw3ZNhJlTB91cOfzGgdd8Dz70hJS3kymIGBKh0Qmt4O8mvhF8G6O1sQ1XwPvV4upo68slMGn/Ynl285deq1ofz/DlQau6V8cxQ"
        "HC8VjsvcH9Bnu6CQAWbIwlPcb6CR2krS/lnGzmc4uw6lZj1Mmkk0udbIGuhuxzcACBZcfSqyawiiumgAQRcSrTcyhkLND2+qhjo9"
        "8MuIVVgDNesmhwsggejALTm+eiEBYpUC4UbDGcE7o+yrCEiB2Ctyz0DXgUGk3skBtEoNwZwAiDvTPqfgxQPVM4hWADQuXdg1sYb7"
        "LQOgMx2TA0Reka2BjLb7qe0CEyr5TCuTqwlxgPaC6Y6wHQH4WXSOlDWI9DZVBjSfjLDTAMli2MGRq2X1g5PlacBsDnLkNLwWEA94"
        "r9ECvAoAmC8D7XwFoP1hHdaHBUIA4cAS3cOr/91v8PeBDwG8o/XFhaGMAAAAAElFTkSuQmCC"
    )
}

#: The same from a step nearer, for tasks that compare two.
OTHER_EXAMPLE_IMAGE: dict[str, Any] = {
    "data": (
        "iVBORw0KGgoAAAANSUhEUgAAAEAAAAAwBAMAAABTZWEsAAAAJFBMVEX69+327t/27t727t317dzWo2jHgDTGgDS6dzKWZz6VZz6QZD7"
        "h0cG9AAACXUlEQVR42s2UQWtTURCFv7mJKCK9c2sFFdq+RMVdo61LwVb8C/5YUdzoRjC1imuT1JWL5s5LCyZg37h4r0nBtiq4cFYX3j"
        "lzzpz77kiXiyvwVwAFOR8gUKYUQU8D2gu2LWs1ZPKAL6gtaCcmdVJUr+umT6uR/9JBJ2vv7RkJtx+v7q4vEE0HkbXdo+1lNqn2Kuu3N"
        "uaIGiDe+bApW+oDQuG7uX+nwk5JSAzVZKWoMhCzbR3/+LwxaoyejPlhZ8OlIeWvzw7mcbQSoOWN1a2py/epzr5Pmens1ovet0VQYunt"
        "9WiWEziouzx8/Ml1Dojh2k5v4IInE6RU88N7B91yLjEr3jy6cttnya7ezOny7Hb8Nu1ee3efad1BpL/T8/4k5nSwm3IZ+x+j271x7Tl"
        "AXF25nmnmbi5Kxq0nH6UBTLzbK4NWAh2GihQuDneP1xUICHthEB1XzDAcc0FztxcMCMS1o201EsOEqIuyTE5l3GdPaolqxyEnMm7qRh"
        "YylLrSmCxpZUuYgiIguKIRf3C8Xnt4qyZZTd3wQAYrfEjM8gSFIEgPr4esyUqJiHHIvkHwVVwU8ZZnsCIP8YmPEbWVIRDUC9zwxa+Nq"
        "IIbDxEllGwBkMabnZzifieWcdxdzipLHK8bQfYYKZB15ORyKZmbjJYwNyIQMNwAzAXcTMG9voZthEC7OJHPCsRyfsQkXvh4Sx2efnpN"
        "GDY/JgMjqEQ9u4FB2UntA/wcBReqAe3BJexcF+Mx8rwJ6qzqA/LyNyuo3cR0ZolC+8tF9DG0ET33u9sfrME2nv/lIv1PAT8B3tAVfZF"
        "bYAAAAAAASUVORK5CYII="
    )
}
