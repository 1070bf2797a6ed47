"""Text about files and words together: each row is generated alone, as its files make it a shape of its own."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import torch

from contract.errors import ErrorCode, InputError
from models.media.footage import Watched
from models.media.sound import Samples, Sound
from worker.backends import refusals, turns
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.choosing import never, samples
from worker.backends.generating import Listener, Tensors, configured, write
from worker.backends.hearing import LEAST_SECONDS
from worker.backends.key_values import bytes_of_a_token
from worker.backends.media import MediaFile
from worker.backends.painting import TYPES as PAINTERS
from worker.backends.painting import Painter
from worker.backends.several import alternatives, next_turn, side_by_side
from worker.backends.tasks.task import Answer, TaskModel, refuse_all
from worker.backends.viewing import Viewer, cannot_watch
from worker.backends.weights import Loaded, corrupt
from worker.backends.writing import Row, longest

#: What a processor raises for words and files that do not fit each other, or a picture of no good shape.
_PROCESSOR_ERRORS = (ValueError, TypeError, LookupError, ArithmeticError)


@dataclasses.dataclass(frozen=True)
class Prompt:
    #: What the model takes; every tensor's first side is 1, or what its files make of it.
    tensors: dict[str, torch.Tensor]
    chat: bool

    @property
    def tokens(self) -> int:
        return int(self.tensors["input_ids"].shape[1])


#: By the input field: what a part of messages is called, and what it is for people.
_PARTS = {"images": "image", "videos": "video", "audio": "audio"}
_CALLED = {"images": "images", "videos": "videos", "audio": "recordings"}

#: Architectures that hear one window of a recording and no more.
_CUTS = frozenset({"qwen2_audio"})

#: Decoded files by their input field, in the order of their places.
Files = dict[str, list[Any]]


class ImageTextToText(TaskModel):
    auto_class = "AutoModelForImageTextToText"
    processor_class = "AutoProcessor"
    # What it writes decides what it costs, and the example writes next to nothing.
    rehearses = False

    def __init__(self, loaded: Loaded) -> None:
        self._model = loaded.model
        self._processor = loaded.processor
        self._tokenizer = loaded.tokenizer
        self._limit = loaded.positions
        self.token_bytes = bytes_of_a_token(loaded.model)
        if loaded.tokenizer is None or not callable(loaded.processor):
            raise corrupt("This checkpoint has no processor for words and files together. Is it image-to-text's?")
        own = loaded.model.generation_config.eos_token_id
        self._ends = {*(own if isinstance(own, list) else [own]), loaded.tokenizer.eos_token_id} - {None}
        watches = getattr(loaded.processor, "video_processor", None)
        self._viewer = None if watches is None else Viewer(watches)
        # A model that may also speak or draw is asked for words.
        self._mode = {"generation_mode": "text"} if _does_more(loaded.model) else {}

    def draws(self, parameters: Parameters) -> bool:
        return samples(parameters)

    def example(self, inputs: Inputs, parameters: Parameters) -> tuple[Inputs, Parameters]:
        return inputs, {**turns.of_an_example(parameters), "max_new_tokens": 4, "min_new_tokens": 0}

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        most = self._most(parameters)
        if refusal := self._refusal(parameters, most):
            return refuse_all(rows, refusal)
        return [self._prepare(row, most, parameters) for row in rows]

    def _most(self, parameters: Parameters) -> int:
        return longest(parameters, self._limit)

    def _refusal(self, parameters: Parameters, most: int) -> InputError | None:
        beams = parameters.get("num_beams", 1)
        return refusals.of_writing(parameters, most, beams, draws=samples(parameters))

    def _prepare(self, row: Inputs, most: int, parameters: Parameters) -> Prepared | InputError:
        try:
            prompt = Prompt(self._tensors(row, parameters), "messages" in row)
            tokens = prompt.tokens
        except InputError as refused:
            return refused
        except _PROCESSOR_ERRORS:
            return refusals.rejected("This model cannot take these words and files together. Send others.")
        if tokens + most > self._limit:
            return InputError(
                ErrorCode.INPUT_TOO_LONG,
                f"This prompt has {tokens} tokens, files and all, and max_new_tokens is {most}; the model "
                f"takes {self._limit} for both. Shorten it, or ask for fewer new tokens.",
                details={"tokens": tokens, "limit": self._limit - most},
            )
        # Guided by what it would paint without the prompt, an image is written twice.
        beside = 2 if _paints(parameters) else side_by_side(parameters)
        return Prepared(prompt, tokens + most, beside)

    def _tensors(self, row: Inputs, parameters: Parameters) -> dict[str, torch.Tensor]:
        turns.none_of_text(row, parameters)
        files = self._decoded(row, parameters)
        messages = _messages(row, files)
        if not all(refusals.is_unicode(text) for text in _texts(messages)):
            raise refusals.half_a_character()
        if getattr(self._processor, "chat_template", None):
            text = turns.rendered(self._processor, messages, parameters)
        elif "messages" in row:
            raise refusals.rejected(
                "This model has no chat template. Send inputs.text in place of inputs.messages.", "inputs.messages"
            )
        else:
            text = "".join(self._marks(field, row["text"]) * len(found) for field, found in files.items())
            text += row["text"]
        found = self._processor(text=text, return_tensors="pt", **self._as_taken(files), **_ways(parameters))
        return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}

    def _decoded(self, row: Inputs, parameters: Parameters) -> Files:
        return {
            "images": [image.decoded() for image in row.get("images", ())],
            "videos": self._watched(row.get("videos", ()), parameters.get("num_frames")),
        }

    def _watched(self, videos: Sequence[MediaFile], count: int | None) -> list[Watched]:
        if videos and self._viewer is None:
            raise cannot_watch(self._model.config.model_type)
        return [self._viewer.watched(video, count, among=len(videos)) for video in videos if self._viewer]

    def _as_taken(self, files: Files) -> dict[str, Any]:
        """Files as the processor's arguments; None where there are none of a kind that it may ask for."""
        watched = self._viewer.as_taken(files["videos"]) if self._viewer else {}
        return {"images": files["images"] or None, **watched}

    def _marks(self, field: str, text: str) -> str:
        """Where a file goes, as the model was trained to read it: before the words, where the words name no place."""
        token = getattr(self._processor, f"{_PARTS[field]}_token", "") or ""
        return "" if token in text else token

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        job_ids = list(context.job_ids) or [""] * len(rows)
        return [
            self._answer(row.payload, parameters, dataclasses.replace(context, job_ids=[job_id]))
            for row, job_id in zip(rows, job_ids, strict=True)
        ]

    def _answer(self, prompt: Prompt, parameters: Parameters, context: Context) -> Answer:
        asked = {"num_beams": 1, **parameters}
        stops = list(parameters.get("stop", ()))
        more = {
            "stop_strings": stops or None,
            "eos_token_id": sorted(self._ends) or None,
            "bad_words_ids": never(self._tokenizer, asked),
        }
        config = configured(self._model.generation_config, asked, most=longest(parameters, self._limit), **more)
        inputs = self._inputs(prompt)
        extra = self._mode | ({"tokenizer": self._tokenizer} if stops else {})
        decode = functools.partial(self._decode, skip_special_tokens=parameters["skip_special_tokens"])
        texts = [Row(decode, stops) for _ in range(config.num_return_sequences)]
        if side_by_side(asked) == 1:
            extra["streamer"] = Listener(texts[0], self._ends, context)
        written = write(self._model, inputs, config, asked, context, **extra)
        good = [tokens for tokens in written if tokens is not None]
        if len(good) < len(written):
            return refusals.not_finite("prompt")
        if side_by_side(asked) > 1:
            # What is heard of several texts while they are written is not what becomes of them.
            for text, tokens in zip(texts, good, strict=True):
                text.add_all(tokens[self._width(prompt) :], self._ends)
        return _told(prompt, texts)

    def _inputs(self, prompt: Prompt) -> Tensors:
        return {name: self._placed(tensor) for name, tensor in prompt.tensors.items()}

    def _width(self, prompt: Prompt) -> int:
        """Tokens of the prompt that what is written begins with."""
        return 1 if self._model.config.is_encoder_decoder else prompt.tokens

    def _placed(self, tensor: torch.Tensor) -> torch.Tensor:
        dtype = self._model.dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.to(self._model.device, dtype)

    def _decode(self, tokens: list[int], *, skip_special_tokens: bool) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=skip_special_tokens))


