"""Files over HTTP: in as a form or as they are, out whole or in part."""

from __future__ import annotations

import io
import os

import pytest

from models.files import FileStorage
from web.app import create_app
from web.uploads import receive_form

URL = "/api/v1/files"


def stored_files(settings):
    folder = settings.storage.files_dir
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


def test_a_raw_body_is_stored_and_comes_back(client):
    made = client.post(f"{URL}?filename=a.csv", data=b"text\nhello\n", content_type="text/csv")
    about = made.get_json()

    assert (made.status_code, made.headers["Location"]) == (201, f"{URL}/{about['id']}")
    assert (about["filename"], about["content_type"], about["bytes"]) == ("a.csv", "text/csv", 11)
    assert client.get(made.headers["Location"]).get_json() == about
    assert client.get(about["url"]).get_data() == b"text\nhello\n"


def test_a_raw_body_that_is_cut_short_is_no_file(client, settings):
    # As gunicorn hands on a body whose connection broke: it ends, and nothing says so.
    cut = {"CONTENT_LENGTH": "300000", "wsgi.input_terminated": True}

    answer = client.post(URL, data=b"0123456789", environ_overrides=cut)

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (400, "invalid_request")
    assert stored_files(settings) == []


@pytest.mark.parametrize("size", [0, 1, 300_000, 3_000_000])
def test_a_form_of_any_size_is_stored_whole(client, size):
    data = (b"0123456789\r\n--" * (size // 14 + 1))[:size]

    about = client.post(URL, data={"file": (io.BytesIO(data), "..\\x/../b.bin")}).get_json()

    assert (about["filename"], about["bytes"]) == ("b.bin", size)
    assert client.get(about["url"]).get_data() == data


def test_a_download_cannot_become_a_page(client):
    about = client.post(URL, data=b"<script>", content_type="text/html").get_json()

    headers = client.get(about["url"]).headers

    assert headers["Content-Disposition"].startswith("attachment")
    assert headers["Content-Security-Policy"].startswith("sandbox")
    assert headers["Content-Type"] == "text/html"


def test_a_name_and_a_type_that_are_none_are_replaced(client):
    about = client.post(f"{URL}?filename=%00%0d%0a", data=b"x", content_type="a b\x01/c").get_json()

    assert (about["filename"], about["content_type"]) == ("upload", "application/octet-stream")


def test_a_part_of_a_file_is_read_by_its_range(client):
    url = client.post(URL, data=b"0123456789", content_type="x/y").get_json()["url"]

    part = client.get(url, headers={"Range": "bytes=2-4"})
    beyond = client.get(url, headers={"Range": "bytes=20-30"})

    assert (part.status_code, part.get_data(), part.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */10")
    assert beyond.get_json()["error"]["code"] == "invalid_request"


@pytest.mark.parametrize("asked", ["lines=1-2", "bytes=0-1,4-5", "bytes=a-b", "bytes"])
def test_a_range_of_another_kind_is_passed_over(client, asked):
    url = client.post(URL, data=b"0123456789", content_type="x/y").get_json()["url"]

    answer = client.get(url, headers={"Range": asked})

    assert (answer.status_code, answer.get_data()) == (200, b"0123456789")


def test_an_unchanged_file_is_304(client):
    url = client.post(URL, data=b"x", content_type="x/y").get_json()["url"]

    assert client.get(url, headers={"If-None-Match": client.get(url).headers["ETag"]}).status_code == 304


@pytest.mark.parametrize("form", [False, True])
def test_a_file_that_is_too_large_leaves_nothing_behind(change, form):
    settings = change("web", max_upload_bytes=1000)
    client = create_app(settings).test_client()

    data = {"file": (io.BytesIO(b"x" * 2000), "a")} if form else b"x" * 2000
    answer = client.post(URL, data=data)

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (413, "too_large")
    assert stored_files(settings) == []


def part(name, *, filename=None):
    words = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
    return f"--b\r\nContent-Disposition: {words}\r\n\r\n1\r\n".encode()


END = b"--b--\r\n"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (part("x") + END, 422, "x"),
        (END, 422, "file"),
        (part("file", filename="a")[:-3], 400, None),
        (part("file", filename="a") + part("x") + END, 422, "x"),
        (part("file", filename="a") + part("file", filename="b") + END, 422, "file"),
        (b"no form at all", 400, None),
    ],
)
def test_a_form_that_is_wrong_is_refused_and_leaves_nothing_behind(client, settings, body, status, field):
    answer = client.post(URL, data=body, content_type="multipart/form-data; boundary=b")

    assert (answer.status_code, answer.get_json()["error"].get("field")) == (status, field)
    assert stored_files(settings) == []


def test_a_form_without_a_boundary_is_400(client):
    assert client.post(URL, data=b"x", content_type="multipart/form-data").status_code == 400


def test_a_deleted_file_is_gone(client, settings):
    url = client.post(URL, data=b"x", content_type="x/y").headers["Location"]

    assert client.delete(url).status_code == 204
    assert [client.get(url).status_code, client.get(f"{url}/content").status_code] == [404, 404]
    assert client.delete(url).status_code == 404
    assert stored_files(settings) == []


@pytest.mark.parametrize("path", ["nothing", "..%2f..%2fetc%2fpasswd", "0" * 32])
def test_an_unknown_file_is_404(client, path):
    assert client.get(f"{URL}/{path}/content").status_code == 404


def test_the_first_files_of_a_form_look_fresh_while_the_last_arrives(settings, monkeypatch):
    """They belong to nothing until the form is whole: upkeep would take them for waste after two hours."""
    monkeypatch.setattr("web.uploads._TOUCH_SECONDS", -1)
    first, second, seen = b"a" * 10, b"b" * 600_000, []

    def body():
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + first
        yield b'\r\n--b\r\nContent-Disposition: form-data; name="more"; filename="b"\r\n\r\n'
        for path in stored_files(settings):
            os.utime(path, (0, 0))
        yield second
        seen.extend(path.stat().st_mtime for path in stored_files(settings) if path.suffix != ".part")
        yield b"\r\n--b--\r\n"

    storage = FileStorage(settings.storage.files_dir)
    # The client would put a boundary of its own in place of this one.
    environ = {
        "wsgi.input": Pieces(body()), "wsgi.input_terminated": True, "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "multipart/form-data; boundary=b",
    }  # fmt: skip
    with create_app(settings).test_request_context(environ_overrides=environ):
        form = receive_form(storage, max_bytes=1_000_000, max_field_bytes=9, is_file=lambda _head: True, files=2)
    assert [file.bytes for file in form.all_files()] == [10, 600_000]
    assert len(seen) == 1
    assert seen[0] > 0


class Pieces(io.RawIOBase):
    """A body that is made while it is read."""

    def __init__(self, pieces):
        self._pieces, self._held = pieces, b""

    def readinto(self, buffer):
        self._held = self._held or next(self._pieces, b"")
        size = min(len(buffer), len(self._held))
        buffer[:size], self._held = self._held[:size], self._held[size:]
        return size
