"""What the reader of every format agrees on: how a file is laid out, its records, and why it is unusable."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from contract.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from models.sheets.members import Member

#: Longest cell, in characters, and longest record, in bytes. A file of one endless line is never read whole.
MAX_CELL = 10_000_000
MAX_RECORD = 32_000_000
MAX_COLUMNS = 2_000
#: Most lines above a table that can be passed over: they must lie in the part of a text that it is told by.
MAX_SKIPPED = 1_000
#: What a packed file may come to, in bytes, unless the operator says otherwise.
MAX_UNPACKED = 50 << 30
#: Formats whose every value is a text, and those whose values have types of their own.
TEXTS = frozenset({"csv", "txt"})
TYPED = frozenset({"jsonl", "json", "parquet", "arrow"})
#: Formats whose every row is a file in them, and the column with its name, as datasets of images call it.
ARCHIVES = frozenset({"zip", "tar"})
FILE_NAME = "file_name"
#: The same for a row of several: a list of names.
FILE_NAMES = "file_names"


class FileError(RequestError):
    """The file as a whole is unusable: nothing of it runs."""

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        line: int | None = None,
        field: str = "file",
        sheets: Sequence[str] = (),
    ) -> None:
        super().__init__(code, message, field=field)
        self.line = line
        #: Of a workbook: those to choose from.
        self.sheets = sheets


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a file is read. Kept with the batch, so that every later reader sees the same rows."""

    format: str
    #: A codec without byte order mark; `start` is behind the mark. Empty where the format has none.
    encoding: str
    #: Unique names, in order. JSON: those met so far.
    columns: list[str]
    #: CSV alone; None: a single column.
    delimiter: str | None = None
    #: CSV alone: blanks behind a delimiter are no part of the cell, so that a quote behind them opens it.
    skips_blanks: bool = False
    #: CSV alone: whether quotes enclose cells, and whether a backslash before one makes it a part of its cell.
    quotes: bool = True
    escapes: bool = False
    newline: str = "\n"
    #: Byte where the first data row may start, and the number of its line.
    start: int = 0
    line: int = 1
    #: JSON and plain text: the column that a text alone stands for.
    bare: str | None = None
    #: xlsx alone: the sheet that is read, and all that could be. None: a batch of before sheets had names.
    sheet: str | None = None
    sheets: list[str] = dataclasses.field(default_factory=list)
    #: CSV and xlsx: lines above the table. `start` is behind them.
    skip_lines: int = 0
    #: gzip or zstd, and how many bytes may come out of it.
    packing: str | None = None
    limit: int = MAX_UNPACKED
    #: Rows, where the file says how many it has.
    rows: int | None = None
    #: Bytes of what is read, where that is a copy beside the upload.
    size: int | None = None
    #: models.hub.dataset.Dataset: the file is not uploaded but written as this is read.
    dataset: dict[str, Any] | None = None
    #: JSON: whole numbers beyond 64 bits as they are, for whoever only passes them on. No pipeline takes them.
    exact: bool = False

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Layout:
        return cls(**values)


@dataclasses.dataclass(frozen=True)
class Corrections:
    """What whoever knows a file says of how it is read, in place of what is found in it; None: as it is found."""

    #: Of text: one of models.sheets.encodings.NAMED.
    encoding: str | None = None
    #: One character. A text with one is CSV.
    delimiter: str | None = None
    #: Of CSV and xlsx: whether the first row names the columns.
    header: bool | None = None
    #: Of xlsx: the name of the sheet that is read.
    sheet: str | None = None
    #: Of CSV and xlsx: lines of the file, or rows of the sheet, above the table. 0 says no more than None.
    skip_lines: int | None = None

    def refuse_of(self, format: str) -> None:
        """Raise FileError where one is given that files of this format do not have."""
        for name, formats in _ONLY_OF.items():
            if format not in formats and getattr(self, name):
                raise FileError(ErrorCode.INVALID_VALUE, f"The file is {format} and has no {name}.", field=name)


#: Corrections that only some formats have.
_ONLY_OF = {
    "encoding": frozenset({"csv", "txt", "jsonl", "json"}),
    "delimiter": frozenset({"csv"}),
    "sheet": frozenset({"xlsx"}),
    "skip_lines": frozenset({"csv", "xlsx"}),
}


AS_FOUND = Corrections()


@dataclasses.dataclass(frozen=True)
class Place:
    """Where reading goes on: the byte after the last record, the next line's number, the next row's number."""

    offset: int = 0
    line: int = 1
    row: int = 0


class Named(NamedTuple):
    """A file of an archive that a row names."""

    column: str
    #: None: there is none, or none that can be read; `flaw` says why.
    member: Member | None
    flaw: str | None = None


class Record(NamedTuple):
    """One data row as it stands in the file. `values` may be incomplete where `flaw` says what is wrong."""

    row: int
    line: int
    #: By column: a list in the order of the columns, or an object of JSON.
    values: list[Any] | dict[str, Any]
    flaw: str | None
    #: Where the next record is read from.
    end: int
    next_line: int
    #: Of an archive: the file that the row is about, and others that it names, in their order.
    named: tuple[Named, ...] = ()

    @property
    def members(self) -> list[Member]:
        return [file.member for file in self.named if file.member is not None]


@dataclasses.dataclass(frozen=True)
class Sample:
    """The beginning of a file, decoded: what the formats are told apart by."""

    path: Path
    text: str
    encoding: str
    newline: str
    #: Byte behind a byte order mark.
    start: int
    #: Whether `text` is the whole file.
    whole: bool
    packing: str | None = None
    limit: int = MAX_UNPACKED

    def below(self, lines: int) -> Sample:
        """Without its first lines; raises FileError where nothing follows them."""
        if not lines:
            return self
        text = self.text.split(self.newline, lines)[lines:]
        if text and text[0].strip():
            return dataclasses.replace(self, text=text[0])
        if self.whole:
            raise nothing_below(lines, "file")
        message = f"skip_lines: the first {lines:,} lines are more than the {len(self.text):,} characters looked at."
        raise FileError(ErrorCode.INVALID_VALUE, message, field="skip_lines")

    def layout(self, format: str, columns: list[str], **more: Any) -> Layout:
        """The layout of a text file, as far as the sample tells."""
        same = {name: getattr(self, name) for name in ("newline", "start", "packing", "limit")}
        return Layout(format, self.encoding, columns, **{**same, **more})


def nothing_below(lines: int, what: str, *, sheets: Sequence[str] = ()) -> FileError:
    """What is wrong with a file or a sheet that has no table below so many lines."""
    if not lines:
        return FileError(ErrorCode.EMPTY_FILE, f"The {what} is empty.", sheets=sheets)
    message = f"skip_lines: below its first {lines:,} lines the {what} holds nothing."
    return FileError(ErrorCode.INVALID_VALUE, message, field="skip_lines", sheets=sheets)


def names_files(column: str) -> bool:
    """Whether cells of a column of metadata name files of the archive, by the rule that datasets of images have."""
    return column in (FILE_NAME, FILE_NAMES) or column.endswith((f"_{FILE_NAME}", f"_{FILE_NAMES}"))


def columns_of(record: Record, columns: list[str]) -> dict[str, Any]:
    """A record as column to value, in the order of the columns."""
    if isinstance(record.values, dict):
        return record.values
    return dict(zip(columns, record.values, strict=False))
