"""What each microbatch says about the next ones, and what is counted: the ledger, its appetite and its tally."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from contract.pipelines import PipelineSpec
from contract.times import utc_now
from models.claims import Claimed
from models.database import reading, transaction
from models.workers import Worker, list_workers, put_worker
from tests.databases import engine_for, sqlite_database
from web.metrics import _COUNTED
from worker.appetite import Appetite
from worker.backends.backend import Prepared
from worker.backends.fake import FakePipeline
from worker.budgets import Budgets
from worker.ledger import Ledger, Pass
from worker.loaves import Loaf
from worker.tally import Count, Tally
from worker.trays import Tray

SLOT = "h/cpu0"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    with sqlite_database(tmp_path_factory.mktemp("ledger")) as url, engine_for(url) as found:
        yield found


@dataclasses.dataclass
class Books:
    engine: sa.Engine
    budgets: Budgets
    appetite: Appetite
    ledger: Ledger

    def shown(self) -> dict[str, Any] | None:
        with reading(self.engine) as conn:
            return next(worker.tally for worker in list_workers(conn) if worker.name == SLOT)


@pytest.fixture
def books(engine: sa.Engine, tmp_path: Path) -> Books:
    now = utc_now()
    row = Worker(SLOT, "h", "cpu", 1, "ready", {}, None, None, started_at=now, heartbeat_at=now)
    transaction(engine, lambda conn: put_worker(conn, row))
    budgets, appetite = Budgets(tmp_path, place="here", fixed=0), Appetite(most=1024)
    spec = PipelineSpec("fake", "text-classification", backend="fake")
    budgets.open("fake", spec.task, FakePipeline(spec))
    budgets.of("fake").measured = True
    return Books(engine, budgets, appetite, Ledger(engine, budgets, appetite, slot=SLOT))


def tray(*lengths: int) -> Tray:
    rows = [Claimed(f"j{n}", "fake", 1, 0, None, {}, {}, None, None) for n in range(len(lengths))]
    return Tray([Loaf([row], Prepared(None, length)) for row, length in zip(rows, lengths, strict=True)], {})


def done(seconds: float = 0.1, *, share: int = 1, typical: bool = True, ran_out: bool = False) -> Pass:
    return Pass(seconds, share, typical=typical, ran_out=ran_out)


def test_rows_tokens_and_padding_are_counted(books):
    books.ledger.note("fake", tray(10, 30), done(0.25))
    books.ledger.note("fake", tray(5), done(0.5))
    books.ledger.show()
    count = books.shown()["fake"]
    assert (count["rows"], count["microbatches"]) == (3, 2)
    assert (count["real_tokens"], count["padded_tokens"]) == (45, 65)
    assert count["seconds"] == 0.75
    assert count["out_of_memory"] == 0
    assert count["budget"] == books.budgets.of("fake").tokens


def test_pipelines_are_counted_apart(books):
    books.ledger.note("fake", tray(10), done())
    books.ledger.note("other", tray(1, 1), done())
    books.ledger.show()
    assert {name: count["rows"] for name, count in books.shown().items()} == {"fake": 1, "other": 2}


def test_the_seconds_of_many_short_passes_add_up(books):
    for _ in range(1000):
        books.ledger.note("fake", tray(1), done(0.000_02))
    books.ledger.show()
    assert books.shown()["fake"]["seconds"] == 0.02


def test_microbatches_side_by_side_share_the_seconds_they_took(books):
    for _ in range(2):
        books.ledger.note("fake", tray(10), done(1.0, share=2))
    books.ledger.show()
    assert books.shown()["fake"]["seconds"] == 1.0


def test_an_out_of_memory_halves_the_budget_and_is_counted(books):
    before = books.budgets.of("fake").tokens
    books.ledger.note("fake", tray(before), done(ran_out=True))
    books.ledger.show()
    assert books.budgets.of("fake").tokens == before // 2
    assert books.shown()["fake"]["out_of_memory"] == 1
    assert books.shown()["fake"]["budget"] == before // 2


@pytest.mark.parametrize("odd", [{"typical": False}, {"ran_out": True}])
def test_a_pass_unlike_the_others_is_no_measurement(books, odd):
    """It ran beside others for a part of its time, or in halves: its seconds say nothing about a next one."""
    before = books.budgets.of("fake").overhead, books.budgets.of("fake").as_dict()["samples"]
    for length in (64, 128, 256) * 3:
        books.ledger.note("fake", tray(length), done(9.0, **odd))
    assert (books.budgets.of("fake").overhead, books.budgets.of("fake").as_dict()["samples"]) == before


def test_the_budget_is_corrected_by_what_passes_take(books):
    for length, seconds in ((256, 2.56), (512, 5.12), (1024, 20.48)) * 3:
        books.ledger.note("fake", tray(length), done(seconds))
    assert books.budgets.of("fake").tokens == 256


def test_every_pass_sets_the_appetite(books):
    for _ in range(20):
        books.ledger.note("fake", tray(*[5] * 10), done(0.2, share=2, typical=False))
    assert 790 <= books.appetite.rows("fake") <= 800


def test_a_claim_fills_a_microbatch_however_long_one_takes(books):
    books.budgets.of("fake").measured = False
    for _ in range(20):
        books.ledger.note("fake", tray(64, 64), done(30.0))
    assert books.appetite.rows("fake") == books.budgets.of("fake").tokens // 64 == 16


def test_short_of_memory_a_claim_is_as_small_as_its_microbatches(books):
    """What is shown and claimed by is what plans are made with, however large the budget that was found."""
    books.budgets.of("fake").measured = False
    books.budgets.limits("fake", most=256, decks=1, padding=1.0)
    for _ in range(20):
        books.ledger.note("fake", tray(64, 64), done(30.0))
    books.ledger.show()
    assert books.appetite.rows("fake") == 256 // 64
    assert books.shown()["fake"]["budget"] == 256


def test_nothing_is_lost_when_decks_note_at_once(books, restless_threads):
    together = threading.Barrier(4)

    def bake() -> None:
        together.wait(timeout=20)
        for _ in range(200):
            books.ledger.note("fake", tray(*[2] * 50), done())

    threads = [threading.Thread(target=bake) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    books.ledger.show()
    count = books.shown()["fake"]
    assert (count["rows"], count["microbatches"], count["real_tokens"]) == (40_000, 800, 80_000)


def test_the_counts_are_written_now_and_then_and_never_lost(books, monkeypatch):
    class Clock:
        now = 1000.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr("worker.ledger.time", clock)
    books.ledger.note("fake", tray(1), done())
    books.ledger.show()
    books.ledger.note("fake", tray(1), done())
    books.ledger.show()
    assert books.shown()["fake"]["rows"] == 1
    clock.now += 5.0
    books.ledger.show()
    assert books.shown()["fake"]["rows"] == 2
    # Nothing new: an oven that rests asks again and again.
    monkeypatch.setattr("worker.ledger.set_worker", lambda *_, **__: pytest.fail("written again"))
    clock.now += 5.0
    books.ledger.show()


def test_counts_that_could_not_be_written_are_written_the_next_time(books, monkeypatch):
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError

    books.ledger.note("fake", tray(1), done())
    with monkeypatch.context() as broken:
        broken.setattr("worker.ledger.set_worker", fail)
        with pytest.raises(RuntimeError):
            books.ledger.show()
    books.ledger.show()
    assert books.shown()["fake"]["rows"] == 1


def test_before_the_first_microbatch_there_is_nothing_to_show(books):
    assert books.shown() is None


@given(st.integers(1, 5000), st.lists(st.tuples(st.integers(1, 5000), st.floats(0, 600))))
def test_a_claim_takes_a_row_at_least_and_the_most_at_most(most, passes):
    appetite = Appetite(most=most)
    for rows, seconds in passes:
        appetite.took("a", rows=rows, seconds=seconds)
        assert 1 <= appetite.rows("a") <= most
        assert appetite.rows("a") >= min(4, most)


@given(st.integers(2, 200), st.integers(1, 50))
def test_a_steady_slot_claims_eight_seconds_of_work(rate, rows):
    appetite = Appetite(most=5000)
    for _ in range(3):
        appetite.took("a", rows=rows, seconds=rows / rate)
    assert abs(appetite.rows("a") - 8 * rate) <= 1


def test_a_slot_that_slows_down_claims_less_and_recovers():
    appetite = Appetite(most=5000)
    for _ in range(20):
        appetite.took("a", rows=100, seconds=1.0)
    appetite.took("a", rows=1, seconds=10.0)
    after = appetite.rows("a")
    assert 400 <= after < 800
    for _ in range(20):
        appetite.took("a", rows=100, seconds=1.0)
    assert 790 <= appetite.rows("a") <= 800


def test_one_pipeline_s_pace_is_not_another_s():
    appetite = Appetite(most=5000)
    first = appetite.rows("b")
    appetite.took("a", rows=1, seconds=100.0)
    assert appetite.rows("b") == first


def test_a_tally_that_was_read_does_not_count_on():
    tally = Tally()
    tally.of("a").rows += 1
    read = tally.as_dict()
    tally.of("a").rows += 1
    assert read["a"]["rows"] == 1
    assert tally.as_dict()["a"]["rows"] == 2


def test_a_metric_of_ovens_stands_for_each_count():
    counted = {field for _, field, _ in _COUNTED} | {"budget"}
    assert counted == {field.name for field in dataclasses.fields(Count)}
