"""NAME=VALUE words become what the schemas ask for."""

from __future__ import annotations

import click
import pytest

from cli.options import _explicit_wait
from cli.outfile import format_of, open_out
from cli.values import column, main_field, pairs, typed
from contract.tasks import CATALOGUE

CLASSIFICATION = CATALOGUE["text-classification"]


def test_parameters_get_the_types_of_their_schema():
    words = pairs(["top_k=2", "truncation=yes", "function_to_apply=none"], option="--param")

    assert typed(words, CLASSIFICATION.parameters) == {
        "top_k": 2,
        "truncation": True,
        "function_to_apply": "none",
    }


def test_a_list_is_written_with_commas_or_as_json():
    schema = CATALOGUE["zero-shot-classification"].parameters

    assert typed({"candidate_labels": "a, b"}, schema) == {"candidate_labels": ["a", "b"]}
    assert typed({"candidate_labels": '["a,b"]'}, schema) == {"candidate_labels": ["a,b"]}


def test_an_unknown_name_stays_for_the_server_to_refuse():
    assert typed({"tpo_k": "2"}, CLASSIFICATION.parameters) == {"tpo_k": "2"}


def test_a_value_may_hold_an_equals_sign():
    assert pairs(["text=a=b"], option="--input") == {"text": "a=b"}


@pytest.mark.parametrize(
    ("words", "said"), [(["top_k"], "write NAME=VALUE"), (["=2"], "write"), (["a=1", "a=2"], "a twice")]
)
def test_a_word_that_is_no_pair_is_a_usage_error(words, said):
    with pytest.raises(click.UsageError, match=said):
        pairs(words, option="--param")


def test_a_column_is_a_name_or_a_number():
    assert [column("review"), column("2")] == ["review", 2]


def test_the_main_field_comes_from_the_catalogue_or_from_the_schema():
    assert main_field({"task": "sentence-similarity"}) == "source_sentence"
    assert main_field({"task": "a-later-task", "input_schema": {"required": ["image"]}}) == "image"


@pytest.mark.parametrize(
    ("typed_words", "read_as"),
    [
        (["p", "text", "--wait"], ["p", "text", "--wait=inf"]),
        (["p", "--wait", "text"], ["p", "--wait=inf", "text"]),
        (["p", "text", "--wait", "5"], ["p", "text", "--wait", "5"]),
        (["p", "--", "--wait"], ["p", "--", "--wait"]),
    ],
)
def test_wait_may_stand_alone(typed_words, read_as):
    assert _explicit_wait(typed_words) == read_as


@pytest.mark.parametrize(
    ("path", "format_"), [("a.csv", "csv"), ("a.NDJSON", "jsonl"), ("a.txt", None), ("a", None), (None, None)]
)
def test_the_name_of_the_file_chooses_the_format(path, format_):
    assert format_of(path) == format_


def test_a_download_that_breaks_leaves_the_old_file(tmp_path):
    target = tmp_path / "results.csv"
    target.write_text("old", encoding="utf-8")

    with pytest.raises(TypeError), open_out(str(target)) as file:
        file.writelines([b"half", None])

    assert target.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_download_into_a_folder_that_is_not_there_says_so(tmp_path):
    with pytest.raises(click.UsageError, match="cannot be written"), open_out(str(tmp_path / "no" / "a.csv")):
        pass


def test_without_a_path_it_goes_to_stdout(capfdbinary):
    with open_out(None) as file:
        file.write(b"a,b\n")

    assert capfdbinary.readouterr().out == b"a,b\n"
