"""Decisions: the scores of a question's options, read where its prompt ends; nothing is written.

The prompts, their labels and what becomes of the scores are the library's own (transformers.decision).
"""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.decision import DecisionConfig, label_token_ids
from transformers.decision.modeling_utils import DecisionMixin, process_scores

from contract.errors import ErrorCode, InputError
from contract.jsons import dumps
from worker.backends import refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.tasks.task import Answer, TaskModel, spans
from worker.backends.weights import Loaded, corrupt

#: Padded tokens of one forward pass.
_PIECE = 16_384


@dataclasses.dataclass(frozen=True)
class Prompt:
    #: (1, tokens)
    tokens: torch.Tensor
    #: How many tokens stand before each place where an answer is read.
    marks: torch.Tensor
    questions: list[Any]

    @property
    def length(self) -> int:
        return int(self.tokens.shape[1])


class Decision(TaskModel):
    auto_class = "AutoModelForDecision"
    or_classes = ("AutoModelForCausalLM",)

    def __init__(self, loaded: Loaded) -> None:
        self._model = loaded.model
        self._tokenizer = loaded.tokenizer
        self._limit = loaded.limit
        self._heads = isinstance(loaded.model, DecisionMixin)
        self._config = self._configured(loaded)

    def _configured(self, loaded: Loaded) -> Any:
        if self._heads:
            return loaded.model.decision_config
        config = DecisionConfig.from_pretrained(Path(loaded.model.name_or_path), local_files_only=True)
        if config.adapter:
            raise corrupt("The decision.json of this checkpoint names an adapter. Merge it into the weights first.")
        if config.chat_template is None and not loaded.tokenizer.chat_template:
            raise corrupt("This checkpoint has no chat template, in which questions are asked. Choose a chat model.")
        return config

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        return [self._prepare(row) for row in rows]

    def _prepare(self, row: Inputs) -> Prepared | InputError:
        if not refusals.is_unicode(_told(row)):
            return refusals.half_a_character()
        if refusal := self._too_many_options(row["questions"]):
            return refusal
        found = self._config.prepare_inputs({"state": row["state"], "questions": row["questions"]}, self._tokenizer)
        prompts = [Prompt(inputs["input_ids"], inputs["marks"], questions) for inputs, questions in found]
        longest = max(prompt.length for prompt in prompts)
        if longest > self._limit:
            return InputError(
                ErrorCode.INPUT_TOO_LONG,
                f"A question about this state has {longest} tokens; the model takes {self._limit}. Shorten them.",
                details={"tokens": longest, "limit": self._limit},
            )
        return Prepared(prompts, longest, len(prompts))

    def _too_many_options(self, questions: dict[str, Any]) -> InputError | None:
        """A refusal of the first question with more options than this model has labels for."""
        for name, question in questions.items():
            labels = self._labels(question["type"])
            count = 2 if question["type"] == "noul" else len(question["criteria"])
            if count > len(labels) or not self._knows(labels[:count]):
                return refusals.rejected(
                    f"This model cannot tell {count} options of a {question['type']} question apart. Ask with fewer.",
                    f"inputs.questions.{name}.criteria",
                )
        return None

    def _labels(self, kind: str) -> list[str]:
        usual = ["Yes", "No"] if kind == "noul" else list(string.ascii_uppercase)
        return list(self._config.labels.get(kind) or usual)

    def _knows(self, labels: list[str]) -> bool:
        """Whether each label is one token of its own; a head reads other things."""
        if self._heads:
            return True
        try:
            label_token_ids(self._tokenizer, tuple(labels))
        except ValueError:
            return False
        return True

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        prompts = [prompt for row in rows for prompt in row.payload]
        scores = [self._decided(prompt) for prompt in prompts] if self._heads else self._read(prompts)
        parts = [slice(part.start, part.stop) for part in spans(row.sequences for row in rows)]
        return [_answers(prompts[part], scores[part]) for part in parts]

    def _decided(self, prompt: Prompt) -> list[torch.Tensor]:
        tokens = prompt.tokens.to(self._model.device)
        found = self._model.decide(
            input_ids=tokens,
            marks=prompt.marks.to(tokens.device),
            decision_questions=prompt.questions,
            decision_config=self._config,
        )
        return [scores.float().cpu() for scores in found]

    def _read(self, prompts: Sequence[Prompt]) -> list[list[torch.Tensor]]:
        """For each prompt, the scores of each of its questions' options."""
        scores: list[Any] = [None] * len(prompts)
        for places in _pieces(prompts):
            together = [prompts[place] for place in places]
            for place, logits in zip(places, self._logits(together), strict=True):
                scores[place] = self._of_options(prompts[place], logits)
        return scores

    def _logits(self, prompts: Sequence[Prompt]) -> Iterator[torch.Tensor]:
        """(marks, vocabulary) for each prompt: the scores of the token that would come at each of its marks."""
        longest = max(prompt.length for prompt in prompts)
        tokens = torch.full((len(prompts), longest), self._tokenizer.pad_token_id)
        mask = torch.zeros_like(tokens)
        for number, prompt in enumerate(prompts):
            # Padding comes behind what is read, where a model that reads forward never sees it.
            tokens[number, : prompt.length] = prompt.tokens[0]
            mask[number, : prompt.length] = 1
        kept = torch.unique(torch.cat([prompt.marks - 1 for prompt in prompts]))
        device = self._model.device
        output = self._model(
            input_ids=tokens.to(device),
            attention_mask=mask.to(device),
            use_cache=False,
            logits_to_keep=kept.to(device),
        )
        for logits, prompt in zip(output.logits.float().cpu(), prompts, strict=True):
            yield logits[torch.searchsorted(kept, prompt.marks - 1)]

    def _of_options(self, prompt: Prompt, logits: torch.Tensor) -> list[torch.Tensor]:
        labels = [
            row[label_token_ids(self._tokenizer, tuple(question.labels))]
            for row, question in zip(logits, prompt.questions, strict=True)
        ]
        found: list[torch.Tensor] = process_scores(
            self._config, prompt.tokens, prompt.marks, prompt.questions, labels
        )
        return found


def _told(row: Inputs) -> str:
    return "".join(part if isinstance(part, str) else dumps(part) for part in (row["state"], row["questions"]))


def _pieces(prompts: Sequence[Prompt]) -> list[list[int]]:
    """Places of prompts that share a forward pass, longest first."""
    pieces: list[list[int]] = []
    longest = 0
    for place in sorted(range(len(prompts)), key=lambda place: -prompts[place].length):
        if not pieces or longest * (len(pieces[-1]) + 1) > _PIECE:
            pieces.append([])
            longest = prompts[place].length
        pieces[-1].append(place)
    return pieces


def _answers(prompts: Sequence[Prompt], scores: Sequence[list[torch.Tensor]]) -> Answer:
    answers: dict[str, Any] = {}
    for prompt, found in zip(prompts, scores, strict=True):
        for question, options in zip(prompt.questions, found, strict=True):
            if not bool(options.isfinite().all()):
                return refusals.not_finite("state")
            answers[question.name] = question.answer(options.softmax(-1).tolist())
    return answers
