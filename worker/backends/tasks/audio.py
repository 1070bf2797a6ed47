"""Labels of a recording: the model's own, and labels that are named."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.hearing import Hearing
from worker.backends.holding import of_a_recording
from worker.backends.tasks.scores import FUNCTIONS, best_first, default_function
from worker.backends.tasks.task import Answer, TaskModel, refuse_all
from worker.backends.weights import Loaded

#: What a model of waveforms hears at once: its attention grows with the square of it.
_MOST_SECONDS = 60.0

_SEED = 7
_DRAWING = threading.Lock()


class AudioClassification(TaskModel):
    auto_class = "AutoModelForAudioClassification"
    processor_class = "AutoFeatureExtractor"
    # Drawn at random where a checkpoint leaves it out, and used in training alone.
    optional = ("masked_spec_embed",)

    def __init__(self, loaded: Loaded) -> None:
        self._hearing = Hearing(loaded, loaded.processor)
        self.token_bytes = of_a_recording(loaded.model)
        self._config = loaded.model.config

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        return [self._hearing.prepare(row["audio"], self._process, most_seconds=_MOST_SECONDS) for row in rows]

    def _process(self, samples: Any) -> Any:
        return self._hearing.extractor(samples, sampling_rate=self._hearing.rate, return_tensors="pt")

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        answers: list[Any] = [None] * len(rows)
        function = FUNCTIONS[parameters.get("function_to_apply") or default_function(self._config, alone="softmax")]
        for places, output in self._hearing.run([row.payload for row in rows]):
            for place, scores in zip(places, function(output.logits.float().cpu()), strict=True):
                answers[place] = best_first(self._config.id2label, scores, parameters["top_k"], of="recording")
        return answers


class ZeroShotAudioClassification(TaskModel):
    auto_class = "AutoModel"
    processor_class = "AutoProcessor"
    model_types = ("clap",)

    def __init__(self, loaded: Loaded) -> None:
        self._hearing = Hearing(loaded, loaded.processor.feature_extractor)
        self.token_bytes = of_a_recording(loaded.model)
        self._tokenizer = loaded.processor.tokenizer
        self._limit = loaded.limit

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        if not all(map(refusals.is_unicode, parameters["candidate_labels"])):
            return refuse_all(rows, refusals.half_a_character())
        length = self._texts(parameters)["input_ids"].shape[1]
        if length > self._limit:
            return refuse_all(rows, refusals.too_long_label(length, self._limit))
        return [self._hearing.prepare(row["audio"], self._process, most_seconds=None) for row in rows]

    def _process(self, samples: Any) -> Any:
        # Of a long recording a part is drawn: the same one each time, whoever else draws.
        with _DRAWING:
            before = np.random.get_state()
            np.random.seed(_SEED)
            try:
                return self._hearing.extractor([samples], sampling_rate=self._hearing.rate, return_tensors="pt")
            finally:
                np.random.set_state(before)

    def _texts(self, parameters: Parameters) -> Any:
        # Never str.format: a template may hold {0.__class__}.
        template = parameters["hypothesis_template"]
        texts = [template.replace("{}", label) for label in parameters["candidate_labels"]]
        return self._tokenizer(texts, return_tensors="pt", padding=True)

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        answers: list[Any] = [None] * len(rows)
        texts = self._texts(parameters).to(self._hearing.model.device)
        for places, output in self._hearing.run([row.payload for row in rows], **texts):
            for place, logits in zip(places, output.logits_per_audio.float().cpu(), strict=True):
                scores = logits.softmax(dim=-1)
                answers[place] = best_first(parameters["candidate_labels"], scores, None, of="recording")
        return answers
