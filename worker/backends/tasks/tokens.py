"""Labels for parts of a text, and words for a gap in it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from transformers.pipelines.token_classification import AggregationStrategy, TokenClassificationPipeline

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.encoder import Encoder, Encoding, Text
from worker.backends.tasks.task import (
    Answer,
    EncoderTask,
    Example,
    many_sequences,
    one_sequence,
    refuse_all,
    spans,
)
from worker.backends.weights import Loaded, corrupt

_BY_WORDS = ("first", "average", "max")


class TokenClassification(EncoderTask):
    """Joins tokens to entities with the library's own pipeline, so that the results are its results."""

    auto_class = "AutoModelForTokenClassification"

    def __init__(self, loaded: Loaded) -> None:
        self.encoder = Encoder(loaded)
        self._library = TokenClassificationPipeline(
            model=loaded.model, tokenizer=loaded.tokenizer, device=loaded.model.device
        )
        self._fast = loaded.tokenizer.is_fast

    def compute_with(self, model: Any) -> None:
        super().compute_with(model)
        self._library.model = model

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        if refusal := self._refusal(parameters):
            return refuse_all(rows, refusal)
        found: list[Any] = [None] * len(rows)
        for name in ("text", "words"):
            places = [place for place, row in enumerate(rows) if name in row]
            sentences = [_sentence(rows[place], parameters["delimiter"]) for place in places]
            encodings = self._encoded([rows[place][name] for place in places], parameters) if places else []
            for place, sentence, windows in zip(places, sentences, encodings, strict=True):
                found[place] = _with_sentence(sentence, windows)
        return found

    def _encoded(
        self, texts: Sequence[Text], parameters: Parameters
    ) -> Sequence[list[Encoding] | Encoding | InputError]:
        """`texts`: all as they were written, or all as words."""
        in_words = not isinstance(texts[0], str)
        if in_words and not self._fast:
            return [_no_words()] * len(texts)
        options = {"return_special_tokens_mask": True, "return_offsets_mapping": self._fast}
        options |= {"is_split_into_words": True} if in_words else {}
        if stride := parameters.get("stride"):
            return self.encoder.windows(texts, stride, **options)
        return self.encoder.encode(texts, truncation=parameters["truncation"], **options)

    def _refusal(self, parameters: Parameters) -> InputError | None:
        strategy = parameters["aggregation_strategy"]
        stride = parameters.get("stride")
        if stride and strategy == "none":
            return refusals.rejected(
                "stride needs an aggregation_strategy other than none.", "parameters.aggregation_strategy"
            )
        room = self.encoder.limit - self.encoder.tokenizer.num_special_tokens_to_add()
        if stride and stride >= room:
            return refusals.rejected(f"stride must be below {room} for this model.", "parameters.stride")
        if not self._fast and (stride or strategy in _BY_WORDS):
            return refusals.rejected(
                "This model's tokenizer does not say where words begin. Use aggregation_strategy simple or none, "
                "and no stride.",
                "parameters.aggregation_strategy",
            )
        return None

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        logits = self.encoder.per_token([window for row in rows for window in row.payload])
        parts = [logits[span] for span in spans(row.sequences for row in rows)]
        return [self._entities(row.payload, part, parameters) for row, part in zip(rows, parts, strict=True)]

    def _entities(self, windows: list[Encoding], logits: list[torch.Tensor], parameters: Parameters) -> Answer:
        if not all(rows.amax(dim=-1).isfinite().all() for rows in logits):
            return refusals.not_finite()
        entities = self._library.postprocess(
            [_as_the_library_has_it(window, rows) for window, rows in zip(windows, logits, strict=True)],
            aggregation_strategy=AggregationStrategy(parameters["aggregation_strategy"]),
            ignore_labels=parameters["ignore_labels"],
        )
        return [_plain(entity) for entity in entities]


def _sentence(row: Inputs, delimiter: str) -> Encoding:
    """What places are counted in, and where in it each word is, where words were sent."""
    if "text" in row:
        return {"sentence": row["text"]}
    words: list[str] = row["words"]
    ends = itertools.accumulate(len(word) + len(delimiter) for word in words)
    starts = [0, *ends][: len(words)]
    places = [(start, start + len(word)) for start, word in zip(starts, words, strict=True)]
    return {"sentence": delimiter.join(words), "word_to_chars_map": places}


def _no_words() -> InputError:
    return refusals.rejected(
        "This model's tokenizer does not say which words its tokens belong to. Send inputs.text.", "inputs.words"
    )


def _with_sentence(sentence: Encoding, found: list[Encoding] | Encoding | InputError) -> Prepared | InputError:
    if isinstance(found, InputError):
        return found
    windows = found if isinstance(found, list) else [found]
    return many_sequences([{**window, **sentence} for window in windows])


