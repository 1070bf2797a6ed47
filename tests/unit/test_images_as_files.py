"""What is in an image's file, and how it becomes pixels."""

from __future__ import annotations

import io
from typing import Any

import pytest

from contract.media import Media
from models.media.images import MediaRefused, decode, look

Image = pytest.importorskip("PIL.Image", reason="needs Pillow")


def file_of(image: Any, kind: str = "PNG", **options: Any) -> io.BytesIO:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return io.BytesIO(out.getvalue())


def half(width: int = 40, height: int = 20) -> Any:
    """Red on its left half, blue on its right."""
    image = Image.new("RGB", (width, height), "red")
    image.paste("blue", (width // 2, 0, width, height))
    return image


@pytest.mark.parametrize(
    ("orientation", "size", "left_top"),
    [(1, (40, 20), "red"), (2, (40, 20), "blue"), (3, (40, 20), "blue"), (6, (20, 40), "red"), (8, (20, 40), "blue")],
)
def test_an_image_stands_as_its_exif_says(orientation, size, left_top):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = file_of(half(), exif=exif)

    assert (look(stream, Media(max_pixels=1000)).width, look(stream, Media(max_pixels=1000)).height) == size
    stream.seek(0)
    image = decode(stream, Media(max_pixels=1000))
    assert image.size == size
    assert image.getpixel((1, 1)) == Image.new("RGB", (1, 1), left_top).getpixel((0, 0))


def test_sixteen_bits_are_scaled_and_not_cut():
    gray = Image.new("I;16", (2, 1))
    gray.putpixel((0, 0), 32_768)
    gray.putpixel((1, 0), 65_535)

    image = decode(file_of(gray), Media(max_pixels=10))

    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(128, 128, 128), (255, 255, 255)]


def test_what_is_transparent_is_white_and_not_what_lies_under_it():
    image = Image.new("RGBA", (4, 4), (200, 0, 0, 0))

    assert decode(file_of(image), Media(max_pixels=100)).getpixel((0, 0)) == (255, 255, 255)


def test_an_animation_is_its_first_picture():
    stream = file_of(Image.new("RGB", (8, 8), "red"), "GIF", save_all=True, append_images=[Image.new("RGB", (8, 8))])

    assert decode(stream, Media(max_pixels=100)).getpixel((0, 0)) == (255, 0, 0)


def test_the_type_is_that_of_the_content():
    assert look(file_of(half(), "JPEG"), Media(max_pixels=1000)).content_type == "image/jpeg"
    assert look(file_of(half(), "WEBP"), Media(max_pixels=1000)).content_type == "image/webp"


def test_too_many_pixels_are_refused_before_they_are_decoded():
    with pytest.raises(MediaRefused, match="at most 799 in all"):
        look(file_of(half()), Media(max_pixels=799))
