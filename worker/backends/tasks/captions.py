"""Words about an image: chosen among known answers, or written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.tasks.images import ImageTask
from worker.backends.tasks.scores import best_first
from worker.backends.tasks.task import Answer
from worker.backends.weights import Loaded

#: Models that choose an answer; all others write one.
_CHOOSING = ("vilt",)
_ANSWER_TOKENS = 20


class VisualQuestionAnswering(ImageTask):
    auto_class = "AutoModelForVisualQuestionAnswering"
    processor_class = "AutoProcessor"

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        self._limit = loaded.limit
        self._chooses = self.config.model_type in _CHOOSING

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        return [self._checked(self._ask(row)) for row in rows]

    def _ask(self, row: Inputs) -> Prepared | InputError:
        question = row["question"]
        if not refusals.is_unicode(question):
            return refusals.half_a_character()
        return self.pictures.prepare(
            row["image"],
            lambda image: self.pictures.processor(images=image, text=question, return_tensors="pt"),
            most_patches=self.most_patches,
        )

    def _checked(self, row: Prepared | InputError) -> Prepared | InputError:
        if isinstance(row, InputError):
            return row
        tokens = row.payload.tensors["input_ids"].shape[1]
        if tokens > self._limit:
            return refusals.rejected(f"The question has {tokens} tokens; the model takes {self._limit}.", "question")
        return Prepared(row.payload, row.length + int(tokens))

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        return super().bake(rows, parameters, context) if self._chooses else self._written(rows)

    def _written(self, rows: Sequence[Prepared]) -> list[Answer]:
        texts = written(self, rows, max_new_tokens=_ANSWER_TOKENS)
        return [[{"answer": text, "score": None}] for text in texts]

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

    def process(self, image: Any) -> Any:
        return self.pictures.processor.image_processor(images=image, return_tensors="pt")

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        texts = written(self, rows, max_new_tokens=parameters["max_new_tokens"])
        return [[{"generated_text": text}] for text in texts]

    def answers(self, output: Any, rows: Sequence[Any], parameters: Parameters) -> list[Answer]:
        raise NotImplementedError


def written(task: ImageTask, rows: Sequence[Prepared], **options: Any) -> list[str]:
    """What the model writes about each picture: the likeliest words."""
    texts = [""] * len(rows)
    tokenizer = task.pictures.processor.tokenizer
    for places, tokens in task.pictures.generate([row.payload for row in rows], do_sample=False, **options):
        for place, text in zip(places, tokenizer.batch_decode(tokens, skip_special_tokens=True), strict=True):
            texts[place] = text.strip()
    return texts
