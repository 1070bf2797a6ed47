"""What goes first: the rule of the shelf, and what is remembered of sizes and loads."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.pipelines import PipelineSpec
from worker.backends.footprint import Growth, Rise
from worker.measures import Measure, Measures
from worker.worth import Worth

sizes = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 100), min_size=1)
asks = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0.01, 100)), max_size=40)


def worth_after(*names: str, size: int = 10, seconds: float = 1.0) -> Worth:
    rule = Worth()
    for name in names:
        rule.asked(name, size=size, seconds=seconds)
    return rule


@given(sizes, asks, st.integers(1, 300))
def test_enough_goes_and_nobody_goes_for_nothing(held, asked, over):
    rule = Worth()
    for name, seconds in asked:
        rule.asked(name, size=held.get(name, 1), seconds=seconds)
    gone = rule.surplus(held, over=over)
    assert len(set(gone)) == len(gone)
    freed = sum(held[name] for name in gone)
    if sum(held.values()) < over:
        assert set(gone) == set(held)
    else:
        assert freed >= over
        assert all(freed - held[name] < over for name in gone)


def test_who_is_asked_for_less_often_goes_first():
    assert worth_after("a", "b", "a").surplus({"a": 10, "b": 10}, over=1) == ["b"]


def test_what_loads_fast_goes_before_what_loads_slowly():
    rule = Worth()
    rule.asked("slow", size=10, seconds=9.0)
    rule.asked("fast", size=10, seconds=1.0)
    assert rule.surplus({"slow": 10, "fast": 10}, over=1) == ["fast"]


def test_the_large_goes_before_the_small_that_loads_as_fast():
    rule = Worth()
    rule.asked("large", size=90, seconds=1.0)
    rule.asked("small", size=10, seconds=1.0)
    assert rule.surplus({"large": 90, "small": 10}, over=1) == ["large"]


def test_asks_in_a_row_are_one_visit():
    rule = worth_after("file", "file", "file", "file", "a", "b", "a")
    assert rule.surplus({"file": 10, "a": 10}, over=1) == ["file"]


def test_who_was_dear_once_and_is_not_asked_for_goes_in_the_end():
    rule = worth_after(*["old", "other"] * 20)
    for number in range(200):
        name = f"new{number % 3}"
        rule.asked(name, size=10, seconds=1.0)
        if "old" in rule.surplus({"old": 10, name: 10}, over=1):
            return
    pytest.fail("it stayed for ever")


def test_a_visit_counts_for_what_was_put_away_too():
    rule = worth_after("a", "b", "a", "c", "a", "b")
    assert rule.surplus({"a": 10}, over=1) == ["a"]
    rule.asked("c", size=10, seconds=1.0)
    rule.asked("a", size=10, seconds=1.0)
    assert rule.surplus({"a": 10, "c": 10}, over=1) == ["c"]


def test_nothing_goes_where_nothing_is_over():
    assert worth_after("a").surplus({"a": 10}, over=0) == []


SPEC = PipelineSpec("p", "text-classification", model="m")


def test_measures_outlive_the_process(tmp_path: Path):
    first = Measures(tmp_path, place="here")
    first.loaded(first.key(SPEC, "c"), Measure((10,), (30,), (2.0,)))
    first.grew(first.key(SPEC, "c"), 20)
    again = Measures(tmp_path, place="here")
    known = again.of(again.key(SPEC, "c"))
    assert known is not None
    assert (known.sizes, known.needs, known.reload) == ((20,), 30, 2.0)


@pytest.mark.parametrize(
    ("place", "commit", "change"),
    [
        ("there", "c", {}),
        ("here", "d", {}),
        ("here", "c", {"dtype": "bfloat16"}),
        ("here", "c", {"backend": "torch"}),
        ("here", "c", {"quantize": "int8"}),
        ("here", "c", {"compile": True}),
    ],
)
def test_what_was_measured_elsewhere_says_nothing(tmp_path: Path, place: str, commit: str, change: dict[str, str]):
    first = Measures(tmp_path, place="here")
    first.loaded(first.key(SPEC, "c"), Measure((10,), (30,), (2.0,)))
    other = Measures(tmp_path, place=place)
    assert other.of(other.key(dataclasses.replace(SPEC, **change), commit)) is None


def test_what_only_the_first_load_needed_is_forgotten_after_three(tmp_path: Path):
    measures = Measures(tmp_path, place="here")
    key = measures.key(SPEC, "c")
    measures.loaded(key, Measure((10,), (500,), (9.0,)))
    for seconds in (3.0, 1.0, 2.0):
        measures.loaded(key, Measure((10,), (30,), (seconds,)))
    known = measures.of(key)
    assert known is not None
    assert (known.needs, known.reload) == (30, 1.0)


def test_a_folder_that_is_gone_stops_nobody(tmp_path: Path):
    """As on a full disk: the pipeline that was just loaded is not at fault, and room is made for it all the same."""
    measures = Measures(tmp_path / "measures", place="here")
    (tmp_path / "measures").rmdir()
    key = measures.key(SPEC, "c")
    measures.loaded(key, Measure((10,), (30,), (2.0,)))
    measures.grew(key, 40)
    known = measures.of(key)
    assert known is not None
    assert known.needs == 40


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"sizes": []}',
        '{"sizes": [], "peaks": [1], "seconds": [1]}',
        '{"sizes": [1], "peaks": [1], "seconds": []}',
        "\x00",
    ],
)
def test_a_damaged_measure_is_none(tmp_path: Path, text: str):
    first = Measures(tmp_path, place="here")
    first.loaded(first.key(SPEC, "c"), Measure((10,), (30,), (2.0,)))
    [file] = tmp_path.iterdir()
    file.write_text(text)
    again = Measures(tmp_path, place="here")
    assert again.of(again.key(SPEC, "c")) is None


class Holder:
    pass


@pytest.fixture
def stands(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What this process occupies, as the test says: the last entry."""
    bytes_now = [100]
    monkeypatch.setattr("worker.backends.footprint.anonymous", lambda: bytes_now[-1])
    return bytes_now


