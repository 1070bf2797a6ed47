"""Recordings made on the spot, in every kind of file that is taken, and files that are no good recording."""

from __future__ import annotations

import io
import struct
import wave as wave_reader
from typing import Any

import av
import numpy as np

#: By kind: FFmpeg's muxer and encoder, and a rate that it takes.
KINDS = {
    "wav": ("wav", "pcm_s16le", 16_000),
    "wav of 24 bits": ("wav", "pcm_s24le", 16_000),
    "wav of 8 bits": ("wav", "pcm_u8", 16_000),
    "wav of floats": ("wav", "pcm_f32le", 16_000),
    "mp3": ("mp3", "libmp3lame", 16_000),
    "flac": ("flac", "flac", 44_100),
    "ogg of opus": ("ogg", "libopus", 48_000),
    "ogg of vorbis": ("ogg", "vorbis", 44_100),
    "m4a": ("ipod", "aac", 44_100),
    "webm": ("webm", "libopus", 48_000),
}


def tone(rate: int, seconds: float, *, hertz: float = 440.0) -> Any:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def recording(kind: str = "wav", *, seconds: float = 1.0, layout: str = "mono", rate: int | None = None) -> bytes:
    """A tone as a file of one of KINDS."""
    muxer, encoder, usual = KINDS[kind]
    rate = rate or usual
    out = io.BytesIO()
    with av.open(out, "w", format=muxer) as container:
        # FFmpeg's own encoder of Vorbis is experimental, and knows stereo alone.
        more = {"strict": "experimental"} if encoder == "vorbis" else {}
        layout = "stereo" if encoder == "vorbis" else layout
        stream = container.add_stream(encoder, rate=rate, layout=layout, options=more)
        channels = np.repeat(tone(rate, seconds)[None], len(stream.layout.channels), axis=0)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(format=stream.format.name, layout=layout, rate=rate)
        for piece in [*resampler.resample(frame), None]:
            container.mux(stream.encode(piece))
    return out.getvalue()


def wave(samples: Any, *, rate: int = 16_000, channels: int = 1, code: int = 1, claimed: int | None = None) -> bytes:
    """A WAV with a header as one likes. `code`: 1 for whole numbers, 3 for floats."""
    body = np.asarray(samples).tobytes()
    width = np.asarray(samples).dtype.itemsize
    head = struct.pack(
        "<HHIIHH", code, channels, rate, rate * channels * width & 0xFFFFFFFF, channels * width, 8 * width
    )
    size = len(body) if claimed is None else claimed
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(body))
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + head
        + (b"data" + struct.pack("<I", size) + body)
    )


def broken() -> dict[str, bytes]:
    """Files that are no good recording, by what is wrong with them."""
    silence = np.zeros(16_000, np.int16)
    flac, mp3, m4a, ogg = recording("flac"), recording("mp3"), recording("m4a"), recording("ogg of opus")
    return {
        "zero bytes": b"",
        "one byte": b"R",
        "text": b"this is no recording at all",
        "HTML": b"<html><audio src=x></html>",
        "a playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "a list for concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "a PNG": b"\x89PNG\r\n\x1a\n" + bytes(60),
        "a PDF": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n",
        "a zip": b"PK\x03\x04" + bytes(60),
        "an AVI": b"RIFF\x40\0\0\0AVI LIST" + bytes(60),
        "only the head of a WAV": wave(silence)[:20],
        "a WAV that is cut": wave(silence)[:9_000],
        "a WAV without samples": wave(silence[:0]),
        "a WAV of no rate": wave(silence, rate=0),
        "a WAV of a huge rate": wave(silence, rate=4_000_000_000),
        "a WAV of 64 channels": wave(np.zeros(64 * 100, np.int16), channels=64),
        "a WAV of no channels": wave(silence, channels=0),
        "a WAV of an unknown code": wave(silence, code=0x7777),
        "floats that are no numbers": wave(np.full(16_000, np.nan, np.float32), code=3),
        "floats without end": wave(np.full(16_000, np.inf, np.float32), code=3),
        "floats that are absurd": wave(np.full(16_000, 1e30, np.float32), code=3),
        "a FLAC that is cut": flac[: len(flac) * 2 // 3],
        "only the head of a FLAC": flac[:42],
        "an MP3 that is cut": mp3[: len(mp3) // 2],
        "an MP3 of nothing": b"ID3\x04\0\0\0\0\0\0" + bytes(4_000),
        "an M4A that is cut": m4a[: len(m4a) // 2],
        "an M4A of nothing": b"\0\0\0\x1cftypM4A " + bytes(60),
        "only the head of an Ogg": ogg[:60],
        "a WebM of nothing": b"\x1a\x45\xdf\xa3" + b"\xff" * 60,
    }


def samples_of(body: bytes) -> Any:
    """Of a WAV of 16 bits, -1 to 1."""
    with wave_reader.open(io.BytesIO(body)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32767
