"""Frames of a video, spread evenly over its beginning, as the library's pipeline takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from contract.media import Media
from models.media.seen import MediaRefused
from models.media.videos import BROKEN, opened_video

#: RGB, (height, width, 3) each.
Frames = list[NDArray[np.uint8]]

#: Pixels of all frames that are kept of a video at once: three bytes each, and more while they are resized.
MOST_KEPT = 160_000_000
#: A file may hold a little less than its header says: players forgive it.
_LEAST_OF_CLAIM, _SLACK = 0.9, 2


def sampled(stream: BinaryIO, limits: Media, *, count: int, every: int) -> Frames:
    """`count` frames of the first `count * every`, or of as many as there are; raises MediaRefused."""
    most = count * every
    if most > limits.max_video_frames:
        raise MediaRefused(
            f"{count} frames of every {every} are {most:,} to decode; at most {limits.max_video_frames:,} are. "
            "Ask for fewer."
        )
    found, seen = _picked(stream, limits, _spread(count, most))
    if seen < most:
        # What is shorter is spread over what there is, which is known only now.
        found, _ = _picked(stream, limits, _spread(count, seen))
    return found


def _spread(count: int, among: int) -> list[int]:
    """Places of frames, in order, as the library spreads them; one may come twice where there are few."""
    return [int(place) for place in np.linspace(0, among - 1, num=count, dtype=np.int64)]


def _picked(stream: BinaryIO, limits: Media, places: list[int]) -> tuple[Frames, int]:
    """The frames at `places`, and how many were decoded to find them."""
    stream.seek(0)
    found: dict[int, NDArray[np.uint8]] = {}
    seen = 0
    with opened_video(stream, limits) as reel:
        for frame in reel.container.decode(reel.track):
            if seen in places:
                check_kept(frame, len(places))
                found[seen] = as_rgb(frame)
            seen += 1
            if seen > places[-1]:
                break
        else:
            check_whole(seen, reel.claimed)
    return list(_in_order(found, places)), seen


def _in_order(found: dict[int, NDArray[np.uint8]], places: list[int]) -> Iterator[NDArray[np.uint8]]:
    of_one_size(found.values())
    return (found[place] for place in places if place in found)


def of_one_size(found: Iterable[NDArray[np.uint8]]) -> None:
    if len({frame.shape for frame in found}) > 1:
        raise MediaRefused("The frames of this video change their size. Save it again with another program.")


def check_kept(frame: VideoFrame, count: int, most: int = MOST_KEPT) -> None:
    """Refuse `count` such frames where they have more pixels than are held."""
    if frame.width * frame.height * count > most:
        raise MediaRefused(
            f"{count} frames of {frame.width:,} × {frame.height:,} pixels are too much at once. Send a smaller "
            "video, or ask for fewer frames."
        )


def check_whole(seen: int, claimed: float | None) -> None:
    if not seen:
        raise MediaRefused("This video holds no frame that can be read.")
    if claimed and seen < _LEAST_OF_CLAIM * claimed - _SLACK:
        raise MediaRefused(BROKEN)


def as_rgb(frame: VideoFrame) -> NDArray[np.uint8]:
    """The pixels as they are looked at: a phone stores how it was held, in degrees against the clock."""
    pixels = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters else pixels
