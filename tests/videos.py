"""Videos made on the spot, in every kind of file that is taken, and files that are no good video.

`python -m tests.videos` writes the example of the catalogue as base64.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.recordings import recording

#: By kind: FFmpeg's muxer and encoder.
KINDS = {
    "mp4": ("mp4", "libx264"),
    "mp4 of H.265": ("mp4", "libx265"),
    "mp4 of MPEG-4": ("mp4", "mpeg4"),
    "mp4 of AV1": ("mp4", "libsvtav1"),
    "mov": ("mov", "libx264"),
    "webm of VP9": ("webm", "libvpx-vp9"),
    "webm of VP8": ("webm", "libvpx"),
    "mkv": ("matroska", "libx264"),
}


def picture(place: int, among: int, width: int, height: int) -> Any:
    """A loaf that comes out of an oven: a brown disc on its way over a bright ground."""
    y, x = np.mgrid[:height, :width]
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = np.stack([220 - y, 200 - y, 150 + x * 60 // width], axis=-1)
    middle = (width * (place + 1) / (among + 1), height / 2 + height / 8 * np.sin(place))
    pixels[(x - middle[0]) ** 2 + (1.5 * (y - middle[1])) ** 2 < (height / 4) ** 2] = (160, 90, 40)
    return pixels


def clip(
    kind: str = "mp4", *, frames: int = 24, rate: int = 12, width: int = 64, height: int = 48, group: int = 0,
    **options: str,
) -> bytes:  # fmt: skip
    """A video as a file of one of KINDS; every `group`-th frame needs no other; `options` are the muxer's."""
    with tempfile.TemporaryDirectory() as folder:
        # A file with a name: a muxer that brings the header to the front reads what it wrote.
        out = Path(folder) / "clip"
        pictures = [picture(place, frames, width, height) for place in range(frames)]
        _write(out, KINDS[kind], pictures, rate, group, options)
        return out.read_bytes()


def _write(
    out: Path, made: tuple[str, str], pictures: list[Any], rate: int, group: int, options: dict[str, str]
) -> None:
    muxer, encoder = made
    with av.open(str(out), "w", format=muxer, container_options=options) as container:
        more = {"x265-params": "log-level=none"} if encoder == "libx265" else {}
        stream = container.add_stream(encoder, rate=rate, options=more)
        stream.pix_fmt = "yuv420p"
        if group:
            stream.gop_size = group
        stream.height, stream.width = pictures[0].shape[:2]
        for pixels in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def turned(body: bytes) -> bytes:
    """The same MP4, but to be shown turned by a quarter: the matrix of its track says so."""
    one, minus = (1 << 16).to_bytes(4, "big"), (-(1 << 16) & 0xFFFFFFFF).to_bytes(4, "big")
    none, end = bytes(4), (1 << 30).to_bytes(4, "big")
    upright = one + none * 3 + one + none * 3 + end
    at = body.index(b"tkhd")
    place = body.index(upright, at)
    quarter = none + one + none + minus + none * 4 + end
    return body[:place] + quarter + body[place + len(upright) :]


def broken() -> dict[str, bytes]:
    """Files that are no good video, by what is wrong with them."""
    mp4, fast, webm = clip(), clip(movflags="faststart"), clip("webm of VP9", frames=60, width=160, height=128)
    return {
        "zero bytes": b"",
        "one byte": b"\0",
        "text": b"this is no video at all",
        "a playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "a list for concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "a PNG": b"\x89PNG\r\n\x1a\n" + bytes(60),
        "an AVI": b"RIFF\x40\0\0\0AVI LIST" + bytes(60),
        "sound alone": recording("m4a"),
        "sound alone in a WebM": recording("webm"),
        "no frames": clip(movflags="frag_keyframe+empty_moov").partition(b"moof")[0][:-4],
        "an MP4 that is cut": mp4[: len(mp4) // 2],
        "an MP4 that is cut behind its header": fast[: fast.index(b"mdat") + 200],
        "an MP4 of nothing": b"\0\0\0\x1cftypisom" + bytes(60),
        "a WebM that is cut": webm[: webm.index(b"\x1f\x43\xb6\x75") + 60],
        "a WebM of nothing": b"\x1a\x45\xdf\xa3" + b"\xff" * 60,
        "zeros behind the header": fast[:1500] + bytes(len(fast) - 1500),
    }


if __name__ == "__main__":
    sys.stdout.write(base64.b64encode(clip(movflags="faststart")).decode() + "\n")
