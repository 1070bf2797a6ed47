"""Frames from anywhere in a video: which ones they are, and how little is decoded to find them."""

from __future__ import annotations

import io
from typing import Any

import pytest

from contract.media import Media

np = pytest.importorskip("numpy", reason="needs numpy")
pytest.importorskip("av", reason="needs PyAV")

from models.media.footage import Footage  # noqa: E402
from models.media.seen import MediaRefused  # noqa: E402
from models.media.videos import decode  # noqa: E402
from tests.unit.test_videos_as_files import all_frames  # noqa: E402
from tests.videos import KINDS, broken, clip, turned  # noqa: E402

PLACES = [0, 7, 8, 30, 30, 58, 59]


def watched(body: bytes, places: list[int], *, among: int = 1, **limits: Any) -> Any:
    return decode(io.BytesIO(body), Media(**limits), choose=lambda _footage: places, among=among)


@pytest.mark.parametrize("group", [0, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_those_that_were_chosen_in_every_kind_of_file(kind, group):
    body = clip(kind, frames=60, group=group)
    whole = all_frames(body)

    found = watched(body, PLACES)

    assert (found.places, found.footage.frames) == (PLACES, 60)
    assert found.footage.rate == pytest.approx(12, abs=0.3)
    assert (np.stack(found.frames) == np.stack([whole[place] for place in PLACES])).all()


def test_the_library_reads_the_same_and_says_the_same_of_a_file(tmp_path):
    library = pytest.importorskip("transformers.video_utils", reason="needs transformers")
    file = tmp_path / "clip.mp4"
    file.write_bytes(clip(frames=60, group=4))
    told: list[Footage] = []

    def choose(footage: Footage) -> Any:
        told.append(footage)
        return np.arange(8) * footage.frames // 8

    found = decode(io.BytesIO(file.read_bytes()), Media(), choose=choose)
    expected, about = library.load_video(str(file), num_frames=8, backend="pyav")

    assert (np.stack(found.frames) == expected).all()
    assert (found.places, told) == (list(about.frames_indices), [found.footage])
    assert (found.footage.frames, found.footage.rate) == (about.total_num_frames, about.fps)
    assert found.footage.seconds == pytest.approx(about.duration)


def test_what_lies_between_is_not_decoded_where_it_need_not_be():
    kind = "webm of VP9"

    assert len(watched(clip(kind, frames=60, group=4), [2, 57], max_video_frames=8).frames) == 2
    with pytest.raises(MediaRefused, match="more than 8 would have to be decoded"):
        watched(clip(kind, frames=60), [2, 57], max_video_frames=8)


def test_places_that_are_none_become_the_nearest_and_none_at_all_the_first():
    found = watched(clip(frames=3), [-5, 99])

    assert found.places == [0, 2]
    assert watched(clip(frames=3), []).places == [0]


def test_a_video_is_turned_as_it_was_held():
    assert watched(turned(clip()), [5]).frames[0].shape == (64, 48, 3)


def test_several_videos_share_what_is_held_at_once():
    large = clip(frames=1, width=1920, height=1088)

    assert len(watched(large, [0] * 40).frames) == 40
    with pytest.raises(MediaRefused, match="too much at once"):
        watched(large, [0] * 40, among=4)


def test_what_is_no_good_video_is_refused_with_a_sentence():
    for what, body in broken().items():
        with pytest.raises(MediaRefused) as refused:
            watched(body, [0, 5, 20])
        assert str(refused.value).endswith("."), what
