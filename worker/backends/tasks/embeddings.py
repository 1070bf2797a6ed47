"""Texts as vectors, and how alike they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import normalize

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.encoder import Encoder, Encoding
from worker.backends.tasks.task import Answer, EncoderTask, many_sequences, one_sequence, spans
from worker.backends.weights import Loaded

# A pooler head takes no part in the hidden states, so a checkpoint without one is whole.
_OPTIONAL = ("pooler.",)


class FeatureExtraction(EncoderTask):
    auto_class = "AutoModel"
    optional = _OPTIONAL

    def __init__(self, loaded: Loaded) -> None:
        self.encoder = Encoder(loaded)

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        texts = [row["text"] for row in rows]
        return one_sequence(self.encoder.encode(texts, truncation=parameters["truncation"]))

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        sequences = [row.payload for row in rows]
        if parameters["pooling"] == "none":
            found = self.encoder.per_token(sequences)
            return [_finite(normalize(one, dim=-1) if parameters["normalize"] else one) for one in found]
        vectors = _pooled(self.encoder, sequences, parameters["pooling"])
        return _each_finite(normalize(vectors, dim=-1) if parameters["normalize"] else vectors)


class SentenceSimilarity(EncoderTask):
    auto_class = "AutoModel"
    optional = _OPTIONAL

    def __init__(self, loaded: Loaded) -> None:
        self.encoder = Encoder(loaded)

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        texts = [text for row in rows for text in (row["source_sentence"], *row["sentences"])]
        encodings = self.encoder.encode(texts, truncation=parameters["truncation"])
        return [many_sequences(encodings[span]) for span in spans(1 + len(row["sentences"]) for row in rows)]

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        sequences = [sequence for row in rows for sequence in row.payload]
        vectors = normalize(_pooled(self.encoder, sequences, "mean"), dim=-1)
        parts = [vectors[span] for span in spans(row.sequences for row in rows)]
        return [_finite(part[1:] @ part[0]) for part in parts]


def _pooled(encoder: Encoder, sequences: Sequence[Encoding], pooling: str) -> torch.Tensor:
    """One vector a sequence: the mean of its tokens, or its first token."""
    places: list[int] = []
    vectors: list[torch.Tensor] = []
    for positions, output, mask in encoder.run(sequences):
        hidden = output[0].float()
        places += positions
        vectors.append((_mean(hidden, mask) if pooling == "mean" else _first(hidden, mask)).cpu())
    pooled = torch.cat(vectors)
    pooled[places] = pooled.clone()
    return pooled


def _mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


def _first(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    # Not simply 0: some tokenizers pad on the left.
    return hidden[torch.arange(len(hidden), device=hidden.device), mask.argmax(dim=1)]


def _each_finite(vectors: torch.Tensor) -> list[Answer]:
    finite = vectors.isfinite().all(dim=-1).tolist()
    return [row if good else refusals.not_finite() for row, good in zip(vectors.tolist(), finite, strict=True)]


def _finite(values: torch.Tensor) -> Answer:
    return values.tolist() if values.isfinite().all() else refusals.not_finite()
