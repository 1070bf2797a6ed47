"""Results as a folder that the datasets library reads."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest

from contract.tasks import CATALOGUE
from models.sheets import parquets
from models.sheets.export import written
from models.sheets.table import Joined, Table

BODY = '[{"label":"good","score":0.5}]'
NAMES = ['te"xt: é', "stars", "mixed", "kept"]


class Again:
    """Rows that may be gone through more than once, as those of a batch."""

    def __init__(self, rows: list[Joined]) -> None:
        self._rows = rows

    def __iter__(self):
        return iter(self._rows)


def rows(count: int) -> Again:
    def one(n: int) -> Joined:
        mixed = n if n < 30 else f"text {n}"
        inputs = {NAMES[0]: f"row {n}", NAMES[1]: n, NAMES[2]: mixed, NAMES[3]: n % 2 == 0}
        return Joined(n, None, inputs, "succeeded", BODY, None, None)

    return Again([one(n) for n in range(count)])


def unpacked(found, folder: Path, *, task="text-classification", names=NAMES) -> list[str]:
    table = Table(CATALOGUE[task], names, format="datasets")
    data = b"".join(written("datasets", table.choose(None), found, folder=folder))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        archive.extractall(folder / "out")
        return archive.namelist()


def load(folder: Path) -> datasets.Dataset:
    return datasets.load_dataset(str(folder / "out"), split="train", cache_dir=str(folder / "cache"))


@pytest.mark.parametrize("shard_bytes", [1, 400 << 20])
def test_what_load_dataset_reads_has_the_rows_in_order_and_columns_of_their_types(tmp_path, monkeypatch, shard_bytes):
    monkeypatch.setattr(parquets, "_GROUP_ROWS", 20)
    monkeypatch.setattr(parquets, "_SHARD_BYTES", shard_bytes)
    names = unpacked(rows(90), tmp_path)
    found = load(tmp_path)

    shards = [name for name in names if name.startswith("data/")]
    assert shards[0] == f"data/train-00000-of-{len(shards):05d}.parquet"
    assert (len(shards) > 1) == (shard_bytes == 1)
    assert found.column_names == [*NAMES, "label", "score", "status", "error"]
    assert found[NAMES[0]][:] == [f"row {n}" for n in range(90)]
    assert found["stars"][:] == list(range(90))
    assert found["mixed"][:] == [str(n) if n < 30 else f"text {n}" for n in range(90)]
    assert (found["kept"][0], found["label"][89], found["score"][5]) == (True, "good", 0.5)
    assert {name: kind.dtype for name, kind in found.features.items()} == {
        NAMES[0]: "string", "stars": "int64", "mixed": "string", "kept": "bool",
        "label": "string", "score": "float64", "status": "string", "error": "string",
    }  # fmt: skip


def test_vectors_are_lists_of_numbers(tmp_path):
    found = [Joined(n, None, {"text": "a"}, "succeeded", None, [0.5, float(n)], None) for n in range(3)]
    unpacked(Again(found), tmp_path, task="feature-extraction", names=["text"])
    read = load(tmp_path)

    column = next(name for name in read.column_names if name not in ("text", "status", "error"))
    assert read[column][:] == [[0.5, 0.0], [0.5, 1.0], [0.5, 2.0]]


def test_a_batch_without_rows_so_far_has_its_columns_all_the_same(tmp_path):
    # load_dataset itself finds "no data" in a split without rows, whoever wrote it.
    names = unpacked(Again([]), tmp_path)
    table = pq.read_table(tmp_path / "out" / names[1])

    assert (table.num_rows, table.column_names) == (0, [*NAMES, "label", "score", "status", "error"])
