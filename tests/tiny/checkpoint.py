"""A random model and its tokenizer or processor as a directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers


def write(folder: Path, kind: Callable[[Any], Any], config: Any, *readers: Any, spread: float = 0.25) -> Path:
    """Weights of a fixed seed; `readers` are what is saved beside them."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = kind(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=spread)
    model.save_pretrained(folder)
    for reader in readers:
        reader.save_pretrained(folder)
    return folder


def poisoned(folder: Path, make: Callable[[Path], Path]) -> Path:
    """The checkpoint `make` writes, but whatever has the word `cold` after a space comes out as NaN."""
    make(folder)
    kind = getattr(transformers, transformers.AutoConfig.from_pretrained(folder).architectures[0])
    model = kind.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    [token] = tokenizer(" cold", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        model.get_input_embeddings().weight[token] = float("nan")
    model.save_pretrained(folder)
    return folder
