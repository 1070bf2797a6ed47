"""Words about an image: chosen among known answers, or written."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.tasks.images import ImageTask
from worker.backends.tasks.scores import best_first
from worker.backends.tasks.task import Answer, refuse_all
from worker.backends.weights import Loaded

#: Models that choose an answer; all others write one.
_CHOOSING = ("vilt",)
#: Models that write from the image alone.
_UNPROMPTED = ("vision-encoder-decoder", "pix2struct")
_AS_ASKED = (
    "max_new_tokens", "min_new_tokens", "num_beams", "length_penalty", "no_repeat_ngram_size", "repetition_penalty",
)  # fmt: skip


class VisualQuestionAnswering(ImageTask):
    auto_class = "AutoModelForVisualQuestionAnswering"
    processor_class = "AutoProcessor"

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        self._limit = loaded.limit
        self._chooses = self.config.model_type in _CHOOSING

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        return [self._checked(self._ask(row), parameters) for row in rows]

    def _ask(self, row: Inputs) -> Prepared | InputError:
        question = row["question"]
        if not refusals.is_unicode(question):
            return refusals.half_a_character()
        return self.pictures.prepare(
            row["image"],
            lambda image: self.pictures.processor(images=image, text=question, return_tensors="pt"),
            most_patches=self.most_patches,
        )

    def _checked(self, row: Prepared | InputError, parameters: Parameters) -> Prepared | InputError:
        if isinstance(row, InputError):
            return row
        tokens = row.payload.tensors["input_ids"].shape[1]
        if tokens > self._limit:
            return refusals.rejected(f"The question has {tokens} tokens; the model takes {self._limit}.", "question")
        return Prepared(row.payload, row.length + int(tokens), 1 if self._chooses else beams(self, parameters))

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        return super().bake(rows, parameters, context) if self._chooses else self._written(rows, parameters)

    def _written(self, rows: Sequence[Prepared], parameters: Parameters) -> list[Answer]:
        return [[{"answer": text, "score": None}] for text in written(self, rows, parameters)]

    def answers(self, output: Any, rows: Sequence[Any], parameters: Parameters) -> list[Answer]:
        scores = output.logits.float().cpu().sigmoid()
        return [
            best_first(self.config.id2label, row, parameters["top_k"], of="image", called="answer") for row in scores
        ]


class ImageToText(ImageTask):
    auto_class = "AutoModelForImageTextToText"
    processor_class = "AutoProcessor"
    #: What a row takes is what it writes, and nobody knows that before.
    rehearses = False

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        if refusal := self._refusal(parameters):
            return refuse_all(rows, refusal)
        return [self._prepare(row, parameters) for row in rows]

    def _refusal(self, parameters: Parameters) -> InputError | None:
        if refusal := refusals.more_than_most(parameters, parameters["max_new_tokens"]):
            return refusal
        prompt = parameters.get("prompt", "")
        if prompt and self.config.model_type in _UNPROMPTED:
            return refusals.rejected("This model writes from the image alone. Send no prompt.", "parameters.prompt")
        if not refusals.is_unicode(prompt):
            return refusals.half_a_character()
        return None

    def _prepare(self, row: Inputs, parameters: Parameters) -> Prepared | InputError:
        found = self.pictures.prepare(
            row["image"],
            lambda image: self._tensors(image, parameters.get("prompt")),
            most_patches=self.most_patches,
        )
        return (
            found if isinstance(found, InputError) else dataclasses.replace(found, sequences=beams(self, parameters))
        )

    def _tensors(self, image: Any, prompt: str | None) -> Any:
        processor = self.pictures.processor
        if prompt is None:
            return processor.image_processor(images=image, return_tensors="pt")
        if self.config.model_type != "git":
            return processor(images=image, text=prompt, return_tensors="pt")
        # It was trained on texts without an end, and its tokenizer writes one.
        words = processor.tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
        begun = torch.cat([torch.tensor([[processor.tokenizer.cls_token_id]]), words], dim=1)
        return {**processor.image_processor(images=image, return_tensors="pt"), "input_ids": begun}

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        return [[{"generated_text": text}] for text in written(self, rows, parameters)]

    def answers(self, output: Any, rows: Sequence[Any], parameters: Parameters) -> list[Answer]:
        raise NotImplementedError


def beams(task: ImageTask, parameters: Parameters) -> int:
    """Texts that are written side by side for a picture."""
    own = task.pictures.model.generation_config
    return int(parameters.get("num_beams") or (own and own.num_beams) or 1)


def written(task: ImageTask, rows: Sequence[Prepared], parameters: Parameters) -> list[str]:
    """What the model writes about each picture: the likeliest words."""
    options = {name: parameters[name] for name in _AS_ASKED if name in parameters}
    texts = [""] * len(rows)
    tokenizer = task.pictures.processor.tokenizer
    for places, tokens in task.pictures.generate([row.payload for row in rows], do_sample=False, **options):
        for place, text in zip(places, tokenizer.batch_decode(tokens, skip_special_tokens=True), strict=True):
            texts[place] = text.strip()
    return texts
