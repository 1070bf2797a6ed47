"""Encoder-decoders: T5, BART, Marian over bytes, and mBART with the tokens of its languages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers

from tests.tiny.checkpoint import write
from tests.tiny.tokens import POSITIONS, WORDS, ending_tokenizer

_LAYERS = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
    "max_position_embeddings": POSITIONS * 2,
}  # fmt: skip


def t5(folder: Path, **config: Any) -> Path:
    tokenizer = ending_tokenizer()
    made = transformers.T5Config(
        **_special(tokenizer), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, decoder_start_token_id=0,
        **config,
    )  # fmt: skip
    return write(folder, transformers.T5ForConditionalGeneration, made, tokenizer)


def bart(folder: Path, **config: Any) -> Path:
    tokenizer = ending_tokenizer()
    made = transformers.BartConfig(
        **_special(tokenizer), **_LAYERS, bos_token_id=0, decoder_start_token_id=1, forced_eos_token_id=None, **config
    )
    return write(folder, transformers.BartForConditionalGeneration, made, tokenizer)


def marian(folder: Path) -> Path:
    """One pair of languages, and nothing that says which."""
    tokenizer = ending_tokenizer()
    made = transformers.MarianConfig(**_special(tokenizer), **_LAYERS, decoder_start_token_id=0)
    return write(folder, transformers.MarianMTModel, made, tokenizer)


def mbart(folder: Path) -> Path:
    """Many languages, each with a token of the library's own tokenizer."""
    pieces = [f"▁{word}" for word in WORDS] + list("▁abcdefghijklmnopqrstuvwxyz.,")
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = [(word, 0.0) for word in special] + [(piece, -1.0 - len(special)) for piece in dict.fromkeys(pieces)]
    tokenizer = transformers.MBartTokenizer(vocab=vocabulary, src_lang="en_XX", model_max_length=POSITIONS * 2)
    made = transformers.MBartConfig(**_special(tokenizer), **_LAYERS, bos_token_id=0, decoder_start_token_id=2)
    return write(folder, transformers.MBartForConditionalGeneration, made, tokenizer)


def _special(tokenizer: Any) -> dict[str, int]:
    return {
        "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id,
    }  # fmt: skip
