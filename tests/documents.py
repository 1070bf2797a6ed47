"""PDFs written by hand, byte by byte: good ones, and such as no program should be sent."""

from __future__ import annotations

from collections.abc import Sequence

#: Of those that are broken, what a reader of PDFs takes as something good all the same.
MENDED = {"a page of no size", "a page of endless size", "a stream of the wrong length and filter"}
Line = tuple[int, int, str]


def pdf(
    pages: Sequence[Sequence[Line]] = (((72, 720, "Total: 12 loaves"),),),
    *,
    box: str = "0 0 612 792",
    rotate: int = 0,
    extra: str = "",
    trailer: str = "",
    content: bytes | None = None,
) -> bytes:
    """One page for each list of lines, `(x, y, text)` in points from the left bottom, in Helvetica of 12 points."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"", b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    kids = []
    for lines in pages:
        written = "".join(f"BT /F1 12 Tf {x} {y} Td ({text}) Tj ET\n" for x, y, text in lines).encode()
        stream = written if content is None else content
        kids.append(f"{len(objects) + 1} 0 R")
        objects.append(
            f"<</Type/Page/Parent 2 0 R/MediaBox[{box}]/Rotate {rotate}/Resources<</Font<</F1 3 0 R>>>>"
            f"/Contents {len(objects) + 2} 0 R{extra}>>".encode()
        )
        objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream))
    objects[1] = f"<</Type/Pages/Kids[{' '.join(kids)}]/Count {len(kids)}>>".encode()
    return _file(objects, trailer)


def _file(objects: Sequence[bytes], trailer: str) -> bytes:
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    tail = f"trailer<</Size {len(objects) + 1}/Root 1 0 R{trailer}>>\nstartxref\n{len(out)}\n%%EOF\n"
    return bytes(out) + head.encode() + tail.encode()


def locked() -> bytes:
    """One that says that it is encrypted, with a key that nobody has."""
    key = "00" * 32
    rules = f"<</Filter/Standard/V 1/R 2/O<{key}>/U<{key}>/P -4>>"
    return pdf(trailer=f"/Encrypt {rules}/ID[<00><00>]")


def broken() -> dict[str, bytes]:
    """Files that are no good document, by what is wrong with them."""
    good = pdf()
    return {
        "zero bytes": b"",
        "one byte": b"%",
        "text": b"this is no document at all",
        "HTML": b"<html><embed src=x></html>",
        "PostScript": b"%!PS-Adobe-3.0\nshowpage\n",
        "a zip": b"PK\x03\x04" + b"\0" * 60,
        "a truncated PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        "only a head": b"%PDF-1.7\n",
        "a head and noise": b"%PDF-1.7\n" + bytes(range(256)) * 40,
        "half a PDF": good[: len(good) // 3],
        "a catalog of nothing": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF",
        "no page": pdf(()),
        "locked": locked(),
        "thousands of pages": pdf([[]] * 3000),
        "a page that is a line": pdf(box="0 0 10000 1"),
        "a page of no size": pdf(box="0 0 0 0", content=b""),
        "a page of endless size": pdf(box="0 0 1e308 1e308"),
        "pages that are their own parent": good.replace(b"/Kids[4 0 R]", b"/Kids[2 0 R]"),
        "a page that is missing": good.replace(b"/Kids[4 0 R]", b"/Kids[9 0 R]"),
        "a stream of the wrong length and filter": good.replace(b"<</Length", b"<</Filter/DCTDecode/Length", 1),
        "nested without end": b"%PDF-1.7\n1 0 obj" + b"[" * 200_000 + b"\n%%EOF",
    }
