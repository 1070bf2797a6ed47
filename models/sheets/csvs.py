"""CSV and its dialects, read by the standard library's csv module one record at a time."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from contract.errors import ErrorCode
from models.sheets.layout import (
    AS_FOUND,
    MAX_CELL,
    MAX_COLUMNS,
    Corrections,
    FileError,
    Layout,
    Place,
    Record,
    Sample,
    nothing_below,
)
from models.sheets.lines import Lines
from models.sheets.packed import opened

_DELIMITERS = ",;\t|"
#: Stands for "no delimiter" where the csv module wants one: the unit separator, which no text holds.
_NONE = "\x1f"
_TELLING = 1 << 16
_RECORDS = 200
_EXCEL_HINT = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
_LATE_QUOTE = re.compile(r' +"')
_ESCAPED_QUOTE = re.compile(r'(?<!\\)((?:\\\\)*)\\"')
#: Between cells that programs write without quotes, so that one in a text is a letter like others.
_UNQUOTED = ("\t", "|")
#: Fewer lines say nothing of that.
_FEW = 3
_MARKUP = ("<!doctype", "<html", "<?xml")


def sniff(sample: Sample, *, hint: str | None, corrections: Corrections = AS_FOUND) -> Layout:
    """Find the delimiter and read the header row, or as the corrections say."""
    if sample.text.lstrip()[:9].lower().startswith(_MARKUP):
        raise FileError(ErrorCode.UNKNOWN_FORMAT, "This is a web page or XML. Save the table as CSV or xlsx.")
    above = corrections.skip_lines or 0
    sample = sample.below(above)
    lines = _telling(sample)
    said = _EXCEL_HINT.fullmatch(lines[0])
    delimiter = corrections.delimiter or (said[1] if said else "\t" if hint == "tsv" else _delimiter(lines))
    layout = dataclasses.replace(_of_quotes(sample, lines[1:] if said else lines, delimiter), skip_lines=above)
    skip = above + 1 if said else above
    return _with_header(sample.path, layout, skip=skip, headed=corrections.header is not False)


def _of_quotes(sample: Sample, lines: list[str], delimiter: str | None) -> Layout:
    """The layout as far as it is known with the delimiter: what quotes mean in it."""
    quotes = delimiter not in _UNQUOTED or not _is_unquoted(sample, delimiter)
    skips_blanks = delimiter is not None and delimiter != " " and _skips_blanks(lines, delimiter)
    escapes = quotes and _escapes(lines, delimiter or _NONE)
    return sample.layout("csv", [], delimiter=delimiter, quotes=quotes, skips_blanks=skips_blanks, escapes=escapes)


def _telling(sample: Sample) -> list[str]:
    """The first lines, none of them cut."""
    return _whole_lines(sample, sample.text[:_TELLING])


def _whole_lines(sample: Sample, text: str) -> list[str]:
    """The lines of a beginning of a sample, none of them cut."""
    lines = list(io.StringIO(text, newline=""))
    if len(text) < len(sample.text) or not sample.whole:
        lines = lines[:-1] or lines
    return lines


def _delimiter(lines: list[str]) -> str | None:
    """The one most rows agree with the header on; None where rows of one cell are more."""
    best, best_score = None, (0.0, 0)
    for delimiter in _DELIMITERS:
        score = _agreement(lines, delimiter, skips_blanks=_has_late_quotes(lines, delimiter))
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _skips_blanks(lines: list[str], delimiter: str) -> bool:
    """Whether quotes that stand behind a blank open cells: more rows agree with the header then, or as many."""
    if not _has_late_quotes(lines, delimiter):
        return False
    plain, skipping = (_agreement(lines, delimiter, skips_blanks=skips) for skips in (False, True))
    # A quoted text with such a quote in it is no reason.
    is_one = any(_LATE_QUOTE.match(cell) for cells in csv.reader(lines, delimiter=delimiter) for cell in cells)
    return skipping > plain or (skipping == plain and is_one)


def _has_late_quotes(lines: list[str], delimiter: str) -> bool:
    return any(f'{delimiter} "' in line for line in lines)


def _is_unquoted(sample: Sample, delimiter: str) -> bool:
    """Whether quotes are letters like others: as what encloses cells they are broken somewhere, and as letters they
    leave every line as many cells as the first."""
    lines = _whole_lines(sample, sample.text)
    if len(lines) < _FEW or not any('"' in line for line in lines) or not _refusals(lines, delimiter):
        return False
    widths = _widths(lines, delimiter, quotes=False, most=len(lines))
    return set(widths) == {widths[0]}


def _escapes(lines: list[str], delimiter: str) -> bool:
    """Whether quotes in a quoted cell have a backslash before them, as Spark and MySQL write: without it something
    stands behind a closing quote."""
    if not any('\\"' in line for line in lines):
        return False
    as_they_are, unescaped = (
        any("expected after" in words for words in _refusals(found, delimiter))
        for found in (lines, map(_unescaped, lines))
    )
    return as_they_are and not unescaped


def _refusals(lines: Iterable[str], delimiter: str) -> list[str]:
    """What a strict reader says of quotes that enclose cells; of a cell that does not end, too."""
    reader = csv.reader(iter(lines), delimiter=delimiter, strict=True)
    said: list[str] = []
    while True:
        try:
            next(reader)
        except StopIteration:
            return said
        except csv.Error as error:
            said.append(str(error))


def _unescaped(line: str) -> str:
    """Quotes doubled in place of those with a backslash before them."""
    return _ESCAPED_QUOTE.sub(r'\1""', line) if '\\"' in line else line


def _agreement(lines: list[str], delimiter: str, *, skips_blanks: bool) -> tuple[float, int]:
    """The share of rows with as many cells as the header, and how many those are; nothing for one cell."""
    widths = _widths(lines, delimiter, skips_blanks=skips_blanks)
    header, rows = widths[:1], widths[1:]
    if not header or header[0] < 2:
        return 0.0, 0
    agreeing = sum(width == header[0] for width in rows)
    if rows and sum(width == 1 for width in rows) > agreeing:
        return 0.0, 0
    return (agreeing + 1) / (len(rows) + 1), header[0]


def _widths(
    lines: list[str], delimiter: str, *, skips_blanks: bool = False, quotes: bool = True, most: int = _RECORDS
) -> list[int]:
    """How many cells each of the first rows has; -1 for one that is broken, and nothing for a blank line."""
    widths: list[int] = []
    reader = csv.reader(
        iter(lines),
        delimiter=delimiter,
        skipinitialspace=skips_blanks,
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
    )
    while len(widths) < most:
        try:
            widths.append(len(next(reader)))
        except StopIteration:
            break
        except csv.Error:
            widths.append(-1)
    return [width for width in widths if width]


def _with_header(path: Path, layout: Layout, *, skip: int, headed: bool) -> Layout:
    """The layout with the names of the columns: those in the first row, or places where that is a data row."""
    with opened(path, layout) as file:
        lines = Lines(file, layout, Place())
        for _ in range(skip):
            next(lines, None)
        # What stands above the table is no fault of it.
        start, line, lines.flaw = lines.offset, lines.line, None
        reader = _reader(lines, layout)
        try:
            header = next((cells for cells in reader if cells or lines.flaw), None)
        except csv.Error as error:
            raise FileError(ErrorCode.UNREADABLE_FILE, _words(error, "The first row"), line=line) from error
    if header is None:
        raise nothing_below(layout.skip_lines, "file")
    if lines.flaw or lines.ended:
        flaw = lines.flaw or "A quote that opens in the first row is never closed."
        raise FileError(ErrorCode.UNREADABLE_FILE, flaw, line=line)
    if len(header) > MAX_COLUMNS:
        raise FileError(ErrorCode.UNREADABLE_FILE, f"The first row has more than {MAX_COLUMNS:,} cells.", line=line)
    if headed:
        return dataclasses.replace(layout, columns=column_names(header), start=lines.offset, line=lines.line)
    return dataclasses.replace(layout, columns=column_names([""] * len(header)), start=start, line=line)


def column_names(header: list[str]) -> list[str]:
    """Unique names: an empty one is called by its place, a second `text` becomes `text_2`."""
    names: list[str] = []
    for place, cell in enumerate(header):
        name = wanted = cell.strip().lstrip("\ufeff") or f"column_{place}"
        again = 2
        while name in names:
            name, again = f"{wanted}_{again}", again + 1
        names.append(name)
    return names


def _reader(lines: Lines, layout: Layout) -> Iterator[list[str]]:
    csv.field_size_limit(MAX_CELL)
    return csv.reader(
        map(_unescaped, lines) if layout.escapes else lines,
        delimiter=layout.delimiter or _NONE,
        skipinitialspace=layout.skips_blanks,
        quoting=csv.QUOTE_MINIMAL if layout.quotes else csv.QUOTE_NONE,
    )


def records(path: Path, layout: Layout, place: Place) -> Iterator[Record]:
    """Data rows from `place` on. Blank lines are none; a row that cannot be taken says why in `flaw`."""
    width, row = len(layout.columns), place.row
    with opened(path, layout) as file:
        lines = Lines(file, layout, place)
        reader = _reader(lines, layout)
        while True:
            line, lines.flaw = lines.line, None
            cells: list[str] = []
            try:
                cells = next(reader)
                flaw = lines.flaw
            except StopIteration:
                return
            except csv.Error as error:
                flaw = _words(error, "The row")
            if flaw is None and len(cells) != width:
                # DOS ended a text with a character of its own.
                if not cells or cells == ["\x1a"]:
                    continue
                flaw = _ragged(cells, width)
            if lines.ended:
                # The reader asks for another line only inside a quoted cell.
                flaw = f"A quote that opens in the row of line {line:,} is never closed."
            yield Record(row, line, cells, flaw, lines.offset, lines.line)
            row += 1


def _ragged(cells: list[str], width: int) -> str | None:
    """Empty cells past the last column are what spreadsheets write; anything else is a row out of step."""
    if len(cells) > width and not any(cells[width:]):
        del cells[width:]
        return None
    # Only of a file whose first rows have no such quote: blanks are skipped in the others.
    late = next((place for place, cell in enumerate(cells, start=1) if _LATE_QUOTE.match(cell)), None)
    hint = f" In cell {late} there is a blank before the quote, so that it opens no text." if late else ""
    return out_of_step(cells, width) + hint


def out_of_step(cells: list[str], width: int) -> str:
    return f"The row has {len(cells)} cell{'s' if len(cells) > 1 else ''}, the header has {width}."


def _words(error: csv.Error, what: str) -> str:
    if "field limit" in str(error):
        return f"{what} has a cell of more than {MAX_CELL:,} characters; is a quote not closed?"
    return f"{what} has a line break outside of quotes, or quotes in a wrong place."
