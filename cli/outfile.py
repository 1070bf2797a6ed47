"""Where a download goes: a file that appears only when it is whole, or stdout."""

from __future__ import annotations

import contextlib
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click


@contextlib.contextmanager
def open_out(path: str | None) -> Iterator[IO[bytes]]:
    if path is None or path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path)
    part = target.with_name(target.name + ".part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(target)
    except OSError as error:
        raise click.UsageError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)


def may_begin_again(out: IO[bytes]) -> bool:
    """Whether what was written can be taken back: not what somebody else may have read."""
    return out is not sys.stdout.buffer


def format_of(path: str | None) -> str | None:
    """The format that the name of the file asks for; None: the upload's own."""
    suffix = Path(path or "").suffix.lower().removeprefix(".")
    return {"ndjson": "jsonl"}.get(suffix, suffix) if suffix in _FORMATS else None


_FORMATS = ("csv", "jsonl", "ndjson", "json", "parquet", "xlsx")


def unpack(archive: Path, folder: str) -> None:
    """Unpack a folder of a dataset; it appears only when it is whole."""
    target = Path(folder)
    part = target.with_name(target.name + ".unpacking")
    try:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(part)
        if target.is_dir():
            target.rmdir()
        part.replace(target)
    except OSError as error:
        raise click.UsageError(f"{folder} cannot be written: {error.strerror}. Name a new folder.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
