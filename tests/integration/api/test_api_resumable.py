"""Resumable uploads: the tus protocol as its clients speak it, and what is on the disk meanwhile."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import threading
from datetime import timedelta

import pytest

from contract.times import utc_now
from models.files import FileStorage
from models.resumable import Announcement, Moved, Uploads
from web.app import create_app
from worker import upkeep

URL = "/api/v1/uploads"
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = "application/offset+octet-stream"


def begin(client, length, *, data=None, **headers):
    content = {} if data is None else {"content_type": BYTES, "data": data}
    return client.post(URL, headers={**TUS, "Upload-Length": str(length), **headers}, **content)


def send(client, url, offset, data, **headers):
    return client.patch(url, headers={**TUS, "Upload-Offset": str(offset), **headers}, data=data, content_type=BYTES)


def offset_of(client, url):
    return int(client.head(url, headers=TUS).headers["Upload-Offset"])


def on_disk(settings):
    return sorted(path.name.partition(".")[2] for path in settings.storage.files_dir.glob("*/*"))


def test_a_server_says_what_it_can(client, settings):
    said = client.options(URL)

    assert said.status_code == 204
    assert said.headers["Tus-Version"] == "1.0.0"
    assert said.headers["Tus-Max-Size"] == str(settings.web.max_upload_bytes)
    assert {"creation", "termination", "expiration", "checksum"} <= set(said.headers["Tus-Extension"].split(","))
    assert "sha1" in said.headers["Tus-Checksum-Algorithm"]


def test_a_file_comes_in_pieces_and_is_then_one_that_a_batch_is_made_of(client, settings):
    name = base64.b64encode(b"x/reviews.csv").decode()
    begun = begin(client, 18, **{"Upload-Metadata": f"filename {name},filetype dGV4dC9jc3Y=,note"})
    url = begun.headers["Location"]
    assert (begun.status_code, begun.headers["Upload-Offset"]) == (201, "0")
    assert "Upload-Expires" in begun.headers

    first = send(client, url, 0, b"text\nrye")
    asked = client.head(url, headers=TUS)
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, "8")
    assert (asked.status_code, asked.headers["Upload-Offset"], asked.headers["Upload-Length"]) == (200, "8", "18")
    assert asked.headers["Upload-Metadata"].startswith(f"filename {name}")
    assert asked.headers["Cache-Control"] == "no-store"
    file_id = url.rpartition("/")[2]
    assert client.get(f"/api/v1/files/{file_id}").status_code == 404

    last = send(client, url, 8, b" bread\nbun")
    assert (last.status_code, last.headers["Upload-Offset"]) == (204, "18")
    assert "Upload-Expires" not in last.headers
    about = client.get(f"/api/v1/files/{file_id}").get_json()
    assert (about["filename"], about["content_type"], about["bytes"]) == ("reviews.csv", "text/csv", 18)
    assert client.get(about["url"]).get_data() == b"text\nrye bread\nbun"
    assert on_disk(settings) == [""]
    batch = client.post("/api/v1/batches", json={"pipeline": "fake", "file_id": file_id})
    assert (batch.status_code, batch.get_json()["filename"]) == (202, "reviews.csv")


def test_who_lost_the_last_answer_finds_the_upload_whole(client):
    url = begin(client, 3, data=b"abc").headers["Location"]

    assert offset_of(client, url) == 3
    assert send(client, url, 3, b"").status_code == 204
    assert send(client, url, 0, b"abc").status_code == 409
    assert send(client, url, 3, b"d").status_code == 413


def test_a_file_of_no_bytes_is_whole_at_once(client):
    url = begin(client, 0).headers["Location"]

    assert client.get(f"/api/v1/files/{url.rpartition('/')[2]}").get_json()["bytes"] == 0


@pytest.mark.parametrize("came", [0, 1])
def test_what_a_killed_process_left_whole_is_entered_by_whoever_asks(client, settings, came):
    """Killed before the file got its name (0), or before it was entered in the database (1)."""
    uploads = Uploads(FileStorage(settings.storage.files_dir))
    upload_id = uploads.begin(Announcement(2, "a.csv", "text/csv"))
    uploads.append(uploads.find(upload_id), 0, [b"ok"])
    if came:
        assert uploads.settle(uploads.find(upload_id))

    assert offset_of(client, f"{URL}/{upload_id}") == 2
    about = client.get(f"/api/v1/files/{upload_id}").get_json()
    assert client.get(about["url"]).get_data() == b"ok"
    assert on_disk(settings) == [""]


class Torn(io.BytesIO):
    """A connection that breaks behind its bytes."""

    def read(self, size=-1):
        piece = super().read(size)
        if not piece:
            raise ConnectionResetError
        return piece


def test_what_came_before_the_connection_broke_stays(client):
    url = begin(client, 1_000_000).headers["Location"]

    torn = client.patch(
        url,
        headers={**TUS, "Upload-Offset": "0"},
        content_type=BYTES,
        environ_overrides={"wsgi.input": Torn(b"x" * 300_000), "CONTENT_LENGTH": "1000000"},
    )

    assert torn.status_code == 400
    assert offset_of(client, url) == 300_000
    assert send(client, url, 300_000, b"y" * 700_000).headers["Upload-Offset"] == "1000000"


def test_another_offset_is_told_and_nothing_is_written(client):
    url = begin(client, 10, data=b"abc").headers["Location"]

    for wrong in (0, 2, 4):
        answer = send(client, url, wrong, b"xyz")
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (409, "conflict")
    assert send(client, url, 2, b"").status_code == 409
    assert offset_of(client, url) == 3


def test_of_two_who_send_at_once_one_goes_on_and_no_byte_is_mixed(tmp_path):
    uploads = Uploads(FileStorage(tmp_path))
    upload = uploads.find(uploads.begin(Announcement(400_000, "x", "x/y")))
    turns, outcomes = threading.Barrier(2), []

    def write(letter):
        def pieces():
            for _ in range(4):
                turns.wait(10)
                yield letter * 100_000

        try:
            outcomes.append(uploads.append(upload, 0, pieces()))
        except Moved:
            outcomes.append(None)
            turns.abort()
        except threading.BrokenBarrierError:
            outcomes.append("alone")

    both = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
    for one in both:
        one.start()
    for one in both:
        one.join()

    assert outcomes.count(None) == 1
    written = set((tmp_path / upload.id[-2:] / f"{upload.id}.upload").read_bytes())
    assert len(written) == 1


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_bytes_that_were_damaged_on_their_way_are_not_kept(client, settings, algorithm):
    url = begin(client, 6, data=b"abc").headers["Location"]
    right = base64.b64encode(hashlib.new(algorithm, b"def").digest()).decode()

    damaged = send(client, url, 3, b"dxf", **{"Upload-Checksum": f"{algorithm} {right}"})
    assert damaged.status_code == 460
    assert damaged.get_json()["error"]["field"] == "Upload-Checksum"
    assert offset_of(client, url) == 3
    assert on_disk(settings) == ["upload", "upload.json"]

    assert send(client, url, 3, b"def", **{"Upload-Checksum": f"{algorithm} {right}"}).status_code == 204
    assert client.get(f"/api/v1/files/{url.rpartition('/')[2]}/content").get_data() == b"abcdef"


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"Upload-Length": "-1"}, "Upload-Length"),
        ({"Upload-Length": "x"}, "Upload-Length"),
        ({"Upload-Length": "", "Upload-Defer-Length": "1"}, "Upload-Length"),
        ({"Upload-Length": "1", "Upload-Metadata": "filename *"}, "Upload-Metadata"),
        ({"Upload-Length": "1", "Upload-Metadata": "a " + "QUFB" * 2_000}, "Upload-Metadata"),
    ],
)
def test_a_beginning_that_is_wrong_is_refused_by_name(client, settings, headers, field):
    answer = client.post(URL, headers={**TUS, **headers})

    assert (answer.status_code, answer.get_json()["error"]["field"]) == (400, field)
    assert on_disk(settings) == []


def test_what_is_larger_than_it_may_be_is_refused_and_leaves_nothing(change):
    settings = change("web", max_upload_bytes=1_000)
    app = create_app(settings)
    client = app.test_client()

    assert begin(client, 1_001).status_code == 413
    assert begin(client, 2, data=b"abc").status_code == 413
    assert on_disk(settings) == []
    app.extensions["fournil"].close()


def test_a_piece_that_is_wrong_is_refused(client):
    url = begin(client, 3).headers["Location"]

    assert client.patch(url, headers={**TUS, "Upload-Offset": "0"}, data=b"a").status_code == 415
    assert send(client, url, "", b"a").status_code == 400
    assert send(client, url, 0, b"abcd").status_code == 413
    assert send(client, url, 0, b"a", **{"Upload-Checksum": "crc32 AAAA"}).status_code == 400
    assert send(client, f"{URL}/{'0' * 32}", 0, b"a").status_code == 404
    assert client.head(f"{URL}/..", headers=TUS).status_code == 404
    assert offset_of(client, url) == 0


def test_another_version_of_the_protocol_is_412(client):
    for said in ({}, {"Tus-Resumable": "0.2.2"}):
        answer = client.post(URL, headers={"Upload-Length": "1", **said})
        assert (answer.status_code, answer.headers["Tus-Version"]) == (412, "1.0.0")


def test_an_upload_that_is_given_up_is_gone(client, settings):
    url = begin(client, 9, data=b"abc").headers["Location"]

    assert client.delete(url, headers=TUS).status_code == 204
    assert [client.head(url, headers=TUS).status_code, client.delete(url, headers=TUS).status_code] == [404, 404]
    assert on_disk(settings) == []


def test_a_whole_one_is_given_up_as_its_file_is(client, settings):
    url = begin(client, 8, data=b"text\nrye").headers["Location"]
    batch = client.post("/api/v1/batches", json={"pipeline": "fake", "file_id": url.rpartition("/")[2]})
    assert client.delete(url, headers=TUS).status_code == 409
    assert batch.status_code == 202
    other = begin(client, 1, data=b"a").headers["Location"]

    assert client.delete(other, headers=TUS).status_code == 204
    assert client.get(f"/api/v1/files/{other.rpartition('/')[2]}").status_code == 404


def test_a_client_that_may_only_post_says_its_method_in_a_header(client):
    url = begin(client, 3).headers["Location"]
    said = {**TUS, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}

    assert client.post(url, headers=said, data=b"abc", content_type=BYTES).headers["Upload-Offset"] == "3"
    assert client.post(url, headers=TUS).status_code == 405


def test_uploads_that_nobody_came_back_for_are_removed_and_no_others(client, engine, settings):
    old, new, lost = (begin(client, 9, data=b"abc").headers["Location"] for _ in range(3))
    storage = FileStorage(settings.storage.files_dir)
    for url in (old, lost):
        path = storage.path(url.rpartition("/")[2])
        then = (utc_now() - timedelta(hours=3)).timestamp()
        for name in (f"{path.name}.upload", f"{path.name}.upload.json"):
            os.utime(path.with_name(name), (then, then))
    # Killed while it was given up: its bytes are gone already.
    path.with_name(f"{path.name}.upload").unlink()

    upkeep.tidy(engine, storage, upload_seconds=4 * 3_600)
    assert on_disk(settings).count("upload.json") == 3
    upkeep.tidy(engine, storage, upload_seconds=2 * 3_600)

    assert [client.head(url, headers=TUS).status_code for url in (old, new)] == [404, 200]
    assert on_disk(settings) == ["upload", "upload.json"]
