"""Recordings and what is said in them, as a page shows them."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Passage:
    """A part of what was said; `at` is its beginning in seconds, None where the model does not say."""

    text: str
    at: float | None
    stamp: str


def transcript(inputs: Any, result: dict[str, Any]) -> dict[str, Any]:
    lines = [_passage(chunk) for chunk in result.get("chunks", [])]
    text, language = result["text"].strip(), result.get("language")
    return {"file": _file(inputs.get("audio")), "text": text, "language": language, "lines": lines}


def sound(inputs: Any, result: dict[str, Any]) -> dict[str, Any]:
    return {"file": result["audio"]["file"], "rate": result["sampling_rate"], "read": inputs.get("text", "")}


def _file(audio: Any) -> dict[str, Any] | None:
    return audio.get("file") if isinstance(audio, dict) else None


def _passage(chunk: dict[str, Any]) -> Passage:
    at = chunk["timestamp"][0]
    return Passage(chunk["text"], at, "–" if at is None else _clock(at))


def _clock(seconds: float) -> str:
    """`0:07.4`, `1:02:07.4`."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    whole = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{whole}:{rest / 10:04.1f}"
