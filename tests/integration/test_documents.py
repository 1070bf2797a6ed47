"""document-question-answering: equal to the library's pipeline on words and boxes, alone and among others."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import transformers

from contract.errors import InputError
from contract.media import Media
from tests.documents import pdf
from tests.integration.beside_library import Oven
from tests.tiny import WORDS, documents
from worker.backends.media import MediaFile
from worker.backends.tasks.reading import Writer

Image = pytest.importorskip("PIL.Image", reason="needs Pillow")
pytestmark = pytest.mark.real_model

TASK = "document-question-answering"


def boxed(words: list[str]) -> list[list[Any]]:
    """Words in lines of five."""
    return [
        [word, [100 * (number % 5), 20 * (number // 5), 100 * (number % 5) + 90, 20 * (number // 5) + 15]]
        for number, word in enumerate(words)
    ]


ROWS: list[dict[str, Any]] = [
    {"question": "what was baked?", "word_boxes": boxed(["the", "loaf", "was", "baked", "today", "in", "lyon"])},
    {"question": "where", "word_boxes": boxed(["lyon"])},
    # Several windows.
    {"question": "who baked the bread for ten years?", "word_boxes": boxed([*WORDS, "unbelievable", *WORDS])},
    {"question": "Über", "word_boxes": boxed(["Über", "", "東京", "12.50", "x" * 30])},
]


def sent(body: bytes) -> MediaFile:
    return MediaFile(lambda: io.BytesIO(body), "image", "document", Media())


def picture(width: int = 60, height: int = 80) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((width, height), 80).convert("RGB").save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def pointer(tmp_path_factory: pytest.TempPathFactory) -> Oven:
    folder = tmp_path_factory.mktemp("pointer")
    return Oven(TASK, documents.pointer(folder / "model"), folder / "cache")


@pytest.fixture(scope="module")
def library(pointer: Oven) -> Any:
    return transformers.pipeline(TASK, model=str(pointer.folder))


def bare(answers: Any) -> list[tuple[Any, ...]]:
    return [tuple(answer[name] for name in ("answer", "start", "end")) for answer in answers]


@pytest.mark.parametrize("asked", [
    {}, {"top_k": 5}, {"top_k": 4, "max_answer_len": 2}, {"top_k": 3, "max_seq_len": 32, "doc_stride": 8},
    {"top_k": 3, "handle_impossible_answer": True},
], ids=str)  # fmt: skip
def test_answers_are_those_of_the_library_alone_and_among_others(pointer, library, asked):
    rows = [{**row, "image": sent(picture())} for row in ROWS]
    together = pointer.run(rows, **asked)

    for row, found in zip(ROWS, together, strict=True):
        expected = library([{"question": row["question"], "word_boxes": row["word_boxes"]}], **asked)
        expected = expected[0] if isinstance(expected[0], list) else expected
        [alone] = pointer.run([{**row, "image": sent(picture())}], **asked)
        assert bare(found) == bare(expected)
        assert bare(alone) == bare(expected)
        for answers in (found, alone):
            assert [answer["score"] for answer in answers] == pytest.approx(
                [answer["score"] for answer in expected], abs=1e-5
            )


def test_a_box_lies_around_all_words_of_its_answer(pointer):
    [answers] = pointer.run([{**ROWS[0], "image": sent(picture())}], top_k=20)

    for answer in answers:
        boxes = [box for _, box in ROWS[0]["word_boxes"][answer["start"] : answer["end"] + 1]]
        assert answer["box"] == [
            min(box[0] for box in boxes), min(box[1] for box in boxes),
            max(box[2] for box in boxes), max(box[3] for box in boxes),
        ]  # fmt: skip


def test_the_text_layer_of_a_pdf_takes_the_place_of_words_that_are_sent(pointer):
    lines = [(72, 700, "the loaf was baked"), (72, 650, "in lyon")]
    [answers] = pointer.run([{"image": sent(pdf([[], lines])), "question": "where"}], top_k=9)

    assert {answer["page"] for answer in answers} == {2}
    words = ["the", "loaf", "was", "baked", "in", "lyon"]
    assert all(answer["answer"] == " ".join(words[answer["start"] : answer["end"] + 1]) for answer in answers)


def refusal(oven: Oven, row: dict[str, Any], **asked: Any) -> InputError:
    [found] = oven.run([row], **asked)
    assert isinstance(found, InputError)
    return found


def test_a_picture_without_words_is_refused_with_what_to_send(pointer):
    found = refusal(pointer, {"image": sent(picture()), "question": "where"})

    assert found.field == "inputs.word_boxes"
    assert "Send word_boxes, or a PDF with a text layer" in found.message


def test_words_and_windows_that_make_no_sense_are_refused_by_name(pointer):
    row = {"image": sent(picture()), "question": "where", "word_boxes": boxed(["a", "b"])}

    assert refusal(pointer, {**row, "word_boxes": [["a", [9, 0, 8, 5]]]}).field == "inputs.word_boxes.0"
    assert refusal(pointer, {**row, "word_boxes": [["\ud800", [0, 0, 8, 5]]]}).message.startswith("This text holds")
    assert refusal(pointer, {**row, "image": sent(pdf([[], []]))}).field == "inputs.word_boxes"
    assert refusal(pointer, row, doc_stride=4000).field == "parameters.doc_stride"
    assert refusal(pointer, {**row, "question": "what " * 60}, max_seq_len=32).field == "inputs.question"
    assert refusal(pointer, {**row, "question": " "}).message.startswith("The model's tokenizer finds nothing")


def test_one_bad_document_harms_no_other(pointer):
    good = {**ROWS[0], "image": sent(picture())}

    found = pointer.run([good, {**good, "image": sent(b"%PDF-1.7 nonsense")}, good])

    assert isinstance(found[1], InputError)
    assert found[0] == found[2] == pointer.run([good])[0]


def test_layoutlmv3_sees_the_page_and_its_words(tmp_path: Path):
    oven = Oven(TASK, documents.looker(tmp_path / "model"), tmp_path / "cache")
    rows = [{**row, "image": sent(picture())} for row in ROWS[:2]]

    together = oven.run(rows, top_k=3)

    for row, found in zip(rows, together, strict=True):
        [alone] = oven.run([row], top_k=3)
        assert bare(found) == bare(alone)
        assert found


def test_donut_writes_what_the_library_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    texts: list[str] = []
    answer = Writer._answer
    monkeypatch.setattr(Writer, "_answer", lambda self, tokens: (texts.append(tokens), answer(self, tokens))[1])
    oven = Oven(TASK, documents.reader(tmp_path / "model"), tmp_path / "cache")
    texts.clear()
    body = picture()

    assert oven.run([{"image": sent(body), "question": "where"}], max_new_tokens=8) == [
        [{"answer": "", "score": None}]
    ]
    model = transformers.VisionEncoderDecoderModel.from_pretrained(oven.folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(oven.folder)
    pixels = transformers.AutoImageProcessor.from_pretrained(oven.folder)(
        Image.open(io.BytesIO(body)), return_tensors="pt"
    )
    prompt = tokenizer(
        "<s_docvqa><s_question>where</s_question><s_answer>", add_special_tokens=False, return_tensors="pt"
    )
    expected = model.generate(
        pixels["pixel_values"], decoder_input_ids=prompt["input_ids"], max_new_tokens=8, do_sample=False
    )
    assert texts == expected.tolist()


def test_what_donut_writes_is_read_between_its_tags(tmp_path: Path):
    oven = Oven(TASK, documents.reader(tmp_path / "model"), tmp_path / "cache")
    reader: Any = oven.loaded._task._reader  # type: ignore[attr-defined]
    assert isinstance(reader, Writer)
    text = "<s_docvqa><s_question>a</s_question><s_answer> 12 loaves </s_answer></s>"
    tokens = reader._tokenizer(text, add_special_tokens=False)["input_ids"]

    assert reader._answer(tokens) == "12 loaves"
    assert reader._answer(tokens[:-2]) == ""
