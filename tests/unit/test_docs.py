"""The pages of docs/ hold together: in the index, with links that lead somewhere, and saying what the code says."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.docs import DOCS
from contract.docs import PAGES as GENERATED
from contract.pipelines import PipelineSpec

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FILE = re.compile(r"`((?:contract|models|web|worker|cli|tests|benchmarks|docs|examples)/[\w./-]+\.\w+)`")
_METRIC = re.compile(r"`(fournil_[a-z_]+)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_of_the_docs_links_to_is_there(page: Path):
    assert [link for link in _links(page) if not _leads_somewhere(page, link)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_metrics_that_a_page_of_the_docs_names_are_there(page: Path):
    text, metrics = page.read_text(encoding="utf-8"), (ROOT / "web" / "metrics.py").read_text(encoding="utf-8")
    assert [name for name in _FILE.findall(text) if not (ROOT / name).exists()] == []
    assert [name for name in _METRIC.findall(text) if f'"{name}"' not in metrics] == []


def test_every_page_of_the_docs_is_in_their_index():
    index = ROOT / "docs" / "README.md"
    named = {(index.parent / link).resolve() for link in _links(index)}
    pages = {page for page in PAGES if page.is_relative_to(index.parent) and page.parent.name != "decisions"}
    assert sorted(str(page.relative_to(ROOT)) for page in pages - named - {index}) == []


def test_the_docs_name_every_option_of_a_pipeline():
    page = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
    options = {field.name for field in dataclasses.fields(PipelineSpec)} - {"name", "defaults"}
    assert [name for name in sorted(options) if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize("page", GENERATED)
def test_the_docs_say_what_the_contract_says(page):
    assert (DOCS / page).read_text(encoding="utf-8") == GENERATED[page](), "run `make docs`"


def _links(page: Path) -> Iterator[str]:
    prose = _CODE.sub("", page.read_text(encoding="utf-8"))
    return (found for found in _LINK.findall(prose) if "://" not in found)


def _leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}
