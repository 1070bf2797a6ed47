"""Vectors in the database: what float32 holds is stored as bytes and comes back equal; all else stays JSON."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.jsons import dumps, finite, loads
from contract.vectors import Vector
from models.vectors import pack, unpack


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=8, max_size=64))
def test_vectors_pack_without_loss(vector):
    body, packed = pack(vector)
    assert body is None
    assert unpack(body, packed) == vector


def test_a_vector_is_stored_as_it_was_given():
    numbers = array("f", [0.5, -2.25, 1e-3])
    vector = Vector(numbers.tolist(), numbers.tobytes())
    assert finite(vector)
    assert unpack(*pack(vector)) == vector == numbers.tolist()
    assert loads(dumps(vector)) == vector


@pytest.mark.parametrize("value", [[1e300] * 9, [0.1] * 9, [1, 2], "x", {"a": [0.5]}, [True] * 9, []])
def test_what_float32_does_not_hold_stays_json(value):
    body, packed = pack(value)
    assert packed is None
    assert unpack(body, packed) == value
