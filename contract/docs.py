"""Writes the pages of docs/ that follow from the contract: `python -m contract.docs` (make docs).

A test holds the committed pages to what this writes.
"""

from __future__ import annotations

from pathlib import Path

from contract.jsons import dumps
from contract.settings import as_markdown
from contract.tasks import ALIASES, CATALOGUE, Task
from contract.tasks.task import JsonSchema

DOCS = Path(__file__).resolve().parent.parent / "docs"

_SETTINGS_HEAD = """# Settings

Every setting is an environment variable. An unknown `FOURNIL_*` name or a bad value stops the start with a
sentence that says what to write. This page is generated from `contract/settings.py` by `make docs`.

"""
_TASKS_HEAD = """# Tasks

What each task takes and gives. This page is generated from `contract/tasks/` by `make docs`;
`GET /api/v1/tasks` answers the same as JSON.

"""


def settings_page() -> str:
    return _SETTINGS_HEAD + as_markdown()


def tasks_page() -> str:
    aliases = "".join(f"- `{alias}` is short for `{name}`\n" for alias, name in ALIASES.items())
    aliases += "- `translation_xx_to_yy` is `translation` with `src_lang` xx and `tgt_lang` yy\n"
    return _TASKS_HEAD + "\n".join(_task(task) for task in CATALOGUE.values()) + "\n## Aliases\n\n" + aliases


def _task(task: Task) -> str:
    return (
        f"## {task.name}\n\n{task.summary}\n\n"
        f"| input | type | |\n| --- | --- | --- |\n{_fields(task.inputs)}\n"
        f"| parameter | type | |\n| --- | --- | --- |\n{_fields(task.parameters)}\n"
        f"```json\n{dumps(dict(task.example))}\n```\n"
    )


def _fields(schema: JsonSchema) -> str:
    return "".join(
        f"| `{name}`{' (required)' if name in schema['required'] else ''} | {_kind(rule)} | {_words(rule)} |\n"
        for name, rule in schema["properties"].items()
    )


def _kind(rule: JsonSchema) -> str:
    if "enum" in rule:
        return " or ".join(f"`{word}`" for word in rule["enum"])
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
