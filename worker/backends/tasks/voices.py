"""How each kind of model makes sound of a text, by the type of its checkpoint. All of them draw: the caller seeds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from transformers import StoppingCriteria
from transformers.models.bark.generation_configuration_bark import BarkSemanticGenerationConfig

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Parameters
from worker.backends.generating import Asking, Tensors
from worker.backends.weights import Loaded, corrupt

#: What the library's pipeline takes where neither the checkpoint nor the caller says.
_USUAL_TOKENS = 256
#: Frames a token of text at most, as the library's generate_speech() has it.
_FRAMES_A_TOKEN = 20.0


class Voice:
    """`made` gives samples, (..., channels, samples) or (samples,), at `rate` a second."""

    #: Parameters of the task that it knows.
    takes: ClassVar[tuple[str, ...]]
    needs_vocoder: ClassVar[bool] = False
    #: What a tokenizer is asked for besides.
    tokenizing: ClassVar[dict[str, Any]] = {}
    #: Tokens of a text, where the model's positions say it in words of its own.
    most_tokens = 1 << 30

    def __init__(self, loaded: Loaded) -> None:
        self.model = loaded.model
        self.rate = _rate(loaded.model.config)

    def example(self, parameters: Parameters) -> Parameters:
        return parameters

    def refusal(self, parameters: Parameters) -> InputError | None:
        return None

    def made(self, read: Tensors, parameters: Parameters, asking: Asking) -> torch.Tensor:
        raise NotImplementedError


class Vits(Voice):
    """Says a text in one pass."""

    takes = ("speaker_id", "speaking_rate")

    def refusal(self, parameters: Parameters) -> InputError | None:
        speakers = max(1, self.model.config.num_speakers)
        if parameters.get("speaker_id", 0) < speakers:
            return None
        message = f"speaker_id must be below {speakers}, the voices of this model."
        return refusals.rejected(message, "parameters.speaker_id")

    def made(self, read: Tensors, parameters: Parameters, asking: Asking) -> torch.Tensor:
        more = {"speaker_id": parameters.get("speaker_id", 0)} if self.model.config.num_speakers > 1 else {}
        sound: torch.Tensor = self.model(**read, **more, speaking_rate=parameters.get("speaking_rate")).waveform
        return sound


class MusicGen(Voice):
    """Writes tokens of sound, which its codec plays."""

    takes = ("max_new_tokens", "do_sample", "temperature", "top_k", "top_p", "guidance_scale")

    def example(self, parameters: Parameters) -> Parameters:
        return {**parameters, "max_new_tokens": 8}

    def made(self, read: Tensors, parameters: Parameters, asking: Asking) -> torch.Tensor:
        own = self.model.generation_config
        asked = {name: parameters[name] for name in self.takes if name in parameters}
        usual = {} if own.max_new_tokens or own.max_length else {"max_new_tokens": _USUAL_TOKENS}
        sound: torch.Tensor = self.model.generate(**read, **{**usual, **asked}, stopping_criteria=[asking])
        return sound[0]


class Bark(Voice):
    """Writes tokens of meaning, then of sound, which its codec plays. Whose voice it is, is drawn."""

    takes = ("max_new_tokens", "do_sample", "temperature")
    tokenizing: ClassVar[dict[str, Any]] = {"add_special_tokens": False}

    def __init__(self, loaded: Loaded) -> None:
        self.model = loaded.model
        own = loaded.model.generation_config
        if not all(hasattr(own, name) for name in ("semantic_config", "coarse_acoustics_config", "sample_rate")):
            raise corrupt("This checkpoint lacks its generation_config.json, or what Bark has in it. Add it.")
        self.rate = int(own.sample_rate)
        self._semantic = BarkSemanticGenerationConfig(**own.semantic_config)
        self.most_tokens = int(self._semantic.max_input_semantic_length)

    def example(self, parameters: Parameters) -> Parameters:
        return {**parameters, "max_new_tokens": 8}

    def refusal(self, parameters: Parameters) -> InputError | None:
        most = self._semantic.max_new_tokens
        if parameters.get("max_new_tokens", 1) <= most:
            return None
        return refusals.rejected(f"max_new_tokens must be at most {most} here.", "parameters.max_new_tokens")

    def made(self, read: Tensors, parameters: Parameters, asking: Asking) -> torch.Tensor:
        # As its processor pads: what is no text is a token of its own to the model.
        room = (0, self.most_tokens - read["input_ids"].shape[1])
        padded = {name: torch.nn.functional.pad(tensor, room) for name, tensor in read.items()}
        drawn = {name: parameters[name] for name in ("do_sample", "temperature") if name in parameters}
        asked = {f"{stage}_{name}": value for stage in ("semantic", "coarse") for name, value in drawn.items()}
        if "max_new_tokens" in parameters:
            asked["semantic_max_new_tokens"] = parameters["max_new_tokens"]
        sound: torch.Tensor = self.model.generate(
            **padded,
            **asked,
            # Of nothing at all the next stage makes an error.
            semantic_min_new_tokens=1,
            semantic_stopping_criteria=[asking],
            coarse_stopping_criteria=[_Hearing(asking)],
        )
        return sound


class _Hearing(StoppingCriteria):  # type: ignore[misc]
    """Says that the pass goes on. The tokens of one moment are several, and must not be parted."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        return torch.zeros_like(self._asking(input_ids, scores))


