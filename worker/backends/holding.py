"""What a token of a microbatch holds in memory while it is baked, read off a model's configuration.

No more padded tokens are let into a pass than there is memory for (worker.budgets.most_tokens). These are the numbers
at their highest, between two layers or inside of one; keys and values of what is written are key_values' business. 0
where a configuration does not say: never mind.
"""

from __future__ import annotations

from typing import Any

#: What configurations call the width inside a layer.
_INNER = ("intermediate_size", "encoder_ffn_dim", "hidden_dim", "ffn_dim", "d_ff")
_WIDTHS = ("hidden_size", "d_model", "hidden_sizes", "embed_dim", "dim")
#: Of a picture, three colors of a square; of a recording, what its first convolution makes of a frame.
_PIXELS = 3 * 16 * 16
_FRAME = 320


def of_layers(config: Any, itemsize: int) -> int:
    """Bytes of what goes into a layer and out of it, queries, keys and values, and its inner part twice."""
    hidden = _width(config)
    inner = next(
        (size for name in _INNER if isinstance(size := getattr(config, name, None), int) and size), 4 * hidden
    )
    return itemsize * (6 * hidden + 2 * inner)


def of_a_picture(model: Any) -> int:
    """Bytes of a square of 16 by 16 pixels, for a model that sees pictures."""
    config = _part(model.config, "vision_config", "encoder")
    return int(of_layers(config, model.dtype.itemsize) + model.dtype.itemsize * _PIXELS)


def of_a_recording(model: Any) -> int:
    """Bytes of 320 samples, for a model that hears."""
    config = _part(model.config, "audio_config", "encoder")
    strides, widths = getattr(config, "conv_stride", None), getattr(config, "conv_dim", None)
    # A model of waveforms has far more positions behind its first convolution than in its layers.
    waves = 2 * widths[0] * (_FRAME // strides[0]) if strides and widths else 0
    return int(max(of_layers(config, model.dtype.itemsize), model.dtype.itemsize * waves))


def _part(config: Any, *names: str) -> Any:
    return next((part for name in names if (part := getattr(config, name, None)) is not None), config)


def _width(config: Any) -> int:
    """Of a model that has several, the largest."""
    found = next((size for name in _WIDTHS if (size := getattr(config, name, None))), 0)
    return max(found) if isinstance(found, list | tuple) else int(found)
