"""Small random checkpoints that look at pictures, written without a network, by task.

MAKERS["image-classification"](folder)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

SIDE = 32


def classifier(folder: Path, **config: Any) -> Path:
    """ViT with three labels."""
    labels = {0: "bread", 1: "cake", 2: "cat"}
    made = transformers.ViTConfig(**_vit(), id2label=labels, **{"num_labels": 3, **config})
    return _write(folder, transformers.ViTForImageClassification(made), _squares(transformers.ViTImageProcessorPil))


def _vit() -> dict[str, Any]:
    return {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "image_size": SIDE,
        "patch_size": 8,
    }


def _squares(kind: Any, **options: Any) -> Any:
    return kind(size={"height": SIDE, "width": SIDE}, **options)


def _write(folder: Path, model: Any, *readers: Any, spread: float = 0.25) -> Path:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(7)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=spread)
    model.save_pretrained(folder)
    for reader in readers:
        reader.save_pretrained(folder)
    return folder


MAKERS: dict[str, Callable[[Path], Path]] = {
    "image-classification": classifier,
}
