"""Attention as one operator in an exported graph.

As torch exports it, attention is nine operators that write the scores of all tokens with all tokens to memory, five
times over. ONNX Runtime has one for it, which goes head by head and keeps them at hand: a pass over rows of 256
tokens takes a tenth less, one over many rows of 8 or 16 a fiftieth more. It is put into the graph while a model is
exported, where its attention comes through the library's interface and hides nothing but padding; everywhere else a
graph is as before. The operator: MultiHeadAttention of ONNX Runtime's contributed ones (docs/ContribOperators.md).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, bidirectional_mask_function, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

#: Whose operators, and which edition: what an export has to name.
OPERATORS = {"com.microsoft": 1}
_NAME = "fournil-graph"


def fits(model: Any) -> bool:
    """Whether its attention can be told to be one operator."""
    return bool(getattr(model.config, "_attn_implementation", None) == "sdpa")


@contextlib.contextmanager
def as_one_operator(model: Any) -> Iterator[None]:
    """What is exported in here has its attention in one operator, where that can be."""
    ALL_ATTENTION_FUNCTIONS.register(_NAME, _attend)
    ALL_MASK_ATTENTION_FUNCTIONS.register(_NAME, _mask)
    model.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        model.set_attn_implementation("sdpa")


def _mask(*, mask_function: Any, attention_mask: torch.Tensor | None, **about: Any) -> torch.Tensor | None:
    """(rows, tokens) as it was given where it hides padding alone; else what torch's attention takes."""
    if mask_function is bidirectional_mask_function and attention_mask is not None:
        return attention_mask
    found: torch.Tensor | None = sdpa_mask(mask_function=mask_function, attention_mask=attention_mask, **about)
    return found


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of (rows, heads, tokens, size)."""
    heads, size = int(query.shape[1]), int(query.shape[3])
    if mask is None or mask.ndim != 2 or int(key.shape[1]) != heads:
        return sdpa_attention_forward(module, query, key, value, mask, scaling=scaling, **options)[0], None
    how = _How(heads, size, scaling or size**-0.5)
    apply: Any = _Attention.apply
    return apply(query, key, value, mask.to(torch.int32), *how), None


class _How(NamedTuple):
    heads: int
    size: int
    scale: float


class _Attention(torch.autograd.Function):
    """Torch's own arithmetic, under a name that the exporter writes down as one operator."""

    @staticmethod
    def forward(_context: Any, query: Any, key: Any, value: Any, mask: torch.Tensor, *how: Any) -> torch.Tensor:
        shown, scale = mask.bool()[:, None, None, :], _How(*how).scale
        found = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=shown, scale=scale)
        return found.transpose(1, 2).contiguous()

    @staticmethod
    def symbolic(graph: Any, query: Any, key: Any, value: Any, mask: Any, *how: Any) -> Any:
        """The operator takes and gives (rows, tokens, heads * size); 0 and -1 are as many as there are."""
        heads, size, scale = how
        flat = graph.op("Constant", value_t=torch.tensor([0, 0, -1]))
        apart = graph.op("Constant", value_t=torch.tensor([0, 0, heads, size]))
        turned = (graph.op("Transpose", each, perm_i=[0, 2, 1, 3]) for each in (query, key, value))
        given = [graph.op("Reshape", each, flat) for each in turned]
        no_bias = graph.op("prim::Constant")
        no_bias.setType(torch._C.OptionalType.ofTensor())
        found = graph.op("com.microsoft::MultiHeadAttention", *given, no_bias, mask, num_heads_i=heads, scale_f=scale)
        # Nobody infers what an operator gives that is not ONNX's own; whoever quantizes the graph wants to know.
        found.setType(query.type().with_sizes([None, None, heads * size]))
        return graph.op("Reshape", found, apart)
