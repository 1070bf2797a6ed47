"""What the first bytes of a recording say that FFmpeg's libraries do not tell."""

from __future__ import annotations

import os
from typing import BinaryIO

#: Sizes in a WAV that was written while nobody knew its length.
_UNKNOWN_SIZES = (0, 0xFFFF_FFFF)
_MOST_CHUNKS = 100
#: The first frame of an MP3 holds its count of frames, where there is one.
_COUNTS = (b"Xing", b"Info", b"VBRI")
_FIRST_FRAME = 2_000


def begins_mp3(head: bytes) -> bool:
    """Eleven bits of a frame of MPEG audio, and a layer, a bit rate and a rate that exist."""
    if len(head) < 3:
        return False
    layer, bits, rate = head[1] & 0x06, head[2] >> 4, head[2] >> 2 & 3
    return head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and layer != 0 and bits not in (0, 15) and rate != 3


def mp3_is_counted(stream: BinaryIO) -> bool:
    """Whether an MP3 says how long it is; for others that is a guess from the bits of the first frame."""
    stream.seek(0)
    head = stream.read(10)
    if head[:3] == b"ID3" and len(head) == 10:
        size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        stream.seek(10 + size)
    first = stream.read(_FIRST_FRAME)
    return any(mark in first for mark in _COUNTS)


def wav_is_cut(stream: BinaryIO) -> bool:
    """Whether a WAV says that it has more samples than bytes follow."""
    end = stream.seek(0, os.SEEK_END)
    at = 12
    for _ in range(_MOST_CHUNKS):
        stream.seek(at)
        chunk = stream.read(8)
        if len(chunk) < 8:
            return False
        size = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            return size not in _UNKNOWN_SIZES and at + 8 + size > end
        # Chunks begin at even places.
        at += 8 + size + size % 2
    return False
