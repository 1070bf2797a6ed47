"""Labels of a video, from frames of its beginning, or of all of it where the library prepares it as a video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contract.errors import InputError
from models.media.footage import Watched
from models.media.frames import Frames
from worker.backends import refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.holding import of_a_picture
from worker.backends.picture_model import PROCESSOR_ERRORS, PictureModel, Pixels, Tensors
from worker.backends.tasks.scores import FUNCTIONS, best_first, default_function
from worker.backends.tasks.task import Answer, TaskModel, refuse_all
from worker.backends.viewing import Viewer
from worker.backends.weights import Loaded, corrupt

#: Architectures whose places in time stretch to other numbers of frames than they were trained with.
_STRETCH = frozenset({"timesformer", "vjepa2"})


class VideoClassification(TaskModel):
    auto_class = "AutoModelForVideoClassification"
    # What these were published with prepares pictures, and does without torchvision: so does whoever has it.
    processor_class = "AutoImageProcessor"
    model_types = ("videomae", "timesformer", "vivit")
    filmed_types = ("vjepa2", "videoprism_vision_model")

    def __init__(self, loaded: Loaded) -> None:
        self._pictures = PictureModel(loaded)
        self._config = loaded.model.config
        self.token_bytes = of_a_picture(loaded.model)
        self._viewer = Viewer(loaded.processor) if self._config.model_type in self.filmed_types else None
        frames = getattr(self._config, "num_frames", getattr(self._config, "frames_per_clip", None))
        if not isinstance(frames, int) or frames < 1:
            raise corrupt("The config.json of this checkpoint names no num_frames. Choose another checkpoint.")
        self._frames = frames

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        asked, every = parameters.get("num_frames") or self._frames, parameters["frame_sampling_rate"]
        if asked != self._frames and self._config.model_type not in _STRETCH:
            sentence = f"This model sees {self._frames} frames and no other number. Leave num_frames out."
            return refuse_all(rows, refusals.rejected(sentence, "parameters.num_frames"))
        if self._viewer and every != 1:
            sentence = "The frames of this model are spread over all of a video. Leave frame_sampling_rate out."
            return refuse_all(rows, refusals.rejected(sentence, "parameters.frame_sampling_rate"))
        return [self._prepare(row, asked, every) for row in rows]

    def _prepare(self, row: Inputs, count: int, every: int) -> Prepared | InputError:
        try:
            frames, tensors = self._watched(row, count) if self._viewer else self._seen(row, count, every)
        except InputError as refused:
            return refused
        except PROCESSOR_ERRORS:
            return refusals.rejected("The model cannot take a video of this size and shape. Send a larger one.")
        pixels = Pixels(tensors, frames[0].shape[:2])
        return Prepared(pixels, count * pixels.patches)

    def _seen(self, row: Inputs, count: int, every: int) -> tuple[Frames, Tensors]:
        frames: Frames = row["video"].decoded(frames=count, every=every)
        # A list, so that it is one video and not one picture a frame.
        return frames, dict(self._pictures.processor(list(frames), return_tensors="pt"))

    def _watched(self, row: Inputs, count: int) -> tuple[Frames, Tensors]:
        assert self._viewer is not None
        found: Watched = self._viewer.exactly(row["video"], count)
        return found.frames, self._viewer.tensors(found)

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        answers: list[Any] = [None] * len(rows)
        function = FUNCTIONS[parameters.get("function_to_apply") or default_function(self._config, alone="softmax")]
        for places, output in self._pictures.run([row.payload for row in rows], lambda _count: {}):
            # VideoPrism's have a side of one between.
            logits = output.logits.float().cpu().flatten(1)
            for place, scores in zip(places, function(logits), strict=True):
                answers[place] = best_first(self._config.id2label, scores, parameters["top_k"], of="video")
        return answers
