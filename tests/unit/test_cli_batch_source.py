"""What `fournil batch` takes its rows from: a file, or a dataset, and never a bit of both."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from cli.main import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Give a FILE or --dataset NAME."),
        (["FILE", "--dataset", "bakers/reviews"], "Give a FILE or --dataset NAME, not both."),
        (["FILE", "--split", "train"], "--split is of a --dataset, not of a FILE."),
        (["--revision", "main"], "Give a FILE or --dataset NAME."),
        (["--dataset", "bakers/reviews", "--format", "csv"], "--format is of a FILE, not of a --dataset."),
        (["--dataset", "bakers/reviews", "--delimiter", "tab"], "--delimiter is of a FILE, not of a --dataset."),
        (["--dataset", "bakers/reviews", "--sheet", "May"], "--sheet is of a FILE, not of a --dataset."),
        (["--dataset", "bakers/reviews", "--skip-lines", "2"], "--skip-lines is of a FILE, not of a --dataset."),
        (["FILE", "--skip-lines", "-1"], "-1 is not in the range x>=0."),
        (["FILE", "--dry-run", "--watch"], "--dry-run runs nothing that --watch or --out could wait for."),
        (["--dataset", "bakers/reviews", "--no-header"], "--no-header is of a FILE, not of a --dataset."),
    ],
)
def test_rows_come_from_exactly_one_place(tmp_path, words, said):
    (tmp_path / "r.csv").write_text("text\ngood\n", encoding="utf-8")
    words = [str(tmp_path / "r.csv") if word == "FILE" else word for word in words]

    done = CliRunner(env={"COLUMNS": "200"}).invoke(main, ["batch", "fake", *words])

    assert done.exit_code == 2
    assert said in done.stderr
