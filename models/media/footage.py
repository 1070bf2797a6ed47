"""Frames of a video from anywhere in it, as its beholder chooses: each is sought, and not all before it decoded.

First the file's packets are listed, which costs reading and no decoding: when each frame is shown, and which of them
need no other. Then the nearest of these before a chosen frame is gone to, and what lies between is decoded.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from av.video.frame import VideoFrame

from contract.media import Media
from models.media.frames import MOST_KEPT, Frames, as_rgb, check_kept, check_whole, of_one_size
from models.media.seen import MediaRefused
from models.media.videos import BROKEN, Reel, opened_video

#: Frames of a file at most, be they never looked at: more than a day's video of 10 a second has.
_MOST_FRAMES = 1_000_000


@dataclasses.dataclass(frozen=True)
class Footage:
    """What there is to choose from."""

    frames: int
    #: Frames a second, on average; None where the file does not say.
    rate: float | None

    @property
    def seconds(self) -> float | None:
        return self.frames / self.rate if self.rate else None


@dataclasses.dataclass(frozen=True)
class Watched:
    footage: Footage
    #: Which of its frames, in order, counted from 0; and these.
    places: list[int]
    frames: Frames


#: Places of frames, in order. It may raise MediaRefused.
Choose = Callable[[Footage], Sequence[int]]


def watched(stream: BinaryIO, limits: Media, choose: Choose, *, among: int) -> Watched:
    """The frames that `choose` names; raises MediaRefused. `among`: so many videos are held at once."""
    stream.seek(0)
    with opened_video(stream, limits) as reel:
        times, keys = _listed(reel)
        rate = reel.track.average_rate
        footage = Footage(len(times), float(rate) if rate else None)
        places = [min(max(0, int(place)), len(times) - 1) for place in choose(footage)] or [0]
        tape = _Tape(reel, keys, limits.max_video_frames, len(places))
        found: Frames = []
        for before, place in zip([None, *places], places, strict=False):
            if place == before:
                found.append(found[-1])
                continue
            frame = tape.at(times[place])
            check_kept(frame, len(places), MOST_KEPT // among)
            found.append(as_rgb(frame))
    of_one_size(found)
    return Watched(footage, places, found)


def _listed(reel: Reel) -> tuple[list[int], list[int]]:
    """When frames are shown, in order, and when those are that need no other; in the track's own unit."""
    times: list[int] = []
    keys: list[int] = []
    unshown = 0
    for packet in reel.container.demux(reel.track):
        shown = packet.dts if packet.pts is None else packet.pts
        # The last packet is none: it tells the decoder that all have come.
        if shown is None:
            continue
        # An edited file does not show all that it holds.
        if packet.is_discard:
            unshown += 1
            continue
        times.append(shown)
        if packet.is_keyframe:
            keys.append(shown)
        if len(times) > _MOST_FRAMES:
            raise MediaRefused(f"This video has more than the {_MOST_FRAMES:,} frames that are taken. Cut it.")
    check_whole(len(times), None)
    check_whole(len(times) + unshown, reel.claimed)
    return sorted(times), sorted(keys)


class _Tape:
    """A video that is wound to one frame after another, onwards."""

    def __init__(self, reel: Reel, keys: list[int], most: int, count: int) -> None:
        self._reel = reel
        self._keys = keys
        self._most = most
        self._count = count
        self._decoded = 0
        self._frame: VideoFrame | None = None
        self._coming: Iterator[VideoFrame] = iter(())
        # The list was read to the file's end.
        self._wind(None)

    def at(self, time: int) -> VideoFrame:
        """The frame that is shown at `time`, or the last one before where a file holds less than it says."""
        key = self._key_before(time)
        if key is not None and (self._frame is None or key > _time(self._frame)):
            self._wind(key)
            if not self._play() or _time(self._frame) > time:
                # A file whose index leads astray is gone through from its beginning.
                self._keys = []
                self._wind(None)
        while self._frame is None or _time(self._frame) < time:
            if not self._play():
                break
        if self._frame is None:
            raise MediaRefused(BROKEN)
        return self._frame

    def _key_before(self, time: int) -> int | None:
        place = bisect.bisect_right(self._keys, time) - 1
        return self._keys[place] if place >= 0 else None

    def _wind(self, key: int | None) -> None:
        """To a frame that needs no other, or to the beginning."""
        if key is None:
            self._reel.container.seek(0)
        else:
            self._reel.container.seek(key, stream=self._reel.track)
        self._frame = None
        self._coming = self._reel.container.decode(self._reel.track)

    def _play(self) -> bool:
        """On to the next frame; False at the end, where the last one stays."""
        frame = next(self._coming, None)
        if frame is None:
            return False
        self._decoded += 1
        if self._decoded > self._most:
            raise MediaRefused(
                f"To look at {self._count} frames of this video more than {self._most:,} would have to be decoded. "
                "Send a shorter one, or ask for fewer frames (parameters.num_frames)."
            )
        self._frame = frame
        return True


def _time(frame: VideoFrame | None) -> int:
    return -1 << 63 if frame is None or frame.pts is None else frame.pts
