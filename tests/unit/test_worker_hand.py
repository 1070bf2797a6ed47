"""The note of what a child has in hand, and the flag that asks the child to stop."""

from __future__ import annotations

from pathlib import Path

from worker.hand import Hand, Note


def test_the_note_outlives_the_hand(tmp_path: Path):
    hand = Hand(tmp_path / "run", "cpu0")
    assert hand.read() is None
    hand.take(7, "fake", ["a", "b"], seconds=5)
    note = Hand(tmp_path / "run", "cpu0").read()
    assert note is not None
    assert (note.pid, note.pipeline, note.rows) == (7, "fake", ("a", "b"))
    hand.put_down(7)
    assert hand.read() == Note(7)
    hand.forget()
    assert hand.read() is None


def test_a_child_is_asked_to_stop_by_a_flag(tmp_path: Path):
    hand = Hand(tmp_path, "cpu0")
    assert not hand.should_stop()
    hand.ask_to_stop()
    assert hand.should_stop()
    hand.go_on()
    assert not hand.should_stop()
