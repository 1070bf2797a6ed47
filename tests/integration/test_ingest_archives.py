"""Archives of images from upload to queue: one row a file, through kills, and nothing kept that no row names."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path

import pytest
import sqlalchemy as sa

from contract.media import Media
from contract.pipelines import PipelineSpec
from contract.statuses import BatchStatus, OnInvalidRows
from contract.tasks import CATALOGUE
from models.pipelines import sync_pipelines
from tests.archives import tarred, zipped
from tests.documents import pdf
from tests.integration.conftest import NOW
from tests.integration.reading_bench import killed_at
from tests.integration.test_ingest_files import FilesBench
from tests.pictures import shaded
from tests.recordings import recording
from tests.videos import clip

SHADES = {f"{n:02}.png": shaded(n) for n in range(8)}


@pytest.fixture
def bench(engine: sa.Engine, tmp_path: Path) -> FilesBench:
    sync_pipelines(engine, [PipelineSpec("pictures", "image-classification", backend="fake")], NOW)
    return FilesBench(engine, tmp_path / "files")


def lying(bench: FilesBench) -> set[str]:
    """What is in storage, without what was made of the archive to read it."""
    return {name for name in bench.lying() if "." not in name}


@pytest.mark.parametrize("packing", ["zip", "tar", "tar.gz"])
def test_each_file_is_a_row_with_the_file_in_storage(bench, packing):
    data = zipped(SHADES) if packing == "zip" else tarred(SHADES, packing[4:])
    batch_id = bench.batch(data, filename=f"photos.{packing}")
    batch = bench.read(batch_id)

    assert (batch.status, batch.total, batch.format) == (BatchStatus.RUNNING, 8, packing[:3]), batch.errors
    assert bench.bodies(batch_id) == list(SHADES.values())
    assert [job.inputs["image"]["file"]["content_type"] for job in bench.rows(batch_id)] == ["image/png"] * 8
    assert lying(bench) == bench.listed()


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("mode", OnInvalidRows)
def test_after_a_kill_it_goes_on_where_it_was(bench, monkeypatch, mode, after_commit):
    for place in (1, 2, 3, 4):
        batch_id = bench.batch(tarred(SHADES, "gz"), on_invalid_rows=mode)
        with killed_at(monkeypatch, place, after_commit=after_commit), contextlib.suppress(BaseException):
            while bench.slice(batch_id, seconds=60) == "again":
                pass
        batch = bench.read(batch_id)
        assert (batch.total, bench.bodies(batch_id)) == (8, list(SHADES.values())), f"killed at {place}"
        assert lying(bench) == bench.listed(), f"killed at {place}"


def test_videos_with_questions_are_rows_of_a_list_each(bench):
    sync_pipelines(bench.engine, [PipelineSpec("pictures", "any-to-any", backend="fake")], NOW)
    files = {
        "a.mp4": clip(),
        "b.webm": clip("webm of VP9"),
        "metadata.csv": b"file_name,text\na.mp4,What?\nb.webm,Who?\n",
    }
    as_archive = bench.batch(zipped(files), filename="a.zip", mapping={"videos": "file_name", "text": "text"})
    known, inline = bench.upload(files["a.mp4"]), base64.b64encode(files["b.webm"]).decode()
    as_rows = bench.batch(
        f'{{"text": "What?", "video": "{known}"}}\n{{"text": "Who?", "video": "{inline}"}}\n'.encode()
    )

    for batch_id in (as_archive, as_rows):
        batch = bench.read(batch_id)
        assert (batch.status, batch.invalid) == (BatchStatus.RUNNING, 0), batch.errors
        found = [job.inputs["videos"] for job in bench.rows(batch_id)]
        assert [one["file"]["content_type"] for [one] in found] == ["video/mp4", "video/webm"]


@pytest.mark.parametrize("mode", OnInvalidRows)
def test_recordings_videos_and_documents_are_files_as_images_are(bench, mode):
    """Those of the first kinds are read through FFmpeg, from the archive at first and from storage then."""
    kinds = {
        "audio-classification": {"a.wav": recording("wav"), "b/c.mp3": recording("mp3")},
        "video-classification": {"a.mp4": clip()},
        "document-question-answering": {"a.pdf": pdf(), "metadata.csv": b"file_name,question\na.pdf,How many?\n"},
    }
    for task, files in kinds.items():
        sync_pipelines(bench.engine, [PipelineSpec("pictures", task, backend="fake")], NOW)
        batch_id = bench.batch(tarred(files, "gz"), on_invalid_rows=mode)
        batch = bench.read(batch_id)
        assert (batch.status, batch.invalid) == (BatchStatus.RUNNING, 0), batch.errors
        assert bench.bodies(batch_id, field=next(iter(CATALOGUE[task].media))) == [
            body for name, body in files.items() if name != "metadata.csv"
        ]


def test_what_is_no_image_is_a_bad_row_with_its_name(bench):
    files = {
        "a.png": shaded(1), "b.txt": b"hello", "c.png": shaded(2)[:30], "inner.zip": zipped(SHADES), "d.png": b"",
        "z.png": shaded(3),
    }  # fmt: skip
    batch_id = bench.batch(zipped(files), on_invalid_rows=OnInvalidRows.SKIP)
    batch = bench.read(batch_id)

    assert (batch.total, batch.invalid) == (6, 4)
    assert bench.bodies(batch_id) == [shaded(1), shaded(3)]
    assert [(bad["row"], bad["input"]) for bad in bench.rejected(batch_id)] == [
        (row, {"file_name": name}) for row, name in ((1, "b.txt"), (2, "c.png"), (3, "d.png"), (4, "inner.zip"))
    ]
    assert all(bad["input"]["file_name"] in bad["message"] for bad in bench.rejected(batch_id))
    assert lying(bench) == bench.listed()


def test_one_damaged_file_and_nothing_of_the_archive_runs(bench):
    data = bytearray(zipped(SHADES))
    data[45] ^= 0xFF
    batch_id = bench.batch(bytes(data))
    batch = bench.read(batch_id)

    assert (batch.status, bench.rows(batch_id)) == (BatchStatus.FAILED, [])
    assert "damaged where this file should be (file '00.png')" in batch.errors[0]["message"]
    assert lying(bench) == bench.listed() == {batch.file_id}


def test_a_file_beyond_the_limit_is_a_bad_row_and_is_not_unpacked(bench):
    bench.media = Media(max_bytes=1_000)
    batch_id = bench.batch(zipped({"a.png": shaded(), "b.png": shaded() + bytes(5_000_000)}), on_invalid_rows="skip")
    batch = bench.read(batch_id)

    assert "larger than 1,000 bytes" in batch.errors[0]["message"]
    assert bench.bodies(batch_id) == [shaded()]


def test_more_files_than_the_setting_allows_are_refused(bench):
    bench.media = Media(max_archive_files=7)
    batch = bench.read(bench.batch(zipped(SHADES)))

    assert (batch.status, batch.errors[0]["code"]) == (BatchStatus.FAILED, "too_large")
    assert "more than 7 files" in batch.errors[0]["message"]
