"""Sound made of a text, said aloud or played: each row alone, by its own seed."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import wave
from collections.abc import Sequence
from typing import Any

import torch

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Binary, Context, Inputs, Parameters, Prepared, WithFiles
from worker.backends.choosing import dice_of_the_library
from worker.backends.encoder import Encoder
from worker.backends.generating import Asking
from worker.backends.tasks.task import Answer, Example, TaskModel, one_sequence, refuse_all
from worker.backends.tasks.voices import VOICES
from worker.backends.weights import Loaded, corrupt

_CHOICES = tuple(dict.fromkeys(name for voice in VOICES.values() for name in voice.takes))


class TextToAudio(TaskModel):
    auto_class = "AutoModelForTextToWaveform"
    or_classes = ("AutoModelForTextToSpectrogram",)
    # What comes out decides what it costs, not what goes in.
    rehearses = False
    model_types = tuple(VOICES)

    def __init__(self, loaded: Loaded) -> None:
        kind = loaded.model.config.model_type
        if loaded.vocoder is not None and not VOICES[kind].needs_vocoder:
            raise corrupt(f"A checkpoint of type {kind} makes sound by itself. Take vocoder out.")
        if getattr(loaded.tokenizer, "phonemize", False) and not importlib.util.find_spec("phonemizer"):
            raise corrupt(
                "This checkpoint reads phonemes, and the worker cannot make any. Choose one that reads letters."
            )
        self._voice = VOICES[kind](loaded)
        limit = min(loaded.limit, self._voice.most_tokens)
        self._encoder = Encoder(dataclasses.replace(loaded, limit=limit))

    def example(self, inputs: Inputs, parameters: Parameters) -> Example:
        return inputs, self._voice.example(parameters)

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        if refusal := self._refusal(parameters):
            return refuse_all(rows, refusal)
        texts = [row["text"] for row in rows]
        return one_sequence(self._encoder.encode(texts, truncation=None, **self._voice.tokenizing))

    def _refusal(self, parameters: Parameters) -> InputError | None:
        unused = next((name for name in _CHOICES if name in parameters and name not in self._voice.takes), None)
        if unused:
            return refusals.rejected(f"This model has no {unused}: leave it out.", f"parameters.{unused}")
        return self._voice.refusal(parameters)

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
        with dice_of_the_library(parameters, job_id, self._voice.model.device):
            made = self._voice.made(read, parameters, Asking([job_id], context))
        sound = made.float().cpu().reshape(-1, made.shape[-1])
        if not sound.isfinite().all():
            return refusals.not_finite()
        rate = self._voice.rate
        return WithFiles({"audio": as_wav(sound, rate), "sampling_rate": rate})


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
