"""The catalogue beside the installed transformers: a release with a new task fails here by name."""

from __future__ import annotations

import pytest

from contract.tasks import ALIASES, CATALOGUE

#: Tasks of the library that Fournil does not serve: none. A new name is a decision.
NOT_SERVED: set[str] = set()
#: Tasks that the library had before 5.0 and that people still ask for; and one it never had.
GONE = {
    "question-answering", "summarization", "translation", "text2text-generation", "visual-question-answering",
    "image-to-text", "image-to-image",
}  # fmt: skip
OF_OUR_OWN = {"sentence-similarity"}


@pytest.fixture(scope="module")
def library() -> tuple[dict[str, object], dict[str, str]]:
    pipelines = pytest.importorskip("transformers.pipelines", reason="needs transformers")
    return pipelines.SUPPORTED_TASKS, pipelines.TASK_ALIASES


def test_every_task_of_the_library_is_served_or_listed_as_not_served(library):
    tasks, _ = library
    assert set(tasks) - set(CATALOGUE) == NOT_SERVED


def test_what_the_library_gave_up_is_served():
    assert set(CATALOGUE) >= GONE


def test_the_catalogue_holds_nothing_else(library):
    tasks, _ = library
    assert set(CATALOGUE) - set(tasks) == GONE | OF_OUR_OWN


def test_every_alias_of_a_served_task_is_ours_too(library):
    _, aliases = library
    served = {alias: task for alias, task in aliases.items() if task in CATALOGUE}
    assert served.items() <= ALIASES.items()
