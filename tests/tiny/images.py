"""Small random checkpoints that look at pictures, written without a network, by task.

MAKERS["image-classification"](folder)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

SIDE = 32
POSITIONS = 64


def classifier(folder: Path, **config: Any) -> Path:
    """ViT with three labels."""
    labels = {0: "bread", 1: "cake", 2: "cat"}
    made = transformers.ViTConfig(**_vit(), id2label=labels, **{"num_labels": 3, **config})
    return _write(folder, transformers.ViTForImageClassification(made), _squares(transformers.ViTImageProcessorPil))


def embedder(folder: Path) -> Path:
    """ViT with a pooler."""
    return _write(
        folder, transformers.ViTModel(transformers.ViTConfig(**_vit())), _squares(transformers.ViTImageProcessorPil)
    )


def matcher(folder: Path) -> Path:
    """CLIP."""
    config = transformers.CLIPConfig(text_config=_text_of_clip(), vision_config=_vit(), projection_dim=16)
    pictures = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    return _write(folder, transformers.CLIPModel(config), transformers.CLIPProcessor(pictures, _clip_tokenizer()))


def detector(folder: Path) -> Path:
    """DETR over a small ResNet, whose boxes have scores on both sides of any threshold."""
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", out_features=["stage2"]
    )
    config = transformers.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=backbone,
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=16, decoder_ffn_dim=16, num_queries=6, num_labels=3,
        id2label={0: "loaf", 1: "roll", 2: "cat"},
    )  # fmt: skip
    pictures = transformers.DetrImageProcessorPil(size={"shortest_edge": SIDE, "longest_edge": 2 * SIDE})
    return _write(folder, transformers.DetrForObjectDetection(config), pictures)


def seeker(folder: Path) -> Path:
    """OWL-ViT."""
    config = transformers.OwlViTConfig(text_config=_text_of_clip(), vision_config=_vit(), projection_dim=32)
    pictures = transformers.OwlViTImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    model = transformers.OwlViTForObjectDetection(config)
    return _write(folder, model, transformers.OwlViTProcessor(pictures, _clip_tokenizer()))


def cutter(folder: Path) -> Path:
    """SegFormer with three labels."""
    config = transformers.SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16], patch_sizes=[7, 3],
        strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=16, num_labels=3,
        id2label={0: "bread", 1: "table", 2: "wall"},
    )  # fmt: skip
    pictures = _squares(transformers.SegformerImageProcessorPil)
    return _write(folder, transformers.SegformerForSemanticSegmentation(config), pictures)


def masker(folder: Path) -> Path:
    """MaskFormer over a small Swin: panoptic, instance and semantic."""
    backbone = transformers.SwinConfig(
        image_size=SIDE, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4,
        out_features=["stage1", "stage2"],
    )  # fmt: skip
    decoder = transformers.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None,
        backbone_config=transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1]),
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=16, decoder_ffn_dim=16, num_queries=5,
    )  # fmt: skip
    labels = {0: "bread", 1: "table", 2: "wall"}
    config = transformers.MaskFormerConfig(
        backbone_config=backbone, decoder_config=decoder, fpn_feature_size=16, mask_feature_size=16,
        num_labels=3, id2label=labels,
    )  # fmt: skip
    pictures = transformers.MaskFormerImageProcessorPil(
        size={"shortest_edge": SIDE, "longest_edge": 2 * SIDE}, num_labels=3
    )
    return _write(folder, transformers.MaskFormerForInstanceSegmentation(config), pictures)


def measurer(folder: Path) -> Path:
    """DPT."""
    config = transformers.DPTConfig(
        **{**_vit(), "num_hidden_layers": 4}, is_hybrid=False, backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8, reassemble_factors=[4, 2, 1, 0.5],
        use_pretrained_backbone=False,
    )  # fmt: skip
    return _write(folder, transformers.DPTForDepthEstimation(config), _squares(transformers.DPTImageProcessorPil))


def pairer(folder: Path) -> Path:
    """SuperGlue over a small SuperPoint, which takes most places for points."""
    points = transformers.SuperPointConfig(
        encoder_hidden_sizes=[8, 8, 8, 16], decoder_hidden_size=16, descriptor_decoder_dim=16,
        keypoint_threshold=0.002, max_keypoints=40,
    )  # fmt: skip
    config = transformers.SuperGlueConfig(
        keypoint_detector_config=points, hidden_size=16, keypoint_encoder_sizes=[8, 16],
        gnn_layers_types=["self", "cross"], num_attention_heads=2, sinkhorn_iterations=10,
    )  # fmt: skip
    pictures = transformers.SuperGlueImageProcessorPil(size={"height": 48, "width": 64})
    return _write(folder, transformers.SuperGlueForKeypointMatching(config), pictures)


def everything(folder: Path) -> Path:
    """SAM, whose masks are as good as any threshold asks."""
    vision = transformers.SamVisionConfig(
        hidden_size=16, output_channels=8, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE, patch_size=8,
        window_size=2, global_attn_indexes=[1], num_pos_feats=4, mlp_dim=16,
    )  # fmt: skip
    prompts = transformers.SamPromptEncoderConfig(
        hidden_size=8, image_size=SIDE, patch_size=8, mask_input_channels=4, image_embedding_size=SIDE // 8
    )
    decoder = transformers.SamMaskDecoderConfig(
        hidden_size=8, mlp_dim=16, num_attention_heads=2, attention_downsample_rate=2, iou_head_hidden_dim=8
    )
    config = transformers.SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    model = transformers.SamModel(config)
    pictures = transformers.SamImageProcessorPil(
        size={"longest_edge": SIDE}, mask_size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE},
        mask_pad_size={"height": SIDE, "width": SIDE},
    )  # fmt: skip
    with torch.no_grad():
        # The model's own opinion of its masks: above the usual threshold.
        for layer in (model.mask_decoder.iou_prediction_head.proj_out,):
            layer.bias.fill_(0.95)
    return _write(folder, model, pictures, spread=0.6)


def chooser(folder: Path) -> Path:
    """ViLT with three answers."""
    config = transformers.ViltConfig(
        **_vit(), vocab_size=len(_word_tokenizer()), max_position_embeddings=POSITIONS, num_labels=3,
        id2label={0: "bread", 1: "nothing", 2: "a cat"},
    )  # fmt: skip
    pictures = transformers.ViltImageProcessorPil(size={"shortest_edge": SIDE}, size_divisor=8)
    processor = transformers.ViltProcessor(pictures, _word_tokenizer())
    return _write(folder, transformers.ViltForQuestionAnswering(config), processor)


def answerer(folder: Path) -> Path:
    """BLIP that writes answers."""
    return _blip(folder, "BlipForQuestionAnswering")


def captioner(folder: Path) -> Path:
    """BLIP that writes captions."""
    return _blip(folder, "BlipForConditionalGeneration")


def completer(folder: Path) -> Path:
    """GIT, which writes captions and goes on from their beginnings."""
    tokenizer = _word_tokenizer()
    config = transformers.GitConfig(
        vision_config=_vit(), vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=POSITIONS, bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    processor = transformers.GitProcessor(
        _squares(transformers.CLIPImageProcessorPil, do_center_crop=False), tokenizer
    )
    return _write(folder, transformers.GitForCausalLM(config), processor)


def enlarger(folder: Path) -> Path:
    """Swin2SR, twice as large."""
    config = transformers.Swin2SRConfig(
        image_size=SIDE, embed_dim=8, depths=[1, 1], num_heads=[1, 1], window_size=4, upscale=2
    )
    pictures = transformers.Swin2SRImageProcessorPil(size_divisor=4)
    return _write(folder, transformers.Swin2SRForImageSuperResolution(config), pictures, spread=0.6)


def _blip(folder: Path, architecture: str) -> Path:
    tokenizer = _word_tokenizer()
    text = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": POSITIONS, "encoder_hidden_size": 32,
        "projection_dim": 16, "bos_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id,
        "eos_token_id": tokenizer.sep_token_id, "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    config = transformers.BlipConfig(
        text_config=text, vision_config=_vit(), projection_dim=16, image_text_hidden_size=16
    )
    model = getattr(transformers, architecture)(config)
    return _write(folder, model, transformers.BlipProcessor(_squares(transformers.BlipImageProcessorPil), tokenizer))


def _text_of_clip() -> dict[str, Any]:
    tokenizer = _clip_tokenizer()
    return {
        "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": POSITIONS, "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip


def _vit() -> dict[str, Any]:
    return {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "image_size": SIDE,
        "patch_size": 8,
    }


def _squares(kind: Any, **options: Any) -> Any:
    return kind(size={"height": SIDE, "width": SIDE}, **options)


def _write(folder: Path, model: Any, *readers: Any, spread: float = 0.25) -> Path:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(7)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=spread)
    model.save_pretrained(folder)
    for reader in readers:
        reader.save_pretrained(folder)
    return folder


_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,?!'-"


def _word_tokenizer() -> Any:
    """BERT's: letters."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_LETTERS, *(f"##{letter}" for letter in _LETTERS)]
    return transformers.BertTokenizer(vocab=_numbered(words), model_max_length=POSITIONS)


def _clip_tokenizer() -> Any:
    """CLIP's: letters."""
    # The end has the largest number, by which CLIP finds it, and none but padding may have 0, which OWL-ViT ignores.
    words = [*_LETTERS, *(f"{letter}</w>" for letter in _LETTERS), "<|startoftext|>", "<|endoftext|>"]
    return transformers.CLIPTokenizer(vocab=_numbered(words), merges=[], model_max_length=POSITIONS)


def _numbered(words: list[str]) -> dict[str, int]:
    return {word: index for index, word in enumerate(words)}


MAKERS: dict[str, Callable[[Path], Path]] = {
    "image-classification": classifier,
    "image-feature-extraction": embedder,
    "zero-shot-image-classification": matcher,
    "object-detection": detector,
    "zero-shot-object-detection": seeker,
    "image-segmentation": cutter,
    "depth-estimation": measurer,
    "visual-question-answering": chooser,
    "image-to-text": captioner,
    "image-to-image": enlarger,
    "keypoint-matching": pairer,
    "mask-generation": everything,
}
