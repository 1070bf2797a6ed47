"""Words and files together: LLaVA over CLIP and Llama sees, Qwen2-Audio hears."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers

from tests.tiny.checkpoint import write
from tests.tiny.tokens import byte_tokenizer

_CHAT = (
    "{% for message in messages %}<|{{ message.role }}|>{% for part in message.content %}"
    "{% if part.type == 'image' %}<image>{% elif part.type == 'audio' %}<|AUDIO|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_LAYERS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def seer(folder: Path, *, chat: bool = True) -> Path:
    tokenizer = byte_tokenizer(chat=False)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"], "pad_token": "</s>"})
    tokenizer.model_max_length = 512
    image = tokenizer.convert_tokens_to_ids("<image>")
    vision = transformers.CLIPVisionConfig(image_size=32, patch_size=16, projection_dim=16, **_LAYERS)
    text = transformers.LlamaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=512, num_key_value_heads=1,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, **_LAYERS,
    )  # fmt: skip
    config = transformers.LlavaConfig(
        vision_config=vision, text_config=text, image_token_id=image, vision_feature_layer=-1, image_seq_length=4
    )
    pictures = transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor: Any = transformers.LlavaProcessor(
        pictures, tokenizer, patch_size=16, vision_feature_select_strategy="default", image_token="<image>",
        num_additional_image_tokens=1, chat_template=_CHAT if chat else None,
    )  # fmt: skip
    return write(folder, transformers.LlavaForConditionalGeneration, config, processor)


def hearer(folder: Path) -> Path:
    tokenizer = byte_tokenizer(chat=False)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|AUDIO|>"], "pad_token": "</s>"})
    tokenizer.model_max_length = 2048
    text = transformers.Qwen2Config(
        vocab_size=len(tokenizer), max_position_embeddings=2048, num_key_value_heads=1,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, **_LAYERS,
    )  # fmt: skip
    audio = transformers.Qwen2AudioEncoderConfig(
        num_mel_bins=16, d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=32
    )
    config = transformers.Qwen2AudioConfig(
        audio_config=audio, text_config=text, audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>")
    )
    extractor = transformers.WhisperFeatureExtractor(feature_size=16)
    processor: Any = transformers.Qwen2AudioProcessor(extractor, tokenizer, chat_template=_CHAT)
    return write(folder, transformers.Qwen2AudioForConditionalGeneration, config, processor)
