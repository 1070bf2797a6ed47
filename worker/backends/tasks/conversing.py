"""Text about images and words together: each row is generated alone, as its images make it a shape of its own."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import torch

from contract.errors import ErrorCode, InputError
from worker.backends import refusals, turns
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.choosing import samples
from worker.backends.generating import Listener, configured, write
from worker.backends.tasks.task import Answer, TaskModel, refuse_all
from worker.backends.weights import Loaded, corrupt
from worker.backends.writing import Row

#: What a processor raises for words and images that do not fit each other, or a picture of no good shape.
_PROCESSOR_ERRORS = (ValueError, TypeError, LookupError, ArithmeticError)


@dataclasses.dataclass(frozen=True)
class Prompt:
    #: What the model takes; every tensor's first side is 1, or what its images make of it.
    tensors: dict[str, torch.Tensor]
    chat: bool

    @property
    def tokens(self) -> int:
        return int(self.tensors["input_ids"].shape[1])


class ImageTextToText(TaskModel):
    auto_class = "AutoModelForImageTextToText"
    processor_class = "AutoProcessor"
    # What it writes decides what it costs, and the example writes next to nothing.
    rehearses = False

    def __init__(self, loaded: Loaded) -> None:
        self._model = loaded.model
        self._processor = loaded.processor
        self._tokenizer = loaded.tokenizer
        self._limit = loaded.positions
        if loaded.tokenizer is None or not callable(loaded.processor):
            raise corrupt("This checkpoint has no processor for words and images together. Is it image-to-text's?")
        own = loaded.model.generation_config.eos_token_id
        self._ends = {*(own if isinstance(own, list) else [own]), loaded.tokenizer.eos_token_id} - {None}

    def draws(self, parameters: Parameters) -> bool:
        return samples(parameters)

    def example(self, inputs: Inputs, parameters: Parameters) -> tuple[Inputs, Parameters]:
        return inputs, {**parameters, "max_new_tokens": 4, "min_new_tokens": 0, "continue_final_message": False}

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        most = parameters["max_new_tokens"]
        if parameters.get("min_new_tokens", 0) > most:
            sentence = f"min_new_tokens is above max_new_tokens, which is {most}."
            return refuse_all(rows, refusals.rejected(sentence, "parameters.min_new_tokens"))
        return [self._prepare(row, most, parameters) for row in rows]

    def _prepare(self, row: Inputs, most: int, parameters: Parameters) -> Prepared | InputError:
        try:
            prompt = Prompt(self._tensors(row, parameters), "messages" in row)
        except InputError as refused:
            return refused
        except _PROCESSOR_ERRORS:
            return refusals.rejected("This model cannot take these words and images together. Send others.")
        if prompt.tokens + most > self._limit:
            return InputError(
                ErrorCode.INPUT_TOO_LONG,
                f"This prompt has {prompt.tokens} tokens, images and all, and max_new_tokens is {most}; the model "
                f"takes {self._limit} for both. Shorten it, or ask for fewer new tokens.",
                details={"tokens": prompt.tokens, "limit": self._limit - most},
            )
        return Prepared(prompt, prompt.tokens + most)

    def _tensors(self, row: Inputs, parameters: Parameters) -> dict[str, torch.Tensor]:
        turns.none_of_text(row, parameters)
        images = [image.decoded() for image in row.get("images", ())]
        messages = _messages(row, images)
        if not all(refusals.is_unicode(text) for text in _texts(messages)):
            raise refusals.half_a_character()
        if getattr(self._processor, "chat_template", None):
            text = turns.rendered(self._processor, messages, parameters)
        elif "messages" in row:
            raise refusals.rejected(
                "This model has no chat template. Send inputs.text in place of inputs.messages.", "inputs.messages"
            )
        else:
            # As the model was trained to read a place of an image, before the words where the words name none.
            token = getattr(self._processor, "image_token", "") or ""
            text = row["text"] if token and token in row["text"] else token * len(images) + row["text"]
        found = self._processor(images=images or None, text=text, return_tensors="pt")
        return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        job_ids = list(context.job_ids) or [""] * len(rows)
        return [
            self._answer(row.payload, parameters, dataclasses.replace(context, job_ids=[job_id]))
            for row, job_id in zip(rows, job_ids, strict=True)
        ]

    def _answer(self, prompt: Prompt, parameters: Parameters, context: Context) -> Answer:
        asked = {"num_beams": 1, **parameters}
        stops = list(parameters.get("stop", ()))
        more = {"stop_strings": stops or None, "eos_token_id": sorted(self._ends) or None}
        config = configured(self._model.generation_config, asked, most=parameters["max_new_tokens"], **more)
        inputs = {name: self._placed(tensor) for name, tensor in prompt.tensors.items()}
        extra = {"tokenizer": self._tokenizer} if stops else {}
        decode = functools.partial(self._decode, skip_special_tokens=parameters["skip_special_tokens"])
        row = Row(decode, stops)
        listener = Listener(row, self._ends, context)
        [tokens] = write(self._model, inputs, config, asked, context, streamer=listener, **extra)
        return refusals.not_finite("prompt") if tokens is None else _told(prompt, row)

    def _placed(self, tensor: torch.Tensor) -> torch.Tensor:
        dtype = self._model.dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.to(self._model.device, dtype)

    def _decode(self, tokens: list[int], *, skip_special_tokens: bool) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=skip_special_tokens))


def _told(prompt: Prompt, row: Row) -> Answer:
    return row.next_turn(prompt.tokens) if prompt.chat else {"generated_text": row.text()}


def _messages(row: Inputs, images: list[Any]) -> list[dict[str, Any]]:
    """The conversation with all contents as parts; raises InputError where places and images differ in number."""
    if "text" in row:
        parts = [*({"type": "image"} for _ in images), {"type": "text", "text": row["text"]}]
        return [{"role": "user", "content": parts}]
    messages = [
        {**said, "content": [{"type": "text", "text": content}] if isinstance(content, str) else content}
        for said in row["messages"]
        for content in [said["content"]]
    ]
    places = sum(part["type"] == "image" for said in messages for part in said["content"])
    if images and not places:
        # As a form sends them: the images belong to what is said first.
        first = next((said for said in messages if said["role"] == "user"), messages[0])
        first["content"] = [*({"type": "image"} for _ in images), *first["content"]]
    elif places != len(images):
        raise refusals.rejected(
            f"The messages have {places} places for images, and {len(images)} images came. Send a part of "
            '{"type": "image"} for each.',
            "inputs.images",
        )
    return messages


def _texts(messages: list[dict[str, Any]]) -> list[str]:
    return [part["text"] for said in messages for part in said["content"] if part["type"] == "text"]
