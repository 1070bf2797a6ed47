"""The life of a large file with a backend that computes nothing: accepted, read, baked, polled, downloaded.

    python -m benchmarks.bulk [--rows 1000000] [--database sqlite|postgres] [--file csv|parquet]

Uploaded and downloaded in that format. Times of each phase, what polls took and foretold meanwhile, how much each
process grew, and whether the results have every row in the order of the file. Then a file whose steps come one after
the other, for the pipeline is paused while it is read; beside it what the bare database does: the same inserts,
updates and reads by its driver alone.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks.bare import bare
from benchmarks.harness import Stack, save, spread, stack
from benchmarks.upload_memory import FAKE, note, resident, write_sheet
from models.sheets.export import MEDIA

_OVER = ("completed", "failed", "canceled", "expired")
_POLL_SECONDS = 0.5
#: What a rate is of, at most (web.pace).
_SEEN_SECONDS = 20.0
#: Of the file whose steps come one by one.
_APART_ROWS = 200_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--file", choices=tuple(_IDS), default="csv")
    given = parser.parse_args()
    with contextlib.ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="fournil-bulk-")))
        pipelines, sheet, results = (folder / name for name in ("pipelines.toml", f"rows.{given.file}", "results"))
        pipelines.write_text(FAKE)
        write_file(sheet, given.rows)
        env = {"FOURNIL_DATABASE_URL": parts.enter_context(postgres())} if given.database == "postgres" else {}
        some = min(given.rows, _APART_ROWS)
        with stack("--pipelines", str(pipelines), **env) as running:
            figures = life(running, sheet, given.rows, results)
            write_file(sheet, some)
            alone = steps(running, sheet, some, results)
        with postgres() if given.database == "postgres" else sqlite(folder / "bare.db") as url:
            limit = bare(url, some)
    about = {"rows": given.rows, "database": given.database, "file": given.file}
    shares = {name: round(alone[name] / limit[name], 3) for name in limit}
    one_by_one = {"rows": some, "fournil": alone, "bare_database": limit, "fournil_of_bare": shares}
    name = f"bulk-{given.database}-{given.rows}" + ("" if given.file == "csv" else f"-{given.file}")
    save(name, {**about, **figures, "steps_one_by_one": one_by_one})


def write_file(path: Path, rows: int) -> None:
    """The same rows in either format, as the name says."""
    import pyarrow.csv
    import pyarrow.parquet

    if path.suffix == ".csv":
        write_sheet(path, rows)
        return
    texts = path.with_suffix(".csv")
    write_sheet(texts, rows)
    with pyarrow.csv.open_csv(texts) as pieces, pyarrow.parquet.ParquetWriter(path, pieces.schema) as out:
        for piece in pieces:
            out.write_batch(piece)
    texts.unlink()


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    from tests.databases import postgres_database, postgres_server

    with postgres_server() as template, postgres_database(template) as url:
        yield url


@contextlib.contextmanager
def sqlite(path: Path) -> Iterator[str]:
    from models.migrate import upgrade

    url = f"sqlite:///{path}"
    upgrade(url)
    yield url


def life(running: Stack, sheet: Path, rows: int, results: Path) -> dict[str, Any]:
    before = resident(running)
    peak = dict(before)
    http = httpx.Client(base_url=running.url, timeout=600)
    batch, last_byte, accepted = upload(http, sheet)
    watched = watch(http, batch["id"], rows, peak, running, since=accepted)
    start = time.perf_counter()
    download(http, batch["id"], results, format=sheet.suffix[1:])
    downloaded = time.perf_counter() - start
    note(peak, running)
    return {
        "upload_bytes": sheet.stat().st_size,
        "accepted_seconds_after_last_byte": round(accepted - last_byte, 3),
        **watched,
        "download_seconds": round(downloaded, 1),
        "download_rows_per_second": round(rows / downloaded),
        "result_bytes": results.stat().st_size,
        "rows_in_order": in_order(results, rows, format=sheet.suffix[1:]),
        "start_mb": {name: round(value / 1e6, 1) for name, value in before.items()},
        "grew_mb": {name: round((peak[name] - before.get(name, 0)) / 1e6, 1) for name in peak},
    }


def steps(running: Stack, sheet: Path, rows: int, results: Path) -> dict[str, int]:
    """Rows a second of each step while nothing else is done. Reading: the file is checked first, then taken."""
    with httpx.Client(base_url=running.url, timeout=600) as http:
        http.post("/api/v1/pipelines/fake/pause").raise_for_status()
        batch, _, accepted = upload(http, sheet)
        _wait(http, batch["id"], lambda found: found["counts"]["total"] is not None)
        read = time.perf_counter()
        http.post("/api/v1/pipelines/fake/resume").raise_for_status()
        _wait(http, batch["id"], lambda found: found["status"] in _OVER)
        baked = time.perf_counter()
        download(http, batch["id"], results, format=sheet.suffix[1:])
        over = time.perf_counter()
    assert in_order(results, rows, format=sheet.suffix[1:])
    return {
        "ingest_rows_per_second": round(rows / (read - accepted)),
        "claim_and_record_rows_per_second": round(rows / (baked - read)),
        "export_rows_per_second": round(rows / (over - baked)),
    }


def _wait(http: httpx.Client, batch_id: str, is_so: Callable[[dict[str, Any]], bool]) -> None:
    while not is_so(http.get(f"/api/v1/batches/{batch_id}").raise_for_status().json()):
        time.sleep(_POLL_SECONDS / 5)


class _Sent:
    """A file that remembers when its last byte was taken."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.last_byte = 0.0

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        if piece:
            self.last_byte = time.perf_counter()
        return piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def upload(http: httpx.Client, sheet: Path) -> tuple[dict[str, Any], float, float]:
    """The batch, when the last byte was sent, and when the answer was there."""
    request = {"pipeline": "fake", "inputs": {"text": "review"}, "id_column": "id"}
    sent: Any = _Sent(sheet)
    parts = {
        "request": (None, json.dumps(request), "application/json"),
        "file": (sheet.name, sent, MEDIA[sheet.suffix[1:]]),
    }
    batch = http.post("/api/v1/batches", files=parts).raise_for_status().json()
    return batch, sent.last_byte, time.perf_counter()


