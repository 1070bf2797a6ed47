"""What was said in a turn of a conversation, as words."""

from __future__ import annotations

from typing import Any


def words_of(content: Any) -> str:
    """A text as it is; of parts their texts, and a word where a file stands."""
    return "\n".join(map(_word_of, content)) if isinstance(content, list) else str(content)


#: What stands for a part that is no text.
_FILES = {"audio": "(recording)", "video": "(video)"}


def _word_of(part: dict[str, Any]) -> str:
    kind = part.get("type", "")
    return str(part.get("text", "")) if kind == "text" else _FILES.get(kind, "(image)")
