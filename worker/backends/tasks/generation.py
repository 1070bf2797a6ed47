"""Text that a causal language model writes, for all rows of a bake at once."""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Sequence

import torch

from contract.errors import ErrorCode, InputError
from worker.backends import refusals, turns
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.choosing import choice, samples, seed_of
from worker.backends.decoding import Decoder
from worker.backends.key_values import bytes_of_a_token
from worker.backends.tasks.task import Answer, Example, TaskModel, refuse_all
from worker.backends.weights import Loaded, corrupt
from worker.backends.writing import STEP, Row, Writers

_TRIAL_TOKENS = 24


@dataclasses.dataclass(frozen=True)
class Prompt:
    tokens: list[int]
    #: As the caller wrote it; None for messages.
    text: str | None


class TextGeneration(TaskModel):
    auto_class = "AutoModelForCausalLM"
    # What it writes decides what it costs, and the example writes next to nothing.
    rehearses = False
    # Each pass reads all weights whatever the number of rows, so many rows together: 30 of 256 tokens.
    usual_budget = 8192

    def __init__(self, loaded: Loaded) -> None:
        self._tokenizer = loaded.tokenizer
        self._limit = loaded.limit
        self._positions = loaded.positions
        if any(name.endswith("ForMaskedLM") for name in loaded.model.config.architectures or ()):
            raise corrupt(
                "This checkpoint fills masks; it was not trained to write text. "
                "Choose a causal language model, or the task fill-mask."
            )
        self._end_tokens = _end_tokens(loaded)
        self._decoder = Decoder(loaded.model, loaded.tokenizer.pad_token_id)
        self.token_bytes = bytes_of_a_token(loaded.model)

    def example(self, inputs: Inputs, parameters: Parameters) -> Example:
        short = {**parameters, "max_new_tokens": 4, "min_new_tokens": 0, "continue_final_message": False}
        if self._tokenizer.chat_template:
            return inputs, short
        return {"text": inputs["messages"][-1]["content"]}, short

    def draws(self, parameters: Parameters) -> bool:
        return samples(parameters)

    def overhead(self, parameters: Parameters) -> int:
        return STEP * int(parameters["max_new_tokens"])

    def trial(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """Of prompts that are read, and of a token that is written after them."""
        room = min(self._limit, self._positions - 1, _TRIAL_TOKENS)
        read = [self._tokenizer(text, verbose=False)["input_ids"][:room] for text in texts]
        prompts = [tokens for tokens in read if tokens]
        sheet = self._decoder.start(prompts[:1] if self._decoder.minds_padding else prompts)
        scores = sheet.scores()
        sheet.write(sheet.tokens[:, -1].tolist())
        return [scores, sheet.scores()]

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        if refusal := self._refusal(parameters):
            return refuse_all(rows, refusal)
        return [self._prepare(row, parameters) for row in rows]

    def _refusal(self, parameters: Parameters) -> InputError | None:
        most = parameters["max_new_tokens"]
        if refusal := refusals.more_than_most(parameters, most):
            return refusal
        if most >= self._positions:
            return refusals.rejected(
                f"max_new_tokens must be below {self._positions}, what this model takes for prompt and answer.",
                "parameters.max_new_tokens",
            )
        return None

    def _prepare(self, row: Inputs, parameters: Parameters) -> Prepared | InputError:
        tokens = self._tokens(row, parameters)
        if isinstance(tokens, InputError):
            return tokens
        most = parameters["max_new_tokens"]
        room = min(self._limit, self._positions - most)
        if len(tokens) > room and not parameters["truncation"]:
            return self._too_long(len(tokens), most)
        prompt = Prompt(self._end_of(tokens, room, row), row.get("text"))
        # What it may grow to, since that is what its keys and values take in memory.
        return Prepared(prompt, len(prompt.tokens) + most)

    def _tokens(self, row: Inputs, parameters: Parameters) -> list[int] | InputError:
        if not all(refusals.is_unicode(text) for text in _texts(row)):
            return refusals.half_a_character()
        try:
            rendered = self._rendered(row, parameters)
        except InputError as refused:
            return refused
        # A chat template writes the special tokens itself.
        add_special_tokens = "text" in row
        encoding = self._tokenizer(rendered, add_special_tokens=add_special_tokens, verbose=False)
        return list(encoding["input_ids"]) or refusals.nothing_left()

    def _rendered(self, row: Inputs, parameters: Parameters) -> str:
        if "text" in row:
            turns.none_of_text(row, parameters)
            return str(row["text"])
        if not self._tokenizer.chat_template:
            raise refusals.rejected(
                "This model has no chat template. Send inputs.text in place of inputs.messages.", "inputs.messages"
            )
        return turns.rendered(self._tokenizer, row["messages"], parameters)

    def _too_long(self, tokens: int, most: int) -> InputError:
        if tokens > self._limit:
            return refusals.too_long(tokens, self._limit, "This prompt")
        return InputError(
            ErrorCode.INPUT_TOO_LONG,
            f"This prompt has {tokens} tokens and max_new_tokens is {most}; the model takes {self._positions} for "
            "both. Shorten it, ask for fewer new tokens, or send truncation: true.",
            details={"tokens": tokens, "limit": self._positions - most},
        )

    def _end_of(self, tokens: list[int], room: int, row: Inputs) -> list[int]:
        """The last `room` tokens, after the token every text of this model begins with, if it has one."""
        if len(tokens) <= room:
            return tokens
        begins = "text" in row and tokens[0] == self._tokenizer.bos_token_id and room > 1
        return [*tokens[:1], *tokens[1 - room :]] if begins else tokens[-room:]

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        job_ids = context.job_ids or [""] * len(rows)
        decode = functools.partial(self._decode, skip_special_tokens=parameters["skip_special_tokens"])
        texts = [Row(decode, parameters.get("stop", ())) for _ in rows]

        def answer(number: int) -> Answer:
            return _answer(rows[number].payload, texts[number], parameters)

        writers = Writers(
            texts,
            job_ids,
            context,
            ends=self._end_tokens,
            over=lambda number: context.done(job_ids[number], answer(number)),
        )
        chosen = choice(parameters, self._end_tokens)
        for numbers in self._together(rows):
            writers.write(
                self._decoder,
                numbers,
                [rows[number].payload.tokens for number in numbers],
                chosen,
                [random.Random(parameters.get("seed", seed_of(job_ids[number]))) for number in numbers],
                parameters["max_new_tokens"],
            )
        return [answer(number) for number in range(len(rows))]

    def _together(self, rows: Sequence[Prepared]) -> list[list[int]]:
        """Rows that may share forward passes: all, or those with prompts of one length."""
        if not self._decoder.minds_padding:
            return [list(range(len(rows)))]
        groups: dict[int, list[int]] = {}
        for number, row in enumerate(rows):
            groups.setdefault(len(row.payload.tokens), []).append(number)
        return list(groups.values())

    def _decode(self, tokens: list[int], *, skip_special_tokens: bool) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=skip_special_tokens))


def _texts(row: Inputs) -> list[str]:
    return [row["text"]] if "text" in row else [message["content"] for message in row["messages"]]


def _end_tokens(loaded: Loaded) -> frozenset[int]:
    """What ends an answer: the model's own end tokens, and its tokenizer's, which chat models often have alone."""
    own = loaded.model.generation_config.eos_token_id
    own = own if isinstance(own, list) else [own]
    return frozenset(token for token in [*own, loaded.tokenizer.eos_token_id] if token is not None)


def _answer(prompt: Prompt, row: Row, parameters: Parameters) -> Answer:
    if not row.finite:
        return refusals.not_finite()
    if prompt.text is not None:
        text = row.text()
        return {"generated_text": prompt.text + text if parameters["return_full_text"] else text}
    return row.next_turn(len(prompt.tokens))
