"""What is said in a recording, written down with the library's own pipeline: it is only ever handed samples.

How pieces of a long recording come together again, and how times follow from what is written, differs from model to
model and is the library's business. One recording is written down at a time, piece by piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutomaticSpeechRecognitionPipeline
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from contract.errors import InputError
from models.media.sound import Sound
from worker.backends import refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.generating import Asking
from worker.backends.hearing import FRAME, Hearing
from worker.backends.tasks.task import Answer, Example, TaskModel, refuse_all
from worker.backends.weights import Loaded, corrupt

_WHISPER, _CTC, _WRITER = "seq2seq_whisper", "ctc", "seq2seq"
#: From how long on a model of waveforms hears in pieces: its attention grows with the square of what it hears.
_WHOLE_SECONDS = 60.0
_PIECE_SECONDS = 30.0
_HEARD = ("chunk_length_s", "stride_length_s")
_WRITTEN = ("language", "task", "max_new_tokens", "num_beams")


class AutomaticSpeechRecognition(TaskModel):
    auto_class = "AutoModelForCTC"
    or_classes = ("AutoModelForSpeechSeq2Seq",)
    processor_class = "AutoProcessor"
    optional = ("masked_spec_embed",)
    # What it writes decides what it costs, and the example has no words.
    rehearses = False
    usual_budget = 8192

    def __init__(self, loaded: Loaded) -> None:
        reader = loaded.processor
        if not hasattr(reader, "feature_extractor") or not hasattr(reader, "tokenizer"):
            raise corrupt("This checkpoint lacks its preprocessor_config.json or its tokenizer. Add it.")
        self._hearing = Hearing(loaded, reader.feature_extractor)
        self._pipeline = AutomaticSpeechRecognitionPipeline(
            model=loaded.model, feature_extractor=reader.feature_extractor, tokenizer=reader.tokenizer
        )
        if self._pipeline.type not in (_WHISPER, _CTC, _WRITER):
            raise corrupt("Speech recognition of this architecture is not served. Choose a Whisper or a CTC model.")
        self._type: str = self._pipeline.type
        self._languages = _languages(loaded.model)

    def example(self, inputs: Inputs, parameters: Parameters) -> Example:
        return inputs, parameters if self._type == _CTC else {**parameters, "max_new_tokens": 4, "num_beams": 1}

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        if refusal := self._refusal(parameters):
            return refuse_all(rows, refusal)
        return [self._prepared(row) for row in rows]

    def _prepared(self, row: Inputs) -> Prepared | InputError:
        # Others than Whisper and CTC have no way to put pieces together that can be relied on.
        sound = self._hearing.heard(row["audio"], most_seconds=_WHOLE_SECONDS if self._type == _WRITER else None)
        if isinstance(sound, InputError):
            return sound
        if self._hears_on(sound) and not self._knows("no_timestamps_token_id"):
            return refusals.rejected("This checkpoint hears 30 s and no more. Cut the recording.", "audio")
        return Prepared(sound, max(1, len(sound.samples) // FRAME))

    def _refusal(self, parameters: Parameters) -> InputError | None:
        stamps = parameters["return_timestamps"]
        kinds = {_WHISPER: (False, True, "word"), _CTC: (False, "word", "char"), _WRITER: (False,)}[self._type]
        if not any(stamps is kind or (stamps == kind and isinstance(kind, str)) for kind in kinds):
            return refusals.rejected(_STAMPS[self._type], "parameters.return_timestamps")
        if self._type == _WHISPER and stamps and not self._knows("no_timestamps_token_id"):
            message = "This checkpoint's generation_config.json knows no times. Leave return_timestamps out."
            return refusals.rejected(message, "parameters.return_timestamps")
        if self._type == _WHISPER and stamps == "word" and not self._knows("alignment_heads"):
            message = "This checkpoint's generation_config.json has no alignment_heads for times of words. Send true."
            return refusals.rejected(message, "parameters.return_timestamps")
        if "stride_length_s" in parameters and 2 * parameters["stride_length_s"] >= parameters.get(
            "chunk_length_s", 0
        ):
            message = "stride_length_s must be less than half of chunk_length_s."
            return refusals.rejected(message, "parameters.stride_length_s")
        return self._refused_words(parameters)

    def _knows(self, name: str) -> bool:
        return getattr(self._pipeline.model.generation_config, name, None) is not None

    def _refused_words(self, parameters: Parameters) -> InputError | None:
        """Parameters of models that write, sent to one that does not, or that does not know this language."""
        if self._type == _CTC:
            unused = next((name for name in _WRITTEN if name in parameters), None)
            if unused is None:
                return None
            return refusals.rejected(f"This model has no {unused}: leave it out.", f"parameters.{unused}")
        asked = next((name for name in ("language", "task") if name in parameters), None)
        if asked and not self._languages:
            return refusals.rejected(f"This model knows one language: leave {asked} out.", f"parameters.{asked}")
        if asked == "language" and parameters["language"].lower() not in self._languages:
            return refusals.rejected("This model does not know this language.", "parameters.language")
        return None

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        job_ids = list(context.job_ids) or [""] * len(rows)
        return [
            self._written(row.payload, parameters, [job_id], context)
            for row, job_id in zip(rows, job_ids, strict=True)
        ]

    def _written(self, sound: Sound, parameters: Parameters, job_ids: Sequence[str], context: Context) -> Answer:
        pipeline = self._pipeline
        stamps = parameters["return_timestamps"] or None
        asked = {name: parameters[name] for name in (*_HEARD, *_WRITTEN) if name in parameters}
        in_windows = self._hears_on(sound) and "chunk_length_s" not in asked
        if self._type == _CTC and sound.seconds > _WHOLE_SECONDS:
            asked = {"chunk_length_s": _PIECE_SECONDS, **asked}
        if self._type != _CTC:
            asked["stopping_criteria"] = [Asking(job_ids, context)]
        # Whisper finds its way through a long recording by the times that it writes.
        hear, write, put_together = pipeline._sanitize_parameters(
            return_timestamps=stamps or (True if in_windows else None), ignore_warning=True, **asked
        )
        outputs = []
        for piece in pipeline.preprocess({"raw": sound.samples, "sampling_rate": sound.rate}, **hear):
            # Asking also says that the pass goes on.
            context.wanted(job_ids)
            outputs.append(pipeline.forward(piece, **write))
        result = pipeline.postprocess(outputs, **put_together)
        return {"text": result["text"], **({"chunks": _chunks(result)} if stamps else {})}

    def _hears_on(self, sound: Sound) -> bool:
        return self._type == _WHISPER and len(sound.samples) > self._hearing.extractor.n_samples


_STAMPS = {
    _WHISPER: "This model writes times of words or sentences: send word or true.",
    _CTC: "This model writes times of words or letters: send word or char.",
    _WRITER: "This model writes no times. Leave return_timestamps out.",
}


def _chunks(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"text": chunk["text"], "timestamp": [_second(at) for at in chunk["timestamp"]]} for chunk in result["chunks"]
    ]


def _second(at: Any) -> float | None:
    return None if at is None else round(float(at), 3)


def _languages(model: torch.nn.Module) -> frozenset[str]:
    """In lower case and in any way to write them; none where a model knows one alone."""
    tokens = getattr(getattr(model, "generation_config", None), "lang_to_id", None) or {}
    codes = {token.strip("<|>") for token in tokens}
    return frozenset(
        {*codes, *(name for name, code in TO_LANGUAGE_CODE.items() if code in codes), *map(str.lower, tokens)}
    )
