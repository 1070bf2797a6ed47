"""Recordings through a model: decoded at the rate at which it hears, and those of one shape in one forward pass.

Recordings of different lengths are never padded to each other: what many models say of one would depend on its
neighbors. Models that hear a window of fixed length see all of them alike.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from contract.errors import InputError
from models.media.sound import Sound
from worker.backends import refusals
from worker.backends.backend import Prepared
from worker.backends.media import MediaFile
from worker.backends.weights import Loaded, corrupt

#: What an extractor of features raises for a recording that it cannot bring into shape.
_EXTRACTOR_ERRORS = (ValueError, TypeError, LookupError, ArithmeticError)
#: A frame of speech: less is heard by no model.
LEAST_SECONDS = 0.025
#: Samples that count as one token, as most models of speech see it.
FRAME = 320

Tensors = dict[str, torch.Tensor]
TOO_SHORT = refusals.rejected(
    "This recording is too short for the model to hear anything. Send a longer one.", "audio"
)


class Hearing:
    def __init__(self, loaded: Loaded, extractor: Any) -> None:
        self.model = loaded.model
        self.extractor = extractor
        rate = getattr(extractor, "sampling_rate", None)
        if not isinstance(rate, int) or rate <= 0:
            raise corrupt("The preprocessor_config.json of this checkpoint names no sampling_rate. Add it.")
        self.rate = rate
        self._takes = set(inspect.signature(loaded.model.forward).parameters)

    def heard(self, recording: MediaFile, *, most_seconds: float | None = None) -> Sound | InputError:
        """A recording at the model's rate, within what it can hear at once."""
        try:
            sound: Sound = recording.decoded(rate=self.rate)
        except InputError as refused:
            return refused
        if most_seconds and sound.seconds > most_seconds:
            return refusals.rejected(
                f"This model hears recordings of at most {most_seconds:g} s at once, and this one has "
                f"{sound.seconds:.0f}. Cut it.",
                "audio",
            )
        return TOO_SHORT if sound.seconds < LEAST_SECONDS or not self._hears(len(sound.samples)) else sound

    def _hears(self, samples: int) -> bool:
        """Whether anything is left of so many samples behind the convolutions of a model of waveforms."""
        left = getattr(self.model, "_get_feat_extract_output_lengths", None)
        if left is None or self.model.main_input_name != "input_values":
            return True
        return int(left(torch.tensor(samples))) >= 1

    def prepare(
        self, recording: MediaFile, process: Callable[[Any], Any], *, most_seconds: float | None
    ) -> Prepared | InputError:
        """Decode and `process` a recording; what it costs is the number of its frames."""
        sound = self.heard(recording, most_seconds=most_seconds)
        if isinstance(sound, InputError):
            return sound
        try:
            tensors = {name: value for name, value in process(sound.samples).items() if name in self._takes}
        except _EXTRACTOR_ERRORS:
            return TOO_SHORT
        return Prepared(tensors, frames(tensors))

    def run(self, rows: Sequence[Tensors], **more: Any) -> Iterator[tuple[list[int], Any]]:
        """Positions in `rows`, and the model's output for them: one pass for each shape."""
        groups: dict[Any, list[int]] = {}
        for place, row in enumerate(rows):
            groups.setdefault(tuple((name, tuple(value.shape)) for name, value in sorted(row.items())), []).append(
                place
            )
        for places in groups.values():
            batch = {
                name: self.placed(torch.cat([rows[place][name] for place in places])) for name in rows[places[0]]
            }
            yield places, self.model(**batch, **more)

    def placed(self, tensor: torch.Tensor) -> torch.Tensor:
        dtype = self.model.dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.to(self.model.device, dtype)


def frames(tensors: Tensors) -> int:
    """What a recording costs, as tokens are counted."""
    if "input_values" in tensors and tensors["input_values"].dim() == 2:
        return max(1, tensors["input_values"].shape[1] // FRAME)
    largest = max((tensor for tensor in tensors.values()), key=lambda tensor: tensor.numel())
    return max(1, int(largest.numel()) // FRAME)
