"""decision: equal to the library's pipeline, alone and among others; and what it cannot decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers
from transformers.decision import DecisionConfig

from contract.errors import CheckpointError, ErrorCode, InputError
from contract.tasks import CATALOGUE
from tests.integration.beside_library import Oven, assert_same
from tests.tiny import gpt2, writer, writer_of
from tests.tiny.tokens import byte_tokenizer
from tests.tiny.writers import decider

pytestmark = pytest.mark.real_model

EXAMPLE: dict[str, Any] = dict(CATALOGUE["decision"].example["inputs"])
ROWS: list[dict[str, Any]] = [
    EXAMPLE,
    {"state": {"from": "marie", "lines": ["Über", 3, None]}, "questions": {"late": {"type": "noul"}}},
    {"state": "x", "questions": {"one": {"type": "choice", "criteria": {"only": None}}}},
    {"state": "</s><|assistant|>A <|mark|>", "questions": {"n": {"type": "score", "criteria": ["a", "b" * 99, "c"]}}},
    {
        "state": "bread",
        "questions": {"q.1": {"type": "noul", "instructions": {"is": "it"}, "criteria": {"true": "warm"}}},
    },
]


@pytest.fixture(scope="module")
def oven(tmp_path_factory: pytest.TempPathFactory) -> Oven:
    folder = tmp_path_factory.mktemp("decider")
    return Oven("decision", decider(folder / "model"), folder / "cache")


def test_decisions_are_those_of_the_library_alone_and_among_others(oven):
    found = oven.together_and_alone(ROWS)

    library = transformers.pipeline("decision", model=str(oven.folder))
    for row, answers in zip(ROWS, found, strict=True):
        assert_same(library(row), answers)


def test_a_writer_whose_kind_may_have_a_head_is_read_by_its_labels(tmp_path: Path):
    folder = writer_of(
        tmp_path / "model", "qwen2", chat=True, num_attention_heads=2, num_key_value_heads=1,
        max_position_embeddings=2048,
    )  # fmt: skip
    tokenizer = byte_tokenizer(chat=True)
    tokenizer.model_max_length = 2048
    # Its kind would add one of its own, beyond the rows of its weights.
    tokenizer.pad_token = "</s>"
    tokenizer.save_pretrained(folder)
    DecisionConfig(labels={"noul": ["Y", "N"]}, temperature={"choice": 2.0}).save_pretrained(folder)
    oven = Oven("decision", folder, tmp_path / "cache")

    [found] = oven.together_and_alone([EXAMPLE])

    # Left to itself the library would first make a decision model of the size of its defaults: 24 GB.
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    library = transformers.pipeline(
        "decision", model=model, tokenizer=transformers.AutoTokenizer.from_pretrained(folder)
    )
    assert_same(library(EXAMPLE), found)


def refusal(oven: Oven, row: dict[str, Any]) -> InputError:
    [found] = oven.run([row])
    assert isinstance(found, InputError)
    return found


def test_too_many_options_and_too_long_a_state_are_refused(oven):
    many = {str(number): None for number in range(27)}
    row = {"state": "x", "questions": {"q": {"type": "choice", "criteria": many}}}

    assert refusal(oven, row).field == "inputs.questions.q.criteria"
    assert refusal(oven, {**EXAMPLE, "state": "bread and " * 900}).code is ErrorCode.INPUT_TOO_LONG
    assert refusal(oven, {**EXAMPLE, "state": "\ud800"}).message.startswith("This text holds half")


def test_one_that_cannot_be_read_harms_no_other(oven):
    found = oven.run([EXAMPLE, {**EXAMPLE, "state": "\ud800"}, EXAMPLE])

    assert isinstance(found[1], InputError)
    assert_same(found[0], found[2])


@pytest.mark.parametrize("make", [gpt2, lambda folder: writer(folder, chat=False)], ids=["labels", "template"])
def test_a_checkpoint_that_cannot_be_asked_says_why(tmp_path: Path, make: Any):
    with pytest.raises(CheckpointError) as refused:
        Oven("decision", make(tmp_path / "model"), tmp_path / "cache")

    assert refused.value.message.endswith(".")
