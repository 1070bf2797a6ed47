"""A JSONL of gigabytes, made as it is sent: accepted, read and baked in memory that does not grow with it.

    python -m benchmarks.large [--gigabytes 5] [--by multipart,raw,tus] [--database sqlite|postgres]

Each way of uploading is one batch, canceled when it has shown what it can. The first is checked as a whole, then read
to its end while it is baked, and its rows are downloaded and looked at; the others are baked as they are read, until
some rows are over. How much each process grew is told of each quarter of the upload, of each quarter of the reading
and of the download: flat is what is the same in all four.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks.bulk import postgres
from benchmarks.harness import Stack, save, stack
from benchmarks.upload_memory import FAKE, note, resident

#: Of a row, its line break included.
ROW_BYTES = 10_000
_OVER = ("completed", "failed", "canceled", "expired")
_WORDS = (
    "bread",
    "oven",
    "crust",
    "flour",
    "butter",
    "salt",
    "shelf",
    "baker",
    "morning",
    "window",
    "street",
    "corner",
)
_TUS_PIECE = 64 << 20
_TOKENS = 1 << 17
_LOOK_SECONDS = 0.25
#: Of a file that is not read to its end: so many rows are over before it is canceled.
_ENOUGH = 5_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--by", default="multipart,raw,tus")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    given = parser.parse_args()
    rows = round(given.gigabytes * 1e9 / ROW_BYTES)
    with contextlib.ExitStack() as parts:
        pipelines = Path(parts.enter_context(tempfile.TemporaryDirectory())) / "pipelines.toml"
        pipelines.write_text(FAKE)
        # A row is two thousand words, and what is measured of the fake is a few of them: one row a microbatch.
        env = {"FOURNIL_TOKEN_BUDGET": str(_TOKENS)}
        if given.database == "postgres":
            env["FOURNIL_DATABASE_URL"] = parts.enter_context(postgres())
        running = parts.enter_context(stack("--pipelines", str(pipelines), **env))
        ways = {}
        for number, way in enumerate(given.by.split(",")):
            ways[way] = one_way(running, way, rows, is_first=number == 0)
            print(way, json.dumps(ways[way]), flush=True)
    about = {"bytes": rows * ROW_BYTES, "rows": rows, "database": given.database}
    save(f"large-{given.database}-{given.gigabytes:g}gb", {**about, "by": ways})


class Rows:
    """A file of so many rows that is nowhere: each is made when it is read. Tells when its last byte was taken."""

    def __init__(self, rows: int) -> None:
        chance = random.Random(5)
        self._fillers = [" ".join(chance.choices(_WORDS, k=ROW_BYTES // 4)).encode() for _ in range(64)]
        self.size = rows * ROW_BYTES
        self._at = 0
        self.last_byte = 0.0

    def row(self, number: int) -> bytes:
        head = b'{"id": %9d, "text": "Review %d: ' % (number, number)
        return head + self._fillers[number % 64][: ROW_BYTES - len(head) - 3] + b'"}\n'

    def text(self, number: int) -> str:
        return str(json.loads(self.row(number))["text"])

    def read(self, size: int = -1) -> bytes:
        end = self.size if size < 0 else min(self.size, self._at + size)
        if end == self._at:
            return b""
        first = self._at // ROW_BYTES
        whole = b"".join(self.row(number) for number in range(first, -(-end // ROW_BYTES)))
        piece = whole[self._at - first * ROW_BYTES : end - first * ROW_BYTES]
        self._at, self.last_byte = end, time.perf_counter()
        return piece

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at


class Watch:
    """Looks at the memory of every process from a thread of its own; the most of each part of the time."""

    def __init__(self, running: Stack) -> None:
        self._running = running
        self.before = resident(running)
        self.peaks: dict[str, dict[str, int]] = {}
        self._name_of: Callable[[], str] = lambda: "before"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def during(self, name: str | Callable[[], str]) -> None:
        """What comes from now on is called so."""
        self._name_of = name if callable(name) else lambda: name

    def _look(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            note(self.peaks.setdefault(self._name_of(), {}), self._running)

    def grew_mb(self) -> dict[str, dict[str, float]]:
        return {
            name: {role: round((most - self.before.get(role, 0)) / 1e6, 1) for role, most in peak.items()}
            for name, peak in self.peaks.items()
            if name != "before"
        }


def one_way(running: Stack, way: str, rows: int, *, is_first: bool) -> dict[str, Any]:
    file, http = Rows(rows), httpx.Client(base_url=running.url, timeout=600)
    with Watch(running) as watch:
        watch.during(lambda: f"upload, quarter {min(4, 1 + 4 * file.tell() // file.size)}")
        began = time.perf_counter()
        batch = WAYS[way](http, file)
        accepted = time.perf_counter()
        found = {
            "upload_seconds": round(file.last_byte - began, 1),
            "upload_mb_per_second": round(file.size / 1e6 / (file.last_byte - began)),
            "accepted_seconds_after_last_byte": round(accepted - file.last_byte, 3),
            **(whole(http, batch, file, watch) if is_first else beginning(http, batch, watch)),
        }
        # The disk holds one file of this size, not all.
        http.delete(f"/api/v1/batches/{batch['id']}").raise_for_status()
    return {**found, "start_mb": _megabytes(watch.before), "grew_mb": watch.grew_mb()}


def _megabytes(sizes: dict[str, int]) -> dict[str, float]:
    return {name: round(size / 1e6, 1) for name, size in sizes.items()}


def by_multipart(http: httpx.Client, file: Any) -> dict[str, Any]:
    parts = {"request": (None, _request(), "application/json"), "file": ("rows.jsonl", file, "application/jsonl")}
    return _answered(http.post("/api/v1/batches", files=parts))


def by_raw(http: httpx.Client, file: Rows) -> dict[str, Any]:
    headers = {"Content-Type": "application/jsonl", "Content-Length": str(file.size)}
    stored = _answered(http.post("/api/v1/files?filename=rows.jsonl", content=_pieces(file), headers=headers))
    return _answered(
        http.post("/api/v1/batches", content=_request(file_id=stored["id"], on_invalid_rows="skip"), headers=_JSON)
    )


def by_tus(http: httpx.Client, file: Rows) -> dict[str, Any]:
    tus = {"Tus-Resumable": "1.0.0"}
    begun = http.post("/api/v1/uploads", headers={**tus, "Upload-Length": str(file.size)}).raise_for_status()
    place = begun.headers["Location"]
    while file.tell() < file.size:
        size = min(_TUS_PIECE, file.size - file.tell())
        headers = {**tus, "Upload-Offset": str(file.tell()), "Content-Length": str(size)}
        headers["Content-Type"] = "application/offset+octet-stream"
        http.patch(place, content=_pieces(file, size), headers=headers).raise_for_status()
    file_id = place.rsplit("/", 1)[-1]
    return _answered(
        http.post("/api/v1/batches", content=_request(file_id=file_id, on_invalid_rows="skip"), headers=_JSON)
    )


_JSON = {"Content-Type": "application/json"}
WAYS: dict[str, Callable[[httpx.Client, Rows], dict[str, Any]]] = {
    "multipart": by_multipart,
    "raw": by_raw,
    "tus": by_tus,
}


def _request(**more: str) -> str:
    return json.dumps({"pipeline": "fake", "id_column": "id", "format": "jsonl", **more})


def _pieces(file: Rows, size: int | None = None) -> Iterator[bytes]:
    end = file.size if size is None else file.tell() + size
    while file.tell() < end:
        yield file.read(min(1 << 18, end - file.tell()))


def _answered(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code in (200, 201, 202), response.text
    found: dict[str, Any] = response.json()
    return found


def whole(http: httpx.Client, batch: dict[str, Any], file: Rows, watch: Watch) -> dict[str, Any]:
    """Until the file is read to its end, and what came of its rows."""
    rows, start, quarter = file.size // ROW_BYTES, time.perf_counter(), 0
    watch.during("checking")
    checked = 0.0
    while batch["counts"]["total"] is None:
        time.sleep(_LOOK_SECONDS)
        batch = _shown(http, batch)
        if there := sum(count or 0 for count in batch["counts"].values()):
            checked = checked or time.perf_counter()
            quarter = min(4, 1 + 4 * there // rows)
            watch.during(f"reading and baking, quarter {quarter}")
    read = time.perf_counter()
    batch = _canceled(http, batch)
    watch.during("download")
    began = time.perf_counter()
    found = _ids(http, batch["id"])
    downloaded = time.perf_counter()
    same = _same_texts(http, batch["id"], file, [*range(0, rows, max(1, rows // 20)), rows - 1])
    assert found == rows, found
    return {
        "check_seconds": round(checked - start, 1),
        "read_seconds": round(read - checked, 1),
        "read_mb_per_second": round(file.size / 1e6 / (read - checked)),
        "counts": batch["counts"],
        "download_ids_seconds": round(downloaded - began, 1),
        "rows_in_order": found,
        "texts_that_are_the_same": same,
    }


def _ids(http: httpx.Client, batch_id: str) -> int:
    """How many rows came back in the order of the file, up to the first that is not."""
    row = 0
    path = f"/api/v1/batches/{batch_id}/results?format=jsonl&columns=id,status"
    with http.stream("GET", path) as answer:
        for line in answer.raise_for_status().iter_lines():
            if json.loads(line)["id"] != row:
                return row
            row += 1
    return row


def _same_texts(http: httpx.Client, batch_id: str, file: Rows, numbers: list[int]) -> str:
    """How many of some rows hold the text that was sent."""
    same = 0
    for number in numbers:
        with http.stream("GET", f"/api/v1/batches/{batch_id}/results?format=jsonl&from_row={number}") as answer:
            line = next(answer.raise_for_status().iter_lines())
        same += json.loads(line)["text"] == file.text(number)
    return f"{same} of {len(numbers)}"


def beginning(http: httpx.Client, batch: dict[str, Any], watch: Watch) -> dict[str, Any]:
    """Until some rows are over."""
    start = time.perf_counter()
    watch.during("reading and baking")
    while batch["counts"]["succeeded"] < _ENOUGH:
        time.sleep(_LOOK_SECONDS)
        batch = _shown(http, batch)
        assert batch["status"] in ("validating", "running"), batch
    enough = time.perf_counter()
    return {"seconds_to_first_rows": round(enough - start, 1), "counts": _canceled(http, batch)["counts"]}


def _shown(http: httpx.Client, batch: dict[str, Any]) -> dict[str, Any]:
    return _answered(http.get(f"/api/v1/batches/{batch['id']}"))


def _canceled(http: httpx.Client, batch: dict[str, Any]) -> dict[str, Any]:
    _answered(http.post(f"/api/v1/batches/{batch['id']}/cancel"))
    while batch["status"] not in _OVER:
        time.sleep(_LOOK_SECONDS)
        batch = _shown(http, batch)
    return batch


if __name__ == "__main__":
    main()
