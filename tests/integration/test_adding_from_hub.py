"""`fournil pipelines add` with a Hub id: the library's own client against a small Hub of ours, and against none."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from contract.pipelines import read_pipelines
from tests.processes import clean_environment

pytestmark = pytest.mark.real_model
SHA = "0123456789abcdef0123456789abcdef01234567"
BERT = {"model_type": "bert", "architectures": ["BertForTokenClassification"]}
PLAIN = {"config.json": json.dumps(BERT), "tokenizer.json": "{}", "model.safetensors": "never asked for"}


class Hub(ThreadingHTTPServer):
    """Serves `files` of org/toy at one commit, and remembers which were asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = dict(PLAIN)
        self.sent: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        if match := re.match(rf"/org/toy/resolve/{SHA}/(.+)", self.path):
            self.server.sent.add(match[1])
            self._answer(self.server.files[match[1]].encode())
        elif re.match(rf"/api/models/org/toy/revision/(main|v1|{SHA})", self.path):
            self._answer(json.dumps({"id": "org/toy", "sha": SHA, "siblings": []}).encode())
        elif self.path.startswith(f"/api/models/org/toy/tree/{SHA}"):
            listed = [
                {"type": "file", "path": name, "size": len(text), "oid": "0" * 40}
                for name, text in self.server.files.items()
            ]
            self._answer(json.dumps(listed).encode())
        elif self.path.startswith("/api/models/org/toy/revision/"):
            self._answer(b"{}", status=404, error="RevisionNotFound")
        else:
            self._answer(b"{}", status=404, error="RepoNotFound")

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def _answer(self, body: bytes, *, status: int = 200, error: str = "") -> None:
        self.send_response(status)
        headers = {"Content-Length": str(len(body)), "ETag": '"1"', "X-Repo-Commit": SHA, "X-Error-Code": error}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def add(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(url: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cli.main", "pipelines", "add", "mine", "--model", "org/toy", *words]
        more = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "0", **env}
        return subprocess.run(
            command, env=clean_environment(**more), cwd=tmp_path, capture_output=True, text=True, timeout=120
        )

    return run


def test_the_commit_that_a_branch_means_is_written_and_no_weights_are_fetched(hub, add, tmp_path) -> None:
    done = add(hub.url)
    assert done.returncode == 0, done.stderr
    assert f"token-classification with org/toy at {SHA}" in done.stdout
    [spec] = read_pipelines(tmp_path / "pipelines.toml")
    assert (spec.task, spec.model, spec.revision) == ("token-classification", "org/toy", SHA)
    assert hub.sent == {"config.json"}


def test_what_was_fetched_once_is_known_without_a_network(hub, add, tmp_path) -> None:
    assert add(hub.url).returncode == 0
    (tmp_path / "pipelines.toml").unlink()
    done = add(hub.url, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert SHA in (tmp_path / "pipelines.toml").read_text()


@pytest.mark.parametrize(
    ("files", "words", "said"),
    [
        ({"config.json": json.dumps(BERT), "pytorch_model.bin": "x"}, [], "no safetensors weights"),
        ({"config.json": json.dumps(BERT), "q4.gguf": "x"}, [], "download the one you mean and name that file"),
        ({"model.safetensors": "x"}, [], "has no config.json"),
        (
            {**PLAIN, "config.json": json.dumps({"model_type": "toyformer", "auto_map": {"AutoModel": "m.Toy"}})},
            [],
            "code that comes with the checkpoint",
        ),
        (PLAIN, ["--revision", "v9"], "has no revision 'v9'"),
    ],
)
def test_what_may_not_be_loaded_is_refused_before_it_is_fetched(hub, add, tmp_path, files, words, said) -> None:
    hub.files = files
    done = add(hub.url, *words)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "pipelines.toml").exists()


def test_a_hub_that_cannot_be_reached_says_what_else_can_be_done(add) -> None:
    done = add("http://127.0.0.1:9")
    assert done.returncode == 2
    assert "the Hub cannot be reached" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
