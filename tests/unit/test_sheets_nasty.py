"""No file whatever is a surprise."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import FournilError
from contract.pipelines import PipelineSpec
from models.sheets import formats, packed
from models.sheets.preview import preview
from tests.nasty import FILES
from tests.sheets import arrow, parquet, xlsx

SPEC = PipelineSpec("fake", "text-classification", backend="fake")
ROWS = [{"text": f"row {n}", "n": n, "deep": {"a": [n]}} for n in range(40)]
LIMIT = 30_000_000


@pytest.mark.parametrize("what", FILES)
def test_a_nasty_file_gets_a_plain_answer(what, tmp_path, monkeypatch):
    name, data, format, answer = FILES[what]
    monkeypatch.setattr(packed, "HARMLESS", 1 << 20)
    path = tmp_path / "stored"
    path.write_bytes(data)

    found = preview(path, spec=SPEC, mapping={}, filename=name, limit=LIMIT)

    if isinstance(answer, str):
        assert found.error is not None, found
        assert found.error["code"] == answer
    elif answer is not None:
        assert found.error is None
        assert found.total is not None
        assert (found.format, found.total - found.invalid, found.invalid) == (format, *answer)
    shown = str(found.as_dict())
    assert not any(word in shown for word in ("Traceback", str(tmp_path), "root:", "Error("))


WHOLE = {
    "parquet": parquet(ROWS),
    "arrow": arrow(ROWS),
    "arrow stream": arrow(ROWS)[8:],
    "json": b'[{"text": "a", "n": 1}, "b",\n {"text": "c\\u00e9"}, 5]\n',
    "txt.gz": gzip.compress(b"one\ntwo\n\nthree\n"),
}
#: Each of these is read by processes of their own.
APART = ("arrow", "arrow stream", "parquet")


def damage(formats: Collection[str]) -> st.SearchStrategy[tuple[str, list[tuple[float, bytes]], float]]:
    changes = st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4)), min_size=1, max_size=4)
    return st.tuples(st.sampled_from(sorted(formats)), changes, st.floats(0, 1) | st.just(1.0))


def broken(data: bytes, changes: list[tuple[float, bytes]], kept: float) -> bytes:
    for at, written in changes:
        place = int(at * len(data))
        data = data[:place] + written + data[place + len(written) :]
    return data[: max(1, int(kept * len(data)))]


def read_to_its_end(data: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stored"
        path.write_bytes(data)
        try:
            layout = formats.sniff(path, main_field="text", filename=name, limit=LIMIT)
            found = [record.row for record in formats.records(path, layout)]
        except FournilError:
            return
        assert found == list(range(len(found)))


@settings(max_examples=150, deadline=None)
@given(damage(WHOLE.keys() - APART))
def test_a_damaged_file_is_read_or_refused(case):
    what, changes, kept = case
    read_to_its_end(broken(WHOLE[what], changes, kept), f"a.{what}")


@settings(max_examples=25, deadline=None)
@given(damage(APART))
def test_a_damaged_file_of_columns_is_read_or_refused(case):
    what, changes, kept = case
    read_to_its_end(broken(WHOLE[what], changes, kept), f"a.{what}")


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), max_size=3))
def test_a_damaged_workbook_is_read_or_refused(changes):
    read_to_its_end(broken(xlsx([["text", "n"], ["a", 1]]), changes, 1.0), "a.xlsx")


@settings(max_examples=150, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda x: st.lists(x)
                    | st.dictionaries(st.text(), x), max_leaves=8), st.sampled_from(["", " ", "\n\t"]))  # fmt: skip
def test_any_json_in_an_array_is_a_row_or_a_bad_row(value, blank):
    import json

    data = f'["first"{blank},{blank}{json.dumps(value)}{blank}, "last"]'.encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stored"
        path.write_bytes(data)
        layout = formats.sniff(path, main_field="text", filename="a.json")
        first, middle, last = formats.records(path, layout)
        assert (first.values, last.values) == ({"text": "first"}, {"text": "last"})
        # Python's NaN and Infinity are nothing.
        read = json.loads(json.dumps(value), parse_constant=lambda _: None)
        assert middle.flaw or middle.values in (value, read, {"text": value})
