"""A few hundred of the files that `make fuzz` makes in their thousands."""

from __future__ import annotations

from collections import Counter

from tests.fuzz.cases import FORMATS, case
from tests.fuzz.reading import answer
from tests.fuzz.watch import run

SEED = 20261125


def test_no_file_that_is_made_up_is_a_surprise_to_a_reader():
    found = {number: answer(case(SEED, number), SEED) for number in range(300)}
    assert {number: one.trouble for number, one in found.items() if one.trouble} == {}
    assert len({one.code for one in found.values()}) > 4
    assert sum(one.good for one in found.values()) > 300


def test_a_case_is_the_same_whenever_it_is_made_and_every_format_has_its_share():
    cases = [case(SEED, number) for number in range(100)]
    assert cases == [case(SEED, number) for number in range(100)]
    formats = Counter(one.format.partition("+")[0] for one in cases)
    assert formats == {name: share for name, (share, _, _) in FORMATS.items()}


def test_a_case_that_takes_too_long_is_trouble_and_the_next_goes_on():
    findings = run(SEED, range(2), seconds=0.0)
    assert [(one["case"], one["what"]) for one in findings.troubles] == [
        (0, "It took too long."), (1, "It took too long."),
    ]  # fmt: skip
