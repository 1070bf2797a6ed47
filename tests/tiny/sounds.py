"""Small random checkpoints that hear, written without a network, by task."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import pre_tokenizers

from tests.tiny.checkpoint import write
from tests.tiny.tokens import ending_tokenizer, word_tokenizer

RATE = 16_000
_LABELS = {0: "bell", 1: "dog", 2: "rain"}


def classifier(folder: Path, **config: Any) -> Path:
    """Wav2Vec2 with three labels."""
    made = transformers.Wav2Vec2Config(**_wave(), **{"num_labels": 3, "id2label": _LABELS, **config})
    return write(folder, transformers.Wav2Vec2ForSequenceClassification, made, _waveforms(), spread=0.1)


def spectrum_classifier(folder: Path) -> Path:
    """An audio spectrogram transformer: it hears a window of fixed length."""
    config = transformers.ASTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, max_length=128,
        num_mel_bins=32, patch_size=8, frequency_stride=8, time_stride=8, id2label=_LABELS,
    )  # fmt: skip
    extractor = transformers.ASTFeatureExtractor(num_mel_bins=32, max_length=128)
    return write(folder, transformers.ASTForAudioClassification, config, extractor)


def listener(folder: Path) -> Path:
    """Wav2Vec2 that spells what it hears."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["<pad>", "<s>", "</s>", "<unk>", "|", *"etaoinshrdlu'"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    config = transformers.Wav2Vec2Config(**_wave(), vocab_size=len(words), pad_token_id=0)
    processor = transformers.Wav2Vec2Processor(_waveforms(), tokenizer)
    return write(folder, transformers.Wav2Vec2ForCTC, config, processor, spread=0.3)


def whisper(folder: Path) -> Path:
    """Whisper of two languages, which writes bytes and times."""
    letters = [*pre_tokenizers.ByteLevel.alphabet()]
    special = [
        "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|fr|>", "<|translate|>", "<|transcribe|>",
        "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
        *(f"<|{step * 0.02:.2f}|>" for step in range(1501)),
    ]  # fmt: skip
    number = {word: place for place, word in enumerate([*letters, *special])}
    tokenizer = transformers.WhisperTokenizer(vocab=number, merges=[], language="en", task="transcribe")
    tokenizer.add_special_tokens({"additional_special_tokens": special[:10]})
    config = transformers.WhisperConfig(
        vocab_size=len(number), d_model=16, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, num_mel_bins=16, max_target_positions=64,
        pad_token_id=number["<|endoftext|>"], bos_token_id=number["<|endoftext|>"],
        eos_token_id=number["<|endoftext|>"], begin_suppress_tokens=None,
        decoder_start_token_id=number["<|startoftranscript|>"],
    )  # fmt: skip

    def made(config: Any) -> Any:
        model = transformers.WhisperForConditionalGeneration(config)
        more = {
            "lang_to_id": {word: number[word] for word in ("<|en|>", "<|fr|>")},
            "task_to_id": {word: number[f"<|{word}|>"] for word in ("transcribe", "translate")},
            "no_timestamps_token_id": number["<|notimestamps|>"],
            "prev_sot_token_id": number["<|startofprev|>"],
            "is_multilingual": True,
            "alignment_heads": [[0, 0], [1, 1]],
            "max_initial_timestamp_index": 50,
            "max_length": 64,
        }
        # Else the library would make another one of the configuration when it is read.
        model.generation_config._from_model_config = False
        for name, value in more.items():
            setattr(model.generation_config, name, value)
        return model

    extractor = transformers.WhisperFeatureExtractor(feature_size=16)
    return write(folder, made, config, transformers.WhisperProcessor(extractor, tokenizer))


