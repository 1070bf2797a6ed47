"""Form controls from JSON Schema: how a property is asked for, and how what came back becomes a value.

What is left empty is left out of the request, so that the defaults stay the pipeline's business.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from wtforms import BooleanField, Field, SelectChoice, SelectField, StringField, TextAreaField
from wtforms.form import BaseForm
from wtforms.utils import unset_value

from contract.jsons import dumps, loads
from contract.schemas import from_text
from contract.tasks import JsonSchema
from contract.tasks.media import MOST_FILES, media_kind
from web.pages import tables
from web.pages.turns import words_of

LEFT_OUT = object()
ROLES = ("system", "user", "assistant")


@dataclasses.dataclass(frozen=True)
class Control:
    """One property of a schema as a form asks for it; `name` is its path in a request, such as `inputs.text`."""

    name: str
    rule: JsonSchema
    required: bool

    @property
    def title(self) -> str:
        return str(self.rule.get("title") or self.name.rpartition(".")[2].replace("_", " ").capitalize())

    @property
    def kind(self) -> str:
        kinds = _kinds(self.rule)
        if media_kind(self.rule):
            return "media" if "x-media" in self.rule else "files"
        if self.rule.get("x-json"):
            return "json"
        if "enum" in self.rule:
            return "select"
        if "boolean" in kinds:
            return "check" if "default" in self.rule else "select"
        if "array" in kinds and "string" not in kinds:
            return "turns" if self.rule["items"].get("type") == "object" else "lines"
        if "object" in kinds:
            return "table"
        if kinds & {"integer", "number"}:
            return "number"
        return "area" if self.rule.get("x-multiline") else "line"

    @property
    def help(self) -> str:
        said = str(self.rule.get("description", ""))
        # The catalogue speaks to callers of the API; here a box is ticked and a choice is made.
        for value, words in _IN_A_FORM.get(self.kind, {}).items():
            said = said.replace(value, words)
        return " ".join(hint for hint in (said, self._bounds(), self._how_to_write()) if hint)

    def _bounds(self) -> str:
        low, high = self.rule.get("minimum"), self.rule.get("maximum")
        return "" if low is None or high is None else f"From {low:,} to {high:,}."

    def _how_to_write(self) -> str:
        if self.kind == "json":
            return "Here as JSON." if "string" not in _kinds(self.rule) else ""
        if self.kind == "table":
            return "Here as lines of a spreadsheet (CSV), the names of the columns first."
        if self.kind != "lines" or self.rule.get("x-multiline"):
            return ""
        return "One a line, or with commas between."

    @property
    def places(self) -> int:
        """Files that a list has from the start; 0 where as many are chosen as one likes."""
        return int(self.rule["maxItems"]) if self.rule["minItems"] == self.rule["maxItems"] else 0

    @property
    def placeholder(self) -> str:
        default = self.rule.get("default")
        return "" if default is None or isinstance(default, bool) else as_text(self.rule, default)

    def field(self) -> Field:
        """The WTForms field that holds what was written."""
        if self.kind == "select":
            return SelectField(self.title, choices=self._choices(), validate_choice=False)
        kinds: dict[str, Any] = {
            "check": BooleanField,
            "turns": ConversationField,
            "number": StringField,
            "files": FilesField,
        }
        made = kinds.get(self.kind, StringField if self.kind == "line" else TextAreaField)
        return made(self.title, default=self.rule.get("default") if self.kind == "check" else None)

    def _choices(self) -> list[SelectChoice]:
        words = self.rule.get("enum") or ["true", "false"]
        default = self.rule.get("default")
        first = "Automatic" if default is None else f"Default: {default}"
        named = [(as_text(self.rule, word), _WORDS.get(as_text(self.rule, word), str(word))) for word in words]
        return [SelectChoice(value, label) for value, label in [("", first), *named]]

    def read(self, data: Any) -> Any:
        """The value of a request, or LEFT_OUT."""
        if self.kind == "check":
            return LEFT_OUT if data == self.rule["default"] else bool(data)
        if self.kind == "turns":
            return data or LEFT_OUT
        if self.kind == "media":
            return _kept_file(data) if data else LEFT_OUT
        if self.kind == "files":
            return [_kept_file(one) if one else None for one in data] or LEFT_OUT
        text = (data or "").replace("\r\n", "\n")
        if not text.strip():
            return LEFT_OUT
        readers = {"lines": _lines, "table": tables.from_text, "json": _json}
        return readers.get(self.kind, from_text)(self.rule, text)

    def fill(self, value: Any) -> Any:
        """What a field shows for a value of an earlier request."""
        if self.kind == "media":
            return media_source(value, self.rule["x-media"])
        if self.kind == "files":
            return [media_source(one, media_kind(self.rule) or "") for one in value]
        if self.kind == "json":
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
        if self.kind == "turns":
            return [{**said, "content": words_of(said["content"])} for said in value]
        return value if self.kind == "check" else as_text(self.rule, value)


_WORDS = {"true": "Yes", "false": "No"}
_IN_A_FORM = {
    "check": {"true:": "Ticked:", "false:": "Unticked:"},
    "select": {"true:": "Yes:", "false:": "No:", "Empty:": "Automatic:"},
}


def controls(schema: JsonSchema, *, at: str, only: str | None = None) -> list[Control]:
    """A control for each property; `only` one of several that exclude each other."""
    others = {choice["required"][0] for choice in schema.get("oneOf", ())} - {only}
    return [
        Control(f"{at}.{name}", rule, required=name in schema["required"] or name == only)
        for name, rule in schema["properties"].items()
        if name not in others
    ]


def choices(schema: JsonSchema) -> list[str]:
    """Properties of which a request gives exactly one; empty where there is no such choice."""
    return [choice["required"][0] for choice in schema.get("oneOf", ())]


def as_text(rule: JsonSchema, value: Any) -> str:
    """The text that `Control.read` turns into `value` again."""
    if isinstance(value, list):
        plain = all(isinstance(one, str) and one.strip() == one and "\n" not in one for one in value)
        lonely = plain and len(value) == 1 and "," in value[0] and not rule.get("x-multiline")
        return "\n".join(value) if plain and not lonely else dumps(value)
    if isinstance(value, dict):
        return tables.as_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _kinds(rule: JsonSchema) -> set[str]:
    kinds = rule.get("type", "string")
    return {kinds} if isinstance(kinds, str) else set(kinds)


def _kept_file(text: str) -> dict[str, str]:
    """What the hidden field beside a file's holds: bytes of an example, or the id of a file that was sent before."""
    return {"data": text} if text.startswith("data:") else {"file_id": text}


