"""A job in one line of a table: the beginning of what was sent, and of what came back."""

from __future__ import annotations

from typing import Any

from contract.jsons import dumps
from contract.statuses import JobStatus
from contract.tasks import Task
from models.jobs import Job
from web.pages import outline
from web.pages.filters import percent, short, size, unbroken
from web.pages.results.decisions import in_words
from web.pages.turns import words_of


def summary(job: Job, task: Task | None) -> dict[str, Any]:
    return {
        "id": job.id,
        "row": job.row,
        "line": job.line,
        "external_id": job.external_id,
        "batch_id": job.batch_id,
        "pipeline": job.pipeline,
        "status": job.status.value,
        "created_at": job.created_at,
        "sent": sent(job.inputs, task),
        "came_back": _came_back(job, task),
    }


def sent(inputs: Any, task: Task | None) -> str:
    """The main field, or the last thing said in a conversation."""
    if not isinstance(inputs, dict):
        return short(dumps(inputs))
    if inputs.get("messages"):
        return short(words_of(inputs["messages"][-1].get("content", "")))
    text = inputs.get(task.main_field) if task else None
    if files := files_in(text):
        words = [value for value in inputs.values() if isinstance(value, str)]
        return short(" · ".join([*words, *map(_file, files)]))
    return short(dumps(inputs) if text is None else outline.in_one_line(text))


def files_in(value: Any) -> list[dict[str, Any]]:
    """Stored files that a field is, or is a list of."""
    listed = value if isinstance(value, list) else [value]
    return [one["file"] for one in listed if isinstance(one, dict) and "file" in one]


def members_in(value: Any) -> list[dict[str, Any]]:
    """Files of an archive that is not a batch yet, with names and sizes."""
    listed = value if isinstance(value, list) else [value]
    return [one["member"] for one in listed if isinstance(one, dict) and "member" in one]


def _file(file: dict[str, Any]) -> str:
    return f"{file['content_type']}, {unbroken(size)(file['bytes'])}"


def _came_back(job: Job, task: Task | None) -> str:
    if job.status is JobStatus.FAILED:
        return short(job.error_message or "")
    return "" if job.result is None else in_one_line(job.result, task)


def in_one_line(result: Any, task: Task | None) -> str:
    """What an export would put into its columns, for people."""
    kind = task.view if task else ""
    try:
        return short(_LINES[kind](result)) if kind in _LINES else short(dumps(result))
    except (LookupError, TypeError, ValueError, AttributeError, StopIteration):
        return short(dumps(result))


def _labels(result: Any) -> str:
    return f"{result[0]['label']} · {unbroken(percent)(result[0]['score'])}" if result else "no label"


def _entities(result: Any) -> str:
    named = ((entry["word"], entry.get("entity_group") or entry["entity"]) for entry in result)
    return ", ".join(f"{word} ({kind})" for word, kind in named) or "none"


def _tokens(result: Any) -> str:
    words = result[0] if isinstance(result[0], list) else result
    return ", ".join(word["token_str"].strip() for word in words)


def _vector(result: Any) -> str:
    if isinstance(result[0], list):
        return f"{len(result)} × {len(result[0])} numbers"
    return f"{len(result)} numbers: " + ", ".join(f"{x:.3f}" for x in result[:4]) + ", …"


def _scores(result: Any) -> str:
    return ", ".join(f"{score:.3f}" for score in result)


def _text(result: Any) -> str:
    if "image" in result:
        return _picture(result)
    return str(result["message"]["content"] if "message" in result else result["generated_text"])


def _answers(result: Any) -> str:
    best = result[0] if isinstance(result, list) else result
    return f"{best['answer'] or 'no answer'} · {unbroken(percent)(best['score'])}"


def _written(result: Any) -> str:
    return next(str(text) for name, text in result.items() if name != "alternatives") or "nothing"


def _table(result: Any) -> str:
    answers = result if isinstance(result, list) else [result]
    return " · ".join(str(one["answer"]) or "no cell" for one in answers)


def _boxes(result: Any) -> str:
    return f"{len(result)} found" + (f": {_labels(result)}" if result else "")


def _masks(result: Any) -> str:
    return ", ".join(entry["label"] for entry in result) or "no parts"


def _depth(result: Any) -> str:
    return f"from {result['min']:.2f} to {result['max']:.2f}"


def _picture(result: Any) -> str:
    return _file(result["image"]["file"])


def _replies(result: Any) -> str:
    best = result[0]
    return str(best["answer"]) if best["score"] is None else f"{best['answer']} · {unbroken(percent)(best['score'])}"


def _found(result: Any) -> str:
    return _replies([{**result[0], "answer": result[0]["answer"] or "no answer"}])


def _transcript(result: Any) -> str:
    return str(result["text"]).strip() or "nothing"


def _sound(result: Any) -> str:
    return _file(result["audio"]["file"])


def _decisions(result: Any) -> str:
    return ", ".join(f"{name}: {in_words(answer)}" for name, answer in result.items())


def _caption(result: Any) -> str:
    return str(result[0]["generated_text"])


def _matches(result: Any) -> str:
    return f"{len(result)} pair{'' if len(result) == 1 else 's'} of points"


def _things(result: Any) -> str:
    return f"{len(result)} mask{'' if len(result) == 1 else 's'}"


_LINES = {
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
    "matches": _matches,
    "transcript": _transcript,
    "sound": _sound,
    "things": _things,
    "decisions": _decisions,
    "watched": _labels,
}
