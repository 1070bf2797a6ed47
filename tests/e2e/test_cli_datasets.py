"""`fournil batch --dataset` against a whole stack and a Hub of the test's own."""

from __future__ import annotations

import csv

from tests.hub import parquet_of, stub_hub
from tests.processes import run_fournil, running_stack


def test_a_dataset_is_named_watched_and_fetched(tmp_path):
    texts = [f"row {n}" for n in range(30)]
    with stub_hub(tmp_path / "hub") as hub:
        parquet_of(hub.add("bakers/reviews"), "data/dev-00000-of-00001.parquet", {"review": texts})
        with running_stack(tmp_path / "stack", FOURNIL_DATASETS_HUB=hub.url) as stack:

            def fournil(*words: str):
                return run_fournil("batch", "fake", *words, cwd=tmp_path, seconds=120, FOURNIL_URL=stack.url)

            wrong = fournil("--dataset", "bakers/reviews", "--split", "none")
            done = fournil(
                *("--dataset", "bakers/reviews", "--split", "dev", "--revision", "main"),
                *("--input", "text=review", "--out", "results.csv"),
            )

    assert wrong.returncode == 4, wrong.stderr
    assert "split" in wrong.stderr
    assert done.returncode == 0, done.stderr
    assert "completed: 30 in all: 30 succeeded" in done.stderr
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["review"] for row in rows] == texts
    assert all(row["label"] for row in rows)
