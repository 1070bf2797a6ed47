"""Answers on the pages of a document: words that a model points at (LayoutLM), or that it writes (Donut).

Who points reads words with their places: those that were sent along, or of a PDF's text layer. No OCR runs here.
"""

from __future__ import annotations

from collections.abc import Sequence

from contract.errors import ErrorCode, InputError
from models.media import MediaRefused
from models.media.documents import Document, Page
from worker.backends import refusals
from worker.backends.backend import Context, Inputs, Parameters, Prepared
from worker.backends.tasks.pages import Pointer
from worker.backends.tasks.reading import Writer
from worker.backends.tasks.task import Answer, TaskModel
from worker.backends.weights import Loaded

_POINTING = ("layoutlm", "layoutlmv2", "layoutlmv3")


class DocumentQuestionAnswering(TaskModel):
    auto_class = "AutoModelForDocumentQuestionAnswering"
    or_classes = ("AutoModelForImageTextToText",)
    processor_class = "AutoProcessor"
    may_be_blind = True

    def __init__(self, loaded: Loaded) -> None:
        points = loaded.model.config.model_type in _POINTING
        self._reader = Pointer(loaded) if points else Writer(loaded)

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        return [self._prepare(row, parameters) for row in rows]

    def _prepare(self, row: Inputs, parameters: Parameters) -> Prepared | InputError:
        if not refusals.is_unicode(row["question"]):
            return refusals.half_a_character()
        try:
            document: Document = row["image"].decoded()
            pages = document.pages(pictures=self._reader.looks)
            return self._reader.prepare(row["question"], _with_words(pages, row), parameters, is_pdf=document.is_pdf)
        except MediaRefused as refused:
            return InputError(ErrorCode.INPUT_REJECTED, str(refused), field="image")
        except InputError as refused:
            return refused

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        return self._reader.bake(rows, parameters, context)


def _with_words(pages: list[Page], row: Inputs) -> list[Page]:
    """Pages with the words that were sent along, where some were."""
    sent = row.get("word_boxes")
    if not sent:
        return pages
    if len(pages) > 1:
        raise refusals.rejected(
            "word_boxes are for one page, and this PDF has several. Send it without them, or page by page.",
            "inputs.word_boxes",
        )
    return [Page([_checked(number, word, box) for number, (word, box) in enumerate(sent)], pages[0].picture)]


def _checked(number: int, word: str, box: list[int]) -> tuple[str, list[int]]:
    left, top, right, bottom = (int(side) for side in box)
    if right < left or bottom < top:
        # A model looks up width and height in a table, where there is nothing below 0.
        raise refusals.rejected(
            f"The box of word {number} ends before it begins. Send [left, top, right, bottom].",
            f"inputs.word_boxes.{number}",
        )
    if not refusals.is_unicode(word):
        raise refusals.half_a_character()
    return word, [left, top, right, bottom]
