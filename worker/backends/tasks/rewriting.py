"""A text read whole and written anew: shorter, in another language, or as the model was trained to."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from contract.errors import InputError
from worker.backends import generating, refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.choosing import never, samples
from worker.backends.encoder import Encoder, Encoding
from worker.backends.key_values import bytes_of_a_token
from worker.backends.languages import Direction, Languages
from worker.backends.several import alternatives, side_by_side
from worker.backends.tasks.task import Answer, Example, WritingTask, refuse_all
from worker.backends.weights import Loaded

_NO_LIMIT = 1 << 30


class Text2TextGeneration(WritingTask):
    auto_class = "AutoModelForSeq2SeqLM"
    # All zeros where a checkpoint leaves them out.
    optional = ("final_logits_bias",)
    #: Under which name the text is given.
    answers_as: ClassVar[str] = "generated_text"

    def __init__(self, loaded: Loaded) -> None:
        self._encoder = Encoder(loaded)
        self._tokenizer = loaded.tokenizer
        self._model = loaded.model
        self._own = loaded.model.generation_config
        self._positions = _positions(loaded.model.config)
        self.token_bytes = bytes_of_a_token(loaded.model)

    def example(self, inputs: Inputs, parameters: Parameters) -> Example:
        return inputs, {**parameters, "max_new_tokens": 4, "min_new_tokens": 0}

    def trial(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """Of texts that are read, and written as they are."""
        read = self._encoder.batch(texts)
        tokens, mask = read["input_ids"], read["attention_mask"]
        written = tokens[:, : self._positions]
        passed = self._model(input_ids=tokens, attention_mask=mask, decoder_input_ids=written, return_dict=True)
        return [passed.logits]

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        if refusal := self._refusal(parameters):
            return refuse_all(rows, refusal)
        encodings = self._encode([row["text"] for row in rows], parameters)
        if isinstance(encodings, InputError):
            return refuse_all(rows, encodings)
        most = self.most(parameters)
        beams = max(generating.beams(self._own, parameters), side_by_side(parameters))
        return [
            # What it reads and what it may write: both have keys and values in every beam.
            row if isinstance(row, InputError) else Prepared(row, len(row["input_ids"]) + most, beams)
            for row in encodings
        ]

    def most(self, parameters: Parameters) -> int:
        # A caller who asks for more is refused; a usual length that is more is cut.
        return min(generating.most_tokens(self._own, parameters), self._positions - 1)

    def _refusal(self, parameters: Parameters) -> InputError | None:
        most = self.most(parameters)
        if parameters.get("max_new_tokens", 0) >= self._positions:
            return refusals.rejected(
                f"max_new_tokens must be below {self._positions}, what this model can write.",
                "parameters.max_new_tokens",
            )
        beams = generating.beams(self._own, parameters)
        return refusals.of_writing(parameters, most, beams, draws=samples(parameters))

    def _encode(self, texts: Sequence[str], parameters: Parameters) -> list[Encoding | InputError] | InputError:
        prefix = self._prefix(parameters)
        return self._encoder.encode([prefix + text for text in texts], truncation=parameters["truncation"])

    def _prefix(self, parameters: Parameters) -> str:
        """What goes before each text."""
        return ""

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        tensors = self._encoder.padded([row.payload for row in rows])
        read = {name: tensors[name] for name in ("input_ids", "attention_mask")}
        most = self.most(parameters)
        more = {"bad_words_ids": never(self._tokenizer, parameters), **self._more(parameters)}
        config = generating.configured(self._own, parameters, most=most, **more)
        written = generating.write(self._model, read, config, parameters, context)
        several = config.num_return_sequences
        each = [written[start : start + several] for start in range(0, len(written), several)]
        return [self._answer(texts, parameters) for texts in each]

    def _more(self, parameters: Parameters) -> dict[str, Any]:
        """What else the library's generation is told."""
        return {}

    def _answer(self, texts: Sequence[list[int] | None], parameters: Parameters) -> Answer:
        """A row's texts, the best first."""
        read = [self._text(tokens, parameters) for tokens in texts if tokens is not None]
        if len(read) < len(texts):
            return refusals.not_finite()
        return {self.answers_as: read[0], **alternatives(read[1:])}

    def _text(self, tokens: list[int], parameters: Parameters) -> str:
        text = self._tokenizer.decode(
            tokens,
            skip_special_tokens=True,
            clean_up_tokenization_spaces=parameters.get("clean_up_tokenization_spaces"),
        )
        return str(text).strip()


class Summarization(Text2TextGeneration):
    answers_as = "summary_text"

    def _prefix(self, parameters: Parameters) -> str:
        config = self._model.config
        said = (getattr(config, "task_specific_params", None) or {}).get("summarization", {})
        usual = "summarize: " if config.model_type == "t5" else ""
        return str(parameters.get("prefix", said.get("prefix", usual)))


class Translation(Text2TextGeneration):
    answers_as = "translation_text"

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        self._languages = Languages(loaded.tokenizer, loaded.model.config)
        # The source language is the tokenizer's, and rows are prepared by more than one thread.
        self._lock = threading.Lock()

    def example(self, inputs: Inputs, parameters: Parameters) -> Example:
        inputs, parameters = super().example(inputs, parameters)
        # Where the pipeline does not say, any will do to prove it.
        return inputs, {**self._languages.some_pair(), **parameters}

    def _encode(self, texts: Sequence[str], parameters: Parameters) -> list[Encoding | InputError] | InputError:
        direction = self._direction(parameters)
        if isinstance(direction, InputError):
            return direction
        prefix = parameters.get("prefix", direction.prefix)
        with self._lock:
            if direction.source is not None:
                self._tokenizer.src_lang = direction.source
            return self._encoder.encode([prefix + text for text in texts], truncation=parameters["truncation"])

    def _direction(self, parameters: Parameters) -> Direction | InputError:
        return self._languages.direction(parameters.get("src_lang"), parameters.get("tgt_lang"))

    def _more(self, parameters: Parameters) -> dict[str, Any]:
        direction = self._direction(parameters)
        if isinstance(direction, InputError) or direction.first_token is None:
            return {}
        return {"forced_bos_token_id": direction.first_token}


def _positions(config: Any) -> int:
    """Tokens that the decoder has positions for."""
    own = getattr(config, "max_decoder_position_embeddings", None) or getattr(config, "max_position_embeddings", None)
    return int(own or _NO_LIMIT)
