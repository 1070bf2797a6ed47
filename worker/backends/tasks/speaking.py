"""Sound made of a text: said aloud (VITS) or written token by token (MusicGen); each row alone, by its own seed."""

from __future__ import annotations

import importlib.util
import io
import wave
from collections.abc import Sequence
from typing import Any

import torch

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Binary, Context, Inputs, Parameters, Prepared, WithFiles
from worker.backends.choosing import seed_of
from worker.backends.encoder import Encoder
from worker.backends.generating import Asking
from worker.backends.tasks.task import Answer, Example, TaskModel, one_sequence, refuse_all
from worker.backends.weights import Loaded, corrupt

_SAID = ("speaker_id", "speaking_rate")
_WRITTEN = ("max_new_tokens", "do_sample", "temperature", "guidance_scale")
#: What the library's pipeline takes where neither the checkpoint nor the caller says.
_USUAL_TOKENS = 256


class TextToAudio(TaskModel):
    auto_class = "AutoModelForTextToWaveform"
    # None of them is served: so that it is said which ones are.
    or_classes = ("AutoModelForTextToSpectrogram",)
    # What comes out decides what it costs, not what goes in.
    rehearses = False
    model_types = ("vits", "musicgen")

    def __init__(self, loaded: Loaded) -> None:
        if loaded.model.config.model_type not in self.model_types:
            raise corrupt(
                f"Text becomes sound here with checkpoints of type {' or '.join(self.model_types)}, and this one is "
                f"of type {loaded.model.config.model_type}. Choose another."
            )
        if getattr(loaded.tokenizer, "phonemize", False) and not importlib.util.find_spec("phonemizer"):
            raise corrupt(
                "This checkpoint reads phonemes, and the worker cannot make any. Choose one that reads letters."
            )
        self._encoder = Encoder(loaded)
        self._model = loaded.model
        self._writes = bool(loaded.model.can_generate())
        self._rate = _rate(loaded.model.config)

    def example(self, inputs: Inputs, parameters: Parameters) -> Example:
        return inputs, {**parameters, "max_new_tokens": 8} if self._writes else parameters

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        if refusal := self._refusal(parameters):
            return refuse_all(rows, refusal)
        return one_sequence(self._encoder.encode([row["text"] for row in rows], truncation=False))

    def _refusal(self, parameters: Parameters) -> InputError | None:
        unused = next((name for name in (_SAID if self._writes else _WRITTEN) if name in parameters), None)
        if unused:
            return refusals.rejected(f"This model has no {unused}: leave it out.", f"parameters.{unused}")
        speakers = max(1, getattr(self._model.config, "num_speakers", 1))
        if parameters.get("speaker_id", 0) >= speakers:
            message = f"speaker_id must be below {speakers}, the voices of this model."
            return refusals.rejected(message, "parameters.speaker_id")
        return None

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        job_ids = list(context.job_ids) or [""] * len(rows)
        return [
            self._made(row.payload, parameters, job_id, context) for row, job_id in zip(rows, job_ids, strict=True)
        ]

    def _made(self, encoding: Any, parameters: Parameters, job_id: str, context: Context) -> Answer:
        # Asking also says that the pass goes on.
        context.wanted([job_id])
        padded = self._encoder.padded([encoding])
        read = {name: padded[name] for name in ("input_ids", "attention_mask")}
        device = self._model.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(parameters.get("seed", seed_of(job_id)))
            made = self._written(read, parameters, job_id, context) if self._writes else self._said(read, parameters)
        sound = made.float().cpu().reshape(-1, made.shape[-1])
        if not sound.isfinite().all():
            return refusals.not_finite()
        return WithFiles({"audio": as_wav(sound, self._rate), "sampling_rate": self._rate})

    def _said(self, read: dict[str, Any], parameters: Parameters) -> torch.Tensor:
        if self._model.config.num_speakers > 1:
            read = {**read, "speaker_id": parameters.get("speaker_id", 0)}
        sound: torch.Tensor = self._model(**read, speaking_rate=parameters.get("speaking_rate")).waveform
        return sound

    def _written(self, read: dict[str, Any], parameters: Parameters, job_id: str, context: Context) -> torch.Tensor:
        own = self._model.generation_config
        asked = {name: parameters[name] for name in _WRITTEN if name in parameters}
        usual = {} if own.max_new_tokens or own.max_length else {"max_new_tokens": _USUAL_TOKENS}
        sound: torch.Tensor = self._model.generate(
            **read, **{**usual, **asked}, stopping_criteria=[Asking([job_id], context)]
        )
        return sound[0]


def as_wav(sound: torch.Tensor, rate: int) -> Binary:
    """Channels of samples, -1 to 1, as a file of a result."""

    def encode() -> bytes:
        out = io.BytesIO()
        with wave.open(out, "wb") as file:
            file.setnchannels(len(sound))
            file.setsampwidth(2)
            file.setframerate(rate)
            # In a WAV the channels take turns.
            file.writeframes((sound.T.clamp(-1, 1) * 32767).round().to(torch.int16).numpy().tobytes())
        return out.getvalue()

    return Binary("sound.wav", "audio/wav", encode)


def _rate(config: Any) -> int:
    """Samples a second, of the model or of the codec in it."""
    for part in (config, getattr(config, "audio_encoder", None), getattr(config, "codec_config", None)):
        for name in ("sampling_rate", "sample_rate"):
            found = getattr(part, name, None)
            if isinstance(found, int) and found > 0:
                return found
    raise corrupt("The config.json of this checkpoint names no sampling_rate. Add it.")
