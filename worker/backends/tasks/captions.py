"""Words about an image: chosen among known answers, or written."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.choosing import SAMPLING, dice_of_the_library, samples
from worker.backends.key_values import bytes_of_a_token
from worker.backends.several import side_by_side
from worker.backends.tasks.images import ImageTask
from worker.backends.tasks.scores import best_first
from worker.backends.tasks.task import Answer, refuse_all
from worker.backends.weights import Loaded

#: Models that choose an answer; all others write one.
_CHOOSING = ("vilt",)
#: Models that write from the image alone.
_UNPROMPTED = ("vision-encoder-decoder", "pix2struct")
_AS_ASKED = (
    "max_new_tokens", "min_new_tokens", "num_beams", "length_penalty", "early_stopping", "no_repeat_ngram_size",
    "repetition_penalty", "num_return_sequences", *SAMPLING,
)  # fmt: skip


class VisualQuestionAnswering(ImageTask):
    auto_class = "AutoModelForVisualQuestionAnswering"
    processor_class = "AutoProcessor"

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        self._limit = loaded.limit
        self._chooses = self.config.model_type in _CHOOSING
        if not self._chooses:
            self.token_bytes += bytes_of_a_token(loaded.model)

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
        return [[{"answer": text, "score": None} for text in each] for each in written(self, rows, parameters)]

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

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        # What it writes looks back at every square of the picture.
        self.token_bytes += bytes_of_a_token(loaded.model)

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        if refusal := self._refusal(parameters):
            return refuse_all(rows, refusal)
        return [self._prepare(row, parameters) for row in rows]

    def draws(self, parameters: Parameters) -> bool:
        return samples(parameters)

    def _refusal(self, parameters: Parameters) -> InputError | None:
        most, draws = parameters["max_new_tokens"], samples(parameters)
        if refusal := refusals.of_writing(parameters, most, beams(self, parameters), draws=draws):
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
        if isinstance(found, InputError):
            return found
        return dataclasses.replace(found, sequences=max(beams(self, parameters), side_by_side(parameters)))

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
        found = drawn(self, rows, parameters, context) if samples(parameters) else written(self, rows, parameters)
        return [[{"generated_text": text} for text in each] for each in found]

    def answers(self, output: Any, rows: Sequence[Any], parameters: Parameters) -> list[Answer]:
        raise NotImplementedError


def beams(task: ImageTask, parameters: Parameters) -> int:
    """Texts that are written side by side for a picture."""
    own = task.pictures.model.generation_config
    return int(parameters.get("num_beams") or (own and own.num_beams) or 1)


def written(task: ImageTask, rows: Sequence[Prepared], parameters: Parameters) -> list[list[str]]:
    """What the model writes about each picture: the likeliest words, or several of the best."""
    asked = {name: parameters[name] for name in _AS_ASKED if name in parameters and name not in SAMPLING}
    return _decoded(task, rows, do_sample=False, **asked)


def drawn(task: ImageTask, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[list[str]]:
    """Words that are drawn, picture by picture: each depends on its own seed alone."""
    asked = {name: parameters[name] for name in _AS_ASKED if name in parameters}
    device = task.pictures.model.device
    texts: list[list[str]] = []
    for row, job_id in zip(rows, list(context.job_ids) or [""] * len(rows), strict=True):
        # Asking also says that the pass goes on.
        context.wanted([job_id])
        with dice_of_the_library(parameters, job_id, device):
            texts += _decoded(task, [row], do_sample=True, **asked)
    return texts


def _decoded(task: ImageTask, rows: Sequence[Prepared], **asked: Any) -> list[list[str]]:
    texts: list[list[str]] = [[] for _ in rows]
    several = asked.get("num_return_sequences", 1)
    tokenizer = task.pictures.processor.tokenizer
    for places, tokens in task.pictures.generate([row.payload for row in rows], **asked):
        found = [text.strip() for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]
        for number, place in enumerate(places):
            texts[place] = found[number * several : (number + 1) * several]
    return texts
