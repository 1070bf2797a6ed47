"""A checkpoint as sentence-transformers saves it: BERT or another, and how its tokens become one vector."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.tiny.encoders import embedder

WIDTH = 32


def sentence_embedder(
    folder: Path,
    *,
    pooling: dict[str, Any],
    steps: tuple[str, ...] = (),
    activation: str = "torch.nn.modules.activation.Tanh",
    limits: dict[str, Any] | None = None,
    base: Callable[[Path], Path] = embedder,
    **said: Any,
) -> Path:
    """`steps` behind the pooling: Dense (to half the numbers), Normalize, or a name of your own."""
    base(folder)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modules += [(f"{place}_{step}", step) for place, step in enumerate(steps, start=2)]
    listed = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (path, kind) in enumerate(modules)
    ]
    _json(folder / "modules.json", listed)
    _json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": WIDTH, **pooling})
    _json(folder / "config_sentence_transformers.json", said)
    _json(folder / "sentence_bert_config.json", limits or {})
    for path, kind in modules:
        if kind == "Dense":
            _dense(folder / path, activation)
    return folder


def _dense(folder: Path, activation: str) -> None:
    _json(
        folder / "config.json",
        {"in_features": WIDTH, "out_features": WIDTH // 2, "bias": True, "activation_function": activation},
    )
    dice = torch.Generator().manual_seed(3)
    weight, bias = torch.randn(WIDTH // 2, WIDTH, generator=dice), torch.randn(WIDTH // 2, generator=dice)
    save_file({"linear.weight": weight / 8, "linear.bias": bias}, folder / "model.safetensors")


def _json(file: Path, values: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values), encoding="utf-8")