def _as_the_library_has_it(window: Encoding, logits: torch.Tensor) -> dict[str, Any]:
    offsets = window.get("offset_mapping")
    return {
        "logits": logits.unsqueeze(0),
        "sentence": window["sentence"],
        "input_ids": [window["input_ids"]],
        "offset_mapping": None if offsets is None else [offsets],
        "special_tokens_mask": torch.tensor([window["special_tokens_mask"]]),
        "word_ids": window.get("word_ids"),
        "word_to_chars_map": window.get("word_to_chars_map"),
    }


def _plain(entity: dict[str, Any]) -> dict[str, Any]:
    return {name: value.item() if hasattr(value, "item") else value for name, value in entity.items()}


class FillMask(EncoderTask):
    auto_class = "AutoModelForMaskedLM"

    def __init__(self, loaded: Loaded) -> None:
        self.encoder = Encoder(loaded)
        self._tokenizer = loaded.tokenizer
        if loaded.tokenizer.mask_token is None:
            raise corrupt(
                "fill-mask needs a mask token, and the tokenizer of this checkpoint has none. "
                "Choose a checkpoint trained with masked words, such as a BERT."
            )

    def example(self, inputs: Inputs, parameters: Parameters) -> Example:
        return {"text": inputs["text"].replace("[MASK]", self._tokenizer.mask_token)}, parameters

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        targets = self._targets(parameters)
        if isinstance(targets, InputError):
            return refuse_all(rows, targets)
        texts = [row["text"] for row in rows]
        encodings = self.encoder.encode(texts, truncation=parameters["truncation"])
        return one_sequence([self._with_mask(encoding) for encoding in encodings])

    def _with_mask(self, encoding: Encoding | InputError) -> Encoding | InputError:
        if isinstance(encoding, InputError) or self._tokenizer.mask_token_id in encoding["input_ids"]:
            return encoding
        return refusals.rejected(
            f"This text has no {self._tokenizer.mask_token}, this model's mask token, or it was cut off. "
            f"Write {self._tokenizer.mask_token} where a word is missing.",
            "inputs.text",
        )

    def _targets(self, parameters: Parameters) -> list[int] | InputError | None:
        """Token ids of the words to choose from; refused where a word is not one token."""
        words = parameters.get("targets")
        if words is None:
            return None
        ids = {word: self._token_of(word) for word in words}
        unknown = [word for word, token in ids.items() if token is None]
        if unknown:
            return refusals.rejected(
                f"This model has no single token for {', '.join(unknown[:5])}. Choose other words.",
                "parameters.targets",
            )
        return list(dict.fromkeys(token for token in ids.values() if token is not None))

    def _token_of(self, word: str) -> int | None:
        token: int | None = self._tokenizer.get_vocab().get(word)
        if token is not None or not refusals.is_unicode(word):
            return token
        ids = self._tokenizer(word, add_special_tokens=False)["input_ids"]
        return ids[0] if len(ids) == 1 and ids[0] != self._tokenizer.unk_token_id else None

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        targets = self._targets(parameters)
        chosen = targets if isinstance(targets, list) else None
        answers: list[Answer] = [None] * len(rows)
        for positions, output, mask in self.encoder.run([row.payload for row in rows]):
            for place, logits, kept in zip(positions, output.logits, mask.bool(), strict=True):
                ids = torch.tensor(rows[place].payload["input_ids"])
                gaps = (ids == self._tokenizer.mask_token_id).nonzero().squeeze(-1)
                at_gaps = logits[kept][gaps.to(logits.device)].float().cpu()
                answers[place] = self._fillings(ids, gaps, at_gaps, parameters["top_k"], chosen)
        return answers

    def _fillings(
        self, ids: torch.Tensor, gaps: torch.Tensor, logits: torch.Tensor, top_k: int, targets: list[int] | None
    ) -> Answer:
        scores = logits.softmax(dim=-1)
        if not scores.isfinite().all():
            return refusals.not_finite()
        tokens = torch.arange(scores.shape[-1]) if targets is None else torch.tensor(targets)
        best = scores[:, tokens].topk(min(top_k, len(tokens)))
        found = [
            [
                self._filling(ids, gap, tokens[choice], score, alone=len(gaps) == 1)
                for score, choice in zip(values.tolist(), choices, strict=True)
            ]
            for gap, values, choices in zip(gaps, best.values, best.indices, strict=True)
        ]
        return found[0] if len(found) == 1 else found

    def _filling(
        self, ids: torch.Tensor, gap: torch.Tensor, token: torch.Tensor, score: float, *, alone: bool
    ) -> dict[str, Any]:
        filled = ids.clone()
        filled[gap] = token
        # With several gaps the special tokens stay, or the other gaps would vanish from the sequence.
        sequence = self._tokenizer.decode(filled[filled != self._tokenizer.pad_token_id], skip_special_tokens=alone)
        word = self._tokenizer.decode([int(token)])
        return {"score": score, "token": int(token), "token_str": word, "sequence": sequence}
