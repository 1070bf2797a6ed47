"""`fournil pipelines add` and then `up`: what was added answers, with nothing written by hand."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests import tiny
from tests.processes import run_fournil, running_stack
from tests.tiny.sentences import sentence_embedder
from worker.backends.candidates import look

pytestmark = pytest.mark.real_model


def test_what_was_added_is_served_as_its_files_say(tmp_path: Path) -> None:
    tiny.classifier(tmp_path / "labels")
    sentence_embedder(
        tmp_path / "vectors",
        pooling={"pooling_mode_lasttoken": True},
        steps=("Normalize",),
        prompts={"query": "the "},
    )
    for name in ("labels", "vectors"):
        done = run_fournil("pipelines", "add", name, "--model", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    text = (tmp_path / "pipelines.toml").read_text(encoding="utf-8")
    with running_stack(tmp_path, pipelines=text) as stack:

        def job(pipeline: str, **body: object) -> dict[str, object]:
            body = {"pipeline": pipeline, "inputs": {"text": "the bread was warm"}, **body}
            sent = httpx.post(f"{stack.url}/api/v1/jobs", json=body, headers={"Prefer": "wait=60"}, timeout=90)
            found: dict[str, object] = sent.json()
            assert found["status"] == "succeeded", found
            return found

        labels = job("labels")
        assert {entry["label"] for entry in labels["result"]} == {"bad", "fair", "good"}
        commit = look(str(tmp_path / "labels"), revision=None, cache=tmp_path / "cache").commit
        assert labels["model"]["commit"] == commit
        assert commit in text
        vector = job("vectors", parameters={"prompt_name": "query", "dimensions": 3})["result"]
        assert len(vector) == 3
        assert sum(x * x for x in vector) == pytest.approx(1, abs=1e-5)
