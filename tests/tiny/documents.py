"""LayoutLM and LayoutLMv3, which point at words, and Donut, which writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers
from tokenizers.pre_tokenizers import ByteLevel

from tests.tiny.checkpoint import write
from tests.tiny.tokens import POSITIONS, ending_tokenizer, word_tokenizer

_SHAPE = {"hidden_size": 36, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def pointer(folder: Path) -> Path:
    """LayoutLM: words and their places, and no picture."""
    tokenizer = word_tokenizer()
    config = transformers.LayoutLMConfig(
        vocab_size=len(tokenizer), max_position_embeddings=POSITIONS, max_2d_position_embeddings=1024, **_SHAPE
    )
    return write(folder, transformers.LayoutLMForQuestionAnswering, config, tokenizer)


def looker(folder: Path) -> Path:
    """LayoutLMv3: words, their places and the picture of the page."""
    vocabulary = {token: number for number, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])}
    for letter in sorted(ByteLevel.alphabet()):
        vocabulary[letter] = len(vocabulary)
    tokenizer = transformers.LayoutLMv3Tokenizer(vocab=vocabulary, merges=[], model_max_length=POSITIONS * 2)
    config = transformers.LayoutLMv3Config(
        vocab_size=len(tokenizer), max_position_embeddings=POSITIONS * 2 + 2, max_2d_position_embeddings=1024,
        coordinate_size=6, shape_size=6, input_size=32, patch_size=16, **_SHAPE,
    )  # fmt: skip
    pictures = transformers.LayoutLMv3ImageProcessorPil(size={"height": 32, "width": 32}, apply_ocr=False)
    return write(folder, transformers.LayoutLMv3ForQuestionAnswering, config, tokenizer, pictures)


def reader(folder: Path) -> Path:
    """Donut: a Swin that looks, and an mBART that writes."""
    tokenizer = ending_tokenizer()
    tags = ["<s_docvqa>", "<s_question>", "</s_question>", "<s_answer>", "</s_answer>"]
    tokenizer.add_special_tokens({"additional_special_tokens": tags})
    encoder = transformers.DonutSwinConfig(
        image_size=[64, 48], patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4
    )
    decoder = transformers.MBartConfig(
        vocab_size=len(tokenizer), d_model=encoder.hidden_size, decoder_layers=1, encoder_layers=1,
        decoder_attention_heads=2, decoder_ffn_dim=32, max_position_embeddings=POSITIONS * 2, is_decoder=True,
        add_cross_attention=True, scale_embedding=True, add_final_layer_norm=True,
    )  # fmt: skip
    config: Any = transformers.VisionEncoderDecoderConfig(
        encoder=encoder.to_dict(), decoder=decoder.to_dict(), pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id, decoder_start_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    pictures = transformers.DonutImageProcessorPil(size={"height": 64, "width": 48})
    return write(folder, transformers.VisionEncoderDecoderModel, config, tokenizer, pictures)