def test_growth_that_stays_after_a_microbatch_is_its_holders(stands: list[int]):
    growth, one = Growth(), Holder()
    with growth.of(one):
        stands.append(150)
    with growth.of(one):
        stands.append(120)
    with growth.of(one):
        stands.append(150)
    assert growth.bytes(one) == 50


def test_growth_between_microbatches_is_nobodys(stands: list[int]):
    growth, one = Growth(), Holder()
    with growth.of(one):
        pass
    stands.append(900)
    with growth.of(one):
        pass
    assert growth.bytes(one) == 0


def test_growth_while_two_bake_is_nobodys(stands: list[int]):
    growth, one, two = Growth(), Holder(), Holder()
    with growth.of(one), growth.of(two):
        stands.append(500)
    assert (growth.bytes(one), growth.bytes(two)) == (0, 0)


def test_what_was_given_back_can_grow_again(stands: list[int]):
    growth, one, two = Growth(), Holder(), Holder()
    with growth.of(one):
        stands.append(500)
    stands.append(100)
    growth.forget(one)
    with growth.of(two):
        stands.append(300)
    assert (growth.bytes(one), growth.bytes(two)) == (0, 200)


def test_a_rise_knows_its_peak_after_it_is_over(stands: list[int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("worker.backends.footprint.resident", lambda: 1000 + stands[-1])
    seen = threading.Event()

    def look() -> int:
        if stands[-1] == 700:
            seen.set()
        return stands[-1]

    monkeypatch.setattr("worker.backends.footprint.anonymous", look)
    with Rise() as rise:
        stands.append(700)
        assert seen.wait(10)
        stands.append(300)
    assert (rise.now, rise.peak) == (200, 600)


def test_of_mapped_files_what_is_left_counts(monkeypatch: pytest.MonkeyPatch):
    mapped = [1000, 1500]
    monkeypatch.setattr("worker.backends.footprint.resident", lambda: mapped.pop(0))
    monkeypatch.setattr("worker.backends.footprint.anonymous", lambda: 100)
    with Rise() as rise:
        pass
    assert (rise.now, rise.peak) == (500, 500)
