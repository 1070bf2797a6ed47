"""How one setting is declared, read and documented: name, accepted form, default, and what it trades.

`from_env` on a dataclass of options refuses unknown FOURNIL_* names and bad values with a sentence that says
what to write. A secret can also come from the file that NAME_FILE names, and never shows in a repr.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

PREFIX = "FOURNIL_"
_DEVICES = re.compile(r"^(auto|(cpu(\*[1-9]\d?)?|cuda:\d+)(,(cpu(\*[1-9]\d?)?|cuda:\d+))*)$")
T = TypeVar("T")
Section = TypeVar("Section")


class SettingsError(Exception):
    """A setting is wrong; the message names it, its value and what to write instead."""


@dataclasses.dataclass(frozen=True)
class Form:
    """What a value may look like: `read` turns text into the value or raises ValueError."""

    words: str
    read: Callable[[str], Any]


def _read_bool(text: str) -> bool:
    if text.lower() in ("true", "1", "yes"):
        return True
    if text.lower() in ("false", "0", "no"):
        return False
    raise ValueError(text)


def whole(low: int, high: int) -> Form:
    def read(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return Form(f"a whole number from {low} to {high}", read)


def seconds(low: float, high: float) -> Form:
    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return Form(f"seconds, from {low:g} to {high:g}", read)


def one_of(*words: str) -> Form:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return Form("one of " + ", ".join(words), read)


TEXT = Form("text", str)
FOLDER = Form("a folder; made if it is not there", lambda text: Path(text).expanduser())
FILE = Form("the path of a file", lambda text: Path(text).expanduser())
BOOL = Form("true or false", _read_bool)


def a_url(*schemes: str) -> Form:
    def read(text: str) -> str:
        if not text.startswith(schemes):
            raise ValueError(text)
        return text

    return Form("a URL that begins with " + " or ".join(schemes), read)


def _read_devices(text: str) -> str:
    if not _DEVICES.match(text):
        raise ValueError(text)
    return text


DEVICES = Form("auto, or a comma list of cpu, cpu*N and cuda:N", _read_devices)


def option(name: str, form: Form, default: Any, doc: str, *, secret: bool = False) -> Any:
    """A dataclass field that is read from FOURNIL_<name>; `doc` says what gets worse in each direction."""
    metadata = {"name": PREFIX + name, "form": form, "doc": doc, "secret": secret}
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


def read_section(section: type[Section], env: Mapping[str, str]) -> Section:
    """Build one frozen section from the environment; fields that are not set keep their defaults."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(section):  # type: ignore[arg-type]
        text = _text_of(field, env)
        if text is not None:
            values[field.name] = _read(field, text)
    return section(**values)


def refuse_unknown(env: Mapping[str, str], known: set[str]) -> None:
    for name in sorted(env):
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]}?" if close else " docs/settings.md lists them all."
            raise SettingsError(f"{name} is not a setting.{hint}")


def names_of(field: dataclasses.Field[Any]) -> set[str]:
    name = field.metadata["name"]
    return {name, name + "_FILE"} if field.metadata["secret"] else {name}


def _text_of(field: dataclasses.Field[Any], env: Mapping[str, str]) -> str | None:
    name = field.metadata["name"]
    if field.metadata["secret"] and (path := env.get(name + "_FILE")):
        if name in env:
            raise SettingsError(f"Set {name} or {name}_FILE, not both.")
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(f"{name}_FILE names a file that cannot be read: {path}") from error
    return env.get(name) or None


def _read(field: dataclasses.Field[Any], text: str) -> Any:
    form: Form = field.metadata["form"]
    try:
        return form.read(text)
    except ValueError as error:
        shown = "(hidden)" if field.metadata["secret"] else repr(text)
        raise SettingsError(f"{field.metadata['name']} is {shown}; write {form.words}.") from error
