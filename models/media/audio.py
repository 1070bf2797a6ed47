"""Recordings as files: what is in one, by its content, and how it becomes samples.

`look` reads a header and no sound. `decode` reads piece by piece, mixes to one channel and brings it to the rate that
is asked for as it goes: however much a small file decodes to, no more is kept than the seconds that are taken.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import av
from av.audio.stream import AudioStream
from av.codec.context import CodecContext
from av.container import InputContainer

from contract.media import Media
from models.media import headers
from models.media.containers import opened
from models.media.seen import MediaRefused, Seen

if TYPE_CHECKING:
    from models.media.sound import Sound

TAKEN = "WAV, MP3, FLAC, Ogg (Vorbis, Opus), M4A (AAC) and WebM"
#: Ambisonics of the third order have 16.
_MOST_CHANNELS = 16
_LEAST_RATE, _MOST_RATE = 1_000, 384_000
_HEAD = 64
#: A file may hold a little less than its header says: encoders round up, and players forgive it.
_LEAST_OF_CLAIM, _SLACK = 0.95, 0.25
_BROKEN = "This recording is broken or cut short. Send it again."
_UNKNOWN = f"This is no recording that can be read. Taken are {TAKEN}."


@dataclasses.dataclass(frozen=True)
class Form:
    """A kind of file, the demuxer of FFmpeg that reads it, and the decoders that it may need."""

    content_type: str
    demuxer: str
    codecs: tuple[str, ...]


_PCM = (
    "pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_alaw", "pcm_mulaw", "adpcm_ms",
    "adpcm_ima_wav",
)  # fmt: skip
_WAV = Form("audio/wav", "wav", _PCM)
_FLAC = Form("audio/flac", "flac", ("flac",))
_OGG = Form("audio/ogg", "ogg", ("vorbis", "opus", "flac"))
_MP3 = Form("audio/mpeg", "mp3", ("mp3", "mp3float"))
_M4A = Form("audio/mp4", "mov", ("aac", "mp3float", "opus"))
_WEBM = Form("audio/webm", "matroska", ("vorbis", "opus"))


@dataclasses.dataclass(frozen=True)
class SeenAudio(Seen):
    #: As the header has it; None where it does not say, and nobody knows before all of it is decoded.
    seconds: float | None
    channels: int
    rate: int


def look(stream: BinaryIO, limits: Media) -> SeenAudio:
    """Read the header; raises MediaRefused for what `decode` would not take either."""
    with _opened(stream, limits) as recording:
        track = recording.track
        return SeenAudio(recording.content_type, recording.claimed, track.channels, track.rate)


def decode(stream: BinaryIO, limits: Media, *, rate: int | None = None) -> Sound:
    """All of a file as one channel at `rate`, or at its own; raises MediaRefused."""
    # With numpy and a resampler, which the web does without.
    from models.media import sound

    with _opened(stream, limits) as recording:
        made = sound.mixed(recording.container, rate, most_seconds=limits.max_audio_seconds)
    if recording.claimed and made.seconds < _LEAST_OF_CLAIM * recording.claimed - _SLACK:
        raise MediaRefused(_BROKEN)
    return made


@dataclasses.dataclass(frozen=True)
class _Recording:
    content_type: str
    container: InputContainer
    track: AudioStream
    claimed: float | None


def _told(stream: BinaryIO) -> Form:
    """Which kind of file it is, by its first bytes alone."""
    head = stream.read(_HEAD)
    stream.seek(0)
    if not head:
        raise MediaRefused("This file is empty. Send a recording.")
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return _WAV
    if head[4:8] == b"ftyp":
        return _M4A
    for mark, form in ((b"fLaC", _FLAC), (b"OggS", _OGG), (b"\x1a\x45\xdf\xa3", _WEBM), (b"ID3", _MP3)):
        if head.startswith(mark):
            return form
    if headers.begins_mp3(head):
        return _MP3
    raise MediaRefused(_UNKNOWN)


@contextmanager
def _opened(stream: BinaryIO, limits: Media) -> Iterator[_Recording]:
    """The first recording in a file, within what is taken."""
    form = _told(stream)
    guesses = form is _MP3 and not headers.mp3_is_counted(stream)
    if form is _WAV and headers.wav_is_cut(stream):
        raise MediaRefused(_BROKEN)
    stream.seek(0)
    with opened(stream, form.demuxer, form.codecs, broken=_BROKEN) as container:
        if not container.streams.audio:
            raise MediaRefused("This file holds no sound.")
        track = container.streams.audio[0]
        # PyAV's types promise a decoder; there is none for a code that nobody knows.
        decoder: CodecContext | None = track.codec_context
        if decoder is None or decoder.name not in form.codecs:
            raise MediaRefused(_UNKNOWN)
        _check(track)
        claimed = None if guesses or container.duration is None else container.duration / av.time_base
        if claimed and claimed > limits.max_audio_seconds:
            raise MediaRefused(too_long(limits.max_audio_seconds))
        yield _Recording(form.content_type, container, track, claimed)


def _check(track: AudioStream) -> None:
    if not 1 <= track.channels <= _MOST_CHANNELS:
        raise MediaRefused(f"This recording has {track.channels} channels; at most {_MOST_CHANNELS} are taken.")
    if not _LEAST_RATE <= track.rate <= _MOST_RATE:
        raise MediaRefused(
            f"This recording has {track.rate:,} samples a second; {_LEAST_RATE:,} to {_MOST_RATE:,} are taken."
        )


def too_long(most_seconds: float) -> str:
    return f"This recording is longer than the {most_seconds:g} s that are taken. Cut it."
