"""Words and files together: LLaVA over CLIP and Llama sees, Qwen2-Audio hears, LLaVA-OneVision and Qwen2-VL watch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import transformers

from tests.tiny.checkpoint import write
from tests.tiny.tokens import byte_tokenizer

_CHAT = (
    "{% for message in messages %}<|{{ message.role }}|>{% for part in message.content %}"
    "{% if part.type == 'image' %}<image>{% elif part.type == 'audio' %}<|AUDIO|>"
    "{% elif part.type == 'video' %}<video>"
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


def watcher(folder: Path) -> Path:
    """LLaVA-OneVision, written without its video processor, which is made where there is torchvision."""
    tokenizer = byte_tokenizer(chat=False)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", "<video>"], "pad_token": "</s>"})
    tokenizer.model_max_length = 2048
    image, video = tokenizer.convert_tokens_to_ids(["<image>", "<video>"])
    vision = transformers.SiglipVisionConfig(image_size=32, patch_size=8, vision_use_head=False, **_LAYERS)
    text = transformers.Qwen2Config(
        vocab_size=len(tokenizer), max_position_embeddings=2048, num_key_value_heads=1,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, **_LAYERS,
    )  # fmt: skip
    config = transformers.LlavaOnevisionConfig(
        vision_config=vision, text_config=text, image_token_index=image, video_token_index=video,
        image_grid_pinpoints=[[32, 32]],
    )  # fmt: skip
    size = {"height": 32, "width": 32}
    pictures = transformers.LlavaOnevisionImageProcessorPil(size=size, image_grid_pinpoints=[[32, 32]])
    write(folder, transformers.LlavaOnevisionForConditionalGeneration, config, pictures, tokenizer)
    own = {"num_image_tokens": 16, "vision_feature_select_strategy": "full"}
    return _readers(folder, "LlavaOnevision", _CHAT, {"size": size}, own)


def merger(folder: Path) -> Path:
    """Qwen2-VL, which joins frames by twos and patches by fours."""
    tokenizer = byte_tokenizer(chat=False)
    marks = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": marks, "pad_token": "</s>"})
    tokenizer.model_max_length = 2048
    image, video, start, end = tokenizer.convert_tokens_to_ids(marks)
    text = {
        **_LAYERS, "vocab_size": len(tokenizer), "max_position_embeddings": 2048, "num_key_value_heads": 1,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 3, 3]},
    }  # fmt: skip
    config = transformers.Qwen2VLConfig(
        text_config=text,
        vision_config={"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "patch_size": 8},
        image_token_id=image, video_token_id=video, vision_start_token_id=start, vision_end_token_id=end,
    )  # fmt: skip
    shape = {"size": {"shortest_edge": 256, "longest_edge": 16 * 256}, "patch_size": 8}
    pictures = transformers.Qwen2VLImageProcessorPil(**shape)
    write(folder, transformers.Qwen2VLForConditionalGeneration, config, pictures, tokenizer)
    chat = _CHAT.replace("<image>", "<|vision_start|><|image_pad|><|vision_end|>")
    chat = chat.replace("<video>", "<|vision_start|><|video_pad|><|vision_end|>")
    film = {"size": {"shortest_edge": 256, "longest_edge": 64 * 256}, "patch_size": 8}
    return _readers(folder, "Qwen2VL", chat, film, {})


def painter(folder: Path) -> Path:
    """Janus, which sees, and paints images of 16 by 16 pixels, a token for each square of four."""
    tokenizer = byte_tokenizer(chat=False)
    marks = {"image_token": "<image>", "boi_token": "<begin>", "eoi_token": "<end>"}
    tokenizer.add_special_tokens({"additional_special_tokens": [*marks.values()], "pad_token": "</s>"})
    tokenizer._set_model_specific_special_tokens(marks)
    tokenizer.model_max_length = 512
    image, begin = tokenizer.convert_tokens_to_ids(["<image>", "<begin>"])
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = transformers.JanusConfig(
        text_config=transformers.LlamaConfig(
            vocab_size=len(tokenizer), max_position_embeddings=512, num_key_value_heads=1, **ends, **_LAYERS
        ),
        vision_config=transformers.JanusVisionConfig(
            hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8, mlp_ratio=2.0,
            projection_dim=32, num_image_tokens=16,
        ),
        vq_config=transformers.JanusVQVAEConfig(
            num_embeddings=32, latent_channels=32, base_channels=32, channel_multiplier=[1, 1, 1], num_res_blocks=1,
            projection_dim=32, image_token_embed_dim=32,
        ),
        image_token_id=image,
    )  # fmt: skip
    half = [0.5] * 3
    pictures = transformers.JanusImageProcessorPil(size={"height": 32, "width": 32}, image_mean=half, image_std=half)
    processor: Any = transformers.JanusProcessor(pictures, tokenizer, chat_template=_CHAT, num_image_tokens=16)
    write(folder, transformers.JanusForConditionalGeneration, config, processor)
    ways = {"guidance_scale": 5.0, "pad_token_id": tokenizer.pad_token_id, **ends}
    transformers.GenerationConfig(**ways, generation_kwargs={"boi_token_id": begin}).save_pretrained(folder)
    return folder


def _readers(folder: Path, kind: str, chat: str, film: dict[str, Any], own: dict[str, Any]) -> Path:
    """What joins the readers of a checkpoint, and how its videos are prepared: JSON, as the library saves it."""
    video = {**film, "video_processor_type": f"{kind}VideoProcessor"}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(video))
    (folder / "processor_config.json").write_text(json.dumps({**own, "processor_class": f"{kind}Processor"}))
    (folder / "chat_template.jinja").write_text(chat)
    return folder
