"""Datasets read by the program that reads them: from a stand-in for the Hub, and from a folder of the operator's."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.errors import ErrorCode
from models.hub.dataset import Dataset, Reach
from models.hub.stream import DatasetAway, Stream
from models.sheets.layout import FileError, Place
from tests.hub import COMMIT, Hub, parquet_of, stub_hub

CSV = "text,label\n" + "".join(f"row {n},{n % 2}\n" for n in range(30))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with stub_hub(tmp_path / "hub") as found:
        yield found


@pytest.fixture
def reach(tmp_path: Path, hub: Hub) -> Reach:
    (tmp_path / "own").mkdir()
    return Reach(hub=True, folder=tmp_path / "own", endpoint=hub.url, token="", cache=tmp_path / "cache")


def texts(stream: Stream, count: int | None = None) -> list[str]:
    return [record.values["text"] for record in itertools.islice(stream.records(), count)]


def refusal(reach: Reach, dataset: Dataset) -> FileError:
    with pytest.raises(FileError) as caught:
        Stream(reach, dataset)
    return caught.value


def test_a_dataset_of_the_hub_is_read_in_order_and_pinned_to_its_commit(hub, reach):
    folder = hub.add("bakers/reviews")
    for part in range(2):
        rows = range(part * 2_500, part * 2_500 + 2_500)
        names = {"text": [f"row {n}" for n in rows], "stars": list(rows)}
        parquet_of(folder, f"data/train-0000{part}-of-00002.parquet", names)
    stream = Stream(reach, Dataset("bakers/reviews", revision="main"))
    try:
        assert texts(stream) == [f"row {n}" for n in range(5_000)]
    finally:
        stream.close()
    about = stream.about
    assert about.columns == ["text", "stars"]
    assert (about.dataset.commit, about.dataset.split, about.dataset.config) == (COMMIT, "train", "default")


@pytest.mark.parametrize("after", [1, 499, 500, 501, 2_499, 2_500, 3_777, 4_999])
def test_a_reader_that_begins_again_gives_the_rows_that_follow(hub, reach, after):
    folder = hub.add("bakers/reviews")
    for part in range(2):
        rows = range(part * 2_500, part * 2_500 + 2_500)
        parquet_of(folder, f"data/train-0000{part}-of-00002.parquet", {"text": [f"row {n}" for n in rows]})
    first = Stream(reach, Dataset("bakers/reviews"))
    last = list(itertools.islice(first.records(), after))[-1]
    first.close()

    second = Stream(reach, first.about.dataset, place=Place(last.end, last.next_line, last.row + 1), mark=first.mark)
    found = list(itertools.islice(second.records(), 3))
    second.close()

    assert [record.row for record in found] == list(range(after, min(after + 3, 5_000)))
    assert [record.values["text"] for record in found] == [f"row {record.row}" for record in found]


def test_a_csv_in_the_operators_folder_is_read_and_nothing_is_asked_of_the_hub(hub, reach):
    (reach.folder / "mine").mkdir()
    (reach.folder / "mine" / "test.csv").write_text(CSV)
    stream = Stream(reach, Dataset("mine"))
    found = list(stream.records())
    stream.close()

    assert [record.values for record in found[:2]] == [{"text": "row 0", "label": 0}, {"text": "row 1", "label": 1}]
    assert stream.about.dataset.split == "test"
    assert hub.seen == []


def test_a_folder_that_changed_since_is_refused(reach):
    (reach.folder / "mine").mkdir()
    (reach.folder / "mine" / "test.csv").write_text(CSV)
    stream = Stream(reach, Dataset("mine"))
    stream.close()
    (reach.folder / "mine" / "test.csv").write_text(CSV + "one more,0\n")

    assert "was changed" in refusal(reach, stream.about.dataset).message


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        ({"name": "bakers/nothing"}, "dataset.name", "no dataset"),
        ({"name": "bakers/reviews", "revision": "v9"}, "dataset.revision", "no such"),
        ({"name": "bakers/reviews", "config": "fr"}, "dataset.config", "It has: en, de."),
        ({"name": "bakers/reviews"}, "dataset.config", "more than one config"),
        ({"name": "bakers/reviews", "config": "en", "split": "dev"}, "dataset.split", "It has: train, test."),
    ],
)
def test_what_a_dataset_has_not_is_named_with_what_it_has(hub, reach, asked, field, words):
    card = "---\nconfigs:\n" + "".join(
        f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}/a.csv\n"
        f"  - split: test\n    path: {name}/b.csv\n"
        for name in ("en", "de")
    )
    files = {f"{name}/{file}.csv": CSV for name in ("en", "de") for file in "ab"}
    hub.add("bakers/reviews", **{"README.md": card + "---\n", **files})
    error = refusal(reach, Dataset(**asked))

    assert error.field == field
    assert words in error.message


@pytest.mark.parametrize("path", ["{secret}/passwords.csv", "../../secret/passwords.csv"])
@pytest.mark.parametrize("place", ["hub", "folder"])
def test_a_dataset_that_names_files_of_the_server_is_refused(tmp_path, hub, reach, path, place):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "passwords.csv").write_text("text\nhunter2\n")
    (tmp_path / "own" / "secret").symlink_to(secret)
    card = f"---\nconfigs:\n- config_name: default\n  data_files: {path.format(secret=secret)}\n---\n"
    name = "bakers/evil" if place == "hub" else "evil"
    root = hub.root if place == "hub" else reach.folder
    (root / name).mkdir(parents=True)
    (root / name / "README.md").write_text(card)
    (root / name / "data.csv").write_text(CSV)
    error = refusal(reach, Dataset(name))

    assert error.field == "dataset.name"
    assert "hunter2" not in error.message


@pytest.mark.parametrize("name", ["csv", "out/side", "..", "a/../../b"])
def test_a_name_leads_nowhere_but_below_the_folder(tmp_path, reach, name):
    (tmp_path / "outside").mkdir()
    (reach.folder / "out").symlink_to(tmp_path)
    (tmp_path / "side").mkdir()

    assert reach.folder_of(name) is None


def test_a_dataset_of_pictures_alone_is_refused_by_name(hub, reach):
    folder = hub.add("bakers/loaves")
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    assert refusal(reach, Dataset("bakers/loaves")).field == "dataset.name"


def test_columns_of_files_are_read_for_a_pipeline_that_takes_their_kind(tmp_path, hub, reach):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"hunter2")
    held = [{"bytes": bytes([200 + n, n]), "path": f"{n}.png"} for n in range(20)]
    columns = {"image": [*held, {"bytes": None, "path": str(secret)}], "sound": [held[0]] * 21, "n": list(range(21))}
    files = {"image": "Image", "sound": "Audio"}
    parquet_of(hub.add("bakers/loaves"), "data/train-00000-of-00001.parquet", columns, files=files)
    for kinds, kept in (((), ["n"]), (("image",), ["image", "n"]), (("document", "audio"), ["image", "sound", "n"])):
        stream = Stream(reach, Dataset("bakers/loaves"), files=kinds)
        found = [record.values for record in stream.records()]
        stream.close()
        assert (stream.about.columns, [row["n"] for row in found]) == (kept, list(range(21)))
        assert stream.about.media == [name for name in ("image", "sound") if name not in kept]
        if "image" in kept:
            assert found[3]["image"] == {"bytes": base64.b64encode(bytes([203, 3])).decode(), "path": "3.png"}
            assert found[20]["image"]["bytes"] is None, "it is not opened"


def test_a_hub_that_does_not_answer_is_away_and_no_fault_of_the_dataset(hub, reach):
    hub.is_down = True
    with pytest.raises(DatasetAway):
        Stream(reach, Dataset("bakers/reviews"))


def test_without_leave_nothing_is_fetched(hub, reach, tmp_path):
    error = refusal(Reach(False, None, hub.url, "", tmp_path / "cache"), Dataset("bakers/reviews"))

    assert (error.code, error.field) == (ErrorCode.INVALID_VALUE, "dataset.name")
    assert hub.seen == []
