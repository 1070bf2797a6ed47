"""Requests that ask for too little, too much or the wrong thing, made for every task from its example.

    for case in cases(): POST case.body (and case.parts) to /api/v1/jobs

None of them may come back as anything but a refusal that names its field, or a job that failed with a code.
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from contract.tasks import CATALOGUE, JsonSchema, Task
from tests import documents, pictures, recordings, videos

#: Texts that JSON, Unicode or a tokenizer trips over. A model may also answer them.
ODD_TEXTS = {
    "half a character": "\ud83d",
    "the other half": "bread \udc00 bread",
    "NUL": "bread\0bread",
    "only blanks": " \t\r\n\u2003",
    "only what is not seen": "\u200b\u200d\ufeff\u2060",
    "written backwards": "\u202ebread\u202c\u2066",
    "a tower of accents": "e" + "\u0301" * 5_000,
    "a family": "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 200,
    "no character": "\uffff\U0010ffff\ufdd0",
    "one endless word": "a" * 100_000,
    "marks of a tokenizer": "[CLS][SEP][PAD][MASK]<s></s><unk><|endoftext|><image>",
    "a template": "{{ 7 * 7 }} {0.__class__} %s %n ${HOME} {% raw %}",
}
_LOOSE = "not json, not this type"
_BROKEN = {
    "image": pictures.broken, "audio": recordings.broken, "document": documents.broken, "video": videos.broken,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    task: str
    #: The request, as it goes over the wire.
    body: bytes
    #: Parts of a multipart request, by input field.
    parts: tuple[tuple[str, bytes], ...] = ()
    #: Whether a model may also have an answer.
    answered: bool = False


def cases() -> Iterator[Case]:
    for task in CATALOGUE.values():
        yield from _wrong_inputs(task)
        yield from _wrong_parameters(task)
        yield from _odd_texts(task)
        yield from _broken_files(task)
    yield from _no_json()


def _wrong_inputs(task: Task) -> Iterator[Case]:
    good = task.example["inputs"]
    for name, inputs in {"null": None, "a number": 5, "a list": [good], "nothing": {}}.items():
        yield _case(task, f"inputs: {name}", inputs=inputs)
    yield _case(task, "a field that is none", inputs={**good, "no_such_field": 1})
    for field, value in good.items():
        without = {name: other for name, other in good.items() if name != field}
        needed = field in task.inputs["required"] or len(good) == 1
        yield _case(task, f"{field} is missing", inputs=without, answered=not needed)
        wrong = {"null": None, "a number": 1e308, "true": True, "empty": type(value)(), "a nest": _nest(60)}
        for name, one in wrong.items():
            # What a decision is about may be any JSON.
            fits = name == "a nest" and field == "state"
            yield _case(task, f"{field}: {name}", inputs={**good, field: one}, answered=fits)


def _wrong_parameters(task: Task) -> Iterator[Case]:
    yield _case(task, "parameters: a list", parameters=[])
    yield _case(task, "a parameter that is none", parameters={"no_such_parameter": 1})
    for name, rule in task.parameters["properties"].items():
        yield _case(task, f"{name}: a nest", parameters={name: {"a": [{}]}})
        if "maximum" in rule:
            yield _case(task, f"{name}: huge", parameters={name: 1e308})
            yield _case(task, f"{name}: NaN", parameters={name: float("nan")})


def _odd_texts(task: Task) -> Iterator[Case]:
    """In the field that is read the most; where the text is in a list, in its first place."""
    good = task.example["inputs"]
    field = next((name for name, rule in _fields(task).items() if "string" in rule.get("type", ())), None)
    for name, text in ODD_TEXTS.items() if field else ():
        yield _case(task, f"{field}: {name}", inputs={**good, field: text}, answered=True)


def _broken_files(task: Task) -> Iterator[Case]:
    for field, kind in task.media.items():
        good = task.example["inputs"]
        others = {name: value for name, value in good.items() if name != field}
        value = good.get(field, [{}] if field in task.media_lists else {})
        number = len(value) if isinstance(value, list) else 1
        for name, body in _BROKEN[kind]().items():
            fits = kind == "document" and name in documents.MENDED
            yield _case(task, f"{field}: {name}", inputs=others, parts=((field, body),) * number, answered=fits)
        for name, wrong in _no_files(value).items():
            yield _case(task, f"{field}: {name}", inputs={**good, field: wrong})


def _no_files(good: Any) -> dict[str, Any]:
    wrong = {
        "a path": "/etc/passwd",
        "a path in data": {"data": "/etc/passwd"},
        "no base64": {"data": "***"},
        "base64 of nothing": {"data": ""},
        "a file that is not there": {"file_id": "0" * 32},
        "a URL of this machine": {"url": "http://127.0.0.1:1/a"},
        "a URL of a file": {"url": "file:///etc/passwd"},
        "two ways at once": {"data": base64.b64encode(b"a").decode(), "file_id": "0" * 32},
    }
    return {name: [one] * len(good) for name, one in wrong.items()} if isinstance(good, list) else wrong


def _no_json() -> Iterator[Case]:
    task = next(iter(CATALOGUE))
    for name, body in {
        "nothing": b"",
        "half an object": b'{"pipeline": "text-cl',
        "no UTF-8": b'{"pipeline": "\xff\xfe"}',
        "two objects": b"{}{}",
        "a nest without end": b"[" * 100_000,
        "a key twice and Infinity": b'{"pipeline": 1, "pipeline": Infinity}',
        "a number without end": b'{"pipeline": ' + b"9" * 10_000 + b"}",
        "not an object": b"[1, 2]",
    }.items():
        yield Case(f"the body: {name}", task, body)


def _case(
    task: Task, name: str, *, parts: tuple[tuple[str, bytes], ...] = (), answered: bool = False, **changed: Any
) -> Case:
    request = {"pipeline": task.name, **copy.deepcopy(task.example), **changed}
    # ASCII: half a character has no UTF-8, but JSON can write it.
    return Case(f"{task.name}: {name}", task.name, json.dumps(request).encode(), parts, answered)


def _fields(task: Task) -> dict[str, JsonSchema]:
    fields: dict[str, JsonSchema] = task.inputs["properties"]
    return {name: fields[name] for name in task.example["inputs"]}


def _nest(depth: int) -> Any:
    nest: Any = _LOOSE
    for _ in range(depth):
        nest = [nest]
    return nest
