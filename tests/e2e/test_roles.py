"""Each role by itself, as compose runs them: a broker that is already there, and one command a process."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import httpx
import pytest

from cli.stack.logbook import Logbook
from cli.stack.signals import Signals
from cli.stack.supervisor import Supervisor
from cli.stack.valkey import EmbeddedValkey, find_server
from tests.processes import (
    FAKE,
    Process,
    clean_environment,
    fournil,
    free_port,
    run_fournil,
    wait_until,
    wait_until_gone,
)


@pytest.fixture
def broker_url(tmp_path) -> Iterator[str]:
    signals = Signals()
    supervisor = Supervisor(Logbook(tmp_path / "broker-logs"), signals)
    valkey = EmbeddedValkey(find_server(""), tmp_path / "broker")
    supervisor.start(valkey.program(dict(os.environ)))
    assert supervisor.run_until(valkey.answers, seconds=20)
    yield valkey.url
    supervisor.stop()
    signals.close()


def test_single_roles_make_a_stack_and_each_stops_by_itself(broker_url, tmp_path):
    (tmp_path / "pipelines.toml").write_text(FAKE, encoding="utf-8")
    env = {"FOURNIL_BROKER_URL": broker_url, "FOURNIL_DATA_DIR": str(tmp_path / "data")}
    port = free_port()
    assert run_fournil("migrate", cwd=tmp_path, **env).returncode == 0
    commands = {
        "web": ["web", "--port", str(port)],
        "worker": ["worker", "--devices", "cpu"],
        "upkeep": ["upkeep"],
        "scheduler": ["scheduler"],
    }
    with contextlib.ExitStack() as all_of_them:
        roles = {}
        for name, words in commands.items():
            roles[name] = Process(fournil(*words), env=clean_environment(**env), cwd=tmp_path)
            all_of_them.callback(roles[name].end)
        url = f"http://127.0.0.1:{port}"
        shown = lambda: "\n".join(f"{name}: {role.shown()}" for name, role in roles.items())  # noqa: E731
        wait_until(lambda: _answers(f"{url}/readyz"), seconds=90, what="readiness", show=shown)
        body = {"pipeline": "fake", "inputs": "hello"}
        job = httpx.post(f"{url}/api/v1/jobs", json=body, headers={"Prefer": "wait=30"}, timeout=60).json()
        assert job["status"] == "succeeded"

        family = roles["worker"].descendants()
        roles["worker"].send(signal.SIGTERM)
        assert roles["worker"].wait(seconds=15) == 0
        wait_until_gone(family)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
