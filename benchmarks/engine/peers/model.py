"""MiniLM for the peers that bring no model code of their own: tokenize, a forward pass, the mean of the tokens.

Leaner than `pipeline()` and than most people's code, so that a peer is not slower than it must be.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
import transformers

MOST_TOKENS = 256


class Model:
    """Checkpoint and threads come from the environment: CHECKPOINT and THREADS."""

    def __init__(self) -> None:
        torch.set_num_threads(int(os.environ["THREADS"]))
        folder = os.environ["CHECKPOINT"]
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self._model = transformers.AutoModel.from_pretrained(folder).eval()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        inputs = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            hidden = self._model(**inputs)[0]
        weights = inputs["attention_mask"].unsqueeze(-1).float()
        vectors = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
        found: list[list[float]] = torch.nn.functional.normalize(vectors, dim=-1).tolist()
        return found
