"""Texts that a language model writes in beams, through the library's `generate()`: the likeliest as wholes.

With beams nothing is certain before the end, so that nothing is published.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.backends.backend import Context, Parameters
from worker.backends.choosing import never
from worker.backends.decoding import padded
from worker.backends.generating import configured, write
from worker.backends.writing import Row


def write_beams(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    texts: Sequence[Sequence[Row]],
    parameters: Parameters,
    context: Context,
    *,
    ends: frozenset[int],
    most: int,
) -> None:
    """Fill each prompt's texts, the likeliest first, with `most` tokens at most."""
    padding = tokenizer.pad_token_id
    stops = list(parameters.get("stop", ()))
    more = {
        "stop_strings": stops or None,
        "eos_token_id": sorted(ends) or None,
        "pad_token_id": padding,
        "bad_words_ids": never(tokenizer, parameters),
    }
    config = configured(model.generation_config, parameters, most=most, **more)
    read, mask = padded(prompts, padding, model.device)
    tensors = {"input_ids": read, "attention_mask": mask}
    extra = {"tokenizer": tokenizer} if stops else {}
    written = write(model, tensors, config, parameters, context, **extra)
    for text, tokens in zip((text for each in texts for text in each), written, strict=True):
        if tokens is None:
            text.finite = False
        else:
            text.add_all(tokens[read.shape[1] :], ends)
