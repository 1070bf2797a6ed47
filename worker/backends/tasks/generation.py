"""Text that a causal language model writes, for all rows of a bake at once."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import torch

from contract.errors import ErrorCode, InputError
from worker.backends import refusals, turns
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.beams import write_beams
from worker.backends.choosing import choice, never, samples
from worker.backends.decoding import Decoder
from worker.backends.key_values import bytes_of_a_token
from worker.backends.several import Several, alternatives, next_turn, side_by_side
from worker.backends.tasks.task import Answer, Example, WritingTask, refuse_all
from worker.backends.weights import Loaded, corrupt
from worker.backends.writing import Row, Writers, longest

_TRIAL_TOKENS = 24


@dataclasses.dataclass(frozen=True)
class Prompt:
    tokens: list[int]
    #: As the caller wrote it; None for messages.
    text: str | None


class TextGeneration(WritingTask):
    auto_class = "AutoModelForCausalLM"

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
        short = {**turns.of_an_example(parameters), "max_new_tokens": 4, "min_new_tokens": 0}
        if self._tokenizer.chat_template:
            return inputs, short
        return {"text": inputs["messages"][-1]["content"]}, short

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

    def most(self, parameters: Parameters) -> int:
        return longest(parameters, self._positions)

    def _refusal(self, parameters: Parameters) -> InputError | None:
        most = self.most(parameters)
        beams = parameters.get("num_beams", 1)
        if refusal := refusals.of_writing(parameters, most, beams, draws=samples(parameters)):
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
        most = self.most(parameters)
        room = min(self._limit, self._positions - most)
        if len(tokens) > room and not parameters["truncation"]:
            return self._too_long(len(tokens), most)
        prompt = Prompt(self._end_of(tokens, room, row), row.get("text"))
        # What it may grow to, since that is what its keys and values take in memory.
        return Prepared(prompt, len(prompt.tokens) + most, side_by_side(parameters))

    def _tokens(self, row: Inputs, parameters: Parameters) -> list[int] | InputError:
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
            if not refusals.is_unicode(row["text"]):
                raise refusals.half_a_character()
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
        decode = functools.partial(self._decode, skip_special_tokens=parameters["skip_special_tokens"])
        stops, several = parameters.get("stop", ()), parameters.get("num_return_sequences", 1)
        prompts = [row.payload for row in rows]
        texts = [[Row(decode, stops) for _ in range(several)] for _ in rows]
        asked = dataclasses.replace(context, job_ids=list(context.job_ids) or [""] * len(rows))
        write = self._write_beams if parameters.get("num_beams", 1) > 1 else self._write
        write(prompts, texts, parameters, asked)
        return [_answer(prompt, each, parameters) for prompt, each in zip(prompts, texts, strict=True)]

    def _write(
        self, prompts: Sequence[Prompt], texts: Sequence[list[Row]], parameters: Parameters, context: Context
    ) -> None:
        all_texts = Several(texts, context, lambda number: _answer(prompts[number], texts[number], parameters))
        writers = Writers(
            all_texts.texts, all_texts.job_ids, all_texts.context, ends=self._end_tokens, over=all_texts.hand_in
        )
        chosen = choice(parameters, self._end_tokens, never(self._tokenizer, parameters))
        for numbers in self._together(prompts):
            places = all_texts.places(numbers)
            writers.write(
                self._decoder,
                places,
                [prompts[all_texts.owners[place]].tokens for place in places],
                chosen,
                [all_texts.dice(place, parameters) for place in places],
                self.most(parameters),
            )

    def _write_beams(
        self, prompts: Sequence[Prompt], texts: Sequence[list[Row]], parameters: Parameters, context: Context
    ) -> None:
        for numbers in self._together(prompts):
            write_beams(
                self._decoder.model,
                self._tokenizer,
                [prompts[number].tokens for number in numbers],
                [texts[number] for number in numbers],
                parameters,
                dataclasses.replace(context, job_ids=[context.job_ids[number] for number in numbers]),
                ends=self._end_tokens,
                most=self.most(parameters),
            )

    def _together(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Rows that may share forward passes: all, or those with prompts of one length."""
        if not self._decoder.minds_padding:
            return [list(range(len(prompts)))]
        groups: dict[int, list[int]] = {}
        for number, prompt in enumerate(prompts):
            groups.setdefault(len(prompt.tokens), []).append(number)
        return list(groups.values())

    def _decode(self, tokens: list[int], *, skip_special_tokens: bool) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=skip_special_tokens))


def _end_tokens(loaded: Loaded) -> frozenset[int]:
    """What ends an answer: the model's own end tokens, and its tokenizer's, which chat models often have alone."""
    own = loaded.model.generation_config.eos_token_id
    own = own if isinstance(own, list) else [own]
    return frozenset(token for token in [*own, loaded.tokenizer.eos_token_id] if token is not None)


def _answer(prompt: Prompt, texts: Sequence[Row], parameters: Parameters) -> Answer:
    if not all(text.finite for text in texts):
        return refusals.not_finite()
    if prompt.text is None:
        return next_turn(texts, len(prompt.tokens))
    before = prompt.text if parameters["return_full_text"] else ""
    first, *others = [before + text.text() for text in texts]
    return {"generated_text": first, **alternatives(others)}
