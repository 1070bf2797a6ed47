"""Images as files: what is in one, by its content, and how it becomes pixels. Pillow alone, and only bounded work.

A file's name and declared type say nothing. Kinds that start other programs or draw by script (EPS, PDF, WMF) are not
opened, and a picture whose header announces more pixels than are taken is refused before one of them is decoded.
"""

from __future__ import annotations

import dataclasses
from typing import BinaryIO

from PIL import Image

from contract.media import Media
from models.media.seen import MediaRefused, Seen

CONTENT_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "JPEG2000": "image/jp2",
    "PPM": "image/x-portable-anymap",
}
#: Pillow opens an MPO as the JPEG that it is, and knows no reader of that name.
_READERS = tuple(name for name in CONTENT_TYPES if name != "MPO")
TAKEN = "PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000 and PNM"
#: Passes over all pixels that a progressive JPEG may ask for; encoders make about ten.
_MOST_SCANS = 100
_MOST_STRETCHED = 100
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PIECE = 1 << 18


class NoImage(MediaRefused):
    """It is not a broken image, or too large a one: it is something else."""


@dataclasses.dataclass(frozen=True)
class SeenImage(Seen):
    #: As it is looked at: turned as its EXIF says.
    width: int
    height: int


def look(stream: BinaryIO, limits: Media) -> SeenImage:
    """Read the header; raises MediaRefused for what `decode` would not take either."""
    image = _opened(stream, limits.max_pixels)
    width, height = image.size
    if _orientation(image) >= 5:
        width, height = height, width
    if CONTENT_TYPES[image.format or ""] == "image/jpeg":
        _count_scans(stream)
    return SeenImage(CONTENT_TYPES[image.format or ""], width, height)


def decode(stream: BinaryIO, limits: Media) -> Image.Image:
    """The first picture of a file as RGB, turned as its EXIF says; raises MediaRefused."""
    image = _opened(stream, limits.max_pixels)
    try:
        image.load()
        turn = _TURNS.get(_orientation(image))
        image = _as_rgb(image)
        return image if turn is None else image.transpose(turn)
    except MemoryError:
        raise
    except Exception as error:
        # Whatever a decoder raises, the file is to blame.
        raise MediaRefused("This image is broken or cut short. Send it again.") from error


def _opened(stream: BinaryIO, max_pixels: int) -> Image.Image:
    if not stream.read(1):
        raise MediaRefused("This file is empty. Send an image.")
    stream.seek(0)
    try:
        image = Image.open(stream, formats=_READERS)
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:
        raise MediaRefused(f"This image has more pixels than the {max_pixels:,} that are taken.") from error
    except Exception as error:
        raise NoImage(f"This is no image that can be read. Taken are {TAKEN}.") from error
    width, height = image.size
    if width * height > max_pixels:
        raise MediaRefused(
            f"This image has {width:,} × {height:,} pixels; at most {max_pixels:,} in all are taken. Make it smaller."
        )
    if max(width, height) > _MOST_STRETCHED * min(width, height):
        # A model that brings the shorter side to 224 pixels would make billions of a line.
        raise MediaRefused(f"This image is more than {_MOST_STRETCHED} times as long as it is wide. Cut it.")
    return image


def _orientation(image: Image.Image) -> int:
    """1 for what stands as it is, and where the EXIF is broken: the pixels may be good all the same."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - a reader of a format that anybody may write wrongly
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        # convert() would cut 16 bits at 255, which is white for nearly all of them.
        image = image.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if image.mode == "F":
        low, high = image.getextrema()
        scale = 255 / (high - low) if high > low else 1  # type: ignore[operator]
        image = image.point(lambda value: value * scale + (-low * scale)).convert("L")  # type: ignore[operator]
    if not image.has_transparency_data:
        return image.convert("RGB")
    # On white, as a page would show it; the colors under what is transparent are anything.
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(ground, layer).convert("RGB")


def _count_scans(stream: BinaryIO) -> None:
    """Refuse a JPEG that is small as a file and takes minutes to decode: thousands of passes over its pixels."""
    stream.seek(0)
    scans, last = 0, b""
    while piece := stream.read(_PIECE):
        scans += (last + piece).count(b"\xff\xda")
        last = piece[-1:]
        if scans > _MOST_SCANS:
            raise MediaRefused("This JPEG is made of too many scans. Save it again with another program.")
