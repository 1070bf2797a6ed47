"""Texts through an encoder: tokenized once without padding, padded once, and one forward pass.

A row may bring many sequences (labels, sentences, windows) and cannot be split by the planner, so what
exceeds `_PIECE` padded tokens runs in pieces; a microbatch of the usual budget is always one piece.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from contract.errors import ErrorCode, InputError
from worker.backends import refusals
from worker.backends.holding import of_layers
from worker.backends.onnx_model import OnnxModel
from worker.backends.weights import Loaded, corrupt, text_config

_PIECE = 16_384

#: As it was written, or as its words.
Text = str | Sequence[str]
#: One tokenized sequence: input_ids and what else its tokenizer gives, a list each.
Encoding = dict[str, Any]


def first_output(output: Any) -> torch.Tensor:
    """The logits where there are any, else the hidden states."""
    first: torch.Tensor = output[0]
    return first


class Encoder:
    """`reads`: the tensor, (rows, tokens, ...) or (rows, ...), that its task reads of the model's output."""

    def __init__(self, loaded: Loaded, *, reads: Callable[[Any], torch.Tensor] = first_output) -> None:
        self.model = loaded.model
        self.reads = reads
        self.tokenizer = loaded.tokenizer
        self.limit = loaded.limit
        self._takes = _taken_by(loaded.model)
        #: What a pass holds of each padded token at most.
        self.token_bytes = _bytes_of_a_token(loaded.model)
        #: What stands in padding; what else a tokenizer gives, it pads itself.
        self._fills = _fills(loaded.tokenizer)
        if loaded.tokenizer.num_special_tokens_to_add(pair=True) >= loaded.limit:
            raise corrupt(f"max_tokens is {loaded.limit}, which leaves no room for a text. Raise it.")

    def compute_with(self, model: Any) -> None:
        """Take another model from here on, which is called like the first: an OnnxModel.

        Its one output is what was read of the first model's.
        """
        self.model = model
        self.reads = first_output
        self._takes = _taken_by(model)

    def batch(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """Texts as the tensors that the model takes."""
        encodings = [row for row in self.encode(texts, truncation=True) if not isinstance(row, InputError)]
        return {name: tensor for name, tensor in self.padded(encodings).items() if name in self._takes}

    def encode(
        self,
        texts: Sequence[Text],
        pairs: Sequence[str] | None = None,
        *,
        truncation: bool | None,
        strategy: str = "longest_first",
        **options: Any,
    ) -> list[Encoding | InputError]:
        """Tokenize all texts in one call; then again, cut, those too long for the model where that is asked.

        `truncation` is None where a task never cuts, and does not ask for it.
        With `is_split_into_words` among the options texts are words, and encodings say which a token belongs to.
        """
        readable = [_is_readable(text) for text in texts]
        if pairs is not None:
            readable = [ok and refusals.is_unicode(pair) for ok, pair in zip(readable, pairs, strict=True)]
        clean = [text if ok else _blank(text) for text, ok in zip(texts, readable, strict=True)]
        clean_pairs = [pair if ok else "" for pair, ok in zip(pairs, readable, strict=True)] if pairs else None
        batch = self._tokenize(clean, clean_pairs, **options)
        found: list[Encoding | InputError] = []
        for index, ok in enumerate(readable):
            encoding: Encoding | InputError = refusals.half_a_character()
            if ok:
                encoding = self._checked(_row(batch, index), is_cut=truncation is not None)
            if truncation and _is_too_long(encoding):
                pair = clean_pairs[index] if clean_pairs else None
                encoding = self._cut(clean[index], pair, strategy, **options)
            found.append(encoding)
        return found

    def _tokenize(self, texts: Sequence[Text], pairs: Sequence[str] | None, **options: Any) -> Any:
        batch = self.tokenizer(list(texts), pairs, return_attention_mask=True, verbose=False, **options)
        if options.get("is_split_into_words"):
            batch["word_ids"] = [batch.word_ids(row) for row in range(len(batch["input_ids"]))]
        return batch

    def _checked(self, encoding: Encoding, *, is_cut: bool) -> Encoding | InputError:
        length = len(encoding["input_ids"])
        if length > self.limit:
            return refusals.too_long(length, self.limit, is_cut=is_cut)
        return encoding if length else refusals.nothing_left()

    def _cut(self, text: Text, pair: str | None, strategy: str, **options: Any) -> Encoding | InputError:
        if strategy == "only_first" and not self._room_for(pair or ""):
            return refusals.rejected("The second text alone is longer than the model takes. Shorten it.")
        pairs = None if pair is None else [pair]
        cut = self._tokenize([text], pairs, truncation=strategy, max_length=self.limit, **options)
        return _row(cut, 0)

    def _room_for(self, pair: str) -> bool:
        tokens = len(self.tokenizer(pair, add_special_tokens=False, verbose=False)["input_ids"])
        return bool(tokens + self.tokenizer.num_special_tokens_to_add(pair=True) < self.limit)

    def windows(self, texts: Sequence[Text], stride: int, **options: Any) -> list[list[Encoding] | InputError]:
        """Each text as overlapping sequences of the greatest length the model takes."""
        readable = [_is_readable(text) for text in texts]
        clean = [text if ok else _blank(text) for text, ok in zip(texts, readable, strict=True)]
        batch = self._tokenize(
            clean,
            None,
            truncation=True,
            max_length=self.limit,
            stride=stride,
            return_overflowing_tokens=True,
            **options,
        )
        found: list[list[Encoding]] = [[] for _ in texts]
        for index, owner in enumerate(batch.pop("overflow_to_sample_mapping")):
            found[owner].append(_row(batch, index))
        return [rows if ok else refusals.half_a_character() for rows, ok in zip(found, readable, strict=True)]

    def run(self, sequences: Sequence[Encoding]) -> Iterator[tuple[list[int], Any, torch.Tensor]]:
        """Positions in `sequences`, the model's output for them, and their attention mask: piece by piece."""
        extra = {"use_cache": False} if "use_cache" in self._takes else {}
        for positions in _pieces([len(sequence["input_ids"]) for sequence in sequences]):
            batch = self.padded([sequences[position] for position in positions])
            inputs = {name: tensor for name, tensor in batch.items() if name in self._takes}
            yield positions, self.model(**inputs, **extra), batch["attention_mask"]

    def padded(self, sequences: Sequence[Encoding]) -> dict[str, torch.Tensor]:
        """Sequences as tensors of one width on the device, their attention mask among them."""
        names = [name for name in self.tokenizer.model_input_names if name in sequences[0]]
        names = list(dict.fromkeys([*names, "attention_mask"]))
        columns = {name: [sequence[name] for sequence in sequences] for name in names}
        if self._fills.keys() >= columns.keys():
            padded = {name: self._filled(rows, self._fills[name]) for name, rows in columns.items()}
        else:
            bare = [{name: sequence[name] for name in names} for sequence in sequences]
            padded = self.tokenizer.pad(bare, padding=True, return_tensors="pt")
        return {name: tensor.to(self.model.device) for name, tensor in padded.items()}

    def _filled(self, rows: Sequence[list[int]], fill: int) -> torch.Tensor:
        """Rows of numbers as one tensor: what `tokenizer.pad` does, in a tenth of the time."""
        longest = max(map(len, rows))
        if self.tokenizer.padding_side == "left":
            return torch.tensor([[fill] * (longest - len(row)) + row for row in rows])
        return torch.tensor([row + [fill] * (longest - len(row)) for row in rows])

    def logits(self, sequences: Sequence[Encoding]) -> torch.Tensor:
        """One row of scores a sequence, float32 on the CPU, in order."""
        rows: list[Any] = [None] * len(sequences)
        for positions, output, _ in self.run(sequences):
            for position, row in zip(positions, output.logits.float().cpu(), strict=True):
                rows[position] = row
        return torch.stack(rows)

    def per_token(self, sequences: Sequence[Encoding]) -> list[torch.Tensor]:
        """What is read of each sequence (logits or hidden states) without its padding, float32 on the CPU."""
        rows: list[Any] = [None] * len(sequences)
        for positions, output, mask in self.run(sequences):
            for position, row, kept in zip(
                positions, self.reads(output).float().cpu(), mask.bool().cpu(), strict=True
            ):
                rows[position] = row[kept]
        return rows


def _is_readable(text: Text) -> bool:
    return refusals.is_unicode(text) if isinstance(text, str) else all(map(refusals.is_unicode, text))


def _blank(text: Text) -> Text:
    """What stands in for one that no tokenizer takes."""
    return "" if isinstance(text, str) else [""]


def _fills(tokenizer: Any) -> dict[str, int]:
    fills = {
        "input_ids": tokenizer.pad_token_id,
        "attention_mask": 0,
        "token_type_ids": tokenizer.pad_token_type_id,
    }
    return {name: fill for name, fill in fills.items() if fill is not None}


def _taken_by(model: Any) -> set[str]:
    return model.takes if isinstance(model, OnnxModel) else set(inspect.signature(model.forward).parameters)


def _bytes_of_a_token(model: Any) -> int:
    """What its layers hold of it, and a score of each word."""
    config, itemsize = text_config(model.config), model.dtype.itemsize
    words = config.vocab_size if model.get_output_embeddings() is not None else 0
    return int(of_layers(config, itemsize) + itemsize * words)


def _row(batch: Any, index: int) -> Encoding:
    return {name: values[index] for name, values in batch.items()}


def _is_too_long(encoding: Encoding | InputError) -> bool:
    return isinstance(encoding, InputError) and encoding.code is ErrorCode.INPUT_TOO_LONG


def _pieces(lengths: Sequence[int]) -> list[list[int]]:
    """Positions in the order given where they fit together; else longest first, split."""
    if len(lengths) * max(lengths) <= _PIECE:
        return [list(range(len(lengths)))]
    pieces: list[list[int]] = []
    longest = 0
    for position in sorted(range(len(lengths)), key=lambda position: -lengths[position]):
        if not pieces or longest * (len(pieces[-1]) + 1) > _PIECE:
            pieces.append([])
            longest = lengths[position]
        pieces[-1].append(position)
    return pieces
