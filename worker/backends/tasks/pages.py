"""Pages read by a model that points at words: in windows of tokens, each with the box of its word."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any

import torch

from contract.errors import ErrorCode, InputError
from models.media.documents import Box, Page, Word
from worker.backends import refusals
from worker.backends.backend import Context, Parameters, Prepared
from worker.backends.tasks.questions import likeliest
from worker.backends.tasks.task import Answer, spans
from worker.backends.weights import Loaded, corrupt

#: As the library has it: half a window, and no more tokens than that.
_STRIDE = 256
#: Tokens of the page that a window must have room for beside the question.
_LEAST_ROOM = 4
#: Padded tokens of one forward pass.
_PIECE = 16_384
_EVERYWHERE = [1000] * 4
_NOWHERE = [0] * 4
_SIDE = 1000


@dataclasses.dataclass(frozen=True)
class Window:
    """A part of a page together with the question; lists have an entry a token."""

    page: int
    input_ids: list[int]
    token_type_ids: list[int]
    boxes: list[Box]
    of_page: list[bool]
    #: Which word of the page a token belongs to.
    words: list[int | None]
    nothing: int | None


@dataclasses.dataclass(frozen=True)
class Asked:
    """One row: its pages' words, what they look like to a model that looks, and its windows."""

    pages: list[list[Word]]
    looks: list[torch.Tensor]
    windows: list[Window]
    is_pdf: bool


