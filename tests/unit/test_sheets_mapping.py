"""Which column feeds which field."""

from __future__ import annotations

import pytest

from contract.errors import ErrorCode, RequestError
from contract.pipelines import PipelineSpec
from models.sheets.layout import FileError, Layout, Record
from models.sheets.mapping import Mapping, check_request, resolve
from models.sheets.rows import Rows

SPEC = PipelineSpec("fake", "text-classification", backend="fake")
CHAT = PipelineSpec("chat", "text-generation", backend="fake")
NO_ID = "The id must be a text or a whole number."
ALIKE = PipelineSpec("alike", "sentence-similarity", backend="fake")


def found(columns, mapping=None, spec=SPEC, id_column=None):
    resolved = resolve(spec, Layout("csv", "utf-8", columns), mapping or {}, id_column)
    return resolved.as_dict(), resolved.id_column


@pytest.mark.parametrize(
    ("spec", "columns", "mapping", "expected"),
    [
        (SPEC, ["id", "text"], {}, {"text": "text"}),
        (SPEC, ["title", "review"], {}, {"text": "review"}),
        (SPEC, ["whatever"], {}, {"text": "whatever"}),
        (SPEC, ["a", "b"], {"text": "b"}, {"text": "b"}),
        (SPEC, ["a", "b"], {"text": 1}, {"text": "b"}),
        (SPEC, ["text", "second"], {}, {"text": "text", "text_pair": "second"}),
        (SPEC, ["text", "second"], {"text": "second"}, {"text": "second"}),
        (SPEC, ["text", "k"], {"parameters.top_k": "k"}, {"text": "text", "parameters.top_k": "k"}),
        (SPEC, ["Text "], {"text": "text"}, {"text": "Text "}),
        (CHAT, ["messages", "title"], {}, {"messages": "messages"}),
        (CHAT, ["prompt"], {}, {"text": "prompt"}),
        (CHAT, ["conversation", "n"], {}, {"messages": "conversation"}),
        (CHAT, ["a", "b"], {"messages": "a"}, {"messages": "a"}),
        (ALIKE, ["query", "others"], {}, {"source_sentence": "query", "sentences": "others"}),
    ],
)
def test_columns_are_found_as_asked_for_or_by_their_names(spec, columns, mapping, expected):
    assert found(columns, mapping, spec)[0] == expected


def test_the_column_beside_the_ids_needs_no_mapping():
    assert found(["ref", "what they said"], id_column="ref") == ({"text": "what they said"}, "ref")


@pytest.mark.parametrize(
    ("columns", "mapping", "id_column"),
    [
        (["a", "b"], {}, None),
        (["a", "b"], {"text": "c"}, None),
        (["a", "b"], {"text": 2}, None),
        (["a", "text"], {}, "id"),
        (["a"], {"parameters.top_k": "a"}, None),
    ],
)
def test_a_column_that_is_not_there_is_refused_with_those_that_are(columns, mapping, id_column):
    with pytest.raises(FileError, match="Its columns: a") as refused:
        found(columns, mapping, id_column=id_column)
    assert refused.value.code is ErrorCode.UNKNOWN_COLUMN


@pytest.mark.parametrize(
    ("mapping", "field"),
    [
        ([], "inputs"),
        ({"txt": "a"}, "inputs.txt"),
        ({"parameters.top": "a"}, "inputs.parameters.top"),
        ({"text": True}, "inputs.text"),
        ({"text": -1}, "inputs.text"),
        ({"text": None}, "inputs.text"),
    ],
)
def test_a_mapping_that_no_file_could_fit_is_refused(mapping, field):
    with pytest.raises(RequestError) as refused:
        check_request(SPEC, mapping)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a", "a"), (7, "7"), (7.0, "7"), (2.0**60, "1152921504606846976"), (1.5, None), (True, None), ([1], None)],
)
def test_an_id_is_a_text_or_a_whole_number_however_it_is_kept(value, expected):
    layout = Layout("jsonl", "utf-8", ["text", "ref"])
    rows = Rows(SPEC, layout, Mapping({"text": "text"}, {}, "ref"))
    row = rows.row(Record(0, 1, {"text": "a", "ref": value}, None, 9, 2))
    assert row.external_id == expected
    assert [problem.message for problem in row.problems] == ([] if expected else [NO_ID])
