"""How far a quantized pipeline's results are from those of float32, on inputs that people really sent."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from contract.errors import InputError

#: Under which names tasks give texts.
_WRITTEN = ("generated_text", "summary_text", "translation_text", "text")


def compare(exact: Sequence[Any], quantized: Sequence[Any], *, recent: bool) -> dict[str, Any]:
    """What to tell people: `inputs`, whether they are `recent` ones, and as far as the results have them

    `same_first`: results whose first label (word, entity) is the same; `score_mean`, `score_max`: difference of the
    scores of that label; `cosine_mean`, `cosine_min`: of vectors; `same_text`: texts that are the same of `texts`;
    `same_words`: which part of a text's words, on average, comes before the first that is another.
    """
    pairs = [
        (a, b)
        for a, b in zip(exact, quantized, strict=True)
        if not isinstance(a, InputError) and not isinstance(b, InputError)
    ]
    found: dict[str, Any] = {"inputs": len(pairs), "recent": recent}
    if cosines := [_cosine(a, b) for a, b in pairs if _is_vector(a)]:
        found |= {"cosine_mean": round(statistics.mean(cosines), 4), "cosine_min": round(min(cosines), 4)}
    if texts := [(x, y) for x, y in ((_text(a), _text(b)) for a, b in pairs) if x is not None and y is not None]:
        found |= {"same_text": sum(x == y for x, y in texts), "texts": len(texts)}
        found["same_words"] = round(statistics.mean(_alike(x.split(), y.split()) for x, y in texts), 4)
    firsts = [(a, b) for a, b in ((_first(a), _first(b)) for a, b in pairs) if a is not None]
    if firsts:
        same = [abs(a[1] - b[1]) for a, b in firsts if b is not None and a[0] == b[0]]
        found |= {"same_first": len(same), "of": len(firsts)}
        if same:
            found |= {"score_mean": round(statistics.mean(same), 4), "score_max": round(max(same), 4)}
    return found


def _is_vector(result: Any) -> bool:
    return isinstance(result, list) and bool(result) and all(isinstance(number, float) for number in result)


def _cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b)) or 1.0)


def _text(result: Any) -> str | None:
    """What was written, or heard."""
    if not isinstance(result, dict):
        return None
    message = result.get("message", {})
    found = message.get("content") if message else next((result[key] for key in _WRITTEN if key in result), None)
    return found if isinstance(found, str) else None


def _alike(exact: list[str], other: list[str]) -> float:
    """Which part of a text's words comes before the first that is another."""
    pairs = enumerate(zip_longest(exact, other))
    first = next((place for place, (a, b) in pairs if a != b), len(exact))
    return min(first, len(exact)) / len(exact) if exact else float(not other)


def _first(result: Any) -> tuple[str, float] | None:
    """The best label of a result and its score."""
    while isinstance(result, list) and result:
        result = result[0]
    if not isinstance(result, dict) or "score" not in result:
        return None
    name = next(
        (result[key] for key in ("label", "token_str", "entity_group", "entity", "answer") if key in result), ""
    )
    return str(name), float(result["score"])
