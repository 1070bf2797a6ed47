"""Plans: every row once and within the budget, no cut cheaper, and each deck its part."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.planner import Limits, Portion, halves, padded, plan

rows_of = st.lists(st.tuples(st.integers(0, 600), st.integers(1, 8), st.integers(0, 1)), min_size=1, max_size=40).map(
    lambda rows: [Portion(i, *row) for i, row in enumerate(rows)]
)
any_rows = st.lists(st.tuples(st.integers(0, 600), st.integers(1, 8), st.integers(0, 1)), max_size=60).map(
    lambda rows: [Portion(i, *row) for i, row in enumerate(rows)]
)
few_rows = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 3)), min_size=1, max_size=7).map(
    lambda rows: [Portion(i, length, sequences, 1) for i, (length, sequences) in enumerate(rows)]
)
limits_of = st.builds(
    Limits,
    budget=st.integers(1, 4096),
    overhead=st.integers(0, 100),
    padding=st.sampled_from([1.0, 0.4, 0.1]),
    max_rows=st.none(),
    decks=st.integers(1, 8),
)


def trays_of(rows: Sequence[Portion], limits: Limits) -> list[list[Portion]]:
    return [[rows[i] for i in tray] for tray in plan(rows, limits)]


def cost(trays: list[list[Portion]], overhead: int, padding: float = 1.0) -> int:
    return sum(padded(tray, padding) + overhead for tray in trays)


@given(any_rows, st.integers(1, 4096), st.integers(0, 100))
def test_every_row_is_in_exactly_one_microbatch(rows, budget, overhead):
    planned = plan(rows, Limits(budget, overhead))
    assert sorted(i for tray in planned for i in tray) == list(range(len(rows)))
    assert all(planned)


@given(any_rows, st.integers(1, 4096), st.integers(0, 100))
def test_the_budget_is_kept_but_by_a_row_that_is_larger_alone(rows, budget, overhead):
    for tray in plan(rows, Limits(budget, overhead)):
        longest = max(max(1, rows[i].length) for i in tray)
        tokens = longest * sum(rows[i].sequences for i in tray)
        assert tokens <= budget or len(tray) == 1


@given(any_rows, st.integers(1, 4096), st.integers(0, 100))
def test_people_are_planned_first_and_apart(rows, budget, overhead):
    priorities = [{rows[i].priority for i in tray} for tray in plan(rows, Limits(budget, overhead))]
    assert all(len(found) == 1 for found in priorities)
    flat = [found.pop() for found in priorities]
    assert flat == sorted(flat)


@given(any_rows, st.integers(1, 4096), st.integers(0, 100), st.integers(1, 5))
def test_suspects_stay_in_groups_of_their_size(rows, budget, overhead, most):
    assert all(len(tray) <= most for tray in plan(rows, Limits(budget, overhead, most)))


@given(few_rows, st.integers(1, 200), st.integers(0, 50))
def test_no_plan_of_any_grouping_is_cheaper(rows, budget, overhead):
    """Sorted neighbors are enough: compared with every way to part the rows, not only with cuts of a sorted line."""

    def price(trays: list[list[int]]) -> int:
        return sum(padded([rows[i] for i in tray]) + overhead for tray in trays)

    def fits(tray: list[int]) -> bool:
        return len(tray) == 1 or padded([rows[i] for i in tray]) <= budget

    cheapest = min(price(trays) for trays in _partings(list(range(len(rows)))) if all(map(fits, trays)))
    found = price(plan(rows, Limits(budget, overhead)))
    if all(row.sequences == 1 for row in rows):
        assert found == cheapest
    # With rows of several sequences a sorted line may cut worse, by less than twice.
    assert cheapest <= found <= 2 * cheapest + overhead


def _partings(items: list[int]) -> list[list[list[int]]]:
    if not items:
        return [[]]
    first, rest = items[0], items[1:]
    found = []
    for parting in _partings(rest):
        found.append([[first], *parting])
        found += [[*parting[:k], [first, *parting[k]], *parting[k + 1 :]] for k in range(len(parting))]
    return found


def test_skewed_lengths_are_padded_by_less_than_a_twentieth():
    """Log-normal with a median of 25 and a 99th percentile of 170, as texts are."""
    draw = random.Random(1)
    lengths = [max(3, min(250, int(draw.lognormvariate(3.2, 0.82)))) for _ in range(1024)]
    rows = [Portion(i, n, 1, 1) for i, n in enumerate(lengths)]
    computed = sum(padded([rows[i] for i in tray]) for tray in plan(rows, Limits(1024, 40)))
    assert computed <= 1.05 * sum(lengths)


@given(rows_of, limits_of)
def test_for_any_decks_every_row_is_planned_once_within_the_budget(rows, limits):
    trays = trays_of(rows, limits)
    assert sorted(row.index for tray in trays for row in tray) == list(range(len(rows)))
    assert all(len(tray) == 1 or padded(tray, limits.padding) <= limits.budget for tray in trays)
    assert all(len({row.priority for row in tray}) == 1 for tray in trays)


@given(rows_of, limits_of)
def test_the_budget_for_all_decks_is_never_larger_than_the_budget(rows, limits):
    assert limits.for_all_decks(rows).budget <= limits.budget
    assert dataclasses.replace(limits.for_all_decks(rows), budget=limits.budget) == limits


@given(rows_of, limits_of)
def test_one_deck_has_all_of_the_budget(rows, limits):
    alone = dataclasses.replace(limits, decks=1)
    assert alone.for_all_decks(rows) == alone


@given(rows_of, limits_of)
def test_no_deck_has_more_than_its_part_and_a_row_unless_a_pass_costs_more(rows, limits):
    for priority in (0, 1):
        alike = [row for row in rows if row.priority == priority]
        tokens = [row.length * row.sequences for row in alike]
        for tray in trays_of(rows, limits):
            if limits.decks > 1 and len(tray) > 1 and tray[0].priority == priority:
                fair = sum(tokens) / limits.decks + max(tokens)
                assert padded(tray, limits.padding) <= max(fair, 2 * limits.overhead)


@given(st.integers(1, 40), st.integers(20, 200), st.integers(1, 8), st.integers(1, 9))
def test_equal_rows_are_shared_evenly_by_the_decks(count, length, decks, overhead):
    rows = [Portion(i, length, 1, 0) for i in range(count)]
    trays = trays_of(rows, Limits(1 << 20, overhead, decks=decks))
    assert max(map(len, trays)) == -(-count // decks)
    assert len(trays) <= decks


def test_rows_that_cost_less_than_a_pass_stay_together():
    rows = [Portion(i, 5, 1, 0) for i in range(8)]
    assert len(trays_of(rows, Limits(1024, overhead=40, decks=4))) == 1


def test_people_and_files_are_each_shared_by_all_decks():
    rows = [Portion(i, 100, 1, 0) for i in range(2)] + [Portion(i, 100, 1, 1) for i in range(2, 42)]
    trays = trays_of(rows, Limits(1 << 20, overhead=9, decks=2))
    assert [len(tray) for tray in trays] == [1, 1, 20, 20]


@given(rows_of, limits_of)
def test_short_rows_are_planned_before_long_ones(rows, limits):
    order = [(row.priority, row.length) for tray in trays_of(rows, limits) for row in tray]
    assert order == sorted(order)


@given(rows_of, limits_of, st.randoms())
def test_the_order_in_which_rows_were_claimed_costs_nothing(rows, limits, random):
    shuffled = [dataclasses.replace(row, sequences=1) for row in rows]
    limits = dataclasses.replace(limits, padding=1.0)
    straight = cost(trays_of(shuffled, limits), limits.overhead)
    lengths = [(row.length, row.priority) for row in shuffled]
    random.shuffle(lengths)
    again = [Portion(i, length, 1, priority) for i, (length, priority) in enumerate(lengths)]
    assert cost(trays_of(again, limits), limits.overhead) == straight


@given(rows_of, st.integers(1, 4096), st.integers(0, 4096), st.integers(0, 100))
def test_a_larger_budget_never_makes_a_plan_dearer(rows, budget, more, overhead):
    smaller, larger = (cost(trays_of(rows, Limits(b, overhead)), overhead) for b in (budget, budget + more))
    assert larger <= smaller


def test_a_dear_pass_is_worth_padding_and_a_cheap_one_is_not():
    rows = [Portion(0, 10, 1, 0), Portion(1, 50, 1, 0)]
    assert plan(rows, Limits(1024, overhead=41)) == [[0, 1]]
    assert plan(rows, Limits(1024, overhead=39)) == [[0], [1]]


def test_padding_that_is_left_out_is_worth_no_pass():
    rows = [Portion(0, 10, 1, 0), Portion(1, 50, 1, 0)]
    assert plan(rows, Limits(1024, overhead=5, padding=0.1)) == [[0, 1]]
    assert plan(rows, Limits(1024, overhead=3, padding=0.1)) == [[0], [1]]
    assert plan(rows, Limits(63, overhead=5, padding=0.1)) == [[0], [1]]


@given(rows_of, st.integers(0, 4096), st.integers(0, 100))
def test_a_plan_that_knows_of_packing_is_never_dearer_for_it(rows, budget, overhead):
    priced, left_out = (trays_of(rows, Limits(budget, overhead, padding=padding)) for padding in (1.0, 0.0))
    assert cost(left_out, overhead, 0.0) <= cost(priced, overhead, 0.0)


def test_nothing_to_plan_is_no_microbatch():
    assert plan([], Limits(1024, decks=4)) == []


@pytest.mark.parametrize(("lengths", "tokens"), [([3, 5], 10), ([0], 1), ([0, 0], 2)])
def test_a_pass_computes_its_longest_row_for_each(lengths, tokens):
    assert padded([Portion(i, length, 1, 0) for i, length in enumerate(lengths)]) == tokens


def test_padding_that_is_left_out_is_not_counted():
    rows = [Portion(0, 7, 1, 0), Portion(1, 17, 1, 0)]
    assert [padded(rows, price) for price in (1.0, 0.5, 0.0)] == [34, 29, 24]


def test_every_sequence_of_a_row_is_computed():
    assert padded([Portion(0, 7, 3, 0), Portion(1, 2, 2, 0)]) == 7 * 5


@given(st.lists(st.integers(), max_size=9))
def test_halves_are_all_of_it(rows):
    first, second = halves(rows)
    assert first + second == rows
    assert abs(len(first) - len(second)) <= 1
