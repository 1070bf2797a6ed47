"""A program of its own: `python -m models.hub.program`, with what to read as JSON on the first line of its input.

It writes what it found, then rows, then that it is over, or why not:

    {"about": {...}}
    {"rows": 3, "bytes": 90, "row": 0, "state": null}  and 90 bytes of JSON lines, three of them, from row 0 on
    {"end": true}  or  {"error": {"code", "message", "field"}}  or  {"away": "..."}

`state`, given back, begins again at that row. A dataset may come with settings for its reader that name any file of
this machine, or of another: what it comes to is looked at before a byte of it is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import resource
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import orjson

from contract.errors import ErrorCode
from models.sheets.arrows import rows_of

MEMORY = 8 << 30
#: Readers of the library that only parse; others unpickle, or ask databases.
_READERS = ("csv", "json", "parquet", "text", "arrow")
_TYPED = frozenset({"Value", "ClassLabel", "Sequence", "List", "LargeList", "Translation", "Json"})
#: Rows given at once; those that hold files may be of some megabytes each.
_ROWS, _ROWS_OF_FILES = 500, 8
_SHOWN = 20
#: What `datasets` calls files of a kind that pipelines take. Each holds {"bytes", "path"}, as Parquet's do.
_FILES = {"image": {"Image"}, "audio": {"Audio"}, "video": {"Video"}, "document": {"Image", "Pdf"}}


class Refused(Exception):
    def __init__(self, field: str, message: str, *, code: ErrorCode = ErrorCode.INVALID_VALUE) -> None:
        super().__init__(message)
        self.field, self.message, self.code = field, message, code


class Away(Exception):
    """The Hub does not answer, for now."""


def main() -> None:
    out = os.fdopen(os.dup(1), "wb")
    # Whatever the library prints is no row.
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    asked = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    try:
        with _in_words():
            _read(out, asked)
    except Refused as error:
        _say(out, {"error": {"code": error.code.value, "message": error.message, "field": error.field}})
    except Away as error:
        _say(out, {"away": str(error)})
    except MemoryError:
        message = "The dataset needs more memory than there is to be read."
        _say(out, {"error": {"code": ErrorCode.UNREADABLE_FILE.value, "message": message, "field": "dataset"}})


def _end_with_the_caller() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _say(out: BinaryIO, entry: dict[str, Any], data: bytes = b"") -> None:
    out.write(orjson.dumps(entry) + b"\n" + data)
    out.flush()


def _read(out: BinaryIO, asked: dict[str, Any]) -> None:
    wanted, folder = asked["dataset"], asked["folder"]
    place, commit, canonical = _pinned(wanted, folder, asked["token"] or None)
    builder = _builder(place, wanted, None if folder else commit, asked["token"] or None)
    commit = _check_files(builder, folder, canonical, commit)
    if wanted["commit"] not in (None, commit):
        raise Refused(
            "dataset", "The folder was changed since the batch was accepted.", code=ErrorCode.UNREADABLE_FILE
        )
    split, stream = _split(builder, wanted["split"])
    features = stream.features or {}
    wanted_files = {name for kind in asked["files"] for name in _FILES.get(kind, ())}
    kept = {name for name, feature in features.items() if type(feature).__name__ in wanted_files}
    media = [name for name, feature in features.items() if name not in kept and _is_media(feature)]
    rows_at_once = _ROWS_OF_FILES if kept else _ROWS
    tables = _tables(stream.with_format("arrow"), asked["state"], asked["row"], asked["skip"], rows_at_once)
    first = next(tables, None)
    names = first[2].column_names if first else list(features)
    columns = [name for name in names if name not in media]
    if names and not columns:
        message = (
            f"The dataset has only files ({', '.join(media[:_SHOWN])}) of a kind that this pipeline does not take."
        )
        raise Refused("dataset.name", message)
    pinned = {**wanted, "name": canonical, "config": builder.config.name, "split": split, "commit": commit}
    rows = (builder.info.splits or {}).get(split)
    _say(out, {"about": {"dataset": pinned, "columns": columns, "media": media, "rows": rows and rows.num_examples}})
    for row, state, table in itertools.chain([first] if first else [], tables):
        lines = b"".join(_lines(table.drop_columns([name for name in media if name in table.column_names])))
        _say(out, {"rows": table.num_rows, "bytes": len(lines), "row": row, "state": state}, lines)
    _say(out, {"end": True})


def _pinned(wanted: dict[str, Any], folder: str | None, token: str | None) -> tuple[str, str | None, str]:
    """`(place, commit, name)`: a name that moves on the Hub is asked about once."""
    if folder is not None:
        if wanted["revision"] is not None:
            raise Refused("dataset.revision", "A folder of this server has no revisions. Leave it out.")
        return folder, None, wanted["name"]
    from huggingface_hub import HfApi

    found = HfApi(token=token).dataset_info(wanted["name"], revision=wanted["commit"] or wanted["revision"])
    return f"hf://datasets/{found.id}", found.sha, found.id


def _builder(place: str, wanted: dict[str, Any], commit: str | None, token: str | None) -> Any:
    import datasets

    try:
        builder = datasets.load_dataset_builder(place, wanted["config"], revision=commit, token=token or False)
    except ValueError as error:
        known = _configs(place, commit, token)
        if len(known) > 1 or wanted["config"] not in (None, *known):
            raise _unknown("config", wanted["config"], known) from error
        raise
    kind = type(builder).__module__.split(".")
    if kind[:2] != ["datasets", "packaged_modules"] or kind[2] not in _READERS:
        message = "The dataset has no files that are read here: Parquet, CSV, JSON, Arrow or text, and no code."
        raise Refused("dataset.name", message)
    return builder


def _configs(place: str, commit: str | None, token: str | None) -> list[str]:
    import datasets

    return list(datasets.get_dataset_config_names(place, revision=commit, token=token or False))


def _unknown(word: str, asked: str | None, known: list[str]) -> Refused:
    choices = ", ".join(known[:_SHOWN]) + (", …" if len(known) > _SHOWN else "")
    said = (
        f"The dataset has no {word} '{asked[:60]}'." if asked else f"The dataset has more than one {word}: name one."
    )
    return Refused(f"dataset.{word}", f"{said} It has: {choices}.")


def _check_files(builder: Any, folder: str | None, name: str, commit: str | None) -> str:
    """Every file must be one of the dataset itself; the commit, or a digest of the folder's files."""
    files = [str(file) for some in (builder.config.data_files or {}).values() for file in some]
    if folder is None:
        own = f"hf://datasets/{name}@{commit}/"
        if not files or not all(file.startswith(own) and "/../" not in file for file in files):
            raise _strange()
        return commit or ""
    digest, root = hashlib.sha256(), Path(folder).resolve()
    for file in files:
        path = Path(file).resolve()
        if not path.is_relative_to(root):
            raise _strange()
        about = path.stat()
        digest.update(f"{path.relative_to(root)}\0{about.st_size}\0{about.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:40]


def _strange() -> Refused:
    return Refused("dataset.name", "The dataset names files that are not its own; such are not read here.")


def _split(builder: Any, wanted: str | None) -> tuple[str, Any]:
    found = builder.as_streaming_dataset()
    choice = wanted or ("train" if "train" in found else next(iter(found)) if len(found) == 1 else None)
    if choice is None or choice not in found:
        raise _unknown("split", wanted, list(found))
    return choice, found[choice]


def _is_media(feature: Any) -> bool:
    if isinstance(feature, dict):
        return any(map(_is_media, feature.values()))
    if isinstance(feature, list):
        return any(map(_is_media, feature))
    kind = type(feature).__name__
    inner = getattr(feature, "feature", None)
    return not (kind in _TYPED or kind.startswith(("Array", "Translation"))) or (
        inner is not None and _is_media(inner)
    )


def _tables(
    stream: Any, state: dict[str, Any] | None, row: int, skip: int, rows_at_once: int
) -> Iterator[tuple[int, Any, Any]]:
    """`(first row, state to begin there, table)`, without the first `skip` rows."""
    if state is not None:
        stream.load_state_dict(state)
    for table in stream.iter(batch_size=rows_at_once):
        count, after = table.num_rows, stream.state_dict()
        if skip < count:
            # The state is of the whole table's beginning: a row inside is said by its number.
            yield row + skip, {"row": row, "state": state}, table.slice(skip)
        skip, row, state = max(0, skip - count), row + count, after


def _lines(table: Any) -> Iterator[bytes]:
    for batch in table.to_batches():
        for record in rows_of(batch, 0, 0):
            yield _dumps(dict(zip(table.column_names, record.values, strict=True))) + b"\n"


def _dumps(values: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(values)
    except TypeError:
        return json.dumps(values).encode()


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    """What the libraries raise, sorted by who must act; none of their words go on."""
    try:
        yield
    except (Refused, Away, MemoryError):
        raise
    except BrokenPipeError:
        os._exit(0)
    except Exception as error:  # noqa: BLE001 - whatever the libraries raise, the caller is told
        traceback.print_exc()
        _sort(error)


def _sort(error: Exception) -> NoReturn:
    from datasets.exceptions import DatasetNotFoundError, DatasetsError
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, RevisionNotFoundError):
        raise Refused("dataset.revision", "The dataset has no such branch, tag or commit.") from error
    if isinstance(error, GatedRepoError):
        message = "The dataset is given only to accounts that accepted its terms; this server has none that did."
        raise Refused("dataset.name", message) from error
    if isinstance(error, RepositoryNotFoundError | DatasetNotFoundError):
        raise Refused("dataset.name", "There is no dataset with this name that this server may read.") from error
    if isinstance(error, HfHubHTTPError | ConnectionError | TimeoutError) or _is_of_transport(error):
        raise Away("The Hub does not answer.") from error
    if isinstance(error, FileNotFoundError | DatasetsError | ValueError | RuntimeError):
        message = "The dataset cannot be read as Parquet, CSV, JSON, Arrow or text."
        raise Refused("dataset.name", message, code=ErrorCode.UNREADABLE_FILE) from error
    if isinstance(error, OSError) and error.errno is not None:
        raise Away("The dataset's files cannot be reached.") from error
    message = "The dataset cannot be read."
    raise Refused("dataset.name", message, code=ErrorCode.UNREADABLE_FILE) from error


def _is_of_transport(error: Exception) -> bool:
    # By name: the library of the Hub has changed its HTTP client more than once.
    return any(kind.__name__ == "TransportError" for kind in type(error).__mro__)


if __name__ == "__main__":
    main()
