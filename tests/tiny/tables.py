"""TAPAS, with the operators of the checkpoints people use, or without any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from tests.tiny.checkpoint import write
from tests.tiny.tokens import POSITIONS, VOCABULARY

OPERATORS = {0: "NONE", 1: "SUM", 2: "AVERAGE", 3: "COUNT"}


def tapas(folder: Path, **config: Any) -> Path:
    folder.mkdir(parents=True)
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("".join(f"{word}\n" for word in [*VOCABULARY, "[EMPTY]"]), encoding="utf-8")
    tokenizer = transformers.TapasTokenizer(str(vocabulary), model_max_length=POSITIONS)
    operators = {"num_aggregation_labels": 4, "aggregation_labels": OPERATORS, "no_aggregation_label_index": 0}
    made = transformers.TapasConfig(
        vocab_size=len(VOCABULARY) + 1, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=POSITIONS, **{**operators, **config},
    )  # fmt: skip
    return write(folder, _that_chooses, made, tokenizer)


def _that_chooses(config: Any) -> Any:
    """A model whose random weights find a cell now and then."""
    model = transformers.TapasForQuestionAnswering(config)
    torch.nn.init.constant_(model.output_bias, 3.0)
    return model
