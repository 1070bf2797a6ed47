"""Labels of a video, from frames of its beginning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.holding import of_a_picture
from worker.backends.picture_model import PROCESSOR_ERRORS, PictureModel, Pixels
from worker.backends.tasks.scores import FUNCTIONS, best_first, default_function
from worker.backends.tasks.task import Answer, TaskModel, refuse_all
from worker.backends.weights import Loaded, corrupt

#: Architectures whose places in time stretch to other numbers of frames than they were trained with.
_STRETCH = frozenset({"timesformer"})


class VideoClassification(TaskModel):
    auto_class = "AutoModelForVideoClassification"
    processor_class = "AutoImageProcessor"
    # What prepares the frames of others (V-JEPA 2, VideoPrism) needs torchvision.
    model_types = ("videomae", "timesformer", "vivit")

    def __init__(self, loaded: Loaded) -> None:
        self._pictures = PictureModel(loaded)
        self._config = loaded.model.config
        self.token_bytes = of_a_picture(loaded.model)
        frames = getattr(self._config, "num_frames", None)
        if not isinstance(frames, int) or frames < 1:
            raise corrupt("The config.json of this checkpoint names no num_frames. Choose another checkpoint.")
        self._frames = frames

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        asked = parameters.get("num_frames") or self._frames
        if asked != self._frames and self._config.model_type not in _STRETCH:
            sentence = f"This model sees {self._frames} frames and no other number. Leave num_frames out."
            return refuse_all(rows, refusals.rejected(sentence, "parameters.num_frames"))
        return [self._prepare(row, asked, parameters["frame_sampling_rate"]) for row in rows]

    def _prepare(self, row: Inputs, count: int, every: int) -> Prepared | InputError:
        try:
            frames = row["video"].decoded(frames=count, every=every)
            # A list, so that it is one video and not one picture a frame.
            tensors = dict(self._pictures.processor(list(frames), return_tensors="pt"))
        except InputError as refused:
            return refused
        except PROCESSOR_ERRORS:
            return refusals.rejected("The model cannot take a video of this size and shape. Send a larger one.")
        pixels = Pixels(tensors, frames[0].shape[:2])
        return Prepared(pixels, count * pixels.patches)

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        answers: list[Any] = [None] * len(rows)
        function = FUNCTIONS[parameters.get("function_to_apply") or default_function(self._config, alone="softmax")]
        for places, output in self._pictures.run([row.payload for row in rows], lambda _count: {}):
            for place, scores in zip(places, function(output.logits.float().cpu()), strict=True):
                answers[place] = best_first(self._config.id2label, scores, parameters["top_k"], of="video")
        return answers