class AnyToAny(ImageTextToText):
    """What the library knows as a model of many kinds of input; which ones, its processor says."""

    auto_class = "AutoModelForMultimodalLM"

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        self._sees = getattr(loaded.processor, "image_processor", None) is not None
        extractor: Any = getattr(loaded.processor, "feature_extractor", None)
        self._rate: int | None = getattr(extractor, "sampling_rate", None)
        # What is longer its processor would cut, and say nothing.
        cuts = loaded.model.config.model_type in _CUTS
        self._most_seconds: float | None = extractor.chunk_length if cuts else None
        self._painter = Painter(loaded) if loaded.model.config.model_type in PAINTERS else None

    def example(self, inputs: Inputs, parameters: Parameters) -> tuple[Inputs, Parameters]:
        # A model that only hears is asked about nothing: the catalogue has one example for all.
        words = inputs if self._sees else {"text": inputs["text"]}
        return super().example(words, parameters)

    def draws(self, parameters: Parameters) -> bool:
        # Whether an image is drawn with dice the checkpoint says, too.
        return _paints(parameters) or super().draws(parameters)

    def _most(self, parameters: Parameters) -> int:
        if self._painter and _paints(parameters):
            return self._painter.tokens
        return super()._most(parameters)

    def _refusal(self, parameters: Parameters, most: int) -> InputError | None:
        if not _paints(parameters):
            return super()._refusal(parameters, most)
        if self._painter is None:
            sentence = "This model answers in words alone. Leave generation_mode out."
            return refusals.rejected(sentence, "parameters.generation_mode")
        return self._painter.refusal(parameters)

    def _answer(self, prompt: Prompt, parameters: Parameters, context: Context) -> Answer:
        if self._painter and _paints(parameters):
            return self._painter.painted(self._inputs(prompt), parameters, context)
        return super()._answer(prompt, parameters, context)

    def _decoded(self, row: Inputs, parameters: Parameters) -> Files:
        if not self._sees:
            _none_of(row, "images", "does not see")
        files = super()._decoded(row, parameters)
        if self._rate is None:
            _none_of(row, "audio", "does not hear")
            return files | {"audio": []}
        return files | {"audio": [self._heard(recording, self._rate) for recording in row.get("audio", ())]}

    def _heard(self, recording: MediaFile, rate: int) -> Samples:
        sound: Sound = recording.decoded(rate=rate)
        if sound.seconds < LEAST_SECONDS:
            raise refusals.rejected(
                "This recording is too short to hear anything. Send a longer one.", "inputs.audio"
            )
        if self._most_seconds is not None and sound.seconds > self._most_seconds:
            raise refusals.rejected(
                f"This model hears at most {self._most_seconds:g} s of a recording, and this one has "
                f"{sound.seconds:.0f}. Cut it.",
                "inputs.audio",
            )
        return sound.samples

    def _as_taken(self, files: Files) -> dict[str, Any]:
        taken = super()._as_taken(files)
        if not self._sees:
            del taken["images"]
        if not files["audio"]:
            return taken
        return taken | {"audio": files["audio"], "sampling_rate": self._rate}


