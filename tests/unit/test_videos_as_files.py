"""What is in a video's file, and which of its frames are kept."""

from __future__ import annotations

import io
from typing import Any

import pytest

from contract.media import Media

np = pytest.importorskip("numpy", reason="needs numpy")
av = pytest.importorskip("av", reason="needs PyAV")

from models.media.seen import MediaRefused  # noqa: E402
from models.media.videos import decode, look  # noqa: E402
from tests.recordings import recording  # noqa: E402
from tests.videos import KINDS, broken, clip, picture, turned  # noqa: E402

TYPES = {"mov": "video/quicktime", "webm": "video/webm", "mkv": "video/x-matroska"}


@pytest.fixture(scope="module")
def mp4() -> bytes:
    return clip()


@pytest.fixture(scope="module")
def wrong() -> dict[str, bytes]:
    return broken()


def frames(body: bytes, count: int, every: int = 1, **limits: Any) -> Any:
    return decode(io.BytesIO(body), Media(**limits), frames=count, every=every)


def all_frames(body: bytes) -> list[Any]:
    with av.open(io.BytesIO(body)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_told_by_its_content_and_becomes_the_pictures_it_was_made_of(kind):
    body = clip(kind)

    seen = look(io.BytesIO(body), Media())
    found = frames(body, 3, 8)

    assert (seen.content_type, seen.seconds) == (TYPES.get(kind.split()[0], "video/mp4"), pytest.approx(2, abs=0.1))
    assert (seen.width, seen.height) == (64, 48)
    for place, frame in zip((0, 11, 23), found, strict=True):
        assert np.abs(frame.astype(int) - picture(place, 24, 64, 48)).mean() < 12


@pytest.mark.parametrize(("count", "every"), [(8, 1), (8, 3), (5, 2), (1, 1), (24, 1)])
def test_frames_are_those_that_the_library_takes(mp4, count, every):
    library = pytest.importorskip("transformers.pipelines.video_classification", reason="needs transformers")
    places = np.linspace(0, count * every - 1, num=count, dtype=np.int64)

    with av.open(io.BytesIO(mp4)) as container:
        expected = library.read_video_pyav(container, places)

    assert (np.stack(frames(mp4, count, every)) == expected).all()


@pytest.mark.parametrize(("count", "every"), [(8, 4), (32, 1), (16, 64)])
def test_frames_of_a_shorter_video_are_spread_over_all_of_it(mp4, count, every):
    whole = all_frames(mp4)
    places = np.linspace(0, len(whole) - 1, num=count, dtype=np.int64)

    assert (np.stack(frames(mp4, count, every)) == np.stack([whole[place] for place in places])).all()


def test_a_video_of_one_frame_is_that_frame_over_and_over():
    found = frames(clip(frames=1), 8)

    assert len(found) == 8
    assert all((frame == found[0]).all() for frame in found)


def test_a_video_is_turned_as_it_was_held(mp4):
    [upright], [lying] = frames(turned(mp4), 1), frames(mp4, 1)

    assert upright.shape == (64, 48, 3)
    assert (upright == np.rot90(lying, -1)).all()


@pytest.mark.parametrize("kind", ["mp4", "mp4 of MPEG-4", "webm of VP9", "webm of VP8"])
def test_frames_of_too_many_pixels_are_refused_by_the_header(kind):
    with pytest.raises(MediaRefused, match="more than the 10,000 pixels"):
        look(io.BytesIO(clip(kind, frames=2, width=128, height=96)), Media(max_video_pixels=10_000))


def test_frames_that_grow_behind_the_header_are_not_decoded():
    # Of WebM, each key frame says its own size.
    small, large = clip("webm of VP8", frames=1), clip("webm of VP8", frames=1, width=640, height=480)
    body = _joined(small, large)

    assert look(io.BytesIO(body), Media(max_video_pixels=10_000)).width == 64
    with pytest.raises(MediaRefused):
        frames(body, 2, max_video_pixels=10_000)
    with pytest.raises(MediaRefused, match="change their size"):
        frames(body, 2)


def _joined(first: bytes, second: bytes) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="webm") as container:
        stream = None
        for place, body in enumerate((first, second)):
            with av.open(io.BytesIO(body)) as source:
                stream = stream or container.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.size:
                        packet.stream, packet.pts, packet.dts = stream, place * 80, place * 80
                        container.mux(packet)
    return out.getvalue()


def test_what_is_too_long_or_too_much_is_refused(mp4):
    with pytest.raises(MediaRefused, match="longer than the 1 s"):
        look(io.BytesIO(mp4), Media(max_video_seconds=1))
    with pytest.raises(MediaRefused, match="at most 20 are"):
        frames(mp4, 8, 3, max_video_frames=20)
    with pytest.raises(MediaRefused, match="too much at once"):
        frames(clip(frames=1, width=1920, height=1088), 128)


def test_the_cover_of_a_recording_is_no_video():
    assert recording("m4a")
    with pytest.raises(MediaRefused, match="no video"):
        look(io.BytesIO(recording("m4a")), Media())


@pytest.mark.parametrize("what", [
    "zero bytes", "one byte", "text", "a playlist", "a list for concat", "a PNG", "an AVI", "sound alone",
    "sound alone in a WebM", "no frames", "an MP4 that is cut", "an MP4 that is cut behind its header",
    "an MP4 of nothing", "a WebM that is cut", "a WebM of nothing", "zeros behind the header",
])  # fmt: skip
def test_what_is_no_good_video_is_refused_with_a_sentence(wrong, what):
    with pytest.raises(MediaRefused) as refused:
        frames(wrong[what], 16, 4)
    assert str(refused.value).endswith(".")
    assert not any(word in str(refused.value) for word in ("Error", "Traceback", "ffmpeg", "/"))
