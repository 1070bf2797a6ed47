"""Answers that are words of a text: where each window says that one begins and ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad

from contract.errors import ErrorCode, InputError
from worker.backends import refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.encoder import Encoder, Encoding
from worker.backends.proof import Batch
from worker.backends.tasks.task import Answer, EncoderTask, refuse_all, spans
from worker.backends.weights import Loaded, corrupt

_WINDOW = 384
_STRIDE = 128
#: Tokens of the text that a window must have room for beside the question.
_LEAST_ROOM = 4


@dataclasses.dataclass(frozen=True)
class Window:
    """A part of the text together with the question, as the model reads it; lists have an entry a token."""

    encoding: Encoding
    #: Whether a token belongs to the text; False for the question and for special tokens.
    of_text: list[bool]
    #: Characters of the text from (start, end).
    offsets: list[tuple[int, int]]
    #: Which word of the text a token belongs to.
    words: list[int | None]
    #: Place of the token that stands for "no answer".
    nothing: int | None

    def place(self, first: int, last: int, *, whole_words: bool) -> tuple[int, int]:
        """Characters of the text from token `first` to token `last`."""
        if not whole_words or self.words[first] is None or self.words[last] is None:
            return self.offsets[first][0], self.offsets[last][1]
        return self._of_word(first)[0], self._of_word(last)[1]

    def _of_word(self, token: int) -> tuple[int, int]:
        first = last = token
        while first and self._same_word(first - 1, token):
            first -= 1
        while last + 1 < len(self.words) and self._same_word(last + 1, token):
            last += 1
        return self.offsets[first][0], self.offsets[last][1]

    def _same_word(self, other: int, token: int) -> bool:
        return self.of_text[other] and self.words[other] == self.words[token]


@dataclasses.dataclass(frozen=True)
class Asked:
    """One row's text and the windows it is read in."""

    text: str
    windows: list[Window]


