"""Results as a page draws them: from the shape a task promises to what a template only has to write down.

A result of another shape (an older version made it) is drawn as JSON; a page never breaks on one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from contract.schemas import checker
from contract.tasks import Task
from contract.tasks.task import View
from web.pages.results import decisions, found, matches, sounds, vectors
from web.pages.results.things import MOST_LAYERS, things
from web.pages.turns import words_of


@dataclasses.dataclass(frozen=True)
class Bar:
    """A name with a score; `width` is the drawn share in percent."""

    name: str
    score: float
    width: float


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of a text; `kind` is what it was marked as, `color` one of six."""

    text: str
    kind: str | None = None
    score: float | None = None
    color: int = 0


@dataclasses.dataclass(frozen=True)
class Turn:
    role: str
    content: str


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle in the pixels of the image; `tint` is one of six colors."""

    label: str
    score: float
    tint: int
    x: int
    y: int
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class Mask:
    label: str
    score: float | None
    tint: int
    #: The stored gray image: white is what belongs to it.
    file: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A template under results/ and what it is given."""

    template: str
    given: dict[str, Any]
    #: The input field that it shows too.
    shows: str | None = None


#: By view: a table with its cells marked, and what plays beside the result.
_SHOWN: dict[View, str] = {"table": "table", "transcript": "audio", "watched": "video"}


def draw(task: Task | None, inputs: Any, result: Any, *, delimiter: str = " ") -> Drawing:
    """How to show `result`; `delimiter` stands between words that were sent as words."""
    if task is None or result is None or checker(task.result).problems(result, at="result"):
        return Drawing("results/raw.html", {})
    if "words" in inputs:
        inputs = {**inputs, "text": delimiter.join(inputs["words"])}
    return Drawing(f"results/{task.view}.html", _VIEWS[task.view](inputs, result), _SHOWN.get(task.view))


def _labels(_inputs: Any, result: list[dict[str, Any]]) -> dict[str, Any]:
    return {"bars": [_bar(entry["label"], entry["score"]) for entry in result]}


def _watched(inputs: Any, result: list[dict[str, Any]]) -> dict[str, Any]:
    return {**_labels(inputs, result), "file": (inputs.get("video") or {}).get("file")}


def _bar(name: str, score: float) -> Bar:
    return Bar(name, score, round(100 * min(1.0, max(0.0, score)), 2))


def _entities(inputs: Any, result: list[dict[str, Any]]) -> dict[str, Any]:
    kinds = {kind: place % 6 for place, kind in enumerate(dict.fromkeys(_kind(entry) for entry in result))}
    listed = [Piece(entry["word"], _kind(entry), entry["score"], kinds[_kind(entry)]) for entry in result]
    return {"pieces": _marked(inputs.get("text", ""), result, kinds), "entities": listed}


def _kind(entry: dict[str, Any]) -> str:
    return str(entry.get("entity_group") or entry.get("entity") or "entity")


def _marked(text: str, entities: list[dict[str, Any]], kinds: dict[str, int]) -> list[Piece]:
    """The text in pieces, marked and unmarked; one that overlaps an earlier one stands in the list alone."""
    pieces: list[Piece] = []
    end = 0
    placed = [entry for entry in entities if entry["start"] is not None and entry["end"] is not None]
    for entry in sorted(placed, key=lambda entry: entry["start"]):
        start, stop = entry["start"], min(entry["end"], len(text))
        if start < end or stop <= start:
            continue
        if start > end:
            pieces.append(Piece(text[end:start]))
        pieces.append(Piece(text[start:stop], _kind(entry), entry["score"], kinds[_kind(entry)]))
        end = stop
    if end < len(text):
        pieces.append(Piece(text[end:]))
    return pieces


def _tokens(_inputs: Any, result: list[Any]) -> dict[str, Any]:
    gaps = result if result and isinstance(result[0], list) else [result]
    return {"gaps": [[(_bar(word["token_str"], word["score"]), word["sequence"]) for word in gap] for gap in gaps]}


def _vector(_inputs: Any, result: list[Any]) -> dict[str, Any]:
    if result and isinstance(result[0], list):
        return {"grid": vectors.rows_picture(result), "tokens": len(result), "length": len(result[0])}
    return {"grid": vectors.picture(result), "length": len(result), "facts": vectors.facts(result), "numbers": result}


def _scores(inputs: Any, result: list[float]) -> dict[str, Any]:
    sentences = inputs.get("sentences", [])
    bars = [_bar(sentence, score) for sentence, score in zip(sentences, result, strict=False)]
    return {"source": inputs.get("source_sentence", ""), "bars": sorted(bars, key=lambda bar: -bar.score)}


def _text(inputs: Any, result: dict[str, Any]) -> dict[str, Any]:
    others = {"others": result.get("alternatives", [])}
    if "image" in result:
        asked = turns(inputs) or [Turn("user", inputs.get("text", ""))]
        return others | {"turns": asked, "file": result["image"]["file"]}
    if "message" in result:
        return others | {
            "turns": [*turns(inputs), Turn("assistant", result["message"]["content"])],
            "finish_reason": result["finish_reason"],
            "usage": result["usage"],
        }
    prompt, written = inputs.get("text", ""), result["generated_text"]
    if any(map(inputs.get, ("images", "videos", "audio"))):
        # What is asked about files, and no text that goes on.
        return others | {"turns": [Turn("user", prompt), Turn("assistant", written)]}
    return others | {"prompt": prompt, "written": written.removeprefix(prompt) if prompt else written}


