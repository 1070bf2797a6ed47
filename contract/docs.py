"""Writes the pages of docs/ that follow from the contract: `python -m contract.docs` (make docs).

A test holds the committed pages to what this writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from contract.jsons import dumps
from contract.settings import as_markdown
from contract.shapes import fields_of, kind_of
from contract.tasks import ALIASES, CATALOGUE, Task
from contract.tasks.task import JsonSchema

DOCS = Path(__file__).resolve().parent.parent / "docs"
#: Written by the tests (tests/proofs.py): which tasks came through which doors.
PROOFS = DOCS / "proofs.json"
#: A text of an example that is longer is a file's bytes, of which so many characters are shown.
_LONGEST, _SHOWN = 500, 24
#: The doors, and what the table calls them.
WAYS = {
    "form": "form",
    "chromium": "form in Chromium",
    "api": "API",
    "bulk": "file of rows",
    "view": "result page",
}

_SETTINGS_HEAD = """# Settings

Every setting is an environment variable. An unknown `FOURNIL_*` name or a bad value stops the start with a
sentence that says what to write. This page is generated from `contract/settings.py` by `make docs`.

"""
_TASKS_HEAD = """# Tasks

What each task takes and gives. This page is generated from `contract/tasks/` by `make docs`;
`GET /api/v1/tasks` answers the same as JSON, with the whole schemas. Where a parameter has no default, the checkpoint
decides (its `generation_config.json` or configuration), as it does in transformers; a pipeline may have defaults of
its own. A file is sent as `{"data": base64}`, `{"url": "https://…"}`, `{"file_id": "…"}` or a part of a multipart
request ([api.md](api.md#submitting)); its bytes are cut short here. Results are made up, to show their shape.

"""
_PROOFS_TAIL = """Each entry was shown by a test that ran it, and an empty one has not been shown yet:

- form: every field is asked for, and the example comes in as it was written (Flask's test client, no model)
- form in Chromium: a browser fills the example in, runs it on a tiny real checkpoint and sees the result drawn
- API, file of rows: the example, and two rows of a file, on the same checkpoint
- result page: as HTML, drawn as the view that is named and never as bare JSON

Recorded by `make proofs` with transformers {transformers}.

"""


def settings_page() -> str:
    return _SETTINGS_HEAD + as_markdown()


def tasks_page() -> str:
    aliases = "".join(f"- `{alias}` is short for `{name}`\n" for alias, name in ALIASES.items())
    aliases += "- `translation_xx_to_yy` is `translation` with `src_lang` xx and `tgt_lang` yy\n"
    return (
        _TASKS_HEAD + _proven() + "\n".join(_task(task) for task in CATALOGUE.values()) + "\n## Aliases\n\n" + aliases
    )


def _proven() -> str:
    """Every task by every door; what no recorded run has shown is left empty."""
    recorded = json.loads(PROOFS.read_text(encoding="utf-8"))
    rows = "".join(_proven_row(task, recorded["tasks"].get(task.name, [])) for task in CATALOGUE.values())
    head = f"| task | {' | '.join(WAYS.values())} |\n|{' --- |' * (1 + len(WAYS))}\n"
    return f"{head}{rows}\n" + _PROOFS_TAIL.format(transformers=recorded["transformers"])


def _proven_row(task: Task, ways: list[str]) -> str:
    words = {"view": f"yes: {task.view}"}
    cells = [words.get(way, "yes") if way in ways else "" for way in WAYS]
    return f"| [{task.name}](#{task.name}) | {' | '.join(cells)} |\n"


def _task(task: Task) -> str:
    return (
        f"## {task.name}\n\n{task.summary}\n\n"
        f"{_table('input', _asked(task.inputs))}\n{_table('parameter', _asked(task.parameters))}\n"
        f"A request:\n\n{_json(task.example)}\n"
        f"{_table('result', _given(task.result))}\nA result:\n\n{_json(task.example_result)}\n{_columns(task)}"
    )


def _columns(task: Task) -> str:
    taken = "; ".join(f"`{field}` from {', '.join(names)}" for field, names in task.synonyms.items())
    given = ", ".join(f"`{name}`" for name in task.result_columns)
    return f"Columns of a file of rows, whichever comes first: {taken}. Columns of its results: {given}.\n"


def _table(head: str, rows: Iterable[tuple[str, str, str]]) -> str:
    return f"| {head} | type | |\n| --- | --- | --- |\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _asked(schema: JsonSchema) -> Iterator[tuple[str, str, str]]:
    for name, rule in schema["properties"].items():
        default = f" Default: `{dumps(rule['default'])}`." if "default" in rule else ""
        needed = " (required)" if name in schema["required"] else ""
        yield f"`{name}`{needed}", kind_of(rule), f"{rule.get('description') or rule.get('title', '')}{default}"


def _given(schema: JsonSchema) -> Iterator[tuple[str, str, str]]:
    for field in fields_of(schema, "result"):
        yield f"`{field.path}`{'' if field.always else ' (not always)'}", field.kind, field.words


def _json(value: Any) -> str:
    return f"```json\n{dumps(_cut(value))}\n```\n"


def _cut(value: Any) -> Any:
    """Without most of a file's bytes, which nobody reads here."""
    if isinstance(value, Mapping):
        return {name: _cut(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_cut(one) for one in value]
    return f"{value[:_SHOWN]}…" if isinstance(value, str) and len(value) > _LONGEST else value


PAGES = {"settings.md": settings_page, "tasks.md": tasks_page}


def main() -> None:
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
