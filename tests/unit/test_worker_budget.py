"""The budget of a microbatch: what it finds on machines that are made up, and what it never does."""

from __future__ import annotations

import json
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.machines import RUNGS, Machine, well_known
from worker.backends.backend import OutOfMemory
from worker.budget import UNMEASURED, Budget

MACHINES = {
    "two cores with a small cache": Machine(cache=1024),
    "two cores with a large cache": Machine(cache=8192),
    "a GPU": Machine(apart=0.01, token=1e-7),
    "passes cost nothing beside their tokens": Machine(apart=0.0),
    "a machine ten times slower": Machine(apart=0.04, token=1e-3, cache=512),
}

# Seconds a token by rung, in steps that are told apart: whole tenths from 1.0 to 2.0.
costs = st.dictionaries(st.sampled_from(RUNGS), st.integers(10, 20).map(lambda n: n / 10), min_size=1)


def fed(seconds_a_token: dict[int, float]) -> Budget:
    budget = Budget()
    for rung, cost in seconds_a_token.items():
        for _ in range(5):
            budget.took(rung, cost * rung)
    return budget


@pytest.mark.parametrize("name", MACHINES)
def test_a_rehearsal_finds_a_budget_within_5_percent_of_the_best_of_a_sweep(name, monkeypatch):
    machine = MACHINES[name].keeps_time(monkeypatch)
    budget = Budget()
    budget.rehearse(machine.bake)
    assert machine.rate(budget.tokens) >= 0.95 * max(map(machine.rate, RUNGS))


def test_a_rehearsal_stops_before_a_cache_that_is_too_small(monkeypatch):
    machine = Machine(cache=1024).keeps_time(monkeypatch)
    budget = Budget()
    budget.rehearse(machine.bake)
    assert budget.tokens == 1024
    assert max(machine.asked) <= 4 * 1024


def test_a_rehearsal_repeats_no_rung_above_the_best(monkeypatch):
    machine = Machine(cache=1024).keeps_time(monkeypatch)
    Budget().rehearse(machine.bake)
    assert machine.asked.count(1024) >= 3
    assert all(machine.asked.count(rung) == 1 for rung in set(machine.asked) if rung > 1024)


@pytest.mark.parametrize("pass_seconds", [0.001, 0.05, 1.0, 60.0])
def test_a_rehearsal_ends_on_a_machine_of_any_speed(pass_seconds, monkeypatch):
    machine = Machine(apart=pass_seconds).keeps_time(monkeypatch)
    Budget().rehearse(machine.bake, seconds=2.0)
    # Its patience, and the passes under way when time is up: the first one, and one of each rung.
    assert machine.now <= 3 * 2.0 + 2 * sum(machine.seconds(rung) for rung in set(machine.asked))


@pytest.mark.parametrize("pass_seconds", [0.5, 1.0, 1.5])
def test_a_rehearsal_is_patient_until_it_can_be_believed(pass_seconds, monkeypatch):
    machine = Machine(apart=pass_seconds).keeps_time(monkeypatch)
    budget = Budget()
    budget.rehearse(machine.bake)
    assert budget.tokens == machine.asked[-1], "measured, and not what nothing measured would take"


def test_a_rehearsal_asks_for_no_more_than_memory_holds(monkeypatch):
    machine = Machine(memory=256).keeps_time(monkeypatch)
    budget = Budget()
    budget.ran_out(512)
    budget.rehearse(machine.bake)
    assert max(machine.asked) <= 256
    assert budget.tokens <= 256


def test_nothing_measured_is_the_usual_number():
    assert Budget().tokens == UNMEASURED
    assert Budget().overhead > 0


@given(costs)
def test_it_is_the_smallest_of_the_best(seconds_a_token):
    best = min(seconds_a_token.values())
    assert fed(seconds_a_token).tokens == min(r for r, cost in seconds_a_token.items() if cost == best)


def test_a_lucky_pass_or_two_are_not_believed():
    budget = fed({1024: 1.0})
    for _ in range(2):
        budget.took(64, 0.5 * 64)
    assert budget.tokens == 1024
    budget.took(64, 0.5 * 64)
    assert budget.tokens == 64


@given(st.lists(st.booleans(), min_size=15, max_size=15).filter(lambda busy: sum(busy) <= 8))
def test_passes_that_others_disturbed_change_nothing(busy):
    budget = fed({512: 1.2, 2048: 1.1})
    for disturbed in busy:
        budget.took(1024, 1024 * (10.0 if disturbed else 1.0))
    assert budget.tokens == 1024


@pytest.mark.parametrize("tokens", [1000, 1024, 1100])
def test_a_pass_of_nearly_a_rung_counts_for_it(tokens):
    budget = fed({64: 2.0})
    for _ in range(3):
        budget.took(tokens, 1.0 * tokens)
    assert budget.tokens == 1024


@pytest.mark.parametrize("worth", [0, 20, 100, 200])
def test_the_overhead_is_what_a_pass_costs_besides_its_tokens(worth):
    seconds = 0.1
    overhead = well_known(Machine(apart=worth * seconds, token=seconds)).overhead
    assert overhead == pytest.approx(worth, rel=0.05, abs=1)