class SpeechT5(Voice):
    """Writes the frames of a spectrogram in the voice of a vector; a vocoder makes sound of them."""

    takes = ("speaker_embeddings",)
    needs_vocoder = True

    def __init__(self, loaded: Loaded) -> None:
        self.model, self._vocoder = loaded.model, loaded.vocoder
        if self._vocoder is None:
            raise corrupt(
                "A checkpoint of type speecht5 writes spectrograms. Name the vocoder that makes sound of them, a "
                'directory or a Hub id: vocoder = "microsoft/speecht5_hifigan".'
            )
        if self._vocoder.config.model_in_dim != self.model.config.num_mel_bins:
            raise corrupt(
                f"The vocoder reads {self._vocoder.config.model_in_dim} bands of sound, and this checkpoint writes "
                f"{self.model.config.num_mel_bins}. Choose the vocoder that goes with it."
            )
        self.rate = int(self._vocoder.config.sampling_rate)
        self.most_tokens = int(self.model.config.max_text_positions)

    def refusal(self, parameters: Parameters) -> InputError | None:
        size = self.model.config.speaker_embedding_dim
        if len(parameters.get("speaker_embeddings", [0.0] * size)) == size:
            return None
        message = f"speaker_embeddings must be a list of {size} numbers, as this model's voices are."
        return refusals.rejected(message, "parameters.speaker_embeddings")

    def made(self, read: Tensors, parameters: Parameters, asking: Asking) -> torch.Tensor:
        config = self.model.config
        vector = parameters.get("speaker_embeddings") or [0.0] * config.speaker_embedding_dim
        speaker = torch.tensor([vector], dtype=self.model.dtype, device=self.model.device)
        # One that never comes to its end would run out of positions.
        room = config.max_speech_positions * config.reduction_factor / read["input_ids"].shape[1]
        with _ended_by(asking, self.model.speech_decoder_postnet.prob_out):
            frames = self.model.generate(**read, speaker_embeddings=speaker, maxlenratio=min(_FRAMES_A_TOKEN, room))
        sound: torch.Tensor = self._vocoder(frames)
        return sound


@contextlib.contextmanager
def _ended_by(asking: Asking, end: torch.nn.Module) -> Iterator[None]:
    """While nobody wants the sound any more, `end` says that it is over; there is no other way to stop the loop."""

    def say(_module: Any, _inputs: Any, score: torch.Tensor) -> torch.Tensor | None:
        return torch.full_like(score, torch.inf) if bool(asking(score, None).any()) else None

    handle = end.register_forward_hook(say)
    try:
        yield
    finally:
        handle.remove()


def _rate(config: Any) -> int:
    """Samples a second, of the model or of the codec in it."""
    for part in (config, getattr(config, "audio_encoder", None), getattr(config, "codec_config", None)):
        for name in ("sampling_rate", "sample_rate"):
            found = getattr(part, name, None)
            if isinstance(found, int) and found > 0:
                return found
    raise corrupt("The config.json of this checkpoint names no sampling_rate. Add it.")


VOICES: dict[str, type[Voice]] = {"vits": Vits, "musicgen": MusicGen, "speecht5": SpeechT5, "bark": Bark}
