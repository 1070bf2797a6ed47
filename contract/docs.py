"""Writes the pages of docs/ that follow from the contract: `python -m contract.docs` (make docs).

A test holds the committed pages to what this writes.
"""

from __future__ import annotations

import json
from pathlib import Path

from contract.jsons import dumps
from contract.settings import as_markdown
from contract.tasks import ALIASES, CATALOGUE, Task
from contract.tasks.task import JsonSchema

DOCS = Path(__file__).resolve().parent.parent / "docs"
#: Written by the tests (tests/proofs.py): which tasks came through which doors.
PROOFS = DOCS / "proofs.json"
#: The doors, and what the table calls them.
WAYS = {"form": "form", "api": "API", "bulk": "file of rows", "view": "result page"}

_SETTINGS_HEAD = """# Settings

Every setting is an environment variable. An unknown `FOURNIL_*` name or a bad value stops the start with a
sentence that says what to write. This page is generated from `contract/settings.py` by `make docs`.

"""
_TASKS_HEAD = """# Tasks

What each task takes and gives. This page is generated from `contract/tasks/` by `make docs`;
`GET /api/v1/tasks` answers the same as JSON. Where a parameter has no default, the checkpoint decides (its
`generation_config.json` or configuration), as it does in transformers; a pipeline may have defaults of its own.

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
    return (
        f"| task | {' | '.join(WAYS.values())} |\n|{' --- |' * (1 + len(WAYS))}\n{rows}\n"
        "Each entry was shown by a test that ran it: the form and the result drawn on its page, the example through "
        "the API on a\ntiny real checkpoint, two rows of a file. Recorded by `make proofs` with "
        f"transformers {recorded['transformers']}; an empty\nentry has not been shown yet.\n\n"
    )


def _proven_row(task: Task, ways: list[str]) -> str:
    words = {"view": f"yes: {task.view}"}
    cells = [words.get(way, "yes") if way in ways else "" for way in WAYS]
    return f"| [{task.name}](#{task.name}) | {' | '.join(cells)} |\n"


def _task(task: Task) -> str:
    return (
        f"## {task.name}\n\n{task.summary}\n\n"
        f"| input | type | |\n| --- | --- | --- |\n{_fields(task.inputs)}\n"
        f"| parameter | type | |\n| --- | --- | --- |\n{_fields(task.parameters)}\n"
        f"```json\n{dumps(dict(task.example))}\n```\n\n{_columns(task)}"
    )


def _columns(task: Task) -> str:
    taken = "; ".join(f"`{field}` from {', '.join(names)}" for field, names in task.synonyms.items())
    given = ", ".join(f"`{name}`" for name in task.result_columns)
    return f"Columns of a file of rows, whichever comes first: {taken}. Columns of its results: {given}.\n"


def _fields(schema: JsonSchema) -> str:
    return "".join(
        f"| `{name}`{' (required)' if name in schema['required'] else ''} | {_kind(rule)} | {_words(rule)} |\n"
        for name, rule in schema["properties"].items()
    )


def _kind(rule: JsonSchema) -> str:
    if "enum" in rule:
        return " or ".join(f"`{word if isinstance(word, str) else dumps(word)}`" for word in rule["enum"])
    kinds = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
    bounds = [f"{word} {rule[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in rule]
    return " ".join([" or ".join(kinds), *bounds])


def _words(rule: JsonSchema) -> str:
    default = f" Default: `{dumps(rule['default'])}`." if "default" in rule else ""
    return f"{rule.get('description') or rule.get('title', '')}{default}"


PAGES = {"settings.md": settings_page, "tasks.md": tasks_page}


def main() -> None:
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
