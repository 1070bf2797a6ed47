"""What is in a document's file: pages, their words and how they look; and what is no good document."""

from __future__ import annotations

import io

import pytest

from contract.media import Media
from models.media import MediaRefused, decode, look
from models.media.documents import Document, page_picture
from tests.documents import MENDED, broken, pdf

Image = pytest.importorskip("PIL.Image", reason="needs Pillow")


def document(body: bytes, **limits: float) -> Document:
    taken = Media(**limits)  # type: ignore[arg-type]
    look("document", io.BytesIO(body), taken)
    found: Document = decode("document", io.BytesIO(body), taken)
    return found


def test_the_words_of_a_text_layer_come_with_their_places():
    [page] = document(pdf()).pages(pictures=False)

    assert [text for text, _ in page.words] == ["Total:", "12", "loaves"]
    # 72 of 612 points from the left, 720 of 792 from the bottom.
    left, top, right, bottom = page.words[0][1]
    assert abs(left - 1000 * 72 / 612) <= 2
    assert abs(bottom - 1000 * (1 - 720 / 792)) <= 2
    assert right > left
    assert bottom > top
    assert page.picture is None


def test_a_page_that_is_turned_is_read_as_it_is_seen():
    [page] = document(pdf(rotate=90)).pages(pictures=True)

    assert page.picture is not None
    assert page.picture.width > page.picture.height
    assert page.words[0][1][0] > 900


def test_every_page_is_read_in_order():
    pages = document(pdf([[(72, 720, f"page{number}")] for number in range(3)])).pages(pictures=False)

    assert [page.words[0][0] for page in pages] == ["page0", "page1", "page2"]


@pytest.mark.parametrize("box", ["0 0 14400 14400", "0 0 3 3", "-100 -100 512 692"])
def test_a_picture_of_a_page_has_no_more_pixels_than_are_taken(box):
    [page] = document(pdf(box=box)).pages(pictures=True)

    assert page.picture is not None
    assert 1 <= page.picture.width * page.picture.height <= 4_020_000


def test_ink_is_dark_and_paper_is_white():
    png = page_picture(pdf(), Media(), 0)

    assert Image.open(io.BytesIO(png)).convert("L").getextrema() == (0, 255)


def test_a_picture_is_a_document_of_one_page_without_words():
    out = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(out, "PNG")

    [page] = document(out.getvalue()).pages(pictures=True)

    assert page.words == []
    assert page.picture is not None
    assert page.picture.size == (30, 20)


@pytest.mark.parametrize("wrong", sorted(broken()))
def test_what_is_no_good_document_is_refused_with_a_sentence_or_read(wrong):
    if wrong in MENDED:
        assert len(document(broken()[wrong]).pages(pictures=True)) == 1
        return
    with pytest.raises(MediaRefused) as refused:
        document(broken()[wrong]).pages(pictures=True)
    assert str(refused.value).endswith(".")
    assert not any(word in str(refused.value) for word in ("Error", "Traceback", "pdfium", "/"))


def test_a_lock_and_too_many_pages_are_named():
    with pytest.raises(MediaRefused, match="locked with a password"):
        document(broken()["locked"]).pages(pictures=False)
    with pytest.raises(MediaRefused, match="3000 pages; at most 20"):
        document(broken()["thousands of pages"]).pages(pictures=False)


def test_a_page_that_is_drawn_without_end_is_given_up():
    lines = b"0 0 m 600 700 300 20 9 800 c S\n" * 300_000

    with pytest.raises(MediaRefused, match=r"too much time|not read within"):
        document(pdf(content=lines), document_seconds=1).pages(pictures=True)


def test_a_page_of_too_many_words_is_refused():
    lines = ("(" + "a " * 1_000 + ") Tj T* ") * 60

    with pytest.raises(MediaRefused, match="more words"):
        document(pdf(content=f"BT /F1 1 Tf 1 TL 1 700 Td {lines} ET".encode())).pages(pictures=False)


def test_a_page_that_is_not_there_is_refused():
    with pytest.raises(MediaRefused, match="no such page"):
        page_picture(pdf(), Media(), 1)
