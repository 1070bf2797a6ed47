"""Archives of files through the command, on real pipelines: one job a file, joined with the metadata."""

from __future__ import annotations

import csv

from tests.archives import tarred, zipped
from tests.pictures import shaded
from tests.processes import run_fournil

METADATA = b"file_name,shop,question\nb/2.png,south,What is it?\n1.png,north,How many?\n"


def test_a_zip_of_images_is_classified_in_the_order_of_names(all_tasks, tmp_path):
    found = baked(all_tasks, tmp_path, "image-classification", "photos.zip", zipped)

    assert [(row["file_name"], row["shop"]) for row in found] == [("1.png", "north"), ("b/2.png", "south")]
    assert all(row["label"] and 0 < float(row["score"]) <= 1 for row in found)


def test_columns_of_the_metadata_are_the_questions_about_a_tar_of_images(all_tasks, tmp_path):
    found = baked(
        all_tasks, tmp_path, "visual-question-answering", "photos.tar.gz", lambda files: tarred(files, "gz")
    )

    assert [row["question"] for row in found] == ["How many?", "What is it?"]
    assert all(row["answer"] for row in found)


def baked(stack, folder, pipeline, name, pack):
    (folder / name).write_bytes(pack({"b/2.png": shaded(2), "metadata.csv": METADATA, "1.png": shaded(1)}))
    words = ("batch", pipeline, name, "--out", "found.csv")
    done = run_fournil(*words, cwd=folder, seconds=120, FOURNIL_URL=stack.url)
    assert done.returncode == 0, done.stderr
    with (folder / "found.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