def _written(inputs: Any, result: dict[str, Any]) -> dict[str, Any]:
    [written] = [text for name, text in result.items() if name != "alternatives"]
    return {"written": written, "read": inputs.get("text", ""), "others": result.get("alternatives", [])}


def _answers(inputs: Any, result: Any) -> dict[str, Any]:
    """The best answer marked in the text, and all of them as bars."""
    listed = result if isinstance(result, list) else [result]
    best = {**listed[0], "entity": "answer"}
    marks = [best] if best["answer"] else []
    return {
        "best": best["answer"],
        "bars": [_bar(answer["answer"] or "no answer", answer["score"]) for answer in listed],
        "pieces": _marked(inputs.get("context", ""), marks, {"answer": 0}),
    }


def _table(inputs: Any, result: Any) -> dict[str, Any]:
    """The table row by row, `(text, whether it is part of an answer)` for each cell."""
    table = inputs.get("table", {})
    answers = result if isinstance(result, list) else [result]
    chosen = {(row, column) for one in answers for row, column in one["coordinates"]}
    rows = [
        [(text, (row, column) in chosen) for column, text in enumerate(cells)]
        for row, cells in enumerate(zip(*table.values(), strict=False))
    ]
    return {"answers": [one["answer"] for one in answers], "names": list(table), "rows": rows}


def turns(inputs: Any) -> list[Turn]:
    """The conversation that was sent."""
    return [Turn(message["role"], words_of(message["content"])) for message in inputs.get("messages", [])]


def _boxes(_inputs: Any, result: list[dict[str, Any]]) -> dict[str, Any]:
    tints = _tints(result)
    boxes = [
        Box(entry["label"], entry["score"], tints[entry["label"]], **_rectangle(entry["box"])) for entry in result
    ]
    return {"boxes": boxes}


def _rectangle(box: dict[str, int]) -> dict[str, int]:
    width, height = box["xmax"] - box["xmin"], box["ymax"] - box["ymin"]
    return {"x": box["xmin"], "y": box["ymin"], "width": max(0, width), "height": max(0, height)}


def _tints(result: list[dict[str, Any]]) -> dict[str, int]:
    """One of six colors for each label, in the order in which they come."""
    return {label: place % 6 for place, label in enumerate(dict.fromkeys(entry["label"] for entry in result))}


def _masks(_inputs: Any, result: list[dict[str, Any]]) -> dict[str, Any]:
    masks = [
        Mask(entry["label"], entry["score"], place % 6, entry["mask"]["file"]) for place, entry in enumerate(result)
    ]
    return {"masks": masks, "over": masks[:MOST_LAYERS]}


def _depth(_inputs: Any, result: dict[str, Any]) -> dict[str, Any]:
    return {"file": result["depth"]["file"], "least": result["min"], "largest": result["max"]}


def _picture(_inputs: Any, result: dict[str, Any]) -> dict[str, Any]:
    return {"file": result["image"]["file"]}


def _replies(inputs: Any, result: list[dict[str, Any]]) -> dict[str, Any]:
    chosen = [_bar(entry["answer"], entry["score"]) for entry in result if entry["score"] is not None]
    written = [entry["answer"] for entry in result if entry["score"] is None]
    return {"question": inputs.get("question", ""), "bars": chosen, "written": written}


def _caption(_inputs: Any, result: list[dict[str, Any]]) -> dict[str, Any]:
    return {"texts": [entry["generated_text"] for entry in result]}


def _found(inputs: Any, result: list[dict[str, Any]]) -> dict[str, Any]:
    scored = [entry for entry in result if entry["score"] is not None]
    return {
        "question": inputs.get("question", ""),
        "best": result[0]["answer"] if result else "",
        "bars": [_bar(found.name_of(entry), entry["score"]) for entry in scored],
        "written": [found.name_of(entry) for entry in result[1:] if entry["score"] is None],
        "file": (inputs.get("image") or {}).get("file"),
        "page": result[0].get("page", 1) if result else 1,
        "place": found.best_place(result),
    }


def _decisions(inputs: Any, result: dict[str, Any]) -> dict[str, Any]:
    decided = decisions.decided(inputs, result)
    return {"decided": [(one, [_bar(name, score) for name, score in one.options]) for one in decided]}


_VIEWS: dict[View, Callable[[Any, Any], dict[str, Any]]] = {
    "labels": _labels,
    "entities": _entities,
    "tokens": _tokens,
    "vector": _vector,
    "scores": _scores,
    "text": _text,
    "written": _written,
    "answers": _answers,
    "table": _table,
    "boxes": _boxes,
    "masks": _masks,
    "depth": _depth,
    "picture": _picture,
    "replies": _replies,
    "caption": _caption,
    "found": _found,
    "matches": matches.matches,
    "transcript": sounds.transcript,
    "sound": sounds.sound,
    "things": things,
    "decisions": _decisions,
    "watched": _watched,
}