def matcher(folder: Path) -> Path:
    """CLAP."""
    tokenizer = word_tokenizer()
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    text = {
        "vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 80, "projection_dim": 16,
        "pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
    }  # fmt: skip
    sound = {
        "spec_size": 64, "num_mel_bins": 16, "window_size": 4, "patch_size": 4, "patch_stride": [4, 4],
        "patch_embeds_hidden_size": 8, "hidden_size": 16, "depths": [1, 1], "num_attention_heads": [1, 2],
        "projection_dim": 16, "num_classes": 3, "enable_fusion": False,
    }  # fmt: skip
    config = transformers.ClapConfig(text_config=text, audio_config=sound, projection_dim=16)
    extractor = transformers.ClapFeatureExtractor(
        feature_size=16, sampling_rate=8_000, max_length_s=2, truncation="rand_trunc", padding="repeatpad",
        fft_window_size=256, hop_length=64, frequency_max=4_000,
    )  # fmt: skip
    return write(folder, transformers.ClapModel, config, transformers.ClapProcessor(extractor, tokenizer))


def speaker(folder: Path, **config: Any) -> Path:
    """VITS that reads letters."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = {letter: number for number, letter in enumerate("_ abcdefghijklmnopqrstuvwxyz'-")}
    (folder / "vocab.json").write_text(json.dumps(letters))
    tokenizer = transformers.VitsTokenizer(str(folder / "vocab.json"), pad_token="_", unk_token="_", phonemize=False)
    made = transformers.VitsConfig(
        vocab_size=len(letters), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, ffn_dim=16, flow_size=8,
        spectrogram_bins=17, upsample_initial_channel=16, upsample_rates=[8, 8], upsample_kernel_sizes=[16, 16],
        resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3]], prior_encoder_num_flows=2,
        prior_encoder_num_wavenet_layers=2, posterior_encoder_num_wavenet_layers=2, duration_predictor_num_flows=2,
        wavenet_dilation_rate=1, depth_separable_channels=2, depth_separable_num_layers=2, **config,
    )  # fmt: skip
    return write(folder, transformers.VitsModel, made, tokenizer, spread=0.05)


def reader(folder: Path) -> Path:
    """SpeechT5, which writes spectrograms of any length."""
    tokenizer = ending_tokenizer()
    config = transformers.SpeechT5Config(
        vocab_size=len(tokenizer), hidden_size=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, conv_dim=[8], conv_kernel=[4],
        conv_stride=[4], num_feat_extract_layers=1, num_mel_bins=8, speaker_embedding_dim=4,
        speech_decoder_prenet_units=16, speech_decoder_postnet_layers=2, speech_decoder_postnet_units=16,
        max_text_positions=64, max_speech_positions=200, encoder_max_relative_position=8,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip

    def made(config: Any) -> Any:
        model = transformers.SpeechT5ForTextToSpeech(config)
        # It comes to its end now and then, and not at once.
        torch.nn.init.constant_(model.speech_decoder_postnet.prob_out.bias, -4.0)
        return model

    return write(folder, made, config, tokenizer, spread=0.1)


def vocoder(folder: Path, *, bands: int = 8) -> Path:
    """Sound of a `reader`'s spectrograms."""
    config = transformers.SpeechT5HifiGanConfig(
        model_in_dim=bands, sampling_rate=RATE, upsample_initial_channel=16, upsample_rates=[4, 4],
        upsample_kernel_sizes=[8, 8], resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3]],
    )  # fmt: skip
    return write(folder, transformers.SpeechT5HifiGan, config)


