"""Words about videos: what a model that watches is shown, and what becomes of it where there is no torchvision."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from safetensors.numpy import save_file
from transformers.video_processing_utils import VideoProcessorMixin
from transformers.video_utils import default_sample_indices_fn, load_video, make_batched_videos

from contract.errors import CheckpointError, ErrorCode, InputError
from contract.media import Media
from tests.integration.beside_library import Oven
from tests.integration.test_any_to_any import texts, written
from tests.integration.test_conversing import BLUE, RED, as_row, said
from tests.tiny import conversing
from tests.tiny.tokens import byte_tokenizer
from tests.videos import clip
from worker.backends import viewing, weights
from worker.backends.media import MediaFile

pytestmark = pytest.mark.real_model

TASK = "any-to-any"
PLACE = {"type": "video"}
SHORT, LONG = clip(frames=6), clip("mp4 of MPEG-4", frames=60, group=8, width=96)


def filmed(*bodies: bytes) -> list[MediaFile]:
    def sent(body: bytes, place: int) -> MediaFile:
        return MediaFile(lambda: io.BytesIO(body), f"videos.{place}", "video", Media())

    return [sent(body, place) for place, body in enumerate(bodies)]


def part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


class Eye(VideoProcessorMixin):  # type: ignore[misc]
    """Prepares videos frame by frame as pictures, which needs no torchvision; eight frames where nobody says."""

    do_sample_frames = True
    num_frames, fps = 8, None

    def __init__(self) -> None:
        super().__init__()
        size = {"height": 32, "width": 32}
        self._pictures = transformers.CLIPImageProcessorPil(size=size, do_center_crop=False)
        self.told: list[Any] = []

    def sample_frames(self, metadata: Any, num_frames: int | None = None, **_: Any) -> Any:
        return default_sample_indices_fn(metadata, num_frames or self.num_frames)

    def __call__(self, videos: Any, *, video_metadata: Any = None, **_: Any) -> Any:
        self.told.extend(video_metadata or ())
        made = [
            self._pictures(list(video), return_tensors="pt")["pixel_values"] for video in make_batched_videos(videos)
        ]
        return transformers.BatchFeature({"pixel_values_videos": made})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("watching")


@pytest.fixture(scope="module")
def blind(folder: Path) -> Oven:
    """A model that watches, on a worker that has no torchvision."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(viewing, "is_torchvision_available", lambda: False)
        return Oven(TASK, conversing.watcher(folder / "watcher"), folder / "cache")


@pytest.fixture(scope="module")
def eye() -> Eye:
    return Eye()


@pytest.fixture(scope="module")
def oven(blind: Oven, eye: Eye) -> Oven:
    """The same model with an eye for videos, and the library's pipeline with the same."""
    found = Oven(TASK, blind.folder, blind.folder.parent / "cache")
    task: Any = found.loaded._task  # type: ignore[attr-defined]
    task._processor.video_processor = eye
    task._viewer = viewing.Viewer(eye)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transformers.pipelines.any_to_any.requires_backends", lambda *_: None)
        found.library = transformers.pipeline(TASK, model=str(found.folder), processor=task._processor)
    return found


@pytest.fixture(scope="module")
def shown(folder: Path) -> Callable[[bytes, int], dict[str, Any]]:
    """A part that holds the frames which the library would take of a file."""

    def read(body: bytes, count: int) -> dict[str, Any]:
        file = folder / "film"
        file.write_bytes(body)
        video, _ = load_video(str(file), num_frames=count, backend="pyav")
        return {"type": "video", "video": video}

    return read


def test_what_is_written_about_videos_is_what_the_library_writes(oven, shown):
    picture = {"type": "image", "image": RED}
    rows = [
        {"messages": [{"role": "user", "content": [PLACE, part("what is it?")]}], "videos": filmed(LONG)},
        {"messages": [{"role": "user", "content": [PLACE, {"type": "image"}, PLACE]}],
         "videos": filmed(LONG, LONG), **as_row({}, [RED])},
        {"text": "what is it?", "videos": filmed(SHORT)},
    ]  # fmt: skip
    chats = [
        [shown(LONG, 8), part("what is it?")],
        [shown(LONG, 8), picture, shown(LONG, 8)],
        [shown(SHORT, 6), part("what is it?")],
    ]

    found = oven.together_and_alone(rows, max_new_tokens=8)

    assert texts(found) == [written(oven, [{"role": "user", "content": chat}]) for chat in chats]
    assert len({*texts(found)}) == 3


def test_as_many_frames_are_shown_as_are_asked_for_and_a_video_has(oven, shown):
    rows = [{"text": "a", "videos": filmed(LONG)}, {"text": "a", "videos": filmed(SHORT)}]

    found = oven.run(rows, max_new_tokens=8, num_frames=16)

    chats = [[shown(LONG, 16), part("a")], [shown(SHORT, 6), part("a")]]
    assert texts(found) == [written(oven, [{"role": "user", "content": chat}]) for chat in chats]


def test_what_prepares_a_video_is_told_when_its_frames_are_shown(oven, eye):
    eye.told.clear()
    oven.run([{"text": "a", "videos": filmed(LONG)}], max_new_tokens=1, num_frames=4)

    [told] = eye.told
    assert list(told.frames_indices) == [0, 15, 30, 45]
    assert (told.total_num_frames, told.fps, told.duration) == (
        60,
        pytest.approx(12, abs=0.3),
        pytest.approx(5, abs=0.2),
    )
    assert (told.height, told.width) == (48, 96)


