"""Pages read by a model that looks at them and writes the answer: Donut, and what is prompted as it is."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import torch

from contract.errors import InputError
from models.media.documents import Page
from worker.backends import refusals
from worker.backends.backend import Context, Parameters, Prepared
from worker.backends.generating import configured, most_tokens, write
from worker.backends.tasks.task import Answer
from worker.backends.weights import Loaded, corrupt

_PROMPT = "<s_docvqa><s_question>{}</s_question><s_answer>"
_ANSWER = re.compile(r"<s_answer>(.*)</s_answer>")
_TAG = re.compile(r"<.*?>")


@dataclasses.dataclass(frozen=True)
class Asked:
    """One row: the tokens that every page's answer goes on from, and a picture of each page."""

    prompt: list[int]
    pages: list[Any]
    is_pdf: bool


class Writer:
    looks = True

    def __init__(self, loaded: Loaded) -> None:
        if getattr(loaded.model.config, "encoder", None) is None:
            raise corrupt(
                "Models that write answers about documents are served where they are prompted as Donut is. Choose "
                "one of its kind, or the task image-text-to-text."
            )
        self._model = loaded.model
        self._tokenizer = loaded.tokenizer
        self._limit = loaded.limit
        self._pictures = loaded.processor.image_processor

    def prepare(
        self,
        question: str,
        pages: Sequence[Page],
        parameters: Parameters,
        *,
        is_pdf: bool,
    ) -> Prepared | InputError:
        tokens = self._tokenizer(_PROMPT.format(question), add_special_tokens=False, verbose=False)["input_ids"]
        if len(tokens) >= self._limit:
            return refusals.rejected(
                f"The question has {len(tokens)} tokens with its frame; the model takes {self._limit}. Shorten it.",
                "inputs.question",
            )
        # Pictures and not what a processor makes of them, which is ten times as large for each page.
        asked = Asked(list(tokens), [page.picture for page in pages], is_pdf)
        return Prepared(asked, len(tokens) + self._most(asked, parameters), len(pages))

    def _most(self, asked: Asked, parameters: Parameters) -> int:
        return min(most_tokens(self._model.generation_config, parameters), self._limit - len(asked.prompt))

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        job_ids = list(context.job_ids) or [""] * len(rows)
        return [
            self._row(row.payload, parameters, dataclasses.replace(context, job_ids=[job_id]))
            for row, job_id in zip(rows, job_ids, strict=True)
        ]

    def _row(self, asked: Asked, parameters: Parameters, context: Context) -> Answer:
        """An answer for each page that has one: page by page, so that one page's pixels are held at a time."""
        listed: list[dict[str, Any]] = []
        for number, picture in enumerate(asked.pages, 1):
            text = self._written(asked, picture, parameters, context)
            if text is None:
                return refusals.not_finite("document")
            if text:
                answer = {"answer": text, "score": None}
                listed.append({**answer, "page": number} if asked.is_pdf else answer)
        return listed[: parameters["top_k"]] or [{"answer": "", "score": None}]

    def _written(self, asked: Asked, picture: Any, parameters: Parameters, context: Context) -> str | None:
        own = self._model.generation_config
        pixels = self._pictures(images=picture, return_tensors="pt")["pixel_values"]
        inputs = {
            "pixel_values": pixels.to(self._model.device, self._model.dtype),
            "decoder_input_ids": torch.tensor([asked.prompt], device=self._model.device),
        }
        greedy = {"num_beams": own.num_beams or 1}
        config = configured(own, greedy, most=self._most(asked, parameters))
        [tokens] = write(self._model, inputs, config, greedy, context)
        return None if tokens is None else self._answer(tokens)

    def _answer(self, tokens: list[int]) -> str:
        """What stands between the tags of an answer; nothing where the model does not close it."""
        text = str(self._tokenizer.decode(tokens))
        for token in (self._tokenizer.eos_token, self._tokenizer.pad_token):
            text = text.replace(token, "")
        found = _ANSWER.search(_TAG.sub("", text, count=1))
        return found.group(1).strip() if found else ""
