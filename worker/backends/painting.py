"""Images that a model of words writes token by token, as Janus does; its codec makes pixels of them."""

from __future__ import annotations

from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Context, Parameters, WithFiles
from worker.backends.choosing import SAMPLING, dice_of_the_library
from worker.backends.generating import Asking, Numbers, Tensors, configured
from worker.backends.tasks.images import as_png
from worker.backends.tasks.task import Answer
from worker.backends.weights import Loaded

#: Architectures that paint, by the library's word for what they give besides texts.
TYPES = frozenset({"janus"})
#: Parameters of writing that say something of an image too; all others are about words.
_SAID = frozenset({"generation_mode", "num_frames", "seed", "do_sample", *SAMPLING})
#: Those that are there whether a caller said them or not.
_ALWAYS = frozenset({"skip_special_tokens", "continue_final_message"})


class _Unwanted(Exception):
    """Nobody waits for the image any more; the library's loop has no other way to stop."""


class Painter:
    def __init__(self, loaded: Loaded) -> None:
        self._model = loaded.model
        self._reader = loaded.processor.image_processor
        #: Tokens of an image.
        self.tokens = int(loaded.model.config.vision_config.num_image_tokens)

    def refusal(self, parameters: Parameters) -> InputError | None:
        unused = next((name for name in parameters if name not in _SAID | _ALWAYS), None)
        if unused is None:
            return None
        return refusals.rejected(f"{unused} is about words, not images. Leave it out.", f"parameters.{unused}")

    def painted(self, inputs: Tensors, parameters: Parameters, context: Context) -> Answer:
        """`inputs`: those of one row, behind whose last token the image begins."""
        job_ids = list(context.job_ids) or [""]
        numbers = Numbers(1)
        processors = LogitsProcessorList([numbers, _Waiting(Asking(job_ids, context))])
        config = self._config(parameters, inputs["input_ids"].shape[1])
        try:
            with dice_of_the_library(parameters, job_ids[0], self._model.device):
                tokens = self._model.generate(
                    **inputs, generation_config=config, generation_mode="image", logits_processor=processors
                )
        except _Unwanted:
            return refusals.rejected("Nobody waits for this image any more.")
        found = self._model.decode_image_tokens(tokens)
        if not numbers.finite[0] or not found.isfinite().all():
            return refusals.not_finite("prompt")
        pixels = self._pixels(found[0].float().cpu())
        return WithFiles({"image": as_png(lambda: pixels, "image.png")})

    def _pixels(self, found: torch.Tensor) -> Any:
        """Of shape (height, width, 3), as they are shown.

        What the library has for it takes the rows of an image for its channels, and fails.
        """
        mean, std = (torch.tensor(values) for values in (self._reader.image_mean, self._reader.image_std))
        shown = (found * std + mean) / self._reader.rescale_factor
        return shown.clamp(0, 255).to(torch.uint8).numpy()

    def _config(self, parameters: Parameters, prompt: int) -> GenerationConfig:
        own = self._model.generation_config
        config = configured(own, {**parameters, "num_beams": 1}, most=self.tokens)
        # The library makes room by the whole length alone.
        config.update(max_length=prompt + self.tokens, max_new_tokens=None)
        return config


class _Waiting(LogitsProcessor):  # type: ignore[misc]
    """Says that the pass goes on, and ends one that nobody waits for."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if bool(self._asking(input_ids[:1], scores).all()):
            raise _Unwanted
        return scores