#: What the catalogue's example of a kind is.
_EXAMPLES = {"audio": "audio/flac", "video": "video/mp4"}


def media_source(value: dict[str, Any], kind: str = "image") -> str:
    """The text that `_kept_file` turns into a file again."""
    if "data" in value:
        return f"data:{_EXAMPLES.get(kind, 'image/png')};base64,{value['data'].rpartition(',')[2]}"
    return str(value.get("file_id") or value.get("file", {}).get("id", ""))


def _json(_rule: JsonSchema, text: str) -> Any:
    """An object or a list; anything else stays the text that it is."""
    try:
        found = loads(text)
    except ValueError:
        return text
    return found if isinstance(found, dict | list) else text


def _lines(rule: JsonSchema, text: str) -> Any:
    """Sentences hold commas: where a list is written in lines, only lines part it."""
    if not rule.get("x-multiline"):
        return from_text(rule, text)
    try:
        listed = loads(text)
    except ValueError:
        listed = None
    return listed if isinstance(listed, list) else [line.strip() for line in text.splitlines() if line.strip()]


class ConversationField(Field):  # type: ignore[misc]
    """Turns of a conversation, each as a role and a text under the field's name; empty turns fall out."""

    def process(self, formdata: Any, data: Any = unset_value, extra_filters: Any = None) -> None:
        super().process(None, data, extra_filters)
        if formdata is None:
            return
        roles, texts = formdata.getlist(f"{self.name}.role"), formdata.getlist(f"{self.name}.content")
        pairs = zip(roles, texts, strict=False)
        said = [{"role": role, "content": text.replace("\r\n", "\n")} for role, text in pairs]
        self.data = [turn for turn in said if turn["content"].strip()]

    def rows(self) -> list[dict[str, str]]:
        """The turns with a place for what the system is told before, and for what is said next."""
        rows = list(self.data or [])
        if not rows or rows[0]["role"] != "system":
            rows.insert(0, {"role": "system", "content": ""})
        if rows[-1]["role"] != "user":
            rows.append({"role": "user", "content": ""})
        return rows


class FilesField(Field):  # type: ignore[misc]
    """Files of a list as they are kept from before, by place under the field's name; None: another comes instead."""

    def process(self, formdata: Any, data: Any = unset_value, extra_filters: Any = None) -> None:
        super().process(None, data, extra_filters)
        kept = getattr(self, "data", None) or []
        if formdata is not None:
            named = (f"{self.name}.{place}" for place in range(MOST_FILES))
            kept = [formdata[name] for name in named if name in formdata]
        self.data: list[str] = list(kept)


def values(form: BaseForm, asked: list[Control]) -> dict[str, Any]:
    """What was written, by property name."""
    read = {control.name.partition(".")[2]: control.read(form[control.name].data) for control in asked}
    return {name: value for name, value in read.items() if value is not LEFT_OUT}
