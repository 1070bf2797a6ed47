"""Labels for a whole text: one sequence a row, or one a candidate label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from contract.errors import InputError
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.encoder import Encoder
from worker.backends.proof import Batch
from worker.backends.tasks.scores import FUNCTIONS, best_first, default_function
from worker.backends.tasks.task import Answer, EncoderTask, many_sequences, one_sequence, spans
from worker.backends.weights import Loaded, corrupt


class TextClassification(EncoderTask):
    auto_class = "AutoModelForSequenceClassification"

    def __init__(self, loaded: Loaded) -> None:
        self.encoder = Encoder(loaded)
        self._labels: dict[int, str] = loaded.model.config.id2label
        self._default_function = default_function(loaded.model.config, alone="sigmoid")

    def shown(self, found: torch.Tensor, batch: Batch) -> torch.Tensor:
        return FUNCTIONS[self._default_function](found)

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        found: list[Any] = [None] * len(rows)
        for paired in (False, True):
            places = [place for place, row in enumerate(rows) if ("text_pair" in row) is paired]
            if not places:
                continue
            encodings = self.encoder.encode(
                [rows[place]["text"] for place in places],
                [rows[place]["text_pair"] for place in places] if paired else None,
                truncation=parameters["truncation"],
            )
            for place, prepared in zip(places, one_sequence(encodings), strict=True):
                found[place] = prepared
        return found

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        logits = self.encoder.logits([row.payload for row in rows])
        function = parameters.get("function_to_apply") or self._default_function
        scores = FUNCTIONS[function](logits)
        return [best_first(self._labels, row, parameters["top_k"], of="text") for row in scores]


class ZeroShotClassification(EncoderTask):
    auto_class = "AutoModelForSequenceClassification"

    def __init__(self, loaded: Loaded) -> None:
        self.encoder = Encoder(loaded)
        self._entailment = _entailment(loaded.model.config.id2label)
        # As in the library: NLI checkpoints put contradiction first, or last where entailment is first.
        self._contradiction = -1 if self._entailment == 0 else 0

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        # Never str.format: a template may hold {0.__class__}.
        hypotheses = [
            parameters["hypothesis_template"].replace("{}", label) for label in parameters["candidate_labels"]
        ]
        encodings = self.encoder.encode(
            [row["text"] for row in rows for _ in hypotheses],
            hypotheses * len(rows),
            truncation=parameters["truncation"],
            strategy="only_first",
        )
        return [many_sequences(encodings[span]) for span in spans(len(hypotheses) for _ in rows)]

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        logits = self.encoder.logits([sequence for row in rows for sequence in row.payload])
        labels = parameters["candidate_labels"]
        each_alone = parameters["multi_label"] or len(labels) == 1
        scores = [self._scores(logits[span], each_alone=each_alone) for span in spans(row.sequences for row in rows)]
        return [best_first(labels, row, None, of="text") for row in scores]

    def _scores(self, logits: torch.Tensor, *, each_alone: bool) -> torch.Tensor:
        if each_alone:
            return logits[:, [self._contradiction, self._entailment]].softmax(dim=-1)[:, 1]
        return logits[:, self._entailment].softmax(dim=-1)


def _entailment(labels: dict[int, str]) -> int:
    for index, label in labels.items():
        if label.lower().startswith("entail"):
            return index
    raise corrupt(
        "zero-shot-classification needs a checkpoint trained on entailment, and none of this one's labels begins "
        "with 'entail'. Choose an NLI checkpoint, or name its labels in id2label and label2id of config.json."
    )
