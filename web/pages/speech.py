"""What was said in a turn of a conversation, as words."""

from __future__ import annotations

from typing import Any


def words_of(content: Any) -> str:
    """A text as it is; of parts their texts, and a word where an image stands."""
    if not isinstance(content, list):
        return str(content)
    return "\n".join(str(part.get("text", "")) if part.get("type") == "text" else "(image)" for part in content)
