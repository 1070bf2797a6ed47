"""Microbatches without their padding: the layers of an encoder see real tokens alone.

What stands between the embeddings and the head of an encoder works on each token by itself, but for attention. So its
layers are given the tokens of all rows behind one another, attention is computed row by row where each begins and
ends, and the head finds its rows padded as before. It saves what padding costs: nothing in a file, whose rows are
alike, and a tenth where 64 people wait with texts of any length. Like oneDNN it must give the same numbers as before,
and is left out where it does not. For torch on a CPU; a graph of ONNX Runtime has no such place.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from worker.backends.encoder import first_output
from worker.backends.onnx_model import Reads
from worker.backends.proof import Batch, difference, is_within

_NAME = "fournil-packed"
#: Where encoders keep their layers.
_STACKS = ("encoder", "transformer")
#: What a configuration calls attention that does not reach all of a row.
_NEIGHBORS = ("sliding_window", "local_attention", "attention_window", "layer_types")
#: What a token of padding still costs beside a real one: its embedding, and its part of a head over all words.
_PRICE, _PRICE_WITH_WORDS = 0.1, 0.4
#: Largest difference of a logit or a hidden state from the padded pass, beside one of its own size.
_TOLERANCE = 1e-5


class _Here(threading.local):
    """The pass of this thread: decks compute side by side."""

    #: Of its tokens which are real, (rows, width); None where nothing is packed.
    real: torch.Tensor | None = None
    #: Where each row but the last ends among the real tokens, while its layers compute.
    ends: list[int] | None = None


_here = _Here()


def pack(model: Any, batches: Sequence[Batch], *, reads: Reads = first_output) -> bool:
    """Let an encoder in float32 on a CPU leave padding out where there is enough of it; whether it does now.

    `batches` are tokenized sentences as the model takes them, one with padding among them; `reads` what its task
    reads of its output.
    """
    layers = _layers_of(model)
    if layers is None or not _can(model, batches):
        return False
    with torch.inference_mode():
        expected = [reads(model(**batch)) for batch in batches]
        before = model.config._attn_implementation
        hooks = _hook(model, layers)
        if all(_is_same(model, batch, one, reads) for batch, one in zip(batches, expected, strict=True)):
            return True
    for hook in hooks:
        hook.remove()
    model.set_attn_implementation(before)
    return False


def price_of_padding(model: Any) -> float:
    """What a token of padding costs beside a real one, in a model that was packed."""
    return _PRICE if model.get_output_embeddings() is None else _PRICE_WITH_WORDS


def _layers_of(model: Any) -> torch.nn.Module | None:
    inner = model.base_model
    found = (getattr(inner, name, None) for name in _STACKS)
    return next((layers for layers in found if isinstance(layers, torch.nn.Module)), None)


def _can(model: Any, batches: Sequence[Batch]) -> bool:
    fits = model.device.type == "cpu" and model.dtype == torch.float32 and not model.training
    # A mask does more than hide padding where tokens see their neighbors alone, and no short sentence would show it.
    near = any(getattr(model.config, name, None) for name in _NEIGHBORS)
    tried = any(_saves(batch["attention_mask"]) for batch in batches)
    return bool(fits and model.config._attn_implementation == "sdpa" and not near and tried)


def _saves(mask: torch.Tensor) -> bool:
    """Whether enough is padding: a row costs a call of attention in each layer, which is less than one token does."""
    return mask.ndim == 2 and int(mask.numel() - mask.sum()) >= len(mask)


def _is_same(model: Any, batch: Batch, expected: torch.Tensor, reads: Reads) -> bool:
    try:
        found = reads(model(**batch))
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError):
        # Layers that need more than their tokens, such as the distance between two of them.
        return False
    return is_within(difference(found, expected, batch), expected, _TOLERANCE)


def _hook(model: Any, layers: torch.nn.Module) -> list[Any]:
    ALL_ATTENTION_FUNCTIONS.register(_NAME, _attend)
    ALL_MASK_ATTENTION_FUNCTIONS.register(_NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    model.set_attn_implementation(_NAME)
    return [
        model.register_forward_pre_hook(_look, with_kwargs=True),
        layers.register_forward_pre_hook(_pack, with_kwargs=True),
        layers.register_forward_hook(_unpack),
        # Also after a pass that failed: the next one of this thread may have no padding.
        model.register_forward_hook(_forget, always_call=True),
    ]


def _look(_model: Any, _given: Any, named: dict[str, Any]) -> None:
    mask = named.get("attention_mask")
    _here.real = mask.bool() if mask is not None and _saves(mask) else None


def _pack(_layers: Any, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if _here.real is None:
        return given, named
    _here.ends = _here.real.sum(dim=1).cumsum(dim=0)[:-1].tolist()
    hidden = given[0] if given else named["hidden_states"]
    packed = hidden[_here.real].unsqueeze(0)
    named = {**named, "attention_mask": None}
    return ((packed,), named) if given else ((), {**named, "hidden_states": packed})


def _unpack(_layers: Any, _given: Any, output: Any) -> Any:
    if _here.real is None:
        return None
    [packed] = output[0]
    hidden = packed.new_zeros((*_here.real.shape, packed.shape[-1]))
    hidden[_here.real] = packed
    output["last_hidden_state"] = hidden
    _here.ends = None
    return output


def _forget(_model: Any, _given: Any, _output: Any) -> None:
    _here.real = _here.ends = None


def _attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, **options: Any
) -> tuple[torch.Tensor, None]:
    """Attention of (1, heads, tokens, size) within each row; as the library computes it where nothing is packed."""
    if _here.ends is None:
        return sdpa_attention_forward(module, query, key, value, mask, **options)[0], None
    rows = zip(*(each.tensor_split(_here.ends, dim=2) for each in (query, key, value)), strict=True)
    parts = [sdpa_attention_forward(module, *row, None, **options)[0] for row in rows]
    return torch.cat(parts, dim=1), None
