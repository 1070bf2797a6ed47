"""Samples of a recording: mixed to one channel, brought to a rate, and never more of them than are taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import soxr
from av.audio.frame import AudioFrame
from av.container import InputContainer
from numpy.typing import NDArray

from models.media.audio import too_long
from models.media.seen import MediaRefused

Samples = NDArray[np.float32]

#: Broken packets of an MP3 that are passed over, as every player does: what an editor left at its ends.
_FORGIVEN = {"mp3float": 3, "mp3": 3}
#: Past it a number is no loudness but a mistake, and squares of it overflow.
_LOUDEST = 1e6
_NO_SOUND = "This recording holds no sound."


@dataclasses.dataclass(frozen=True)
class Sound:
    #: One channel, -1 to 1 for all but a few.
    samples: Samples
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


def mixed(container: InputContainer, rate: int | None, *, most_seconds: float) -> Sound:
    """All of the first recording at `rate`, or at its own; raises MediaRefused past `most_seconds`."""
    frames = _frames(container)
    first = next(frames, None)
    if first is None:
        raise MediaRefused(_NO_SOUND)
    # The decoder's: the header of an AAC may have half of it.
    own = first.sample_rate
    found = _bounded(_joined(first, frames, own), own, most_seconds)
    made = np.concatenate(list(_resampled(found, own, rate or own)))
    if not len(made):
        raise MediaRefused(_NO_SOUND)
    return Sound(made, rate or own)


def _frames(container: InputContainer) -> Iterator[AudioFrame]:
    track = container.streams.audio[0]
    # One thread: others of this process compute.
    track.codec_context.thread_count = 1
    left = _FORGIVEN.get(track.codec_context.name, 0)
    for packet in container.demux(track):
        try:
            yield from packet.decode()
        except av.InvalidDataError:
            left -= 1
            if left < 0:
                raise


def _joined(first: AudioFrame, others: Iterator[AudioFrame], rate: int) -> Iterator[Samples]:
    yield _one_channel(first)
    for frame in others:
        if frame.sample_rate != rate:
            raise MediaRefused("This recording changes its rate on the way. Save it again with another program.")
        yield _one_channel(frame)


def _one_channel(frame: AudioFrame) -> Samples:
    """The mean of a frame's channels, from any kind of numbers."""
    numbers = frame.to_ndarray()
    if not frame.format.is_planar:
        numbers = numbers.reshape(-1, len(frame.layout.channels)).T
    scaled = _scaled(numbers)
    if not np.isfinite(scaled).all() or np.abs(scaled).max(initial=0) > _LOUDEST:
        raise MediaRefused("This recording holds numbers that are no sound. Save it again with another program.")
    one: Samples = scaled.mean(axis=0, dtype=np.float32).astype(np.float32, copy=False)
    return one


def _scaled(numbers: NDArray[Any]) -> NDArray[np.float32]:
    if numbers.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return numbers.astype(np.float32)
    # A WAV of 8 bits has its silence at 128.
    middle, most = (128, 128) if numbers.dtype == np.uint8 else (0, -int(np.iinfo(numbers.dtype).min))
    return ((numbers.astype(np.float32) - middle) / most).astype(np.float32, copy=False)


def _bounded(pieces: Iterator[Samples], rate: int, most_seconds: float) -> Iterator[Samples]:
    """The same pieces, until there are too many samples."""
    count = 0
    for piece in pieces:
        count += len(piece)
        if count > most_seconds * rate:
            raise MediaRefused(too_long(most_seconds))
        yield piece


def _resampled(pieces: Iterator[Samples], own: int, wanted: int) -> Iterator[Samples]:
    if own == wanted:
        yield from pieces
        return
    resampler = soxr.ResampleStream(own, wanted, 1, dtype="float32")
    for piece in pieces:
        yield resampler.resample_chunk(piece)
    yield resampler.resample_chunk(np.empty(0, np.float32), last=True)
