"""Where a download goes: a file that appears only when it is whole, or stdout."""

from __future__ import annotations

import contextlib
import sys
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


def format_of(path: str | None) -> str | None:
    """The format that the name of the file asks for; None: the upload's own."""
    suffix = Path(path or "").suffix.lower().removeprefix(".")
    return {"ndjson": "jsonl"}.get(suffix, suffix) if suffix in _FORMATS else None


_FORMATS = ("csv", "jsonl", "ndjson", "json", "parquet", "xlsx")
