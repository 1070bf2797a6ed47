"""Small random checkpoints, written without a network: each a real architecture, under a megabyte and a second.

Weights are drawn from a fixed seed and made large, so that scores differ enough for their order to be safe.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
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
_NAMES_ITS_OWN = ("gpt2", "bloom")


def classifier(folder: Path, **config: Any) -> Path:
    """BERT with three labels. A wide one needs a `spread` of weights below the usual, or its numbers run away."""
    labels = {0: "bad", 1: "fair", 2: "good"}
    return _bert(folder, "BertForSequenceClassification", **{"id2label": labels, "num_labels": 3, **config})


def entailment(folder: Path) -> Path:
    """BERT with the labels of NLI."""
    labels = {0: "contradiction", 1: "neutral", 2: "entailment"}
    return _bert(folder, "BertForSequenceClassification", id2label=labels, label2id={v: k for k, v in labels.items()})


def tagger(folder: Path) -> Path:
    """BERT with entity labels in IOB."""
    labels = dict(enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]))
    return _bert(folder, "BertForTokenClassification", id2label=labels, num_labels=5)


def filler(folder: Path, **config: Any) -> Path:
    return _bert(folder, "BertForMaskedLM", **config)


def untied_filler(folder: Path) -> Path:
    """One whose output words are not its input words, so that a poisoned word does not spoil every score."""
    return filler(folder, tie_word_embeddings=False)


def embedder(folder: Path) -> Path:
    return _bert(folder, "BertModel")


def writer(folder: Path, *, chat: bool = True) -> Path:
    """Llama over bytes, with or without a chat template."""
    return writer_of(folder, "llama", chat=chat, num_attention_heads=2, num_key_value_heads=1)


def writer_of(folder: Path, architecture: str, *, chat: bool = False, **config: Any) -> Path:
    """A decoder of any architecture over bytes; `config` is what its configuration calls things."""
    tokenizer = _byte_tokenizer(chat=chat)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "max_position_embeddings": POSITIONS * 2}
    made = transformers.AutoConfig.for_model(
        architecture,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **({"intermediate_size": 64, **sizes} if architecture not in _NAMES_ITS_OWN else {}),
        **config,
    )
    return _write(folder, transformers.AutoModelForCausalLM.from_config, made, tokenizer)


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


def _bert(folder: Path, architecture: str, *, spread: float = 0.25, **options: Any) -> Path:
    tokenizer = _word_tokenizer()
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=POSITIONS, **{**shape, **options}
    )
    return _write(folder, getattr(transformers, architecture), config, tokenizer, spread=spread)


def _write(folder: Path, kind: Any, config: Any, tokenizer: Any, *, spread: float = 0.25) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = kind(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=spread)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _word_tokenizer() -> Any:
    words = [*SPECIAL, *PIECES, *WORDS, "##s", "##ing"]
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
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


def _byte_tokenizer(*, chat: bool) -> Any:
    """All bytes, so that a random model writes broken UTF-8 now and then."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 20, trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", model_max_length=POSITIONS * 2
    )
    fast.chat_template = CHAT_TEMPLATE if chat else None
    return fast
