"""Pictures for tests: good ones, and those that are none."""

from __future__ import annotations

import io
from typing import Any

import pytest

Image = pytest.importorskip("PIL.Image", reason="needs Pillow")


def png(width: int = 40, height: int = 30, color: Any = (200, 120, 40), mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), color).save(out, "PNG")
    return out.getvalue()


def shaded(shade: int = 0) -> bytes:
    """A small picture that differs from those of another shade."""
    return png(8, 6, (shade, 0, 0))


def broken() -> dict[str, bytes]:
    """Files that are no good image, by what is wrong with them."""
    good = png(200, 150)
    jpeg = io.BytesIO()
    Image.effect_noise((300, 200), 90).convert("RGB").save(jpeg, "JPEG", progressive=True)
    huge = bytearray(good)
    huge[16:24] = (100_000).to_bytes(4, "big") * 2
    line = png(9_000, 1)
    scans = jpeg.getvalue()[:-2] + b"\xff\xda" * 200 + b"\xff\xd9"
    return {
        "zero bytes": b"",
        "one byte": b"\x89",
        "text": b"this is no image at all",
        "a truncated PNG": good[: len(good) // 2],
        "a truncated JPEG": jpeg.getvalue()[:4000],
        "only a head": good[:33],
        "a bomb": bytes(huge),
        "a line": line,
        "too many scans": scans,
        "HTML": b"<html><img src=x></html>",
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "PDF": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n",
        "a zip": b"PK\x03\x04" + b"\0" * 60,
        "a broken chunk": good[:40] + b"\0" * 40 + good[80:],
        "a GIF head": b"GIF89a" + b"\xff" * 30,
        "a TIFF of nothing": b"II*\0\x08\0\0\0\0\0\0\0\0\0",
        "a WebP of nothing": b"RIFF\x20\0\0\0WEBPVP8 " + b"\0" * 30,
        "a BMP of nothing": b"BM" + b"\0" * 60,
        "an AVIF of nothing": b"\0\0\0\x1cftypavif" + b"\0" * 40,
    }
