"""Videos as the library prepares them, which it does with torchvision: equal to its pipelines on the same files.

torchvision does not import beside the build of torch that is pinned, so that these run neither in CI nor in .venv;
CONTRIBUTING.md says where they do. The library reads files with torchcodec by now: here it is told to take PyAV.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from tests.integration.beside_library import Oven, assert_same
from tests.integration.test_any_to_any import texts, written
from tests.integration.test_conversing import RED, as_row
from tests.integration.test_videos_in_words import PLACE, filmed, part
from tests.tiny import conversing
from tests.tiny.checkpoint import write
from tests.videos import clip
from worker.backends.candidates import look
from worker.backends.fitting import likeliest

pytest.importorskip("torchvision", reason="torchvision stays out of this environment", exc_type=ImportError)
pytestmark = pytest.mark.real_model

#: Of WebM and MKV the library's reader finds no number of frames.
KINDS = ["mp4", "mp4 of MPEG-4", "mov"]
#: Of a processor that chooses frames: so many of them, or so many a second.
CHOICES = [{}, {"do_sample_frames": True, "num_frames": 8}, {"do_sample_frames": True, "fps": 3}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("torchvision")


@pytest.fixture(scope="module")
def files(folder: Path) -> list[Path]:
    made = [folder / f"clip{number}" for number in range(len(KINDS))]
    for file, kind in zip(made, KINDS, strict=True):
        file.write_bytes(clip(kind, frames=24, group=6, width=64 if kind == "mp4" else 96))
    return made


@pytest.fixture(autouse=True)
def reads_with_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "transformers.video_processing_utils"
    read = functools.partial(transformers.video_utils.load_video, backend="pyav")
    monkeypatch.setattr(f"{module}.is_torchcodec_usable", lambda **_: True)
    monkeypatch.setattr(f"{module}.load_video", lambda video, backend, **more: read(video, **more))


def vjepa2(folder: Path) -> Path:
    config = transformers.VJEPA2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, crop_size=32, frames_per_clip=4, mlp_ratio=2,
        pred_hidden_size=16, pred_num_attention_heads=2, pred_num_hidden_layers=1, num_pooler_layers=1, num_labels=3,
        id2label={0: "baking", 1: "kneading", 2: "eating"},
    )  # fmt: skip
    return write(
        folder, transformers.VJEPA2ForVideoClassification, config, transformers.VJEPA2VideoProcessor(crop_size=32)
    )


def videoprism(folder: Path) -> Path:
    config = transformers.VideoPrismVisionConfig(
        image_size=32, num_frames=4, tubelet_size=[1, 16, 16], hidden_size=16, intermediate_size=32,
        num_spatial_layers=1, num_temporal_layers=1, num_attention_heads=2, num_labels=3,
    )  # fmt: skip
    video = transformers.LlavaOnevisionVideoProcessor(size={"height": 32, "width": 32}, do_normalize=False)
    return write(folder, transformers.VideoPrismForVideoClassification, config, video)


def _flat(output: Any) -> Any:
    output.logits = output.logits.flatten(1)
    return output


@pytest.mark.parametrize("make", [vjepa2, videoprism])
def test_labels_of_what_is_prepared_as_a_video_equal_the_pipeline(folder, files, make, monkeypatch):
    oven = Oven("video-classification", make(folder / make.__name__), folder / "cache")
    rows = [{"video": filmed(file.read_bytes())[0]} for file in files]
    # The library's pipeline stumbles over the side of one that VideoPrism's logits have.
    forward = oven.library._forward
    monkeypatch.setattr(oven.library, "_forward", lambda inputs: _flat(forward(inputs)))

    for asked in ({}, {"top_k": 2, "function_to_apply": "sigmoid"}):
        expected = [oven.library(str(file), num_frames=4, **asked) for file in files]
        assert_same(expected, oven.together_and_alone(rows, **asked))

    assert likeliest(look(str(oven.folder), revision=None, cache=folder)) == ["video-classification"]


def test_vjepa_stretches_and_a_short_video_is_seen_over_and_over(folder, files):
    oven = Oven("video-classification", vjepa2(folder / "stretched"), folder / "cache")
    rows = [{"video": filmed(file.read_bytes())[0]} for file in files]

    expected = [oven.library(str(file), num_frames=8) for file in files]
    assert_same(expected, oven.together_and_alone(rows, num_frames=8))
    assert len(oven.run([{"video": filmed(clip(frames=2))[0]}])[0]) == 3
    [refused] = oven.run(rows[:1], frame_sampling_rate=2)
    assert refused.field == "parameters.frame_sampling_rate"


@pytest.mark.parametrize("task", ["image-text-to-text", "any-to-any"])
@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("make", [conversing.watcher, conversing.merger])
def test_what_is_written_about_videos_is_what_the_library_writes(folder, files, task, make, choice):
    made = make(folder / f"{task}-{make.__name__}-{CHOICES.index(choice)}")
    config = made / "video_preprocessor_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | choice))
    oven = Oven(task, made, folder / "cache")
    first, second, _ = files
    bodies = [file.read_bytes() for file in files]

    def shown(file: Path) -> dict[str, Any]:
        return {"type": "video", "video": str(file)}

    rows = [
        {"text": "what is it?", "videos": filmed(bodies[0])},
        {"messages": [{"role": "user", "content": [PLACE, part("a"), PLACE]}], "videos": filmed(*bodies[:2])},
        {"messages": [{"role": "user", "content": [{"type": "image"}, PLACE]}],
         "videos": filmed(bodies[1]), **as_row({}, [RED])},
    ]  # fmt: skip
    chats = [
        [shown(first), part("what is it?")],
        [shown(first), part("a"), shown(second)],
        [{"type": "image", "image": RED}, shown(second)],
    ]

    found = oven.together_and_alone(rows, max_new_tokens=8)

    assert texts(found) == [written(oven, [{"role": "user", "content": chat}]) for chat in chats]
    assert len({*texts(found)}) > 1


def test_as_many_frames_as_are_asked_for(folder, files):
    oven = Oven("any-to-any", conversing.merger(folder / "asked"), folder / "cache")
    row = {"messages": [{"role": "user", "content": [PLACE]}], "videos": filmed(files[0].read_bytes())}

    few, many = (oven.run([row], max_new_tokens=1, num_frames=count)[0]["usage"] for count in (4, 16))

    assert many["prompt_tokens"] > 2 * few["prompt_tokens"]
