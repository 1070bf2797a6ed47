"""Keys and values of the tokens that a model has read, in tensors with room to grow.

The library's cache makes a new tensor of all keys for each token. With room at the end a token costs one token's
copy, and everything is copied once in `_ROOM` tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

_ROOM = 64


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """A DynamicLayer, (rows, heads, tokens, size), whose `keys` and `values` are views of larger tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: torch.Tensor
        self.values: torch.Tensor
        self._all_keys: torch.Tensor | None = None
        self._all_values: torch.Tensor | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add new tokens' keys and values; all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if self._all_keys is None or self._all_values is None or end > self._all_keys.shape[-2]:
            self._all_keys = _with_room(self.keys, key_states, start, end)
            self._all_values = _with_room(self.values, value_states, start, end)
        self._all_keys[:, :, start:end] = key_states
        self._all_values[:, :, start:end] = value_states
        self.keys, self.values = self._all_keys[:, :, :end], self._all_values[:, :, :end]
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Keep these rows, in this order."""
        super().reorder_cache(beam_idx)
        self._all_keys = self._all_values = None


def empty_cache(config: Any) -> tuple[DynamicCache, bool]:
    """A cache for this model, and whether some of its layers keep a state that padding would change."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    if cache.layer_class_to_replicate is DynamicLayer:
        cache.layer_class_to_replicate = RoomyLayer
    return cache, any(not isinstance(layer, DynamicLayer) or _is_mixed(layer) for layer in cache.layers)


def bytes_of_a_token(model: Any) -> int:
    """What one token's keys and values take, all layers together."""
    config = model.config.get_text_config(decoder=True)
    heads = getattr(config, "num_attention_heads", 0) or 0
    layers = getattr(config, "num_hidden_layers", 0) or 0
    shared = getattr(config, "num_key_value_heads", None) or heads
    size = getattr(config, "head_dim", None) or (config.hidden_size // heads if heads else 0)
    return int(2 * layers * shared * size * model.dtype.itemsize)


def _is_mixed(layer: DynamicLayer) -> bool:
    return hasattr(layer, "update_recurrent_state")


def _with_room(old: torch.Tensor, new: torch.Tensor, start: int, end: int) -> torch.Tensor:
    rows, heads, _, size = new.shape
    grown = new.new_empty((rows, heads, end + _ROOM, size))
    if start:
        grown[:, :, :start] = old
    return grown
