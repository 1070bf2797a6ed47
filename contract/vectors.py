"""A vector as a model gave it: a list of numbers like any other, which also has the bytes it is stored as."""

from __future__ import annotations


class Vector(list[float]):
    """Finite numbers that float32 holds exactly. `stored`: they as float32, little endian.

    To look through 384 numbers, and to find out what they can be stored as, takes 100 µs of Python each time.
    """

    __slots__ = ("stored",)

    def __init__(self, numbers: list[float], stored: bytes) -> None:
        super().__init__(numbers)
        self.stored = stored
