"""Whether another way to compute a model gives the same numbers, looked at where somebody reads them."""

from __future__ import annotations

import torch

Batch = dict[str, torch.Tensor]


def difference(found: torch.Tensor, expected: torch.Tensor, batch: Batch) -> torch.Tensor:
    """How far each number is off; 0 in padding, where nobody reads."""
    return seen((found - expected).abs(), batch)


def seen(numbers: torch.Tensor, batch: Batch) -> torch.Tensor:
    """`numbers` with 0 in padding."""
    return numbers * batch["attention_mask"].unsqueeze(-1) if numbers.ndim == 3 else numbers


def is_within(off: torch.Tensor, expected: torch.Tensor, tolerance: float) -> bool:
    """Whether no number is further off than `tolerance`, beside one of its own size. NaN is."""
    return bool((off <= tolerance * (1 + expected.abs())).all())
