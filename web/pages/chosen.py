"""Files chosen in a pipeline's form: which field each is for, and which place where the field is a list.

inputs.image            the file of a field
inputs.images.1         the file for a place of a list
inputs.images           files that come after those, as many as one likes
inputs.images.1.kept    what a place had before, and has still where no file is chosen for it
"""

from __future__ import annotations

import dataclasses

from werkzeug.datastructures import MultiDict
from werkzeug.sansio.multipart import Field, File

from contract.tasks import Task
from web.luggage import Parts
from web.uploads import Asks, Form, Received

_KEPT = ".kept"
_AT = "inputs."


@dataclasses.dataclass(frozen=True)
class Chosen:
    #: What was written, by field; the place of a file that was chosen now is empty.
    texts: MultiDict[str, str]
    parts: Parts
    #: A browser sends a part without content for a field where nothing was chosen.
    empty: list[Received]


def most_files(task: Task) -> int:
    """Parts with files that a form may send, empty ones included."""
    return sum(task.media_lists.get(name, 0) + 1 for name in task.media)


def is_chosen(task: Task) -> Asks:
    def asked(head: File | Field) -> bool:
        return isinstance(head, File) and _field(head.name or "") in task.media

    return asked


def written(posted: MultiDict[str, str]) -> MultiDict[str, str]:
    return MultiDict((name.removesuffix(_KEPT), text) for name, text in posted.items(multi=True))


def chosen(task: Task, sent: Form) -> Chosen:
    texts = written(sent.fields)
    parts: dict[str, list[Received]] = {}
    for name in task.media_lists:
        _place(texts, sent, name)
    for part in sorted(sent.files, key=_order):
        if files := [file for file in sent.files[part] if file.bytes]:
            parts.setdefault(_field(part), []).extend(files)
    return Chosen(texts, parts, [file for file in sent.all_files() if not file.bytes])


def _place(texts: MultiDict[str, str], sent: Form, name: str) -> None:
    """Empty the places of a list for which files were chosen, and add places for those that come after."""
    at = f"{_AT}{name}"
    known = [part for part in (*texts, *sent.files) if part.startswith(f"{at}.")]
    following = 1 + max((_order(part)[1] for part in known), default=-1)
    for part, files in sent.files.items():
        count = sum(1 for file in files if file.bytes)
        if part == at:
            texts.update({f"{at}.{following + extra}": "" for extra in range(count)})
        elif part.startswith(f"{at}.") and count:
            texts.setlist(part, [""])


def _field(part: str) -> str:
    return part.removeprefix(_AT).partition(".")[0]


def _order(part: str) -> tuple[str, int]:
    """By field, and there by place; files without one come last."""
    name, _, place = part.removeprefix(_AT).partition(".")
    return name, int(place) if place.isdecimal() and len(place) < 4 else 1000
