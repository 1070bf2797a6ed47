"""A program of its own that reads a PDF from its input: words with their places, and pictures of pages.

What it reads was written by anybody, for a parser in C. Run as a file by models.media.documents, it may take so much
time and memory, writes nothing to a disk, and takes nobody along when it falls.

    out: for each page a line of JSON, {"words": [[text, [x0, y0, x1, y1]], ...], "width", "height"}, and behind it
         width x height x 3 bytes of RGB, where pictures are asked for; or {"refused": word}, and no more
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

#: Places of words are thousandths of a page, from its left top.
_SIDE = 1000
#: Dots per inch of a page's picture, where the page is not larger than that many pixels in all.
_DPI = 200
_MOST_PIXELS = 4_000_000
_MOST_STRETCHED = 100
_MOST_WORDS = 50_000
#: A word is drawn in as many characters; more is a line of anything.
_LONGEST_WORD = 200
_MEMORY = 2 << 30


class _Refused(Exception):
    pass


def main(asked: dict[str, Any]) -> None:
    _limit(asked["seconds"])
    out = sys.stdout.buffer
    try:
        for told, picture in _pages(sys.stdin.buffer.read(), asked):
            out.write(json.dumps(told).encode() + b"\n" + picture)
    except _Refused as refused:
        out.write(json.dumps({"refused": str(refused)}).encode() + b"\n")


def _limit(seconds: float) -> None:
    processor = max(1, round(seconds))
    for what, most in (
        (resource.RLIMIT_CPU, processor),
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def _pages(body: bytes, asked: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bytes]]:
    document = _opened(body)
    count = len(document)
    numbers = range(count) if asked["only"] is None else range(asked["only"], asked["only"] + 1)
    if not count:
        raise _Refused("empty")
    if len(numbers) > asked["max_pages"]:
        raise _Refused(f"pages {count}")
    if numbers[-1] >= count:
        raise _Refused("beyond")
    read = 0
    for number in numbers:
        page = _loaded(document, number)
        scale = _scale(page)
        words = _words(page) if asked["words"] else []
        read += len(words)
        if read > _MOST_WORDS:
            raise _Refused("words")
        width, height, picture = _drawn(page, scale) if asked["pictures"] else (0, 0, b"")
        yield {"width": width, "height": height, "words": words}, picture
        page.close()


def _opened(body: bytes) -> Any:
    try:
        return pypdfium2.PdfDocument(body)
    except pypdfium2.PdfiumError as error:
        raise _Refused("encrypted" if "password" in str(error).lower() else "broken") from error


def _loaded(document: Any, number: int) -> Any:
    try:
        return document[number]
    except pypdfium2.PdfiumError as error:
        raise _Refused("broken") from error


def _scale(page: Any) -> float:
    """Pixels for each point, so that the picture stays within bounds; refuses a page that has no good shape."""
    width, height = page.get_size()
    if not (0 < width < 1e6 and 0 < height < 1e6):
        raise _Refused("size")
    if max(width, height) > _MOST_STRETCHED * min(width, height):
        raise _Refused("stretched")
    return float(min(_DPI / 72, (_MOST_PIXELS / (width * height)) ** 0.5))


def _drawn(page: Any, scale: float) -> tuple[int, int, bytes]:
    """Width, height and RGB, row by row."""
    bitmap = page.render(scale=scale, rev_byteorder=True, bitmap_maker=pypdfium2.PdfBitmap.new_native)
    width, height, stride, channels = bitmap.width, bitmap.height, bitmap.stride, bitmap.n_channels
    lines = memoryview(bytes(bitmap.buffer))
    whole = b"".join(lines[y * stride : y * stride + width * channels] for y in range(height))
    if channels == 3:
        return width, height, whole
    picture = bytearray(width * height * 3)
    for channel in range(3):
        picture[channel::3] = whole[channel::channels]
    return width, height, bytes(picture)


def _words(page: Any) -> list[tuple[str, list[int]]]:
    """The page's text layer in reading order, in words, each with the box around it."""
    text = page.get_textpage()
    words: list[tuple[str, list[int]]] = []
    letters: list[str] = []
    box: list[int] | None = None
    for index in range(text.count_chars()):
        letter = chr(pdfium.FPDFText_GetUnicode(text, index))
        if letter.isspace() or not letter.isprintable() or len(letters) >= _LONGEST_WORD:
            _end(words, letters, box)
            letters, box = [], None
        if letter.isprintable() and not letter.isspace():
            letters.append(letter)
            box = _around(box, _place(page, text.get_charbox(index)))
        if len(words) > _MOST_WORDS:
            break
    _end(words, letters, box)
    return words


def _end(words: list[tuple[str, list[int]]], letters: list[str], box: list[int] | None) -> None:
    if letters and box is not None:
        words.append(("".join(letters), box))


def _place(page: Any, corners: tuple[float, float, float, float]) -> list[int]:
    """A rectangle of the page's own space as it is seen: turned, and in thousandths from the left top."""
    left, bottom, right, top = corners
    x, y = pdfium.c_int(), pdfium.c_int()
    places: list[tuple[int, int]] = []
    for across, up in ((left, bottom), (right, top)):
        pdfium.FPDF_PageToDevice(page, 0, 0, _SIDE, _SIDE, 0, across, up, x, y)
        places.append((min(_SIDE, max(0, x.value)), min(_SIDE, max(0, y.value))))
    (x0, y0), (x1, y1) = places
    return [min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)]


def _around(box: list[int] | None, more: list[int]) -> list[int]:
    if box is None:
        return more
    return [min(box[0], more[0]), min(box[1], more[1]), max(box[2], more[2]), max(box[3], more[3])]


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
