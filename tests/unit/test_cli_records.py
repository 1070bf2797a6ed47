"""What `fournil results` makes of numbered rows, against what writes them: the same bytes as without numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.records import NumberedCsv, NumberedRows, numbered_jsonl
from models.sheets.export import write_csv, write_jsonl
from models.sheets.kinds import Kind
from models.sheets.table import Column, Joined

NUMBER = Column("row_number", lambda joined: joined.row, Kind.WHOLE)
CELLS = st.one_of(st.none(), st.text(alphabet='ab",\r\n=é', max_size=8), st.integers())
TABLES = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1)
)


def rows_of(table: list[list[object]]) -> list[Joined]:
    """Every second row of a file."""
    return [
        Joined(n * 2, None, dict(enumerate(cells)), "succeeded", None, None, None) for n, cells in enumerate(table)
    ]


def columns_of(names: list[str]) -> list[Column]:
    return [Column(name, lambda joined, place=place: joined.inputs[place]) for place, name in enumerate(names)]


def fed(rows: NumberedRows, file: bytes, piece: int) -> bytes:
    return b"".join(rows.feed(file[at : at + piece]) for at in range(0, len(file), piece))


@given(TABLES, st.integers(1, 40), st.booleans())
def test_csv_without_its_numbers_is_the_csv_that_never_had_any(table, piece, headed):
    columns, joined = columns_of(["", "b", "c"][: len(table[0])]), rows_of(table)
    whole = b"".join(write_csv(columns, joined, headed=headed))
    rows = NumberedCsv(headed=headed, header="kept")

    assert fed(rows, b"".join(write_csv([NUMBER, *columns], joined, headed=headed)), piece) == whole
    assert (rows.last, rows.is_between) == (joined[-1].row, True)


@given(TABLES, st.integers(1, 40))
def test_jsonl_without_its_numbers_is_the_jsonl_that_never_had_any(table, piece):
    columns, joined = columns_of(["row", 'b"', "c"][: len(table[0])]), rows_of(table)
    rows = numbered_jsonl()

    assert fed(rows, b"".join(write_jsonl([NUMBER, *columns], joined)), piece) == b"".join(
        write_jsonl(columns, joined)
    )
    assert (rows.last, rows.is_between) == (joined[-1].row, True)


def test_only_whole_rows_come_out_and_a_second_header_does_not():
    rows = NumberedCsv(headed=True, header="dropped")

    assert rows.feed(b'row_number,text\r\n4,"a\r\n') == b""
    assert not rows.is_between
    assert rows.feed(b'b"\r\n5,cut of') == b'"a\r\nb"\r\n'
    assert (rows.last, rows.is_between) == (4, False)


def test_rows_without_numbers_are_not_taken_for_some():
    with pytest.raises(ValueError, match="number"):
        numbered_jsonl().feed(b'{"text":"a"}\n')
