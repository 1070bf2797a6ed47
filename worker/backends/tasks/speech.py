"""What is said in a recording, written down with the library's own pipeline: it is only ever handed samples.

How pieces of a long recording come together again, and how times follow from what is written, differs from model to
model and is the library's business. One recording is written down at a time, piece by piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers import AutomaticSpeechRecognitionPipeline
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from contract.errors import InputError
from models.media.sound import Sound
from worker.backends import refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.choosing import dice_of_the_library
from worker.backends.generating import USUAL_TOKENS, Asking
from worker.backends.hearing import FRAME, Hearing
from worker.backends.holding import of_a_recording
from worker.backends.key_values import bytes_of_a_token
from worker.backends.tasks.task import Answer, Example, TaskModel, refuse_all
from worker.backends.weights import Loaded, corrupt
from worker.backends.writing import COMPARED, TOKENS_COMPARED

_WHISPER, _CTC, _WRITER = "seq2seq_whisper", "ctc", "seq2seq"
#: From how long on a model of waveforms hears in pieces: its attention grows with the square of what it hears.
_WHOLE_SECONDS = 60.0
_PIECE_SECONDS = 30.0
_NO_LIMIT = 1 << 30
_HEARD = ("chunk_length_s", "stride_length_s")
#: What models have that write, and what only Whisper has.
_WRITTEN = (
    "language", "task", "max_new_tokens", "num_beams", "length_penalty", "no_repeat_ngram_size", "repetition_penalty",
)  # fmt: skip
_STEERED = ("condition_on_prev_tokens", "compression_ratio_threshold", "logprob_threshold", "no_speech_threshold")
_OF_WHISPER = (*_STEERED, "temperature", "prompt", "return_language")
_OF_LANGUAGES = ("language", "task", "return_language")
#: Tokens with which Whisper begins: that it does, the language, the task, and that there are no times.
_BEGINS = 4


class AutomaticSpeechRecognition(TaskModel):
    auto_class = "AutoModelForCTC"
    or_classes = ("AutoModelForSpeechSeq2Seq",)
    processor_class = "AutoProcessor"
    optional = ("masked_spec_embed",)
    # What it writes decides what it costs, and the example has no words.
    rehearses = False
    usual_budget = 8192
    int8_bytes = 2
    to_compare = COMPARED

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
        self.token_bytes = of_a_recording(loaded.model)
        if self._type != _CTC:
            # What it writes looks back at every frame that it heard.
            self.token_bytes += bytes_of_a_token(loaded.model)
        self._languages = _languages(loaded.model)
        self._positions = getattr(loaded.model.config, "max_target_positions", None) or _NO_LIMIT

    def draws(self, parameters: Parameters) -> bool:
        return self._type == _WHISPER and any(heat > 0 for heat in _heats(parameters))

    def example(self, inputs: Inputs, parameters: Parameters) -> Example:
        return inputs, parameters if self._type == _CTC else {**parameters, "max_new_tokens": 4, "num_beams": 1}

    def comparing(self, parameters: Parameters) -> Parameters:
        if self._type == _CTC:
            return parameters
        kept = {name: value for name, value in parameters.items() if name != "temperature"}
        return {**kept, "max_new_tokens": min(TOKENS_COMPARED, self._room(parameters))}

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
        has = {_WHISPER: (), _CTC: (*_WRITTEN, *_OF_WHISPER), _WRITER: _OF_WHISPER}[self._type]
        unused = next((name for name in has if parameters.get(name) not in (None, False)), None)
        if unused is not None:
            return refusals.rejected(f"This model has no {unused}: leave it out.", f"parameters.{unused}")
        asked = next((name for name in _OF_LANGUAGES if parameters.get(name)), None)
        if asked and not self._languages:
            return refusals.rejected(f"This model knows one language: leave {asked} out.", f"parameters.{asked}")
        if asked == "language" and parameters["language"].lower() not in self._languages:
            return refusals.rejected("This model does not know this language.", "parameters.language")
        if "no_speech_threshold" in parameters and "logprob_threshold" not in parameters:
            message = "no_speech_threshold says something only beside logprob_threshold. Send both."
            return refusals.rejected(message, "parameters.no_speech_threshold")
        return self._too_much_to_write(parameters)

    def _too_much_to_write(self, parameters: Parameters) -> InputError | None:
        if self._type == _CTC:
            return None
        try:
            room = self._room(parameters)
        except InputError as refused:
            return refused
        if parameters.get("max_new_tokens", 0) <= room:
            return None
        return refusals.rejected(
            f"max_new_tokens must be at most {room}, what this model can write behind what it reads before.",
            "parameters.max_new_tokens",
        )

    def _room(self, parameters: Parameters) -> int:
        """Tokens that can be written for one piece. Raises InputError for a prompt that is too long."""
        half = self._positions // 2
        prompt = self._prompt(parameters)
        read = 0 if prompt is None else len(prompt)
        if read >= half:
            raise refusals.rejected(f"The prompt has {read} tokens; the model takes {half - 1}.", "parameters.prompt")
        # The library gives the text before up to half of all places.
        return self._positions - _BEGINS - (half if parameters.get("condition_on_prev_tokens") else read)

    def _prompt(self, parameters: Parameters) -> torch.Tensor | None:
        words = parameters.get("prompt")
        if words is None:
            return None
        if not refusals.is_unicode(words):
            raise refusals.half_a_character()
        try:
            return cast("torch.Tensor", self._pipeline.tokenizer.get_prompt_ids(words, return_tensors="pt"))
        except ValueError as error:
            message = "The prompt holds a mark that this model knows, such as <|en|>. Send words."
            raise refusals.rejected(message, "parameters.prompt") from error

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        job_ids = list(context.job_ids) or [""] * len(rows)
        return [
            self._written(row.payload, parameters, [job_id], context)
            for row, job_id in zip(rows, job_ids, strict=True)
        ]

    def _written(self, sound: Sound, parameters: Parameters, job_ids: Sequence[str], context: Context) -> Answer:
        pipeline = self._pipeline
        stamps = parameters["return_timestamps"] or None
        asked = {name: parameters[name] for name in (*_HEARD, *_WRITTEN, *_STEERED) if name in parameters}
        in_windows = self._hears_on(sound) and "chunk_length_s" not in asked
        if self._type == _CTC and sound.seconds > _WHOLE_SECONDS:
            asked = {"chunk_length_s": _PIECE_SECONDS, **asked}
        if self._type != _CTC:
            asked |= self._to_write(parameters) | {"stopping_criteria": [Asking(job_ids, context)]}
        # Whisper finds its way through a long recording by the times that it writes.
        hear, write, put_together = pipeline._sanitize_parameters(
            return_timestamps=stamps or (True if in_windows else None), ignore_warning=True, **asked
        )
        outputs = []
        with dice_of_the_library(parameters, job_ids[0], pipeline.model.device):
            for piece in pipeline.preprocess({"raw": sound.samples, "sampling_rate": sound.rate}, **hear):
                # Asking also says that the pass goes on.
                context.wanted(job_ids)
                outputs.append(pipeline.forward(piece, **write))
        result = pipeline.postprocess(outputs, **put_together)
        found = {"text": result["text"], **({"chunks": _chunks(result)} if stamps else {})}
        return {**found, "language": _language(result)} if parameters["return_language"] else found

    def _to_write(self, parameters: Parameters) -> dict[str, Any]:
        """What the library is told of the writing besides what the caller names by the same name."""
        told: dict[str, Any] = {"return_language": True} if parameters["return_language"] else {}
        if heats := _heats(parameters):
            told["temperature"] = tuple(heats)
        prompt = self._prompt(parameters)
        if prompt is not None:
            told["prompt_ids"] = prompt.to(self._pipeline.model.device)
        own = self._pipeline.model.generation_config
        usual = own.max_new_tokens or (0 if own.max_length else USUAL_TOKENS)
        if "max_new_tokens" not in parameters and usual > (room := self._room(parameters)):
            told["max_new_tokens"] = room
        return told

    def _hears_on(self, sound: Sound) -> bool:
        return self._type == _WHISPER and len(sound.samples) > self._hearing.extractor.n_samples


_STAMPS = {
    _WHISPER: "This model writes times of words or sentences: send word or true.",
    _CTC: "This model writes times of words or letters: send word or char.",
    _WRITER: "This model writes no times. Leave return_timestamps out.",
}


def _chunks(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "text": chunk["text"],
            "timestamp": [_second(at) for at in chunk["timestamp"]],
            **({"language": chunk["language"]} if "language" in chunk else {}),
        }
        for chunk in result["chunks"]
    ]


def _language(result: dict[str, Any]) -> str | None:
    """That of the first words; None where nothing is said."""
    return next((chunk["language"] for chunk in result["chunks"] if chunk["language"]), None)


def _heats(parameters: Parameters) -> list[float]:
    """Temperatures to try, one after the other."""
    asked = parameters.get("temperature", [])
    return [float(heat) for heat in (asked if isinstance(asked, list) else [asked])]


def _second(at: Any) -> float | None:
    return None if at is None else round(float(at), 3)


def _languages(model: torch.nn.Module) -> frozenset[str]:
    """In lower case and in any way to write them; none where a model knows one alone."""
    tokens = getattr(getattr(model, "generation_config", None), "lang_to_id", None) or {}
    codes = {token.strip("<|>") for token in tokens}
    return frozenset(
        {*codes, *(name for name, code in TO_LANGUAGE_CODE.items() if code in codes), *map(str.lower, tokens)}
    )
