"""Decoders: Llama, GPT-2 and any other architecture that writes text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers
from transformers.decision import DecisionConfig

from tests.tiny.checkpoint import write
from tests.tiny.tokens import POSITIONS, byte_tokenizer

_NAMES_ITS_OWN = ("gpt2", "bloom")


def writer(folder: Path, *, chat: bool = True) -> Path:
    """Llama over bytes, with or without a chat template."""
    return writer_of(folder, "llama", chat=chat, num_attention_heads=2, num_key_value_heads=1)


def gpt2(folder: Path) -> Path:
    """GPT-2 over bytes, with a chat template."""
    return writer_of(folder, "gpt2", chat=True, n_embd=32, n_layer=2, n_head=2, n_positions=POSITIONS * 2)


def decider(folder: Path) -> Path:
    """GPT-2 over bytes, with room for questions, and labels that are a byte each."""
    made = writer_of(folder, "gpt2", chat=True, n_embd=32, n_layer=2, n_head=2, n_positions=2048)
    tokenizer = transformers.AutoTokenizer.from_pretrained(made)
    tokenizer.model_max_length = 2048
    tokenizer.save_pretrained(made)
    DecisionConfig(labels={"noul": ["Y", "N"]}).save_pretrained(made)
    return made


def writer_of(folder: Path, architecture: str, *, chat: bool = False, **config: Any) -> Path:
    """A decoder of any architecture over bytes; `config` is what its configuration calls things."""
    tokenizer = byte_tokenizer(chat=chat)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "max_position_embeddings": POSITIONS * 2}
    made = transformers.AutoConfig.for_model(
        architecture,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **{**({"intermediate_size": 64, **sizes} if architecture not in _NAMES_ITS_OWN else {}), **config},
    )
    return write(folder, transformers.AutoModelForCausalLM.from_config, made, tokenizer)