def watch(
    http: httpx.Client, batch_id: str, rows: int, peak: dict[str, int], running: Stack, *, since: float
) -> dict[str, Any]:
    """Poll as people do until all is over."""
    polls: list[float] = []
    said: list[tuple[float, float, float | None]] = []
    pulse = [(since, _fixed_work())]
    read = None
    while True:
        asked = time.perf_counter()
        batch = http.get(f"/api/v1/batches/{batch_id}").raise_for_status().json()
        answered = time.perf_counter()
        polls.append(answered - asked)
        note(peak, running)
        counts = batch["counts"]
        assert counts["total"] is None or counts["total"] == sum(counts.values()) - counts["total"], counts
        if read is None and counts["total"] is not None:
            read = answered
        if batch["status"] in _OVER:
            break
        if batch["progress"] >= 0.1:
            said.append((answered, batch["progress"], batch["eta"]))
        pulse.append((answered, _fixed_work()))
        time.sleep(_POLL_SECONDS)
    assert read is not None
    assert counts["succeeded"] == rows, counts
    return {
        "read_seconds": round(read - since, 1),
        "read_rows_per_second": round(rows / (read - since)),
        "all_rows_terminal_seconds": round(answered - since, 1),
        "rows_per_second": round(rows / (answered - since)),
        "poll_ms": {name: round(1000 * value, 1) for name, value in spread(polls).items() if name != "n"},
        "polls": len(polls),
        "eta": foretold(said, since, answered),
        "fixed_work_ms": spread([1000 * took for _, took in pulse]),
        "eta_on_an_even_machine": foretold(*evened(pulse, said, since, answered)),
    }


def _fixed_work() -> float:
    """Seconds of processor time for the same work each time: how fast the machine itself is just now."""
    start, total = time.thread_time(), 0
    for number in range(60_000):
        total += number * number
    return time.thread_time() - start


def evened(
    pulse: list[tuple[float, float]], said: list[tuple[float, float, float | None]], start: float, end: float
) -> tuple[list[tuple[float, float, float | None]], float, float]:
    """The same on a clock that runs as fast as the machine does; etas at the speed that was seen when they were said.

    Machines that are shared go faster and slower by themselves, which is nothing that a rate of the past foretells.
    """
    typical = statistics.median(took for _, took in pulse)
    clock = [(start, 0.0)]
    for at, took in pulse[1:]:
        clock.append((at, clock[-1][1] + (at - clock[-1][0]) * typical / took))

    def read(at: float) -> float:
        last = max((tick for tick in clock if tick[0] <= at), default=clock[0])
        return last[1] + (at - last[0])

    def speed(at: float) -> float:
        since = max(at - _SEEN_SECONDS, start)
        return (read(at) - read(since)) / (at - since) if at > since else 1.0

    told = [(read(at), done, None if eta is None else eta * speed(at)) for at, done, eta in said]
    return told, 0.0, read(end)


def foretold(said: list[tuple[float, float, float | None]], start: float, end: float) -> dict[str, Any]:
    """What polls after a tenth of the work said of the end, each (when, progress, eta), against when it came.

    Off by so much of the time that was left then, up to nine tenths of the work: of the last seconds it says nothing.
    And, of all of them, by so much of the whole time.
    """
    known = [(at, done, eta) for at, done, eta in said if eta is not None]
    off = [abs(at + eta - end) / (end - at) for at, done, eta in known if done <= 0.9]
    off_whole = [abs(at + eta - end) / (end - start) for at, _, eta in known]
    return {
        "polls_after_a_tenth": len(said),
        "with_eta": round(len(known) / len(said), 3) if said else None,
        "off_of_time_left": spread(off) if off else None,
        "within_15_percent": round(sum(one <= 0.15 for one in off) / len(off), 3) if off else None,
        "off_of_whole_time": spread(off_whole) if off_whole else None,
    }


def download(http: httpx.Client, batch_id: str, path: Path, *, format: str) -> None:
    url = f"/api/v1/batches/{batch_id}/results?format={format}"
    with http.stream("GET", url) as answer, path.open("wb") as out:
        for piece in answer.raise_for_status().iter_bytes():
            out.write(piece)


def in_order(path: Path, rows: int, *, format: str) -> bool:
    return list(_IDS[format](path)) == list(range(rows))


def _of_csv(path: Path) -> Iterator[int]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        yield from (int(row["id"]) for row in csv.DictReader(file) if row["status"] == "succeeded")


def _of_parquet(path: Path) -> Iterator[int]:
    import pyarrow.parquet

    for group in pyarrow.parquet.ParquetFile(path).iter_batches(columns=["id", "status"]):
        yield from (row["id"] for row in group.to_pylist() if row["status"] == "succeeded")


#: By format: the ids of the rows of a download that succeeded.
_IDS = {"csv": _of_csv, "parquet": _of_parquet}


if __name__ == "__main__":
    main()
