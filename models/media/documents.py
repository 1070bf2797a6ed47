"""Documents as files: a picture of one page, or a PDF. What is on a PDF's pages is read by a process of its own.

At the door only the head and the tail of a PDF are looked at; its pages, words and pictures are read where its job
is run, or where a page shows it.
"""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from contract.media import Media
from models.media import images
from models.media.seen import MediaRefused, Seen

PDF = "application/pdf"
_HEAD = 1024
_PROGRAM = Path(__file__).with_name("pdf_program.py")
#: Beside the seconds it may compute: for starting, and for waiting on a busy machine.
_GRACE_SECONDS = 5.0
Box = list[int]
Word = tuple[str, Box]


@dataclasses.dataclass(frozen=True)
class Page:
    """`words` are those of a text layer with their boxes in thousandths of the page; none in a mere picture."""

    words: list[Word]
    #: RGB; None where it was not asked for.
    picture: Image.Image | None


@dataclasses.dataclass(frozen=True)
class Document:
    """What was sent, not yet read beyond its kind."""

    body: bytes
    is_pdf: bool
    limits: Media

    def pages(self, *, pictures: bool) -> list[Page]:
        """All pages with their words, and their pictures where `pictures`; raises MediaRefused."""
        if self.is_pdf:
            return _read(self.body, self.limits, pictures=pictures)
        return [Page([], images.decode(io.BytesIO(self.body), self.limits))]


def look(stream: BinaryIO, limits: Media) -> Seen:
    """Read the head; raises MediaRefused for what is no document."""
    head = stream.read(_HEAD)
    stream.seek(0)
    if b"%PDF-" in head:
        return Seen(PDF)
    try:
        return images.look(stream, limits)
    except images.NoImage as refused:
        raise MediaRefused(f"This is no document that can be read. Taken are PDF, {images.TAKEN}.") from refused


def decode(stream: BinaryIO, limits: Media) -> Document:
    body = stream.read(limits.max_bytes + 1)
    if len(body) > limits.max_bytes:
        raise MediaRefused(f"This document is larger than {limits.max_bytes:,} bytes.")
    return Document(body, b"%PDF-" in body[:_HEAD], limits)


def page_picture(body: bytes, limits: Media, number: int) -> bytes:
    """A page of a PDF as a PNG, `number` from 0; raises MediaRefused."""
    [page] = _read(body, limits, pictures=True, words=False, only=number)
    assert page.picture is not None
    out = io.BytesIO()
    page.picture.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _read(body: bytes, limits: Media, *, pictures: bool, words: bool = True, only: int | None = None) -> list[Page]:
    asked = {
        "max_pages": limits.max_pages, "seconds": limits.document_seconds, "pictures": pictures, "words": words,
        "only": only,
    }  # fmt: skip
    written = io.BytesIO(_run(body, asked, limits))
    pages: list[Page] = []
    while line := written.readline():
        told = _understood(line, limits)
        width, height = told["width"], told["height"]
        picture = Image.frombytes("RGB", (width, height), written.read(width * height * 3)) if pictures else None
        pages.append(Page([(text, box) for text, box in told["words"]], picture))
    return pages


def _run(body: bytes, asked: dict[str, Any], limits: Media) -> bytes:
    """What the program writes; raises MediaRefused where it is killed or falls."""
    # No environment: nothing that this process knows is there to be found. -P: only installed packages are imported.
    command = [sys.executable, "-P", str(_PROGRAM), json.dumps(asked)]
    try:
        done = subprocess.run(
            command,
            input=body,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            timeout=limits.document_seconds + _GRACE_SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise _too_slow(limits) from error
    except subprocess.CalledProcessError as error:
        raise MediaRefused("This PDF takes too much time or memory to read. Send fewer or simpler pages.") from error
    return done.stdout


def _too_slow(limits: Media) -> MediaRefused:
    return MediaRefused(f"This PDF was not read within {limits.document_seconds:g} s. Send fewer or simpler pages.")


def _understood(line: bytes, limits: Media) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(line)
    if "refused" not in told:
        return told
    word, _, rest = str(told["refused"]).partition(" ")
    sentences = {
        "encrypted": "This PDF is locked with a password. Send one that is open.",
        "empty": "This PDF has no page.",
        "pages": f"This PDF has {rest} pages; at most {limits.max_pages} are read. Send those that matter.",
        "beyond": "This PDF has no such page.",
        "size": "A page of this PDF has no size that can be read.",
        "stretched": "A page of this PDF is more than 100 times as long as it is wide. Cut it.",
        "words": "This PDF has more words than are read of one document. Send fewer pages.",
    }
    raise MediaRefused(sentences.get(word, "This PDF is broken or cut short. Send it again."))
