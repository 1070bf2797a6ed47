"""What a cell of a column says of the file of its row."""

from __future__ import annotations

import base64

import pytest

from contract.errors import RequestError
from contract.tasks.media import a_file
from models.media.sources import decoded, reader

BASE64 = base64.b64encode(bytes(range(96))).decode()
ID = "0123456789abcdef" * 2
ONE = reader(a_file("image", "", ""))
SEVERAL = reader({"type": "array", "items": a_file("image", "", "")})


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (ID, {"file_id": ID}),
        (f" {ID}\n", {"file_id": ID}),
        ("https://a.example/x.png", {"url": "https://a.example/x.png"}),
        ("HTTP://a.example", {"url": "HTTP://a.example"}),
        (BASE64, {"data": BASE64}),
        (f"data:image/png;base64,{BASE64}", {"data": f"data:image/png;base64,{BASE64}"}),
        ('{"file_id": "x"}', {"file_id": "x"}),
        ({"url": "u"}, {"url": "u"}),
        ({"bytes": BASE64, "path": "/etc/passwd"}, {"data": BASE64}),
        ({"bytes": "RIFF\0\0", "path": None}, {"data": base64.b64encode(b"RIFF\0\0").decode()}),
    ],
)
def test_a_cell_is_told_by_its_form(cell, expected):
    assert ONE(cell) == expected


@pytest.mark.parametrize(
    "cell", ["/etc/passwd", "a.png", "photos/cat", "file:///etc/passwd", "ftp://a/b", "C:\\x.png", "{broken", 5, True]
)
def test_what_names_a_path_or_nothing_stays_what_it_is(cell):
    assert ONE(cell) == cell


@pytest.mark.parametrize(
    "cell",
    [f"{ID}, {ID}", f"{ID}\n{ID}", f'["{ID}", {{"file_id": "{ID}"}}]', [ID, {"file_id": ID}]],
)
def test_a_list_is_json_or_texts_with_something_between(cell):
    assert SEVERAL(cell) == [{"file_id": ID}] * 2


def test_a_list_of_data_urls_keeps_their_commas():
    assert SEVERAL(f"data:,{BASE64} data:,{BASE64}") == [{"data": f"data:,{BASE64}"}] * 2


def test_base64_may_have_lines_and_a_head_and_nothing_else():
    assert decoded(BASE64[:50] + "\n" + BASE64[50:], field="f") == bytes(range(96))
    assert decoded(f"data:x/y;base64,{BASE64}", field="f") == bytes(range(96))
    with pytest.raises(RequestError, match="not base64"):
        decoded("é%%", field="f")
