"""What `up` does when its parts do not: a broker with unreadable data, programs that never come up, a slow model."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cli.stack import plan
from cli.stack import stack as stack_module
from cli.stack.listen import listen
from cli.stack.program import Program, Stage
from cli.stack.ready import Readiness
from cli.stack.stack import Stack, StackFailed
from contract.settings import Broker, Logs, Settings, Storage, Web
from tests.processes import clean_environment, wait_until


def settings(folder, **broker: str) -> Settings:
    return Settings(
        storage=Storage(data_dir=folder), broker=Broker(**broker), web=Web(port=0), logs=Logs(level="info")
    )


@pytest.fixture
def make_stack(tmp_path) -> Iterator:
    made: list[tuple[Stack, object]] = []

    def make(**broker: str) -> Stack:
        wanted = settings(tmp_path / "data", **broker)
        listener = listen(wanted.web)
        stack = Stack(
            wanted, clean_environment(), listener=listener, slots=[], pipelines=["fake"], pipelines_file=None
        )
        made.append((stack, listener))
        return stack

    yield make
    for stack, listener in made:
        if not stack._supervisor.stopped:
            stack._supervisor.stop()
        stack._signals.close()
        listener.close()


def script(name: str, stage: Stage, code: str, *, kept: bool = True) -> Program:
    return Program(name, (sys.executable, "-c", code), stage, clean_environment(), kept=kept)


def test_a_broker_that_is_already_there_is_used_and_none_is_started(make_stack):
    stack = make_stack(url="redis://elsewhere:6379/3")

    assert stack._broker_url() == "redis://elsewhere:6379/3"
    assert stack._supervisor.children == {}


def test_data_that_the_broker_cannot_read_is_set_aside_and_it_starts_empty(make_stack, tmp_path):
    data = tmp_path / "data" / "valkey" / "appendonlydir"
    data.mkdir(parents=True)
    (data / "appendonly.aof.manifest").write_text("not a manifest\n", encoding="ascii")

    assert make_stack()._broker_url().startswith("redis://:")
    (aside,) = data.parent.glob("appendonlydir.unreadable-*")
    assert (aside / "appendonly.aof.manifest").exists()


def test_a_broker_that_never_starts_ends_the_stack_with_its_last_words(make_stack):
    with pytest.raises(StackFailed, match="The message broker does not start"):
        make_stack(server="false")._broker_url()


def test_a_database_that_cannot_be_migrated_ends_the_stack_with_the_reason(make_stack, monkeypatch):
    failing = script("migrate", Stage.SCHEDULER, "raise SystemExit('no such host')", kept=False)
    monkeypatch.setattr(plan, "migrate", lambda env: failing)

    with pytest.raises(StackFailed, match=r"(?s)cannot be made ready.*no such host"):
        make_stack(url="redis://elsewhere").run()


@pytest.fixture
def quick_parts(monkeypatch):
    """A stack of scripts instead of the real programs."""

    def use(web: str) -> None:
        asleep = "import time; time.sleep(600)"
        monkeypatch.setattr(plan, "migrate", lambda env: script("migrate", Stage.SCHEDULER, "pass", kept=False))
        monkeypatch.setattr(plan, "web", lambda *args, descriptor: script("web", Stage.WEB, web))
        monkeypatch.setattr(plan, "upkeep", lambda env: script("upkeep", Stage.OVENS, asleep))
        monkeypatch.setattr(plan, "scheduler", lambda env: script("scheduler", Stage.SCHEDULER, asleep))

    return use


def test_a_program_that_keeps_dying_before_the_stack_is_ready_ends_it(make_stack, quick_parts, monkeypatch):
    monkeypatch.setattr(stack_module, "_HOPELESS", 2)
    quick_parts("raise SystemExit('no template')")

    with pytest.raises(StackFailed, match=r"(?s)web died 2 times before the stack was ready.*no template"):
        make_stack(url="redis://elsewhere").run()


def test_what_is_missing_is_said_while_it_waits(make_stack, quick_parts, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(stack_module, "_REPORT_SECONDS", 0.1)
    quick_parts("import time; time.sleep(600)")
    stack = make_stack(url="redis://elsewhere")
    log = tmp_path / "data" / "logs" / "supervisor.log"

    def stop_once_said() -> None:
        wait_until(lambda: "the web server does not answer yet" in log.read_text(encoding="utf-8"), what="the word")
        stack._signals.stops = 1

    watcher = threading.Thread(target=stop_once_said)
    watcher.start()
    stack.run()
    watcher.join()

    assert capsys.readouterr().out == ""


ANSWERS: dict[str, tuple[int, bytes]] = {}


@pytest.fixture
def server() -> Iterator[str]:
    ANSWERS.clear()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = ANSWERS.get(self.path, (404, b""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{http_server.server_port}"
        http_server.shutdown()
        thread.join()


def test_readiness_keeps_what_was_missing_and_then_what_runs_nothing(server):
    ANSWERS["/readyz"] = (503, b'{"missing": ["a worker for sentiment"]}')
    ready = Readiness(server)
    wait_until(lambda: "a worker for sentiment" in ready.missing, what="the reason")
    assert not ready()

    ANSWERS["/api/v1/pipelines"] = (200, b'{"data": [{"name": "x", "state": "broken", "reason": "Gone."}]}')
    ANSWERS["/readyz"] = (200, b"{}")
    wait_until(ready, what="readiness")

    assert ready.idle == ["x is broken: Gone."]


def test_readiness_needs_no_list_of_pipelines(server):
    ANSWERS["/readyz"] = (200, b"{}")
    ready = Readiness(server)
    wait_until(ready, what="readiness")

    assert ready.idle == []


def test_an_answer_that_is_no_json_is_a_reason_too(server):
    ANSWERS["/readyz"] = (502, b"<html>")
    ready = Readiness(server)
    wait_until(lambda: "answers 502" in ready.missing, what="the reason")
    ready.give_up()
