"""Tokenizers made on the spot: words in pieces, as BERT has them, and bytes."""

from __future__ import annotations

from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_TEXT = (
    "the a baker bread oven warm cold good bad late early morning puts takes into out of is was were it this that "
    "example about delivery price quality parcel came two weeks loaf baked today train leaves at nine marie in lyon "
    "for ten years capital france paris what and than better ever fresh"
)
WORDS = _TEXT.split()
PIECES = [*"abcdefghijklmnopqrstuvwxyz0123456789.,!?'-", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789")]
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'system' and not loop.first %}{{ raise_exception('system comes first') }}{% endif %}"
    "<|{{ message.role }}|>{{ message.content }}</s>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
POSITIONS = 64
VOCABULARY = {word: index for index, word in enumerate(dict.fromkeys([*SPECIAL, *PIECES, *WORDS, "##s", "##ing"]))}


def word_tokenizer() -> Any:
    tokenizer = Tokenizer(models.WordPiece(VOCABULARY, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", VOCABULARY["[CLS]"]), ("[SEP]", VOCABULARY["[SEP]"])],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=POSITIONS,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def byte_tokenizer(*, chat: bool) -> Any:
    """All bytes, so that a random model writes broken UTF-8 now and then."""
    special = ["<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>"]
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=_bytes(special), bos_token="<s>", eos_token="</s>", model_max_length=POSITIONS * 2
    )
    fast.chat_template = CHAT_TEMPLATE if chat else None
    return fast


def ending_tokenizer(*languages: str) -> Any:
    """Bytes with an end token behind every text, as encoder-decoders read them; a token for each language."""
    tokenizer = _bytes(["<pad>", "</s>", "<unk>", *languages])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=POSITIONS * 2,
        model_input_names=["input_ids", "attention_mask"],
    )


def _bytes(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 20, trainer)
    return tokenizer
