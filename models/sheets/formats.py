"""Every format that can be read: what tells it apart, and its reader. A further one is added here."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath

from contract.errors import ErrorCode
from models.sheets import archives, arrays, arrows, csvs, jsonl, packed, parquets, texts, workbooks
from models.sheets.encodings import refuse_other_formats, take_sample
from models.sheets.layout import (
    ARCHIVES,
    AS_FOUND,
    MAX_UNPACKED,
    Corrections,
    FileError,
    Layout,
    Place,
    Record,
    Sample,
)

Records = Callable[[Path, Layout, Place], Iterator[Record]]

#: By `Layout.format`.
READERS: dict[str, Records] = {
    "csv": csvs.records,
    "jsonl": jsonl.records,
    "json": arrays.records,
    "txt": texts.records,
    "parquet": arrows.records,
    "arrow": arrows.records,
    "xlsx": workbooks.records,
    "zip": archives.records,
    "tar": archives.records,
}
#: By the bytes a file begins with: those that are no text.
_BINARY: dict[bytes, tuple[str, Callable[[Path, Layout, Corrections], Layout]]] = {
    parquets.MARK: ("parquet", arrows.sniff),
    arrows.FILE_MARK: ("arrow", arrows.sniff),
    arrows.STREAM_MARK: ("arrow", arrows.sniff),
    workbooks.MARK: ("xlsx", workbooks.sniff),
}

#: What `format` may say in a request, and what a file's ending says. Both are hints: the content decides.
HINTS = {
    "csv": "csv", "tsv": "tsv", "tab": "tsv", "jsonl": "jsonl", "ndjson": "jsonl", "json": "json", "txt": "txt",
    "parquet": "parquet", "arrow": "arrow", "feather": "arrow", "xlsx": "xlsx",
    "zip": "zip", "tar": "tar",
}  # fmt: skip
REQUESTABLE = ("csv", "tsv", "jsonl", "ndjson", "json", "txt", "parquet", "arrow", "feather", "xlsx", "zip", "tar")


def sniff(
    path: Path,
    *,
    main_field: str,
    filename: str = "",
    said: str | None = None,
    limit: int = MAX_UNPACKED,
    files: int | None = None,
    corrections: Corrections = AS_FOUND,
) -> Layout:
    """How a file is laid out, by its content; raises FileError when it cannot be read at all.

    `files`: how many an archive may hold; None: whoever asks has no use for files.
    """
    bare = Layout("", "", [], packing=packed.packing_of(path), limit=limit)
    hint = HINTS.get(said or _ending(filename))
    with packed.opened(path, bare) as file:
        head = file.read(archives.HEAD)
    if (kind := archives.format_of(head)) is not None:
        with contextlib.suppress(archives.IsWorkbook):
            found = _sniff_archive(path, dataclasses.replace(bare, format=kind), head, files)
            corrections.refuse_of(kind)
            return found
    for mark, (format, look) in _BINARY.items():
        if head.startswith(mark):
            corrections.refuse_of(format)
            return look(path, dataclasses.replace(bare, format=format), corrections)
    refuse_other_formats(head)
    if said and hint in {*ARCHIVES, *(format for format, _ in _BINARY.values())}:
        message = f"The file is not {said}. Leave format out, and the content decides."
        raise FileError(ErrorCode.UNKNOWN_FORMAT, message, field="format")
    sample = take_sample(path, bare, said=corrections.encoding)
    return _sniff_text(sample, hint, said, main_field, corrections)


def _sniff_archive(path: Path, bare: Layout, head: bytes, files: int | None) -> Layout:
    if files is not None:
        return archives.sniff(path, bare, most=files)
    if head.startswith(workbooks.MARK):
        raise archives.IsWorkbook
    raise FileError(ErrorCode.UNKNOWN_FORMAT, f"This is a {bare.format} archive. {archives.ONLY_MEDIA}")


def _sniff_text(
    sample: Sample, hint: str | None, said: str | None, main_field: str, corrections: Corrections
) -> Layout:
    format = _format_of_text(sample.below(corrections.skip_lines or 0), hint, said, corrections)
    corrections.refuse_of(format)
    if format == "txt":
        return texts.sniff(sample, main_field=main_field)
    if format == "json":
        return arrays.sniff(sample, main_field=main_field)
    if format == "jsonl":
        return jsonl.sniff(sample, main_field=main_field)
    # A name alone does not make a file of commas one of tabs.
    return csvs.sniff(sample, hint=hint if said else None, corrections=corrections)


def _format_of_text(sample: Sample, hint: str | None, said: str | None, corrections: Corrections) -> str:
    if corrections.delimiter is not None:
        return "csv"
    if texts.fits(sample, hint=hint, said=said is not None):
        return "txt"
    if arrays.fits(sample, hint=hint):
        return "json"
    return "jsonl" if jsonl.fits(sample, hint=hint) else "csv"


def _ending(filename: str) -> str:
    name = PurePath(filename.lower())
    return (name.with_suffix("") if name.suffix in packed.SUFFIXES else name).suffix.lstrip(".")


def settled(path: Path, layout: Layout) -> Layout:
    """Unpack once what will be read in many goes; the layout with what is known of the copy."""
    if layout.packing is None or layout.size is not None:
        return layout
    return dataclasses.replace(layout, size=packed.plain(path, layout).stat().st_size)


def records(path: Path, layout: Layout, place: Place | None = None) -> Iterator[Record]:
    """The data rows of a file from `place` on, each with the place behind it."""
    return READERS[layout.format](path, layout, place or Place())
