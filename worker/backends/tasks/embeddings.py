"""Texts as vectors, and how alike they are: as sentence-transformers has it where a checkpoint has its files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import normalize

from contract.errors import InputError
from contract.vectors import Vector
from worker.backends import refusals, sentences
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.encoder import Encoder, Encoding
from worker.backends.proof import Batch
from worker.backends.tasks.task import Answer, EncoderTask, many_sequences, one_sequence, refuse_all, spans
from worker.backends.weights import Loaded


class Embedder(EncoderTask):
    """What both tasks share: one vector a text, made as parameters and checkpoint say."""

    auto_class = "AutoModel"
    # T5 and its kin without their decoders.
    or_classes = ("AutoModelForTextEncoding",)
    # A pooler head takes no part in the hidden states, so a checkpoint without one is whole.
    optional = ("pooler.",)

    def __init__(self, loaded: Loaded) -> None:
        self.sentences = sentences.read(loaded.folder)
        self.encoder = Encoder(sentences.limited(loaded, self.sentences))
        self._size = self.sentences.size or int(loaded.model.config.get_text_config().hidden_size)

    def shown(self, found: torch.Tensor, batch: Batch) -> torch.Tensor:
        return normalize(_POOLINGS.get(self.sentences.pooling, _mean)(found, batch["attention_mask"]), dim=-1)

    def encode(self, texts: Sequence[str], parameters: Parameters) -> list[Encoding | InputError]:
        prompt = self._prompt(parameters)
        lower = self.sentences.lower_case
        asked = [prompt + (text.lower() if lower else text) for text in texts]
        return self.encoder.encode(asked, truncation=parameters["truncation"])

    def refusal(self, parameters: Parameters) -> InputError | None:
        """What this checkpoint cannot do, equal for all rows of a lane."""
        name = parameters.get("prompt_name")
        if name and name not in self.sentences.prompts:
            known = ", ".join(self.sentences.prompts) or "none"
            return refusals.rejected(
                f"This pipeline has no prompt '{name}'; it has {known}.", "parameters.prompt_name"
            )
        if "pooling" not in parameters and not self.sentences.can_pool:
            return refusals.rejected(
                f"This checkpoint pools by {self.sentences.pooling}, which is not computed here. Name a pooling.",
                "parameters.pooling",
            )
        if parameters.get("dimensions", 0) > self._size:
            return refusals.rejected(
                f"The vectors of this pipeline have {self._size} numbers. Ask for fewer.", "parameters.dimensions"
            )
        return None

    def vectors(self, sequences: Sequence[Encoding], parameters: Parameters) -> torch.Tensor:
        """(sequences, numbers), float32 on the CPU, as long as is asked for and not yet normalized."""
        pooling = parameters.get("pooling", self.sentences.pooling)
        pooled = _pooled(self.encoder, sequences, pooling, skip=self._tokens_to_skip(parameters))
        return self.sentences.vectors(pooled)[:, : parameters.get("dimensions")]

    def _prompt(self, parameters: Parameters) -> str:
        name = parameters.get("prompt_name", self.sentences.default_prompt)
        return self.sentences.prompts.get(name or "", "")

    def _tokens_to_skip(self, parameters: Parameters) -> int:
        """Tokens of a prompt that takes no part in the mean, with what the tokenizer puts before it."""
        prompt = self._prompt(parameters)
        if self.sentences.pools_prompt or not prompt:
            return 0
        tokens = self.encoder.tokenizer(prompt)["input_ids"]
        return len(tokens) - int(tokens[-1] in self.encoder.tokenizer.all_special_ids)


class FeatureExtraction(Embedder):
    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        if refusal := self.refusal(parameters):
            return refuse_all(rows, refusal)
        return one_sequence(self.encode([row["text"] for row in rows], parameters))

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        sequences = [row.payload for row in rows]
        unit = parameters.get("normalize", self.sentences.normalize)
        if parameters.get("pooling") == "none":
            found = [one[:, : parameters.get("dimensions")] for one in self.encoder.per_token(sequences)]
            return [_finite(normalize(one, dim=-1) if unit else one) for one in found]
        vectors = self.vectors(sequences, parameters)
        return _each_finite(normalize(vectors, dim=-1) if unit else vectors)


class SentenceSimilarity(Embedder):
    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        if refusal := self.refusal(parameters):
            return refuse_all(rows, refusal)
        texts = [text for row in rows for text in (row["source_sentence"], *row["sentences"])]
        encodings = self.encode(texts, parameters)
        return [many_sequences(encodings[span]) for span in spans(1 + len(row["sentences"]) for row in rows)]

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        sequences = [sequence for row in rows for sequence in row.payload]
        vectors = normalize(self.vectors(sequences, parameters), dim=-1)
        parts = [vectors[span] for span in spans(row.sequences for row in rows)]
        return [_finite(part[1:] @ part[0]) for part in parts]


def _pooled(encoder: Encoder, sequences: Sequence[Encoding], pooling: str, *, skip: int) -> torch.Tensor:
    """One vector a sequence, without its first `skip` tokens."""
    places: list[int] = []
    vectors: list[torch.Tensor] = []
    for positions, output, mask in encoder.run(sequences):
        places += positions
        kept = mask * (mask.cumsum(dim=1) > skip)
        vectors.append(_POOLINGS[pooling](output[0].float(), kept).cpu())
    pooled = torch.cat(vectors)
    pooled[places] = pooled.clone()
    return pooled


def _mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


def _first(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    # Not simply 0: some tokenizers pad on the left.
    return _at(hidden, mask.argmax(dim=1))


def _last(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return _at(hidden, (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(dim=1))


def _at(hidden: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    return hidden[torch.arange(len(hidden), device=hidden.device), places]


_POOLINGS: dict[str, Any] = {"mean": _mean, "cls": _first, "last": _last}


def _each_finite(vectors: torch.Tensor) -> list[Answer]:
    finite = vectors.isfinite().all(dim=-1).tolist()
    stored = vectors.numpy().astype("<f4", copy=False)
    return [
        Vector(row.tolist(), row.tobytes()) if good else refusals.not_finite()
        for row, good in zip(stored, finite, strict=True)
    ]


def _finite(values: torch.Tensor) -> Answer:
    return values.tolist() if values.isfinite().all() else refusals.not_finite()
