"""The contract: settings that explain themselves, a catalogue that holds together, words that agree."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from contract.docs import DOCS, PAGES
from contract.errors import HTTP_STATUS, ErrorCode
from contract.ids import is_id, new_id, new_ids
from contract.jsons import finite
from contract.options import names_of
from contract.pipelines import PipelineFileError, PipelineSpec, read_pipelines
from contract.schemas import checker, from_text
from contract.settings import Settings, SettingsError, fields
from contract.statuses import JOB_MOVES, JOB_OVER, JobStatus
from contract.tasks import ALIASES, CATALOGUE


def test_the_docs_name_every_option_of_a_pipeline():
    page = (Path(__file__).parents[2] / "docs" / "pipelines.md").read_text(encoding="utf-8")
    options = {field.name for field in dataclasses.fields(PipelineSpec)} - {"name", "defaults"}
    assert [name for name in sorted(options) if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize("page", PAGES)
def test_the_docs_say_what_the_contract_says(page):
    assert (DOCS / page).read_text(encoding="utf-8") == PAGES[page](), "run `make docs`"


def test_every_setting_has_a_sentence_and_a_unique_name():
    names = [name for _, field in fields() for name in names_of(field)]
    assert len(names) == len(set(names))
    assert all(len(field.metadata["doc"]) > 10 for _, field in fields())


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"FOURNIL_PRT": "1"}, "FOURNIL_PRT is not a setting. Did you mean FOURNIL_PORT?"),
        ({"FOURNIL_PORT": "x"}, "FOURNIL_PORT is 'x'; write a whole number from 0 to 65535."),
        ({"FOURNIL_DEVICES": "gpu"}, "comma list of cpu, cpu*N and cuda:N"),
        ({"FOURNIL_TRUST_NETWORK": "maybe"}, "true or false"),
        ({"FOURNIL_DATABASE_URL": "mysql://secret"}, "FOURNIL_DATABASE_URL is (hidden)"),
        ({"FOURNIL_SECRET_KEY_FILE": "/nowhere/at/all"}, "cannot be read"),
        ({"FOURNIL_SECRET_KEY_FILE": "/x", "FOURNIL_SECRET_KEY": "y"}, "not both"),
        ({"FOURNIL_LOG_LEVEL": "loud"}, "one of debug, info"),
        ({"FOURNIL_LEASE_SECONDS": "1"}, "seconds, from 2"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_a_sentence(env, words):
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(env)
    assert words in str(caught.value)


def test_secrets_come_from_files_and_stay_out_of_the_repr(tmp_path: Path):
    (tmp_path / "key").write_text("s3cret\n")
    settings = Settings.from_env({"FOURNIL_SECRET_KEY_FILE": str(tmp_path / "key"), "OTHER": "x"})
    assert settings.web.secret_key == "s3cret"
    assert "s3cret" not in repr(settings)


def test_every_error_code_has_an_http_status():
    assert set(HTTP_STATUS) == set(ErrorCode)


def test_terminal_is_final_but_for_a_retry():
    assert all(JOB_MOVES[status] <= {JobStatus.QUEUED} for status in JOB_OVER)
    assert not JOB_MOVES[JobStatus.SUCCEEDED]


def test_ids_increase_and_are_urlsafe():
    ids = [new_id() for _ in range(100)] + new_ids(1000) + [new_id()]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(is_id(i) and i[12] == "7" and i[16] in "89ab" for i in ids)


def _says_all(rule: dict) -> bool:
    """Whether a property says what it is for, of which type it is, and how much of it is taken."""
    kinds = set([rule["type"]] if isinstance(rule.get("type"), str) else rule.get("type", ()))
    needed = {"description"}
    needed |= {"minimum", "maximum"} if kinds & {"integer", "number"} else set()
    needed |= {"maxItems"} if kinds == {"array"} else set()
    needed |= {"maxLength"} if kinds == {"string"} and "enum" not in rule else set()
    return needed <= rule.keys() and bool(rule["description"]) and bool(kinds or "enum" in rule or "oneOf" in rule)


@pytest.mark.parametrize("task", CATALOGUE.values(), ids=lambda task: task.name)
def test_every_task_holds_together(task):
    assert not checker(task.inputs).problems(task.example["inputs"], at="inputs")
    assert not checker(task.parameters).problems(task.example["parameters"], at="parameters")
    assert task.main_field in task.inputs["properties"]
    assert set(task.synonyms) <= set(task.inputs["properties"])
    for schema in (task.inputs, task.parameters):
        assert schema["additionalProperties"] is False
        assert all(rule.get("title") for rule in schema["properties"].values())
        assert [name for name, rule in schema["properties"].items() if not _says_all(rule)] == []
    for name, rule in task.parameters["properties"].items():
        if "default" in rule:
            partial = {**task.parameters, "required": []}
            assert not checker(partial).problems({name: rule["default"]}, at="parameters")


@pytest.mark.parametrize(
    ("task", "inputs", "field", "words"),
    [
        ("text-classification", {"text": 5}, "inputs.text", "must be a text"),
        ("text-classification", {}, "inputs.text", "is missing"),
        ("text-classification", {"text": ""}, "inputs.text", "must not be empty"),
        ("text-classification", {"txt": "a", "text": "a"}, "inputs.txt", "Did you mean text?"),
        ("text-generation", {}, "inputs", "Give either text or messages"),
        (
            "text-generation",
            {"messages": [{"role": "b", "content": "x"}]},
            "inputs.messages.0.role",
            "one of system",
        ),
        ("text-generation", {"messages": [{"role": "user"}]}, "inputs.messages.0.content", "is missing"),
        ("sentence-similarity", {"source_sentence": "a", "sentences": []}, "inputs.sentences", "must not be empty"),
    ],
)
def test_bad_inputs_are_named_in_words(task, inputs, field, words):
    problem = checker(CATALOGUE[task].inputs).problems(inputs, at="inputs")[0]
    assert problem.field == field
    assert words in problem.message


def test_a_template_with_attribute_access_is_refused():
    bad = {"candidate_labels": ["a"], "hypothesis_template": "{0.__class__}"}
    problem = checker(CATALOGUE["zero-shot-classification"].parameters).problems(bad, at="parameters")[0]
    assert "hold {} exactly once" in problem.message


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, " a ", " a "),
        ({"type": "integer"}, "5", 5),
        ({"type": "integer"}, "5.5", "5.5"),
        ({"type": "integer"}, "7.0", 7),
        ({"type": "integer"}, "inf", "inf"),
        ({"type": "number"}, "0.5", 0.5),
        ({"type": "number"}, "nan", "nan"),
        ({"type": ["integer", "null"]}, "", None),
        ({"type": "boolean"}, "TRUE", True),
        ({"type": "boolean"}, "perhaps", "perhaps"),
        ({"type": "array"}, "a, b", ["a", "b"]),
        ({"type": "array"}, "a, b\nc", ["a, b", "c"]),
        ({"type": "array"}, '["a,b"]', ["a,b"]),
        ({"type": "array"}, "[broken", "[broken"),
    ],
)
def test_text_becomes_what_its_schema_asks_for(schema, text, value):
    assert from_text(schema, text) == value


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [0.5, x], lambda x: {"a": [{"b": x}]}, lambda x: (1, x)])
def test_finite_finds_every_nan(bad, wrap):
    assert not finite(wrap(bad))
    assert finite(wrap(0.5))
    assert finite(wrap("nan"))


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


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("web.wsgi", ("torch", "transformers", "worker")),
        ("worker.node", ("torch", "transformers", "flask", "web")),
        ("worker.tasks", ("torch", "transformers", "flask", "web")),
        ("contract.settings", ("sqlalchemy", "flask", "celery", "torch")),
        ("models.jobs", ("flask", "celery", "torch", "web", "worker")),
    ],
)
def test_a_room_does_not_import_what_is_not_its_own(module, forbidden):
    code = f"import sys, {module}; print([m for m in {forbidden!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


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


@pytest.mark.parametrize(
    ("questions", "field"),
    [
        ({}, "inputs.questions"),
        ([], "inputs.questions"),
        ({"a": 5}, "inputs.questions.a"),
        ({"a": {}}, "inputs.questions.a.type"),
        ({"a": {"type": "guess"}}, "inputs.questions.a.type"),
        ({"a": {"type": "choice"}}, "inputs.questions.a.criteria"),
        ({"a": {"type": "choice", "criteria": ["x"]}}, "inputs.questions.a.criteria"),
        ({"a": {"type": "choice", "criteria": {}}}, "inputs.questions.a.criteria"),
        ({"a": {"type": "choice", "criteria": {"x": 5}}}, "inputs.questions.a.criteria.x"),
        ({"a": {"type": "score", "criteria": {"x": "y"}}}, "inputs.questions.a.criteria"),
        ({"a": {"type": "score", "criteria": [None]}}, "inputs.questions.a.criteria.0"),
        ({"a": {"type": "noul", "criteria": {"maybe": "x"}}}, "inputs.questions.a.criteria.maybe"),
        ({"a": {"type": "noul", "more": 1}}, "inputs.questions.a.more"),
    ],
    ids=str,
)
def test_questions_that_make_no_sense_are_named(questions, field):
    problems = checker(CATALOGUE["decision"].inputs).problems({"state": "x", "questions": questions}, at="inputs")

    assert problems[0].field == field
    assert problems[0].message.endswith(".")
