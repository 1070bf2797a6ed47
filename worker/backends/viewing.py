"""Videos for a model: which frames it looks at, what brings them into shape, and what there is without torchvision.

All that the library has for preparing videos computes with torchvision, which is not installed beside most builds of
torch. Where it is not, a checkpoint that watches is loaded without its eye for videos if it can do without, and is
otherwise refused by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers
from transformers.models.auto.video_processing_auto import VIDEO_PROCESSOR_MAPPING_NAMES
from transformers.utils import is_torchvision_available
from transformers.video_processing_utils import VideoProcessorMixin
from transformers.video_utils import VideoMetadata

from contract.errors import CheckpointError, ErrorCode, InputError
from models.media.footage import Footage, Watched
from worker.backends import refusals
from worker.backends.media import MediaFile

#: Frames of a video where neither the caller nor the checkpoint says: its model would be shown all of them.
USUAL_FRAMES = 32
#: What a processor is told by itself, and does not choose frames by.
_NOT_FOR_CHOOSING = frozenset(
    {"input_data_format", "do_convert_rgb", "do_sample_frames", "device", "video_metadata", "return_tensors"}
)


class Viewer:
    """Reads videos for a processor of the library, and hands their frames over as it would have chosen them."""

    def __init__(self, processor: Any) -> None:
        """`processor`: a video processor."""
        self._processor = processor
        self._chooses = "num_frames" in inspect.signature(processor.sample_frames).parameters

    def exactly(self, video: MediaFile, count: int) -> Watched:
        """`count` frames, some of them over and over where a video has fewer; raises InputError."""
        found: Watched = video.decoded(choose=lambda footage: self._chosen(footage, count) or _spread(count, footage))
        return found

    def watched(self, video: MediaFile, count: int | None, *, among: int = 1) -> Watched:
        """`count` frames at most, or as many as the checkpoint says; raises InputError.

        `among`: so many videos are held at once.
        """
        if count is not None and not self._chooses:
            sentence = "This model chooses by itself how many frames it looks at. Leave num_frames out."
            raise refusals.rejected(sentence, "parameters.num_frames")
        found: Watched = video.decoded(choose=lambda footage: self._places(footage, count), among=among)
        return found

    def _places(self, footage: Footage, count: int | None) -> Sequence[int]:
        if count is None and not getattr(self._processor, "do_sample_frames", False):
            count = USUAL_FRAMES
        count = None if count is None else min(count, footage.frames)
        return self._chosen(footage, count) or _spread(min(count or USUAL_FRAMES, footage.frames), footage)

    def _chosen(self, footage: Footage, count: int | None) -> list[int]:
        """As the library chooses; none where it wants more frames than there are, or to know how fast they come."""
        asked = {} if count is None else {"num_frames": count, "fps": None}
        try:
            found = self._processor.sample_frames(metadata=_metadata(footage, None), **(self._options() | asked))
        except (ValueError, TypeError, ArithmeticError):
            return []
        return [int(place) for place in found]

    def _options(self) -> dict[str, Any]:
        """As the processor hands them to its choice."""
        names = [name for name in self._processor.valid_kwargs.__annotations__ if name not in _NOT_FOR_CHOOSING]
        return {name: getattr(self._processor, name, None) for name in names}

    def options(self, videos: Sequence[Watched]) -> dict[str, Any]:
        """What a processor is told of frames that are chosen already."""
        told = [_metadata(video.footage, video) for video in videos]
        return {"do_sample_frames": False, "video_metadata": told}

    def tensors(self, video: Watched) -> dict[str, torch.Tensor]:
        """One video as a model takes it that reads nothing else."""
        found = self._processor([_stacked(video)], return_tensors="pt", **self.options([video]))
        return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}

    def as_taken(self, videos: Sequence[Watched]) -> dict[str, Any]:
        """Arguments of a processor that reads words too."""
        if not videos:
            return {}
        return {"videos": [_stacked(video) for video in videos], "videos_kwargs": self.options(videos)}


def _spread(count: int, footage: Footage) -> list[int]:
    return [place * footage.frames // count for place in range(count)]


def _metadata(footage: Footage, video: Watched | None) -> Any:
    """As the library's readers of files tell a processor."""
    size = {} if video is None else {"height": video.frames[0].shape[0], "width": video.frames[0].shape[1]}
    places = None if video is None else video.places
    return VideoMetadata(footage.frames, footage.rate, duration=footage.seconds, frames_indices=places, **size)


def _stacked(video: Watched) -> Any:
    """Shape (frames, height, width, 3)."""
    return np.stack(video.frames)


def lacks_torchvision(model_type: str) -> bool:
    """Whether a checkpoint of this type watches, and nothing here can prepare what it sees."""
    return model_type in VIDEO_PROCESSOR_MAPPING_NAMES and not is_torchvision_available()


class _Shut(VideoProcessorMixin):  # type: ignore[misc]
    """Stands where a processor asks for what prepares videos, while it is made."""


def without_videos(path: Any, config: Any) -> Any:
    """The processor of a checkpoint without its eye for videos; raises what the library does where it needs one."""
    kind: Any = transformers.PROCESSOR_MAPPING[type(config)]
    names = kind.get_attributes()

    class Others(kind):  # type: ignore[misc]
        @classmethod
        def get_attributes(cls) -> list[str]:
            return [name for name in names if name != "video_processor"]

    class Half(kind):  # type: ignore[misc]
        @classmethod
        def _get_arguments_from_pretrained(cls, *args: Any, **more: Any) -> list[Any]:
            found = iter(Others._get_arguments_from_pretrained(*args, **more))
            return [_Shut() if name == "video_processor" else next(found) for name in names]

        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            # Of videos the library knows no class here to check by.
            return (
                _Shut
                if isinstance(argument, _Shut)
                else super().check_argument_for_proper_class(argument_name, argument)
            )

    # The library says its class in sentences, and asks by it.
    Half.__name__ = kind.__name__
    made = Half.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    if "video_processor" in names:
        del made.video_processor
    return made


def needs_torchvision(model_type: str) -> CheckpointError:
    return CheckpointError(
        ErrorCode.CHECKPOINT_MISSING,
        f"What prepares videos for a checkpoint of type {model_type} needs the package torchvision; run pip install "
        "torchvision on the worker, in the release that goes with its torch.",
    )


def cannot_watch(model_type: str) -> InputError:
    """Why a model takes no videos."""
    if lacks_torchvision(model_type):
        sentence = (
            "This model watches videos where the package torchvision is installed on the worker, and here it is not. "
            "Send no videos, or ask the operator for it."
        )
        return refusals.rejected(sentence, "inputs.videos")
    return refusals.rejected("This model does not watch videos. Send no videos.", "inputs.videos")