class QuestionAnswering(EncoderTask):
    auto_class = "AutoModelForQuestionAnswering"

    def __init__(self, loaded: Loaded) -> None:
        self.encoder = Encoder(loaded, reads=_starts_and_ends)
        self._tokenizer = loaded.tokenizer
        if not loaded.tokenizer.is_fast:
            raise corrupt(
                "question-answering needs a tokenizer that says where its tokens stand in the text, and this "
                "checkpoint has none. Add its tokenizer.json."
            )
        # As in the library: models that pad on the left read the text before the question.
        self._question_first = loaded.tokenizer.padding_side == "right"
        self._special = loaded.tokenizer.num_special_tokens_to_add(pair=True)

    def shown(self, found: torch.Tensor, batch: Batch) -> torch.Tensor:
        padding = batch["attention_mask"].unsqueeze(-1) == 0
        return found.masked_fill(padding, float("-inf")).softmax(dim=1)

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        if parameters["handle_impossible_answer"] and self._tokenizer.cls_token_id is None:
            return refuse_all(rows, _cannot_say_nothing())
        found: list[Any] = self._questions(rows, parameters["max_question_len"])
        groups: dict[int, list[int]] = {}
        for place, question in enumerate(found):
            stride = question if isinstance(question, InputError) else self._stride(question, parameters)
            if isinstance(stride, InputError):
                found[place] = stride
            else:
                groups.setdefault(stride, []).append(place)
        for stride, places in groups.items():
            texts = [rows[place]["context"] for place in places]
            asked = self._asked([found[place].text for place in places], texts, self._width(parameters), stride)
            for place, prepared in zip(places, asked, strict=True):
                found[place] = prepared
        return found

    def _width(self, parameters: Parameters) -> int:
        return min(int(parameters.get("max_seq_len", _WINDOW)), self.encoder.limit)

    def _questions(self, rows: Sequence[Inputs], longest: int) -> list[Question | InputError]:
        """Each row's question, cut where it is too long; refused where its row cannot be read."""
        readable = [refusals.is_unicode(row["question"]) and refusals.is_unicode(row["context"]) for row in rows]
        clean = [row["question"] if ok else "" for row, ok in zip(rows, readable, strict=True)]
        batch = self._tokenizer(clean, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [
            _cut(text, offsets, longest) if ok else refusals.half_a_character()
            for text, offsets, ok in zip(clean, batch["offset_mapping"], readable, strict=True)
        ]

    def _stride(self, question: Question, parameters: Parameters) -> int | InputError:
        """How far this row's windows overlap. More than a window has room for would break its tokenizer."""
        width = self._width(parameters)
        room = width - question.tokens - self._special
        if room < _LEAST_ROOM:
            return _no_room(question.tokens, width)
        asked = int(parameters.get("doc_stride", min(_STRIDE, width // 2, room // 2)))
        if asked > room // 2:
            return refusals.rejected(
                f"doc_stride must be at most {room // 2} for this question and windows of {width} tokens, so that "
                "each window reads something new.",
                "parameters.doc_stride",
            )
        return asked

    def _asked(
        self, questions: Sequence[str], texts: Sequence[str], width: int, stride: int
    ) -> list[Prepared | InputError]:
        pairs = (list(questions), list(texts)) if self._question_first else (list(texts), list(questions))
        batch = self._tokenizer(
            *pairs,
            truncation="only_second" if self._question_first else "only_first",
            max_length=width,
            stride=stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_attention_mask=True,
            verbose=False,
        )
        windows: list[list[Window]] = [[] for _ in texts]
        for number, owner in enumerate(batch["overflow_to_sample_mapping"]):
            windows[owner].append(self._window(batch, number))
        return [_prepared(text, found) for text, found in zip(texts, windows, strict=True)]

    def _window(self, batch: Any, number: int) -> Window:
        side = 1 if self._question_first else 0
        names = [name for name in self._tokenizer.model_input_names if name in batch]
        tokens = batch["input_ids"][number]
        cls = self._tokenizer.cls_token_id
        return Window(
            encoding={name: batch[name][number] for name in dict.fromkeys([*names, "attention_mask"])},
            of_text=[which == side for which in batch.sequence_ids(number)],
            offsets=batch["offset_mapping"][number],
            words=batch.word_ids(number),
            nothing=tokens.index(cls) if cls in tokens else None,
        )

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        logits = self.encoder.per_token([window.encoding for row in rows for window in row.payload.windows])
        parts = [logits[span] for span in spans(row.sequences for row in rows)]
        return [_answers(row.payload, part, parameters) for row, part in zip(rows, parts, strict=True)]


@dataclasses.dataclass(frozen=True)
class Question:
    text: str
    tokens: int


def _starts_and_ends(output: Any) -> torch.Tensor:
    """(rows, tokens, 2): the scores of each token as an answer's first and last."""
    return torch.stack((output[0], output[1]), dim=-1)


def _cut(text: str, offsets: Sequence[tuple[int, int]], longest: int) -> Question | InputError:
    if not offsets:
        return refusals.nothing_left()
    if len(offsets) <= longest:
        return Question(text, len(offsets))
    return Question(text[: offsets[longest - 1][1]], longest)


def _no_room(tokens: int, width: int) -> InputError:
    return InputError(
        ErrorCode.INPUT_TOO_LONG,
        f"This question has {tokens} tokens, which leaves no room for the text in windows of {width}. Shorten it, "
        "or lower max_question_len.",
        field="inputs.question",
        details={"tokens": tokens, "limit": width},
    )


def _cannot_say_nothing() -> InputError:
    return refusals.rejected(
        "This model has no token that stands for no answer. Leave handle_impossible_answer out.",
        "parameters.handle_impossible_answer",
    )


def _prepared(text: str, windows: list[Window]) -> Prepared | InputError:
    if not any(any(window.of_text) for window in windows):
        return refusals.nothing_left()
    longest = max(len(window.of_text) for window in windows)
    return Prepared(Asked(text, windows), longest, len(windows))


def _answers(asked: Asked, logits: Sequence[torch.Tensor], parameters: Parameters) -> Answer:
    if not all(scores.isfinite().all() for scores in logits):
        return refusals.not_finite()
    best: dict[str, dict[str, Any]] = {}
    nothing = 1.0
    for window, scores in zip(asked.windows, logits, strict=True):
        found, none_here = _in_window(asked.text, window, scores, parameters)
        nothing = min(nothing, none_here)
        for key, answer in found.items():
            # Windows overlap: what two of them found is one answer, and its probabilities are not of one whole.
            if key not in best or answer["score"] > best[key]["score"]:
                best[key] = answer
    listed = list(best.values())
    if parameters["handle_impossible_answer"]:
        listed.append({"score": nothing, "start": 0, "end": 0, "answer": ""})
    listed.sort(key=lambda answer: -answer["score"])
    wanted = listed[: parameters["top_k"]] or [{"score": 0.0, "start": 0, "end": 0, "answer": ""}]
    return wanted if parameters["top_k"] > 1 else wanted[0]


def _in_window(
    text: str, window: Window, scores: torch.Tensor, parameters: Parameters
) -> tuple[dict[str, dict[str, Any]], float]:
    """A window's answers by their words, and how likely it is that it has none.

    Several places that read the same (or several tokens of one word) are one answer, as in the library.
    """
    whole_words = parameters["align_to_words"]
    # Candidates fall together where they are drawn out to whole words.
    most = parameters["top_k"] * 2 + 10 if whole_words else parameters["top_k"]
    candidates, nothing = likeliest(
        window.of_text, window.nothing, scores, most=most, longest=parameters["max_answer_len"]
    )
    found: dict[str, dict[str, Any]] = {}
    for first, last, score in candidates:
        start, end = window.place(first, last, whole_words=whole_words)
        answer = found.setdefault(
            text[start:end].lower(), {"score": 0.0, "start": start, "end": end, "answer": text[start:end]}
        )
        answer["score"] = min(1.0, answer["score"] + score)
    return found, nothing


def likeliest(
    of_text: list[bool], nothing: int | None, scores: torch.Tensor, *, most: int, longest: int
) -> tuple[list[tuple[int, int, float]], float]:
    """(first token, last token, probability), best first; and the probability of `nothing`, the token for no answer.

    `scores`: (tokens, 2), of each token as an answer's first and last; `of_text`: those that can be either.
    """
    possible = torch.tensor(of_text)
    if nothing is not None:
        possible[nothing] = True
    starts, ends = scores.masked_fill(~possible.unsqueeze(-1), float("-inf")).softmax(dim=0).unbind(dim=-1)
    none_here = 0.0
    if nothing is not None:
        none_here = float(starts[nothing] * ends[nothing])
        starts[nothing] = ends[nothing] = 0.0
    # Only answers of `longest` tokens at most: a row for each first token, a column for each length.
    longest = min(longest, len(starts))
    chances = starts.unsqueeze(1) * pad(ends, (0, longest - 1)).unfold(0, longest, 1)
    best = chances.flatten().topk(min(most, chances.numel()))
    places = [divmod(place, longest) for place in best.indices.tolist()]
    listed = zip(places, best.values.tolist(), strict=True)
    return [(first, first + more, score) for (first, more), score in listed if score > 0.0], none_here
