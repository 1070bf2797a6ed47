"""One case through the readers, as validating an upload, ingesting it and joining its results do it."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import resource
import tempfile
import traceback
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from contract.errors import FournilError
from contract.jsons import dumps
from contract.pipelines import PipelineSpec
from models.sheets import arrows, columnar, formats, packed
from models.sheets.encodings import NAMED
from models.sheets.layout import AS_FOUND, Corrections, Layout, Place, Record
from models.sheets.mapping import Column, resolve
from models.sheets.preview import preview
from models.sheets.rows import Rows, shown
from tests.fuzz.cases import Case
from worker.pieces import storable

SPEC = PipelineSpec("fake", "text-classification", backend="fake")
LIMIT = 30_000_000
#: Bytes past which a file may not grow two hundred times; the cases are small.
_HARMLESS = 1 << 20
#: Words of ours never hold these.
_REVEALING = ("Traceback", "Error(", "pyarrow", "orjson", "<class", ".py")
#: Of the cases, those whose sender says how they are to be read.
_CORRECTED = 0.15
#: One case of so many goes through the process that reads files of columns.
APART = 25
T = TypeVar("T")
_MAPPINGS: tuple[dict[str, Column], ...] = (
    {},
    {},
    {},
    {"text": 0},
    {"text": "text"},
    {"text": 0, "parameters.top_k": 1},
)


class Wrong(AssertionError):
    """An answer that is none, or two that contradict each other."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """`code`: of the error that refused the file; None: it was read, `good` rows and `bad` ones."""

    code: str | None
    good: int = 0
    bad: int = 0
    #: What was neither read nor refused.
    trouble: str | None = None


def answer(case: Case, seed: int) -> Answer:
    """What becomes of a case. Never raises.

    Parquet and Arrow files are read in this process, but for some: one that starts another five times a case would
    need hours for what it does in minutes. Whoever asks limits this process (`limited`) as that other limits itself.
    """
    with contextlib.ExitStack() as parts:
        if case.number % APART:
            parts.enter_context(_read_here())
        return _answered(case, seed)


@contextlib.contextmanager
def _read_here() -> Iterator[None]:
    with (
        mock.patch.object(arrows, "look", lambda path, layout: _said(lambda: columnar.look(*_named(path, layout)))),
        mock.patch.object(arrows, "_batches", _batches),
    ):
        yield


def _named(path: Path, layout: Layout) -> tuple[str, str]:
    return str(packed.plain(path, layout)), layout.format


def _batches(path: Path, layout: Layout, row: int) -> Iterator[Any]:
    batches = columnar.batches(*_named(path, layout), row)
    _said(lambda: next(batches))
    while (batch := _said(lambda: next(batches, None))) is not None:
        yield batch


def _said(read: Callable[[], T]) -> T:
    try:
        return read()
    except FournilError:
        raise
    except Exception as error:
        if columnar.status_of(error) not in (columnar.DAMAGED, columnar.TOO_MUCH):
            raise
        raise arrows.damaged() from error


def limited() -> None:
    """This process may take what one that reads a small file of columns may, beside what it holds already."""
    most = 2 * columnar.MEMORY
    resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _answered(case: Case, seed: int) -> Answer:
    with tempfile.TemporaryDirectory(prefix="fournil-fuzz-") as folder:
        path = Path(folder) / "stored"
        path.write_bytes(case.data)
        try:
            return _answer(case, path, random.Random(f"{seed}/{case.number}/reading"))
        except Exception:  # noqa: BLE001 - that is what is looked for
            return Answer(None, trouble=traceback.format_exc(limit=-6))


def _answer(case: Case, path: Path, rng: random.Random) -> Answer:
    packed.HARMLESS = _HARMLESS
    mapping, id_column = rng.choice(_MAPPINGS), rng.choice((None, None, None, 0, "id"))
    corrections = _corrections(rng) if rng.random() < _CORRECTED else AS_FOUND
    found = preview(
        path, spec=SPEC, mapping=mapping, id_column=id_column, filename=case.filename, format=case.said, limit=LIMIT,
        corrections=corrections,
    )  # fmt: skip
    _check_words(dumps(found.as_dict()), path)
    code = found.error["code"] if found.error else None
    good = (found.total or 0) - found.invalid
    try:
        layout = formats.sniff(
            path, main_field="text", filename=case.filename, said=case.said, limit=LIMIT, corrections=corrections
        )
        _check_rows(path, layout, mapping, id_column, rng)
    except FournilError as error:
        _check_words(error.message, path)
        return Answer(code or "refused later", 0, 0)
    return Answer(code, good, found.invalid)


def _corrections(rng: random.Random) -> Corrections:
    """What a sender says of a file, true or not."""
    return Corrections(
        encoding=rng.choice((None, "utf-8", *NAMED)),
        delimiter=rng.choice((None, None, ",", ";", "\t", "|", " ", "a")),
        header=rng.choice((None, True, False)),
        sheet=rng.choice((None, None, None, "Sheet1", "Sheet2")),
        skip_lines=rng.choice((None, None, 0, 1, 2, 50)),
    )


def _check_words(said: str, path: Path) -> None:
    # What a file holds may be quoted: only our own words are looked through, and whole paths.
    if str(path) in said:
        raise Wrong("the answer shows where the file stands")
    if any(word in said for word in _REVEALING):
        raise Wrong(f"the answer speaks of how it was read: {said[:300]}")


def _check_rows(
    path: Path, layout: Layout, mapping: dict[str, Column], id_column: Column | None, rng: random.Random
) -> None:
    layout = Layout.from_dict(formats.settled(path, layout).as_dict())
    dumps(layout.as_dict())
    records = list(formats.records(path, layout))
    if [record.row for record in records] != list(range(len(records))):
        raise Wrong("rows are not counted one by one")
    _check_resuming(path, layout, records, rng)
    rows = Rows(SPEC, layout, resolve(SPEC, layout, mapping, id_column), {})
    for row in map(rows.row, records):
        if row.problems:
            storable(shown(row.record, layout.columns))
            dumps([row.message, row.external_id])
        else:
            dumps([row.inputs, row.parameters, row.external_id]).encode()


def _check_resuming(path: Path, layout: Layout, records: list[Record], rng: random.Random) -> None:
    """Reading goes on behind any row as if it had never stopped."""
    if not records:
        return
    before = rng.choice(records)
    place = Place(before.end, before.next_line, before.row + 1)
    rest = formats.records(path, layout, place)
    for was in islice(records, before.row + 1, None):
        again = next(rest, None)
        if again is None or _told(again) != _told(was):
            raise Wrong(f"reading on behind row {before.row} gives {again} for {was}"[:600])
    if next(rest, None) is not None:
        raise Wrong(f"reading on behind row {before.row} gives more rows than there are")


def _told(record: Record) -> tuple[Any, ...]:
    # As text: the numbers of a row may be NaN, which equals nothing.
    return record.row, record.line, repr(record.values), record.flaw, record.end
