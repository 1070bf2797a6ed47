"""A microbatch's texts while a language model writes them: one forward pass a token, for the rows still written.

Prompts are padded on the left, so that all rows write into the same column. A row that is over leaves, and the next
passes are that much cheaper; `generate()` of the library computes it on to the end of the longest.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from worker.backends.key_values import empty_cache

_CACHES = ("past_key_values", "cache_params")


class Decoder:
    """One model's forward passes."""

    def __init__(self, model: Any, padding: int) -> None:
        self.model = model
        self.padding = padding
        self.takes = set(inspect.signature(model.forward).parameters)
        #: Under which name the model takes its cache; None: it has none of the library's, and reads all again.
        self.cache_name = next((name for name in _CACHES if name in self.takes), None)
        #: Whether padding would change what the model writes: its layers keep a state that every token changes.
        self.minds_padding = self.cache_name is None or empty_cache(model.config)[1]

    def start(self, prompts: Sequence[Sequence[int]]) -> Sheet:
        """Rows whose prompts are to be continued; of one length where the model minds padding."""
        return Sheet(self, prompts)


class Sheet:
    """The rows being written: `tokens` and `mask` are (rows, columns), of ids and of 0 for padding."""

    def __init__(self, decoder: Decoder, prompts: Sequence[Sequence[int]]) -> None:
        self.tokens, self.mask = padded(prompts, decoder.padding, decoder.model.device)
        self._decoder = decoder
        self._cache = None if decoder.cache_name is None else empty_cache(decoder.model.config)[0]
        self._read = 0

    def scores(self) -> torch.Tensor:
        """The model's scores for each row's next token, (rows, vocabulary), float32."""
        output = self._decoder.model(**self._inputs(), return_dict=True)
        if self._cache is not None:
            self._read = self.tokens.shape[1]
        return output.logits[:, -1].float()  # type: ignore[no-any-return]

    def _inputs(self) -> dict[str, Any]:
        decoder = self._decoder
        inputs: dict[str, Any] = {"use_cache": self._cache is not None}
        if decoder.cache_name is not None:
            inputs[decoder.cache_name] = self._cache
        if "position_ids" in decoder.takes:
            inputs["position_ids"] = (self.mask.cumsum(-1) - 1).clamp(min=0)
        if "logits_to_keep" in decoder.takes:
            inputs["logits_to_keep"] = 1
        prepared = decoder.model.prepare_inputs_for_generation(
            self.tokens,
            next_sequence_length=self.tokens.shape[1] - self._read,
            attention_mask=self.mask,
            is_first_iteration=self._read == 0,
            **inputs,
        )
        return {name: value for name, value in prepared.items() if name in decoder.takes}

    def write(self, tokens: Sequence[int]) -> None:
        """One more token a row."""
        column = torch.tensor(tokens, device=self.tokens.device).unsqueeze(1)
        self.tokens = torch.cat([self.tokens, column], dim=1)
        self.mask = torch.cat([self.mask, torch.ones_like(column)], dim=1)

    def keep(self, rows: Sequence[int]) -> None:
        """Only these rows are written on, in this order."""
        kept = torch.tensor(rows, device=self.tokens.device)
        self.tokens, self.mask = self.tokens[kept], self.mask[kept]
        if self._cache is not None:
            self._cache.reorder_cache(kept)

    def own_tokens(self) -> torch.Tensor:
        """`tokens` where padding is each row's last token: what a row was padded with says nothing of it."""
        return torch.where(self.mask.bool(), self.tokens, self.tokens[:, -1:])


def padded(prompts: Sequence[Sequence[int]], padding: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts as (rows, columns), padded on the left, and a mask that is 0 there."""
    width = max(map(len, prompts))
    tokens = [[padding] * (width - len(prompt)) + list(prompt) for prompt in prompts]
    masks = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(tokens, device=device), torch.tensor(masks, device=device)