def bark(folder: Path, *, mute: bool = False) -> Path:
    """Bark, with few tokens of each kind; a mute one is at its end before it has begun."""
    tokenizer = word_tokenizer()
    words = len(tokenizer)
    size = {"num_layers": 1, "num_heads": 2, "hidden_size": 16, "block_size": 64}
    codec = transformers.EncodecConfig(
        sampling_rate=RATE, hidden_size=8, num_filters=4, upsampling_ratios=[4, 2], codebook_size=32,
        num_lstm_layers=1, target_bandwidths=[40.0],
    )  # fmt: skip
    config = transformers.BarkConfig(
        semantic_config={**size, "input_vocab_size": words + 26, "output_vocab_size": 24},
        coarse_acoustics_config={**size, "input_vocab_size": 86, "output_vocab_size": 86},
        fine_acoustics_config={
            **size, "input_vocab_size": 33, "output_vocab_size": 33, "n_codes_total": 4, "n_codes_given": 1,
        },
        codec_config=codec.to_dict(),
    )  # fmt: skip
    semantic = {
        "semantic_vocab_size": 20, "eos_token_id": 20, "text_encoding_offset": 24, "text_pad_token": words + 24,
        "semantic_infer_token": words + 25, "max_input_semantic_length": 32, "max_new_tokens": 12,
    }  # fmt: skip
    coarse = {
        "coarse_semantic_pad_token": 84, "coarse_infer_token": 85, "max_coarse_input_length": 16,
        "max_coarse_history": 20, "sliding_window_len": 6, "do_sample": True,
    }  # fmt: skip
    fine = {"max_fine_history_length": 8, "max_fine_input_length": 16, "n_fine_codebooks": 4}

    def made(config: Any) -> Any:
        model = transformers.BarkModel(config)
        for name, buffer in model.named_buffers():
            if name.endswith("codebook.embed"):
                torch.nn.init.normal_(buffer, std=2_000)
        model.generation_config = transformers.GenerationConfig(
            semantic_config=semantic, coarse_acoustics_config=coarse, fine_acoustics_config=fine,
            sample_rate=RATE, codebook_size=32,
        )  # fmt: skip
        return model

    write(folder, made, config, tokenizer)
    if not mute:
        model = transformers.BarkModel.from_pretrained(folder)
        with torch.no_grad():
            # Likelier than some and less likely than others.
            model.semantic.lm_head.weight[semantic["eos_token_id"]] = 0.0
        model.save_pretrained(folder)
    return folder


def musician(folder: Path, *, channels: int = 1) -> Path:
    """MusicGen: T5 reads, a decoder writes codes, EnCodec makes sound of them."""
    tokenizer = ending_tokenizer()
    text = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, decoder_start_token_id=0,
    )  # fmt: skip
    codec = transformers.EncodecConfig(
        sampling_rate=RATE, hidden_size=8, num_filters=4, upsampling_ratios=[4, 2], codebook_size=32,
        num_lstm_layers=1, target_bandwidths=[20.0],
    )  # fmt: skip
    decoder = transformers.MusicgenDecoderConfig(
        vocab_size=32, max_position_embeddings=64, num_hidden_layers=1, ffn_dim=32, num_attention_heads=2,
        hidden_size=16, num_codebooks=2 * channels, audio_channels=channels, pad_token_id=32, bos_token_id=32,
    )  # fmt: skip

    def made(config: Any) -> Any:
        model = transformers.MusicgenForConditionalGeneration(config)
        for name, buffer in model.named_buffers():
            if name.endswith("codebook.embed"):
                # Large, so that what is written is heard.
                torch.nn.init.normal_(buffer, std=2_000)
        for name, value in {"decoder_start_token_id": 32, "pad_token_id": 32, "bos_token_id": 32}.items():
            setattr(model.generation_config, name, value)
        model.generation_config.update(guidance_scale=3.0, do_sample=True, max_length=40)
        # Else the library would make another one of the configuration when it is read.
        model.generation_config._from_model_config = False
        return model

    config = transformers.MusicgenConfig(text_encoder=text, audio_encoder=codec, decoder=decoder)
    return write(folder, made, config, tokenizer)


def _wave() -> dict[str, Any]:
    return {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
        "conv_dim": [8, 8, 8], "conv_kernel": [10, 8, 4], "conv_stride": [10, 8, 4], "num_feat_extract_layers": 3,
        "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "classifier_proj_size": 8,
    }  # fmt: skip


def _waveforms() -> Any:
    return transformers.Wav2Vec2FeatureExtractor(sampling_rate=RATE, do_normalize=True, return_attention_mask=False)


MAKERS: dict[str, Callable[[Path], Path]] = {
    "audio-classification": classifier,
    "automatic-speech-recognition": listener,
    "zero-shot-audio-classification": matcher,
    "text-to-audio": speaker,
}
