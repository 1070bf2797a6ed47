"""The pipelines file: read with its defaults, and refused with the place of what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.pipelines import PipelineFileError, PipelineSpec, read_pipelines
from contract.tasks import ALIASES, CATALOGUE

PIPELINES = """
[pipelines.labels]
task = "sentiment-analysis"
model = "package:some-model"
adapter = "here"
warm = true
top_k = 1
"""


def test_pipelines_are_read_with_their_defaults(tmp_path: Path):
    (tmp_path / "p.toml").write_text(PIPELINES)
    (spec,) = read_pipelines(tmp_path / "p.toml")
    assert (spec.task, spec.warm, spec.adapter) == ("text-classification", True, str(tmp_path / "here"))
    assert spec.parameters_schema()["properties"]["top_k"]["default"] == 1
    assert spec.effective({})["top_k"] == 1
    assert spec.effective({"top_k": 3})["top_k"] == 3
    assert PipelineSpec.from_dict(spec.as_dict()) == spec


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x", "is not TOML"),
        ("", "must hold tables"),
        ("[pipelines.A]\ntask='ner'", "small letters"),
        ("[pipelines.a]\ntask='nerd'", "task must be one of"),
        ("[pipelines.a]\ntask='ner'", "model is missing"),
        ("[pipelines.a]\ntask='ner'\nmodel=5", "model must be a text"),
        ("[pipelines.a]\ntask='ner'\nmodel='m'\nwarm='yes'", "warm must be true or false"),
        ("[pipelines.a]\ntask='ner'\nmodel='m'\ntop_k=1", "top_k is not a field"),
        ("[pipelines.a]\ntask='ner'\nmodel='m'\nbackend='jax'", "backend must be one of"),
        ("[pipelines.a]\ntask='ner'\nmodel='m'\nattention='flash'", "attention must be one of auto, eager"),
        ("[pipelines.a]\ntask='ner'\nmodel='m'\nmax_tokens=0", "at least 1"),
        ("pipelines = {a = 1}", "must be a table"),
    ],
)
def test_a_wrong_pipelines_file_says_where(tmp_path: Path, text, words):
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(PipelineFileError) as caught:
        read_pipelines(tmp_path / "p.toml")
    assert words in str(caught.value)


def test_a_missing_pipelines_file_is_named(tmp_path: Path):
    with pytest.raises(PipelineFileError, match="cannot be read"):
        read_pipelines(tmp_path / "none.toml")


def test_a_task_that_names_its_languages_is_translation_with_these(tmp_path: Path):
    file = tmp_path / "pipelines.toml"
    file.write_text(
        '[pipelines.a]\ntask = "translation_en_to_de"\nmodel = "x/y"\n'
        '[pipelines.b]\ntask = "translation_eng_Latn_to_fra_Latn"\nmodel = "x/y"\ntgt_lang = "deu_Latn"\n'
    )
    first, second = read_pipelines(file)
    assert (first.task, first.defaults) == ("translation", {"src_lang": "en", "tgt_lang": "de"})
    assert second.defaults == {"src_lang": "eng_Latn", "tgt_lang": "deu_Latn"}


@pytest.mark.parametrize(("alias", "task"), ALIASES.items())
def test_an_alias_is_a_task_of_the_catalogue(alias, task, tmp_path: Path):
    file = tmp_path / "pipelines.toml"
    file.write_text(f'[pipelines.a]\ntask = "{alias}"\nbackend = "fake"\n')
    assert [spec.task for spec in read_pipelines(file)] == [task]
    assert task in CATALOGUE
