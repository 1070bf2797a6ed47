"""Encoder-decoders: T5, BART and Marian over bytes; Marian and mBART with the library's own tokenizers."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import sentencepiece
import transformers

from tests.tiny.checkpoint import write
from tests.tiny.tokens import POSITIONS, WORDS, ending_tokenizer

_LAYERS = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
    "max_position_embeddings": POSITIONS * 2,
}  # fmt: skip


def t5(folder: Path, *, architecture: Any = transformers.T5ForConditionalGeneration, **config: Any) -> Path:
    tokenizer = ending_tokenizer()
    made = transformers.T5Config(
        **_special(tokenizer), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, decoder_start_token_id=0,
        **config,
    )  # fmt: skip
    return write(folder, architecture, made, tokenizer)


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


def pieced_marian(folder: Path, *languages: str) -> Path:
    """Marian with the library's own tokenizer, from English; `languages` it can be told to write in."""
    folder.mkdir(parents=True)
    sentences = [" ".join(WORDS[start : start + 6]) for start in range(len(WORDS) - 6)]
    with io.BytesIO() as trained:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences), model_writer=trained, vocab_size=80, minloglevel=2
        )
        for side in ("source.spm", "target.spm"):
            (folder / side).write_bytes(trained.getvalue())
        read = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())
    pieces = [read.id_to_piece(number) for number in range(read.get_piece_size())]
    tokens = dict.fromkeys(["</s>", "<unk>", *pieces, *(f">>{language}<<" for language in languages), "<pad>"])
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({token: number for number, token in enumerate(tokens)}), encoding="utf-8")
    tokenizer = transformers.MarianTokenizer(
        source_spm=str(folder / "source.spm"),
        target_spm=str(folder / "target.spm"),
        vocab=str(vocabulary),
        source_lang="en",
        target_lang="roa" if languages else "de",
        model_max_length=POSITIONS * 2,
    )
    made = transformers.MarianConfig(
        **_special(tokenizer), **_LAYERS, decoder_start_token_id=tokenizer.pad_token_id, forced_eos_token_id=None
    )
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