class Pointer:
    def __init__(self, loaded: Loaded) -> None:
        self._model = loaded.model
        self._tokenizer = loaded.tokenizer
        self._limit = loaded.limit
        self._takes = set(inspect.signature(loaded.model.forward).parameters)
        self._brings_boxes = "boxes" in inspect.signature(loaded.tokenizer.__call__).parameters
        #: Whether it sees the page beside its words.
        self.looks = "pixel_values" in self._takes
        self._pictures = loaded.processor.image_processor
        if self.looks and self._pictures is None:
            raise corrupt("This checkpoint has no preprocessor_config.json, which its pictures are prepared by.")
        if getattr(loaded.model.config, "max_2d_position_embeddings", 1024) <= _SIDE:
            raise corrupt("This checkpoint has no places up to 1000, by which words are placed on a page.")
        if not loaded.tokenizer.is_fast or loaded.tokenizer.padding_side != "right":
            raise corrupt(
                "This checkpoint's tokenizer does not say which words its tokens belong to, or pads on the left. "
                "Add its tokenizer.json."
            )

    def prepare(
        self,
        question: str,
        pages: Sequence[Page],
        parameters: Parameters,
        *,
        is_pdf: bool,
    ) -> Prepared | InputError:
        if not any(page.words for page in pages):
            return _no_words()
        width = min(int(parameters.get("max_seq_len", self._limit)), self._limit)
        asked, tokens = self._cut(question, parameters["max_question_len"])
        if not tokens:
            return refusals.nothing_left()
        stride = self._stride(width, tokens, parameters)
        if isinstance(stride, InputError):
            return stride
        windows = [
            window
            for number, page in enumerate(pages)
            if page.words
            for window in self._windows(number, asked, page.words, width=width, stride=stride)
        ]
        if not any(any(window.of_page) for window in windows):
            return refusals.nothing_left()
        looks = [self._look(page) for page in pages] if self.looks else []
        longest = max(len(window.input_ids) for window in windows)
        return Prepared(Asked([page.words for page in pages], looks, windows, is_pdf), longest, len(windows))

    def _cut(self, question: str, longest: int) -> tuple[list[str], int]:
        """The question's words, as many as have room, and their tokens."""
        kept: list[str] = []
        read = 0
        for word in question.split():
            tokens = len(self._tokenizer.tokenize(word))
            if read + tokens > longest:
                break
            kept.append(word)
            read += tokens
        return kept, read

    def _stride(self, width: int, tokens: int, parameters: Parameters) -> int | InputError:
        room = width - tokens - self._tokenizer.num_special_tokens_to_add(pair=True)
        if room < _LEAST_ROOM:
            return InputError(
                ErrorCode.INPUT_TOO_LONG,
                f"This question has {tokens} tokens, which leaves no room for the page in windows of {width}. "
                "Shorten it, or lower max_question_len.",
                field="inputs.question",
                details={"tokens": tokens, "limit": width},
            )
        # Each window must read something new, or a page becomes as many windows as it has tokens.
        most = room * 3 // 4
        asked = int(parameters.get("doc_stride", min(width // 2, _STRIDE, most)))
        if asked > most:
            return refusals.rejected(
                f"doc_stride must be at most {most} for this question and windows of {width} tokens.",
                "parameters.doc_stride",
            )
        return asked

    def _windows(self, page: int, question: list[str], words: list[Word], *, width: int, stride: int) -> list[Window]:
        texts, boxes = [text for text, _ in words], [box for _, box in words]
        pair: dict[str, Any] = {"text": question, "text_pair": texts, "is_split_into_words": True}
        if self._brings_boxes:
            pair = {"text": [" ".join(question)], "text_pair": [texts], "boxes": [boxes]}
        batch = self._tokenizer(
            **pair,
            truncation="only_second",
            max_length=width,
            stride=stride,
            return_overflowing_tokens=True,
            return_token_type_ids=True,
            verbose=False,
        )
        return [self._window(page, batch, number, boxes) for number in range(len(batch["input_ids"]))]

    def _window(self, page: int, batch: Any, number: int, boxes: list[Box]) -> Window:
        tokens, words = batch["input_ids"][number], batch.word_ids(number)
        of_page = [which == 1 for which in batch.sequence_ids(number)]
        cls = self._tokenizer.cls_token_id
        placed = batch["bbox"][number] if self._brings_boxes else self._placed(tokens, of_page, words, boxes)
        return Window(
            page=page,
            input_ids=tokens,
            token_type_ids=batch["token_type_ids"][number],
            boxes=placed,
            of_page=of_page,
            words=words,
            nothing=tokens.index(cls) if cls in tokens else None,
        )

    def _placed(self, tokens: list[int], of_page: list[bool], words: list[Any], boxes: list[Box]) -> list[Box]:
        """As the model was trained: its own box for a word of the page, and fixed ones for all else."""
        ends = self._tokenizer.sep_token_id
        return [
            boxes[word] if mine else (_EVERYWHERE if token == ends else _NOWHERE)
            for token, mine, word in zip(tokens, of_page, words, strict=True)
        ]

    def _look(self, page: Page) -> torch.Tensor:
        options = {"apply_ocr": False} if hasattr(self._pictures, "apply_ocr") else {}
        found: torch.Tensor = self._pictures(images=page.picture, return_tensors="pt", **options)["pixel_values"]
        return found

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        windows = [window for row in rows for window in row.payload.windows]
        looks = [row.payload.looks[window.page] for row in rows if self.looks for window in row.payload.windows]
        scores: list[torch.Tensor] = []
        each = max(1, _PIECE // max(len(window.input_ids) for window in windows))
        for start in range(0, len(windows), each):
            scores += self._scores(windows[start : start + each], looks[start : start + each])
        parts = [scores[span] for span in spans(row.sequences for row in rows)]
        return [_answers(row.payload, part, parameters) for row, part in zip(rows, parts, strict=True)]

    def _scores(self, windows: Sequence[Window], looks: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """(tokens, 2) for each window: how likely each token is an answer's first and last."""
        longest = max(len(window.input_ids) for window in windows)
        batch = {name: tensor.to(self._model.device) for name, tensor in self._padded(windows, longest).items()}
        if looks:
            batch["pixel_values"] = torch.cat(list(looks)).to(self._model.device, self._model.dtype)
        output = self._model(**{name: tensor for name, tensor in batch.items() if name in self._takes})
        both = torch.stack((output.start_logits, output.end_logits), dim=-1).float().cpu()
        return [row[: len(window.input_ids)] for row, window in zip(both, windows, strict=True)]

    def _padded(self, windows: Sequence[Window], longest: int) -> dict[str, torch.Tensor]:
        def filled(rows: list[list[Any]], fill: Any) -> torch.Tensor:
            return torch.tensor([row + [fill] * (longest - len(row)) for row in rows])

        return {
            "input_ids": filled([window.input_ids for window in windows], self._tokenizer.pad_token_id),
            "attention_mask": filled([[1] * len(window.input_ids) for window in windows], 0),
            "token_type_ids": filled([window.token_type_ids for window in windows], 0),
            "bbox": filled([window.boxes for window in windows], _NOWHERE),
        }


def _no_words() -> InputError:
    return refusals.rejected(
        "This model reads words with their places, and none came along: OCR does not run here. Send word_boxes, or a "
        "PDF with a text layer.",
        "inputs.word_boxes",
    )


def _answers(asked: Asked, logits: Sequence[torch.Tensor], parameters: Parameters) -> Answer:
    if not all(scores.isfinite().all() for scores in logits):
        return refusals.not_finite("document")
    listed: list[dict[str, Any]] = []
    nothing = 1.0
    for window, scores in zip(asked.windows, logits, strict=True):
        found, none_here = likeliest(
            window.of_page, window.nothing, scores, most=parameters["top_k"], longest=parameters["max_answer_len"]
        )
        nothing = min(nothing, none_here)
        listed += [_answer(asked, window, first, last, score) for first, last, score in found]
    if parameters["handle_impossible_answer"]:
        listed.append({"score": nothing, "answer": "", "start": 0, "end": 0})
    listed.sort(key=lambda answer: -answer["score"])
    return listed[: parameters["top_k"]]


def _answer(asked: Asked, window: Window, first: int, last: int, score: float) -> dict[str, Any]:
    start, end = window.words[first], window.words[last]
    assert start is not None
    assert end is not None
    words = asked.pages[window.page][start : end + 1]
    found = {
        "score": score,
        "answer": " ".join(text for text, _ in words),
        "start": start,
        "end": end,
        "box": _around([box for _, box in words]),
    }
    return {**found, "page": window.page + 1} if asked.is_pdf else found


def _around(boxes: Sequence[Box]) -> Box:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return [min(lefts), min(tops), max(rights), max(bottoms)]
