"""A dataset as a batch: accepted over HTTP, read in slices through kills and outages, joined with its results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from contract.statuses import BatchStatus, OnInvalidRows
from models import batches
from models.batches import NewBatch
from models.database import reading, transaction
from models.files import add_file, find_file
from models.hub.dataset import Dataset, Reach
from models.hub.stream import Stream, layout_of
from tests.hub import Hub, parquet_of, stub_hub
from tests.integration.conftest import NOW
from tests.integration.reading_bench import Bench
from worker import ingest
from worker.ingest import ingest_slice
from worker.taps import Taps

ROWS = 1_300


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with stub_hub(tmp_path / "hub") as found:
        texts = [f"row {n}" for n in range(ROWS)]
        parquet_of(found.add("bakers/reviews"), "data/train-00000-of-00001.parquet", {"text": texts})
        yield found


class HubBench(Bench):
    """The same of a dataset, which is read into its file on the way."""

    def __init__(self, engine: sa.Engine, folder: Path, hub: Hub) -> None:
        super().__init__(engine, folder / "files")
        self.reach = Reach(hub=True, folder=None, endpoint=hub.url, token="", cache=folder / "cache")
        self.taps = Taps(self.reach)

    def batch(self, mode: OnInvalidRows) -> str:
        stream = Stream(self.reach, Dataset("bakers/reviews"))
        stream.close()
        layout = layout_of(stream.about, main_field="text", limit=1 << 30)
        file_id, _ = self.storage.save([], max_bytes=0)

        def work(conn: sa.Connection) -> str:
            add_file(conn, file_id=file_id, name="reviews.jsonl", content_type="text/plain", size=0, now=NOW)
            new = NewBatch(
                "fake", "reviews.jsonl", file_id, {}, {"text": "text"}, on_invalid_rows=mode, format="dataset"
            )
            return batches.create_batch(conn, new, now=NOW, layout=layout.as_dict())

        return transaction(self.engine, work)

    def slice(self, batch_id: str, *, rows: int = 130, seconds: float = 0.0) -> str:
        return ingest_slice(
            self.engine, self.storage, batch_id, seconds=seconds, rows_per_piece=rows, now_fn=lambda: NOW,
            wake=lambda _: None, taps=self.taps,
        )  # fmt: skip


@pytest.fixture
def bench(engine: sa.Engine, tmp_path: Path, hub: Hub) -> HubBench:
    return HubBench(engine, tmp_path, hub)


def all_there(bench: HubBench, batch_id: str) -> None:
    rows, batch = bench.rows(batch_id), bench.found(batch_id)
    assert [(row.row, row.inputs["text"]) for row in rows] == [(n, f"row {n}") for n in range(ROWS)]
    assert (batch.status, batch.total, batch.ingested) == (BatchStatus.RUNNING, ROWS, True)
    lines = bench.storage.path(batch.file_id).read_bytes().splitlines()
    assert lines[0] == b'{"text":"row 0"}'
    assert len(lines) == ROWS
    with reading(bench.engine) as conn:
        stored = find_file(conn, batch.file_id)
    assert stored is not None
    assert stored.bytes == bench.storage.path(batch.file_id).stat().st_size


@pytest.mark.parametrize("mode", OnInvalidRows)
def test_a_dataset_is_read_in_slices_with_one_process(bench, hub, mode):
    batch_id = bench.batch(mode)
    bench.slice(batch_id)
    hub.seen.clear()
    while bench.slice(batch_id) == "again":
        pass

    all_there(bench, batch_id)
    # To look a dataset up again would be to begin again.
    assert not [one for one in hub.seen if "/revision/" in one]


@pytest.mark.parametrize("mode", OnInvalidRows)
def test_a_reader_that_is_killed_at_any_piece_loses_and_doubles_nothing(bench, mode, monkeypatch):
    batch_id = bench.batch(mode)
    real = ingest.commit
    for place in range(3):
        bench.taps = Taps(bench.reach)
        if place % 2:
            # Killed between writing the file and the commit.
            def dies(*args: Any, **more: Any) -> None:
                raise KeyboardInterrupt

            monkeypatch.setattr(ingest, "commit", dies)
            with pytest.raises(KeyboardInterrupt):
                bench.slice(batch_id, seconds=60)
            monkeypatch.setattr(ingest, "commit", real)
        for _ in range(3):
            bench.slice(batch_id)
    bench.taps = Taps(bench.reach)
    while bench.slice(batch_id) == "again":
        pass

    all_there(bench, batch_id)


def test_two_readers_of_one_dataset_make_each_row_once(bench):
    batch_id, other = bench.batch(OnInvalidRows.SKIP), Taps(bench.reach)
    outcome = "again"
    while outcome == "again":
        bench.taps, other = other, bench.taps
        outcome = bench.slice(batch_id)

    all_there(bench, batch_id)


def test_while_the_hub_is_away_the_batch_waits_and_goes_on_after(bench, hub):
    batch_id = bench.batch(OnInvalidRows.SKIP)
    bench.slice(batch_id)
    bench.taps = Taps(bench.reach)
    hub.is_down = True
    assert bench.slice(batch_id) == "done"
    assert bench.found(batch_id).status is BatchStatus.RUNNING

    hub.is_down = False
    while bench.slice(batch_id) == "again":
        pass
    all_there(bench, batch_id)


def test_a_dataset_that_is_gone_gives_up_the_batch_with_a_reason(bench, hub):
    batch_id = bench.batch(OnInvalidRows.FAIL)
    (hub.root / "bakers").rename(hub.root / "others")
    bench.slice(batch_id)
    batch = bench.found(batch_id)

    assert batch.status is BatchStatus.FAILED
    assert "no dataset" in batch.errors[0]["message"]