@given(costs)
def test_no_pass_is_cheaper_than_free(seconds_a_token):
    assert fed(seconds_a_token).overhead >= 0


def test_most_plans_are_made_at_the_budget_and_a_few_at_its_neighbors():
    budget = well_known(Machine(cache=1024))
    plans = Counter(budget.for_next_plan() for _ in range(480))
    assert set(plans) == {512, 1024, 2048}
    assert plans[1024] >= 0.9 * 480


def test_a_larger_rung_that_is_hardly_known_is_tried_sooner():
    hardly, known = fed({512: 1.1, 1024: 1.0}), fed({512: 1.1, 1024: 1.0, 2048: 1.2})
    tries = [Counter(budget.for_next_plan() for _ in range(48))[2048] for budget in (hardly, known)]
    assert tries[0] > 4 * tries[1] > 0


@pytest.mark.parametrize(("before", "after"), [(8192, 512), (512, 8192)])
def test_it_follows_a_machine_that_changes(before, after):
    budget = well_known(Machine(cache=before, slower=1.5), passes=500)
    changed = Machine(cache=after, slower=1.5)
    for _ in range(4000):
        tokens = budget.for_next_plan()
        budget.took(tokens, changed.seconds(tokens))
    assert changed.rate(budget.tokens) >= 0.95 * max(map(changed.rate, RUNGS))


def test_what_an_operator_fixed_is_not_argued_with():
    budget = well_known(Machine(cache=1024), budget=Budget(fixed=300))
    assert budget.tokens == 300
    assert {budget.for_next_plan() for _ in range(100)} == {300}


@pytest.mark.parametrize("fixed", [0, 1024])
def test_an_out_of_memory_halves_the_budget_for_good(fixed):
    machine = Machine(cache=1024)
    budget = well_known(machine, budget=Budget(fixed=fixed))
    budget.ran_out(budget.tokens)
    assert budget.tokens == 512
    well_known(machine, budget=budget)
    assert {budget.tokens, *(budget.for_next_plan() for _ in range(100))} <= {256, 512}


@given(st.lists(st.integers(1, 1 << 20), min_size=1, max_size=30))
def test_no_plan_has_room_for_half_of_what_did_not_fit(sizes):
    budget = well_known(Machine(cache=1024))
    for size in sizes:
        budget.ran_out(size)
        assert 1 <= budget.tokens <= max(1, size // 2)
    assert all(1 <= budget.for_next_plan() <= max(1, min(sizes) // 2) for _ in range(60))


def test_a_giant_that_fits_nowhere_costs_the_others_nothing():
    budget = well_known(Machine(cache=1024))
    for _ in range(20):
        budget.ran_out(1_000_000)
    assert budget.tokens == 1024


def test_a_trial_that_does_not_fit_leaves_the_budget_that_did():
    budget = well_known(Machine(cache=1024))
    budget.ran_out(2 * 1024)
    assert budget.tokens == 1024
    assert max(budget.for_next_plan() for _ in range(100)) == 1024


@given(st.lists(st.integers(1, 1 << 18), min_size=1, max_size=10))
def test_the_least_that_did_not_fit_counts(limits):
    budget = well_known(Machine(apart=1.0))
    for tokens in limits:
        budget.ran_out(2 * tokens)
    assert all(budget.for_next_plan() <= min(limits) for _ in range(60))


def test_among_what_fits_into_memory_it_is_still_the_smallest_of_the_best():
    budget = fed({64: 2.0, 128: 1.5, 256: 1.5, 4096: 1.0})
    budget.ran_out(2000)
    assert budget.tokens == 128


@given(costs, st.integers(1, 1 << 17), st.sampled_from([0, 77]))
def test_what_was_measured_survives_being_written_down(seconds_a_token, limit, fixed):
    budget = fed(seconds_a_token)
    budget.fixed = fixed
    budget.ran_out(2 * limit)
    again = Budget.from_dict(json.loads(json.dumps(budget.as_dict())))
    again.fixed = fixed
    assert (again.tokens, again.overhead, again.ceiling) == (budget.tokens, budget.overhead, budget.ceiling)


def test_it_is_read_while_decks_report_what_they_baked(restless_threads):
    """Rungs that nobody has met are added while a plan is made from the known ones."""
    broken: list[BaseException] = []

    def read(budget: Budget) -> None:
        try:
            for _ in range(20):
                assert budget.for_next_plan() >= 1
                assert budget.overhead >= 0
                assert budget.as_dict()
        except BaseException as error:  # noqa: BLE001 - shown below
            broken.append(error)

    def bake(budget: Budget) -> None:
        for rung in RUNGS:
            budget.took(rung, 0.1)

    for _ in range(100):
        budget = fed({1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0, 16: 1.0})
        threads = [threading.Thread(target=read, args=[budget]) for _ in range(2)]
        for thread in threads:
            thread.start()
        bake(budget)
        for thread in threads:
            thread.join()
    assert broken == []


def test_a_rehearsal_passes_on_what_did_not_fit(monkeypatch):
    machine = Machine(memory=512).keeps_time(monkeypatch)
    with pytest.raises(OutOfMemory):
        Budget().rehearse(machine.bake)
