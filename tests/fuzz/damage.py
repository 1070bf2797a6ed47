"""Damage as disks, networks, programs and enemies do it."""

from __future__ import annotations

import random

#: Bytes that mean something to some reader.
_TELLING: dict[str, tuple[bytes, ...]] = {
    "csv": (b'"', b'""', b",", b";", b"\t", b"|", b"\r", b"\n", b"\r\n", b"sep=;\n", b'"\n"', b"\x1f", b"\0"),
    "json": (b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"\\u0000", b"\\ud800", b"NaN", b"-", b"1e999", b"\n"),
    "txt": (b"\n", b"\r", b"\0", b"\x0c", b"\x85", b"\xe2\x80\xa8", b"\x1a"),
    "parquet": (b"PAR1", b"PARE", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x15", b"\x80"),
    "arrow": (b"ARROW1\0\0", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80"),
    "xlsx": (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"\0", b"<", b">", b"&", b"\xff\xff"),
    "packed": (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\0", b"\xff\xff\xff\xff"),
}
_ANYWHERE = (
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xf4\x90\x80\x80",
)


def damaged(rng: random.Random, data: bytes, kind: str) -> bytes:
    """One to five changes, each of a place that is drawn."""
    telling = _TELLING["json" if kind == "jsonl" else kind] + _ANYWHERE
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        data = _changed(rng, data, telling)
    return data


def _changed(rng: random.Random, data: bytes, telling: tuple[bytes, ...]) -> bytes:
    start = _place(rng, data)
    end = min(len(data), start + rng.choice((1, 1, 2, 4, 8, 64, 1024)))
    piece = data[start:end]
    match rng.randrange(9):
        case 0:
            # One bit, as a disk does it.
            changed = bytearray(data)
            if changed:
                changed[start % len(changed)] ^= 1 << rng.randrange(8)
            return bytes(changed)
        case 1:
            return data[:start] + rng.choice(telling) + data[start:]
        case 2:
            return data[:start] + (rng.choice(telling) * 8)[: len(piece)] + data[end:]
        case 3:
            return data[:start] + rng.randbytes(len(piece)) + data[end:]
        case 4:
            return data[:start] + data[end:]
        case 5:
            return data[:end] + piece * rng.choice((1, 2, 50)) + data[end:]
        case 6:
            return data[:start]
        case 7:
            return data[start:]
        case _:
            elsewhere = _place(rng, data)
            return data[:start] + data[elsewhere : elsewhere + len(piece)] + data[end:]


def _place(rng: random.Random, data: bytes) -> int:
    """Anywhere, and often near the ends, where headers and tables of contents stand."""
    match rng.randrange(4):
        case 0:
            return min(len(data), rng.randrange(64))
        case 1:
            return max(0, len(data) - rng.randrange(64))
        case _:
            return rng.randrange(len(data) + 1)
