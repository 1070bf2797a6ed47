"""A postman's satchel: each host has few tries at once, and one that is slow makes room for the others."""

from __future__ import annotations

import pytest

from worker import satchel
from worker.satchel import PLACES, Satchel, host_of


def begun(carried: Satchel, host: str, count: int) -> list[str]:
    """Those of so many webhooks of a host that may be tried at once."""
    return [one for one in (f"{host}{n}" for n in range(count)) if carried.begin(one, host)]


def test_a_host_has_its_places_and_the_others_wait_for_one_of_them():
    carried = Satchel()
    assert begun(carried, "a", PLACES + 2) == [f"a{n}" for n in range(PLACES)]
    assert begun(carried, "b", 1) == ["b0"]
    assert carried.end("a1", "a", slow=False) == f"a{PLACES}"
    assert carried.end("a0", "a", slow=False) == f"a{PLACES + 1}"
    assert carried.end("a2", "a", slow=False) is None


def test_a_webhook_in_hand_is_not_begun_again_until_it_is_ended():
    carried = Satchel()
    assert carried.begin("a0", "a")
    assert not carried.begin("a0", "a")
    carried.end("a0", "a", slow=False)
    assert carried.begin("a0", "a")


def test_a_slow_host_has_one_place_and_nothing_in_memory_until_it_is_quick_again():
    carried = Satchel()
    begun(carried, "a", PLACES + 9)
    for n in range(PLACES):
        assert carried.end(f"a{n}", "a", slow=True) is None
    assert begun(carried, "a", 9) == ["a0"]
    assert carried.end("a0", "a", slow=False) is None, "none waited"
    assert len(begun(carried, "a", 9)) == PLACES


def test_one_host_leaves_room_in_memory_for_others(monkeypatch):
    monkeypatch.setattr(satchel, "_WAITING", 6)
    monkeypatch.setattr(satchel, "_IN_HAND", PLACES + 6 + 1)
    carried = Satchel()
    begun(carried, "a", 50)
    assert begun(carried, "b", 2) == ["b0"]
    carried.end("a0", "a", slow=True)
    assert begun(carried, "c", 2) == ["c0", "c1"]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Example.org:8443/x?y", "example.org"),
        ("http://example.org./", "example.org"),
        ("http://[::1]:80/", "::1"),
        ("http://[broken/", ""),
    ],
)
def test_a_host_is_the_same_at_every_port(url, host):
    assert host_of(url) == host
