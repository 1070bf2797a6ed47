"""Videos as files: what is in one, by its content, and how it becomes frames.

`look` reads a header. `decode` keeps only the frames that are asked for, those of the beginning or others that
somebody chooses who is told how many there are, and never decodes one of more pixels than are taken, whatever a
header promised.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import av
from av.codec.context import CodecContext
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from contract.media import Media
from models.media.containers import opened
from models.media.seen import MediaRefused, Seen

if TYPE_CHECKING:
    from models.media.footage import Choose, Watched
    from models.media.frames import Frames

TAKEN = "MP4, MOV, WebM and MKV (H.264, H.265, VP8, VP9, AV1, MPEG-4)"
BROKEN = "This video is broken or cut short. Send it again."
_UNKNOWN = f"This is no video that can be read. Taken are {TAKEN}."
_HEAD = 64
_CODECS = ("h264", "hevc", "vp8", "vp9", "libdav1d", "mpeg4")
#: Boxes that begin a QuickTime file of an older make.
_OLD_MOV = (b"moov", b"mdat", b"wide", b"free", b"skip")
_MOST_STRETCHED = 100


@dataclasses.dataclass(frozen=True)
class SeenVideo(Seen):
    #: As the header has it; None where it does not say.
    seconds: float | None
    #: As the frames are stored, which may have to be turned.
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class Reel:
    """An opened file; its frames are those of `track`."""

    content_type: str
    container: InputContainer
    track: VideoStream
    seconds: float | None
    #: Frames that it must have, as far as the header tells; None where it does not.
    claimed: float | None


def look(stream: BinaryIO, limits: Media) -> SeenVideo:
    """Read the header; raises MediaRefused for what `decode` would not take either."""
    with opened_video(stream, limits) as reel:
        context = reel.track.codec_context
        return SeenVideo(reel.content_type, reel.seconds, context.width, context.height)


def decode(
    stream: BinaryIO, limits: Media, *, frames: int = 0, every: int = 1, choose: Choose | None = None, among: int = 1
) -> Frames | Watched:
    """`frames` of the first `frames * every` frames, spread evenly; of a shorter video those of all that there are.

    With `choose` those that it names, of all that there are; `among` so many videos that are held at once. RGB of
    shape (height, width, 3) each, turned as the file says; raises MediaRefused.
    """
    # With numpy, which the web does without.
    from models.media import footage
    from models.media import frames as beginning

    if choose is None:
        return beginning.sampled(stream, limits, count=frames, every=every)
    return footage.watched(stream, limits, choose, among=among)


def _told(stream: BinaryIO) -> tuple[str, str]:
    """The content type and FFmpeg's demuxer, by the first bytes alone."""
    head = stream.read(_HEAD)
    stream.seek(0)
    if not head:
        raise MediaRefused("This file is empty. Send a video.")
    if head[4:8] == b"ftyp":
        return ("video/quicktime" if head[8:12] == b"qt  " else "video/mp4"), "mov"
    if head[4:8] in _OLD_MOV:
        return "video/quicktime", "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return ("video/webm" if b"webm" in head else "video/x-matroska"), "matroska"
    raise MediaRefused(_UNKNOWN)


@contextmanager
def opened_video(stream: BinaryIO, limits: Media) -> Iterator[Reel]:
    """The first video in a file, within what is taken."""
    content_type, demuxer = _told(stream)
    bound = {"max_pixels": str(limits.max_video_pixels)}
    with opened(stream, demuxer, _CODECS, broken=BROKEN, more=bound) as container:
        track = _track(container)
        # PyAV's types promise a decoder; there is none for a code that nobody knows.
        context: CodecContext | None = track.codec_context
        if context is None or context.name not in _CODECS:
            raise MediaRefused(_UNKNOWN)
        # A file may change its size on the way: the decoder itself stops at it.
        track.codec_context.options = dict(bound)
        # One thread: others of this process compute.
        track.codec_context.thread_count = 1
        _check_size(track.codec_context.width, track.codec_context.height, limits)
        seconds = None if container.duration is None else container.duration / av.time_base
        if seconds and seconds > limits.max_video_seconds:
            raise MediaRefused(
                f"This video is longer than the {limits.max_video_seconds:g} s that are taken. Cut it."
            )
        yield Reel(content_type, container, track, seconds, _claimed(container, track, seconds))


def _track(container: InputContainer) -> VideoStream:
    """The moving picture: the cover of a recording is a video of one frame to FFmpeg."""
    for track in container.streams.video:
        if not track.disposition & Disposition.attached_pic:
            return track
    raise MediaRefused("This file holds no video, only sound or nothing.")


def _check_size(width: int, height: int, limits: Media) -> None:
    # A decoder that stopped at its bound tells no size.
    if width * height > limits.max_video_pixels or not width or not height:
        raise MediaRefused(
            f"The frames of this video have no size, or more than the {limits.max_video_pixels:,} pixels that are "
            "taken. Make it smaller."
        )
    if max(width, height) > _MOST_STRETCHED * min(width, height):
        raise MediaRefused(f"This video is more than {_MOST_STRETCHED} times as long as it is wide. Cut it.")


def _claimed(container: InputContainer, track: VideoStream, seconds: float | None) -> float | None:
    if track.frames:
        return float(track.frames)
    alone = len(container.streams) == 1
    return seconds * float(track.average_rate) if alone and seconds and track.average_rate else None
