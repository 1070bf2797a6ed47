"""Small random checkpoints that watch, written without a network, by task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers

from tests.tiny.checkpoint import write

FRAMES = 8
_LABELS = {0: "baking", 1: "kneading", 2: "eating"}
_LAYERS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def classifier(folder: Path, **config: Any) -> Path:
    """VideoMAE with three labels."""
    made = transformers.VideoMAEConfig(
        image_size=32, patch_size=16, num_frames=FRAMES, **_LAYERS, **{"num_labels": 3, "id2label": _LABELS, **config}
    )
    return write(folder, transformers.VideoMAEForVideoClassification, made, _frames())


def stretcher(folder: Path) -> Path:
    """TimeSformer, which takes other numbers of frames too."""
    made = transformers.TimesformerConfig(
        image_size=32, patch_size=16, num_frames=FRAMES, num_labels=3, id2label=_LABELS, **_LAYERS
    )
    return write(folder, transformers.TimesformerForVideoClassification, made, _frames())


def _frames() -> Any:
    return transformers.VideoMAEImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