def test_a_checkpoint_that_does_not_choose_is_shown_so_many_frames_at_most(oven, eye, monkeypatch):
    monkeypatch.setattr(Eye, "do_sample_frames", False)
    eye.told.clear()

    oven.run([{"text": "a", "videos": filmed(LONG, SHORT)}], max_new_tokens=1)

    assert [len(told.frames_indices) for told in eye.told] == [viewing.USUAL_FRAMES, 6]


def test_a_checkpoint_that_chooses_by_itself_takes_no_number(oven, monkeypatch):
    monkeypatch.setattr(Eye, "sample_frames", lambda self, metadata, **_: np.arange(0, metadata.total_num_frames, 20))
    task: Any = oven.loaded._task
    monkeypatch.setattr(task, "_viewer", viewing.Viewer(task._processor.video_processor))

    [good] = oven.run([{"text": "a", "videos": filmed(LONG)}], max_new_tokens=2)
    [refused] = oven.run([{"text": "a", "videos": filmed(LONG)}], max_new_tokens=2, num_frames=4)

    assert good["generated_text"]
    assert (refused.code, refused.field) == (ErrorCode.INPUT_REJECTED, "parameters.num_frames")


def test_videos_without_a_place_or_places_without_a_video_are_named(oven):
    two = {"messages": [{"role": "user", "content": [PLACE, PLACE]}], "videos": filmed(SHORT)}
    broken = {"text": "a", "videos": filmed(SHORT, b"\0\0\0\x1cftypisom" + bytes(60))}

    refused = oven.run([two, broken], max_new_tokens=2)

    assert [(one.code, one.field) for one in refused] == [
        (ErrorCode.INPUT_REJECTED, "inputs.videos"),
        (ErrorCode.INPUT_REJECTED, "videos.1"),
    ]
    assert "2 places for videos, and 1 videos came" in refused[0].message


def test_without_torchvision_images_are_answered_about_and_videos_refused_in_words(blind, monkeypatch):
    monkeypatch.setattr(viewing, "is_torchvision_available", lambda: False)
    refused, good, several = blind.run(
        [
            {"text": "a", "videos": filmed(SHORT)},
            as_row({"text": "a"}, [RED]),
            as_row({"messages": [said("image", "or", "image")]}, [RED, BLUE]),
        ],
        max_new_tokens=4,
    )

    assert isinstance(refused, InputError)
    assert (refused.field, "torchvision is installed" in refused.message) == ("inputs.videos", True)
    assert good["generated_text"]
    assert several["message"]["content"]


def test_qwen_too_answers_about_images_without_torchvision(folder, monkeypatch):
    monkeypatch.setattr(viewing, "is_torchvision_available", lambda: False)
    qwen = Oven("image-text-to-text", conversing.merger(folder / "merger"), folder / "cache")

    answers = qwen.together_and_alone([as_row({"text": "a"}, [image]) for image in (RED, BLUE)], max_new_tokens=4)

    assert all(answer["generated_text"] for answer in answers)


def test_a_model_that_never_watches_says_so(folder):
    sees = Oven("image-text-to-text", conversing.seer(folder / "seer"), folder / "cache")

    [refused] = sees.run([{"text": "a", "videos": filmed(SHORT)}], max_new_tokens=4)

    assert (refused.field, refused.message) == ("inputs.videos", "This model does not watch videos. Send no videos.")


@pytest.mark.parametrize(
    ("config", "kind", "pictures"),
    [
        (transformers.VideoLlavaConfig, "VideoLlava", transformers.CLIPImageProcessorPil),
        (transformers.LlavaNextVideoConfig, "LlavaNextVideo", transformers.LlavaNextImageProcessorPil),
    ],
)
def test_wherever_its_eye_for_videos_stands_a_processor_is_made_without(tmp_path, config, kind, pictures):
    byte_tokenizer(chat=True).save_pretrained(tmp_path)
    pictures().save_pretrained(tmp_path)
    own = {"processor_class": f"{kind}Processor", "patch_size": 14}
    (tmp_path / "processor_config.json").write_text(json.dumps(own))

    made = viewing.without_videos(tmp_path, config())

    # With torchvision the same class has another name.
    assert type(made.image_processor).__name__.removesuffix("Pil") == pictures.__name__.removesuffix("Pil")
    assert made.patch_size == 14
    assert made.tokenizer("a")["input_ids"]
    assert not hasattr(made, "video_processor")


def test_what_cannot_do_without_torchvision_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(viewing, "is_torchvision_available", lambda: False)
    transformers.SmolVLMConfig().save_pretrained(tmp_path)
    save_file({"a": np.ones(2, dtype=np.float32)}, tmp_path / "model.safetensors")
    wanted = weights.Wanted(TASK, "AutoModelForMultimodalLM", processor="AutoProcessor")

    with pytest.raises(
        CheckpointError, match="of type smolvlm needs the package torchvision; run pip install"
    ) as error:
        weights.load(tmp_path, wanted, dtype="float32", device="cpu", max_tokens=None)

    assert error.value.code is ErrorCode.CHECKPOINT_MISSING