def _paints(parameters: Parameters) -> bool:
    return parameters.get("generation_mode") == "image"


def _ways(parameters: Parameters) -> dict[str, Any]:
    """What a processor puts behind a prompt where it is not words that come next."""
    return {"generation_mode": "image"} if _paints(parameters) else {}


def _none_of(row: Inputs, field: str, cannot: str) -> None:
    if row.get(field):
        raise refusals.rejected(f"This model {cannot}. Send no {_CALLED[field]}.", f"inputs.{field}")


def _told(prompt: Prompt, texts: Sequence[Row]) -> Answer:
    if prompt.chat:
        return next_turn(texts, prompt.tokens)
    first, *others = [text.text() for text in texts]
    return {"generated_text": first, **alternatives(others)}


def _does_more(model: Any) -> bool:
    does = getattr(model, "output_modalities", None) or "text"
    return set([does] if isinstance(does, str) else does) > {"text"}


def _messages(row: Inputs, files: Files) -> list[dict[str, Any]]:
    """The conversation with all contents as parts; raises InputError where places and files differ in number."""
    if "text" in row:
        return [{"role": "user", "content": [*_places(files), {"type": "text", "text": row["text"]}]}]
    messages = [
        {**said, "content": [{"type": "text", "text": content}] if isinstance(content, str) else content}
        for said in row["messages"]
        for content in [said["content"]]
    ]
    without = {field: found for field, found in files.items() if not _count(messages, field)}
    # As a form sends them: the files belong to what is said first.
    first = next((said for said in messages if said["role"] == "user"), messages[0])
    first["content"] = [*_places(without), *first["content"]]
    for field, found in files.items():
        if _count(messages, field) != len(found):
            raise refusals.rejected(
                f"The messages have {_count(messages, field)} places for {_CALLED[field]}, and {len(found)} "
                f'{_CALLED[field]} came. Send a part of {{"type": "{_PARTS[field]}"}} for each.',
                f"inputs.{field}",
            )
    return messages


def _places(files: Files) -> list[dict[str, Any]]:
    return [{"type": _PARTS[field]} for field, found in files.items() for _ in found]


def _count(messages: list[dict[str, Any]], field: str) -> int:
    return sum(part["type"] == _PARTS[field] for said in messages for part in said["content"])


def _texts(messages: list[dict[str, Any]]) -> list[str]:
    return [part["text"] for said in messages for part in said["content"] if part["type"] == "text"]
