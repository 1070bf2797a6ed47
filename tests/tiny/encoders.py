"""BERT and DistilBERT, for each of an encoder's tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers

from tests.tiny.checkpoint import write
from tests.tiny.tokens import POSITIONS, word_tokenizer


def classifier(folder: Path, **config: Any) -> Path:
    """BERT with three labels. A wide one needs a `spread` of weights below the usual, or its numbers run away."""
    labels = {0: "bad", 1: "fair", 2: "good"}
    return _bert(folder, "BertForSequenceClassification", **{"id2label": labels, "num_labels": 3, **config})


def entailment(folder: Path) -> Path:
    """BERT with the labels of NLI."""
    labels = {0: "contradiction", 1: "neutral", 2: "entailment"}
    return _bert(folder, "BertForSequenceClassification", id2label=labels, label2id={v: k for k, v in labels.items()})


def tagger(folder: Path) -> Path:
    """BERT with entity labels in IOB."""
    labels = dict(enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]))
    return _bert(folder, "BertForTokenClassification", id2label=labels, num_labels=5)


def filler(folder: Path, **config: Any) -> Path:
    return _bert(folder, "BertForMaskedLM", **config)


def untied_filler(folder: Path) -> Path:
    """One whose output words are not its input words, so that a poisoned word does not spoil every score."""
    return filler(folder, tie_word_embeddings=False)


def embedder(folder: Path) -> Path:
    return _bert(folder, "BertModel")


def answerer(folder: Path) -> Path:
    return _bert(folder, "BertForQuestionAnswering")


def small_answerer(folder: Path) -> Path:
    """DistilBERT: no token types, no pooler."""
    tokenizer = word_tokenizer()
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    config = transformers.DistilBertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=POSITIONS, dim=32, hidden_dim=64, n_layers=2, n_heads=2
    )
    return write(folder, transformers.DistilBertForQuestionAnswering, config, tokenizer)


def _bert(folder: Path, architecture: str, *, spread: float = 0.25, **options: Any) -> Path:
    tokenizer = word_tokenizer()
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=POSITIONS, **{**shape, **options}
    )
    return write(folder, getattr(transformers, architecture), config, tokenizer, spread=spread)
