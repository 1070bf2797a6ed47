"""The client commands against a real HTTP server on loopback that answers as it is told."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli import api, watching
from cli.main import main
from contract.tasks import CATALOGUE

TASK = CATALOGUE["text-classification"]
PIPELINE = {
    "name": "fake", "task": TASK.name, "model": "fake", "state": "active", "device": "cpu", "queued": 0, "running": 1,
    "input_schema": TASK.inputs, "parameters_schema": TASK.parameters, "description": "A fake.", "commit": None,
    "backend": "fake", "dtype": "none",
}  # fmt: skip
JOB = {
    "object": "job", "id": "j1", "pipeline": "fake", "status": "queued", "result": None, "error": None, "attempts": 0,
    "position": 3, "batch_id": None, "row": None, "timings": {"queue": None, "load": None, "inference": None},
}  # fmt: skip
DONE = JOB | {
    "status": "succeeded", "result": [{"label": "even", "score": 0.9}, {"label": "odd", "score": 0.1}],
    "timings": {"queue": 0.004, "load": None, "inference": 1.25},
}  # fmt: skip
FAILED = JOB | {"status": "failed", "error": {"code": "inference_failed", "message": "The [bold] oven was cold."}}
COUNTS = {
    "total": 3,
    "queued": 0,
    "running": 0,
    "succeeded": 3,
    "failed": 0,
    "canceled": 0,
    "expired": 0,
    "invalid": 0,
}
BATCH = {
    "object": "batch", "id": "b1", "pipeline": "fake", "status": "completed", "filename": "r.csv", "format": "csv",
    "counts": COUNTS, "rows_read": 3, "progress": 1.0, "rate": 10.5, "eta": None, "errors": [],
}  # fmt: skip
RUNNING = BATCH | {
    "status": "running", "progress": 0.3, "eta": 4.0, "counts": COUNTS | {"total": None, "queued": 2, "succeeded": 1},
}  # fmt: skip


class Server:
    """Answers each "METHOD /path" with its next prepared answer, the last one again and again."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {"GET /api/v1/pipelines/fake": [(200, PIPELINE)]}
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    def on(self, call: str, *answers: Any, status: int = 200) -> None:
        self.answers[call] = [(status, answer) for answer in answers]

    def answer(self, call: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        self.requests.append((call, headers, body))
        prepared = self.answers.get(call.partition("?")[0], [(404, error("not_found", "Nothing is there."))])
        status, value = prepared.pop(0) if len(prepared) > 1 else prepared[0]
        return status, value if isinstance(value, bytes) else json.dumps(value).encode()

    def sent(self, call: str) -> list[tuple[dict[str, str], bytes]]:
        return [(headers, body) for made, headers, body in self.requests if made.partition("?")[0] == call]


def error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}, "request_id": "r-7"}


@pytest.fixture
def server() -> Iterator[Server]:
    stub = Server()

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content = stub.answer(f"{self.command} {self.path}", dict(self.headers), body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = respond  # noqa: N815 - the names http.server calls

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, args=(0.01,))
        thread.start()
        stub.url = f"http://127.0.0.1:{http_server.server_port}"
        yield stub
        http_server.shutdown()
        thread.join()


@pytest.fixture
def run(server, monkeypatch):
    monkeypatch.setattr(watching, "_POLL_SECONDS", 0.01)

    def run_command(*words: str, **more: Any) -> Result:
        return CliRunner(env={"FOURNIL_URL": server.url, "COLUMNS": "200"}).invoke(main, words, **more)

    return run_command


def test_submit_sends_what_the_schemas_ask_for(run, server):
    server.on("POST /api/v1/jobs", JOB, status=202)

    done = run("submit", "fake", "two words", "--param", "top_k=2", "--json")

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == JOB
    ((headers, body),) = server.sent("POST /api/v1/jobs")
    assert json.loads(body) == {"pipeline": "fake", "inputs": {"text": "two words"}, "parameters": {"top_k": 2}}
    assert "Prefer" not in headers


def test_submit_reads_the_text_from_stdin_and_more_fields_from_input(run, server):
    server.on("POST /api/v1/jobs", JOB, status=202)

    run("submit", "fake", "-", "--input", "text_pair=second", input="from stdin\n")

    ((_, body),) = server.sent("POST /api/v1/jobs")
    assert json.loads(body)["inputs"] == {"text": "from stdin", "text_pair": "second"}


def test_submit_waits_until_the_job_is_over(run, server):
    server.on("POST /api/v1/jobs", JOB, status=202)
    server.on("GET /api/v1/jobs/j1", JOB, JOB | {"status": "running"}, DONE)

    done = run("submit", "fake", "text", "--wait")

    assert done.exit_code == 0, done.output
    assert "0.9000  even" in done.stdout
    assert "1.2 s" in done.stdout
    assert server.sent("GET /api/v1/jobs/j1")[0][0]["Prefer"] == "wait=60"


def test_a_wait_that_is_broken_off_says_how_to_look_again(run, server, monkeypatch):
    server.on("POST /api/v1/jobs", JOB, status=202)

    def ctrl_c(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    server.on("GET /api/v1/jobs/j1", error("internal", "Going down."), status=503)
    gone = run("submit", "fake", "text", "--wait")
    monkeypatch.setattr(api.Api, "wait_until_over", ctrl_c)
    left = run("submit", "fake", "text", "--wait")

    assert (gone.exit_code, left.exit_code) == (3, 130)
    assert "The job is kept: fournil status j1" in gone.stderr
    assert "The job goes on: fournil status j1" in left.stderr


def test_submit_gives_up_after_its_seconds_and_says_so_by_its_exit_code(run, server):
    server.on("POST /api/v1/jobs", JOB, status=202)
    server.on("GET /api/v1/jobs/j1", JOB)

    done = run("submit", "fake", "text", "--wait", "0.1")

    assert done.exit_code == 6
    assert "position" in done.stdout


def test_a_failed_job_is_exit_code_1_and_its_message_is_printed_as_it_is(run, server):
    server.on("POST /api/v1/jobs", JOB, status=202)
    server.on("GET /api/v1/jobs/j1", FAILED)

    done = run("submit", "fake", "text", "--wait")

    assert done.exit_code == 1
    assert "The [bold] oven was cold." in done.stdout


@pytest.mark.parametrize(("status", "exit_code"), [(422, 4), (429, 4), (400, 4), (404, 5), (500, 3), (503, 3)])
def test_exit_codes_say_who_must_act(run, server, status, exit_code):
    server.on("POST /api/v1/jobs", error("some_code", "Write it differently."), status=status)

    done = run("submit", "fake", "text")

    assert done.exit_code == exit_code
    assert "Write it differently." in done.stderr
    assert ("r-7" in done.stderr) == (status >= 500)


def test_no_server_is_exit_code_3_with_a_way_out():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        done = CliRunner().invoke(main, ["pipelines", "--url", url])

    assert done.exit_code == 3
    assert "fournil up" in done.stderr


def test_a_server_that_is_not_fournil_is_said_to_be_none(run, server):
    server.on("GET /api/v1/pipelines", b"<html>hello</html>")
    assert "not as Fournil does" in run("pipelines").stderr

    server.on("GET /api/v1/pipelines", b"<html>bad gateway</html>", status=502)
    assert run("pipelines").exit_code == 3


@pytest.mark.parametrize(("behavior", "said"), [("silent", "did not answer in time"), ("rude", "broke")])
def test_a_connection_that_fails_is_exit_code_3(monkeypatch, behavior, said):
    monkeypatch.setattr(api, "_SLACK", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if behavior == "rude":
            threading.Thread(target=_hang_up, args=(listener,)).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        done = CliRunner().invoke(main, ["pipelines", "--url", url])

    assert done.exit_code == 3
    assert said in done.stderr


def _hang_up(listener: socket.socket) -> None:
    listener.accept()[0].close()


def test_a_url_that_is_none_is_said():
    assert "not the URL of a server" in CliRunner().invoke(main, ["pipelines", "--url", "http://[::1"]).stderr


def test_a_url_without_a_scheme_is_a_usage_error():
    done = CliRunner().invoke(main, ["status", "x", "--url", "localhost:8000"])

    assert done.exit_code == 2
    assert "begins with http" in done.stderr


def test_a_pipeline_that_runs_nothing_is_said_before_the_wait(run, server):
    server.on("GET /api/v1/pipelines/fake", PIPELINE | {"state": "broken", "reason": "Its adapter is gone."})
    server.on("POST /api/v1/jobs", JOB, status=202)

    done = run("submit", "fake", "text")

    assert done.exit_code == 0
    assert "fake is broken: its jobs wait. Its adapter is gone." in done.stderr


@pytest.mark.parametrize(
    "words", [["submit", "fake"], ["submit", "fake", "t", "--param", "x"], ["submit", "fake", "t", "--wait", "-1"]]
)
def test_a_wrong_command_line_is_exit_code_2(run, words):
    assert run(*words).exit_code == 2


def test_status_finds_a_job_or_a_batch(run, server):
    server.on("GET /api/v1/jobs/j1", DONE)
    server.on("GET /api/v1/batches/b1", RUNNING)

    assert "succeeded" in run("status", "j1").stdout
    assert "not counted yet: 2 queued, 1 succeeded" in run("status", "b1").stdout
    assert json.loads(run("status", "b1", "--json").stdout) == RUNNING


def test_status_of_nothing_is_exit_code_5(run):
    done = run("status", "no/such thing")

    assert done.exit_code == 5
    assert "no/such thing" in done.stderr


def test_cancel_posts_to_what_the_id_belongs_to(run, server):
    server.on("GET /api/v1/batches/b1", RUNNING)
    server.on("POST /api/v1/batches/b1/cancel", RUNNING | {"status": "canceling"})

    done = run("cancel", "b1")

    assert done.exit_code == 0
    assert "canceling" in done.stdout


def test_a_batch_is_uploaded_watched_and_fetched(run, server, tmp_path):
    (tmp_path / "r.csv").write_text("ref,review\n1,good\n", encoding="utf-8")
    server.on("POST /api/v1/batches", RUNNING, status=202)
    server.on("GET /api/v1/batches/b1", RUNNING, BATCH)
    server.on("GET /api/v1/batches/b1/results", b"ref,review,label\n1,good,even\n")
    out = tmp_path / "results.csv"

    done = run(
        *("batch", "fake", str(tmp_path / "r.csv"), "--input", "text=review", "--id-column", "ref"),
        *("--param", "top_k=1", "--out", str(out), "--on-invalid-rows", "skip"),
    )

    assert done.exit_code == 0, done.output
    assert out.read_text(encoding="utf-8") == "ref,review,label\n1,good,even\n"
    assert "completed: 3 in all: 3 succeeded" in done.stderr
    ((headers, body),) = server.sent("POST /api/v1/batches")
    assert headers["Content-Type"].startswith("multipart/form-data")
    assert b'name="file"; filename="r.csv"' in body
    assert b"ref,review\n1,good\n" in body
    sent = json.loads(body.split(b"\r\n\r\n")[1].split(b"\r\n--")[0])
    assert sent == {
        "pipeline": "fake", "parameters": {"top_k": 1}, "inputs": {"text": "review"}, "id_column": "ref",
        "on_invalid_rows": "skip",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("end", "exit_code"),
    [
        (BATCH | {"counts": COUNTS | {"succeeded": 2, "failed": 1}}, 1),
        (BATCH | {"status": "canceled"}, 1),
        (BATCH | {"status": "failed", "errors": [{"line": 3, "message": "Not a row."}]}, 1),
        (BATCH, 0),
    ],
)
def test_a_watched_batch_ends_with_how_its_rows_ended(run, server, tmp_path, end, exit_code):
    (tmp_path / "r.csv").write_text("text\ngood\n", encoding="utf-8")
    server.on("POST /api/v1/batches", end, status=202)

    done = run("batch", "fake", str(tmp_path / "r.csv"), "--watch")

    assert done.exit_code == exit_code
    assert ("line 3: Not a row." in done.stdout) == bool(end["errors"])
    assert ("3 read: 0 invalid, none ran" in done.stdout) == (end["status"] == "failed")


def test_a_batch_that_is_only_handed_in_is_exit_code_0(run, server, tmp_path):
    (tmp_path / "r.csv").write_text("text\ngood\n", encoding="utf-8")
    server.on("POST /api/v1/batches", RUNNING, status=202)

    done = run("batch", "fake", str(tmp_path / "r.csv"), "--json")

    assert done.exit_code == 0
    assert json.loads(done.stdout) == RUNNING


def test_how_a_file_is_read_can_be_said(run, server, tmp_path):
    (tmp_path / "r.csv").write_text("good\t1\n", encoding="utf-8")
    server.on("POST /api/v1/batches", RUNNING, status=202)
    words = ("--format", "csv", "--encoding", "windows-1250", "--delimiter", "tab", "--no-header", "-i", "text=0")

    assert run("batch", "fake", str(tmp_path / "r.csv"), *words).exit_code == 0
    ((_, body),) = server.sent("POST /api/v1/batches")
    assert json.loads(body.split(b"\r\n\r\n")[1].split(b"\r\n--")[0]) == {
        "pipeline": "fake", "parameters": {}, "inputs": {"text": 0}, "format": "csv", "encoding": "windows-1250",
        "delimiter": "\t", "header": False,
    }  # fmt: skip


def test_the_sheet_of_a_workbook_and_the_lines_above_its_table_can_be_said(run, server, tmp_path):
    (tmp_path / "r.xlsx").write_bytes(b"PK")
    server.on("POST /api/v1/batches", RUNNING, status=202)

    assert run("batch", "fake", str(tmp_path / "r.xlsx"), "--sheet", "May 2026", "--skip-lines", "3").exit_code == 0
    ((_, body),) = server.sent("POST /api/v1/batches")
    sent = json.loads(body.split(b"\r\n\r\n")[1].split(b"\r\n--")[0])
    assert (sent["sheet"], sent["skip_lines"]) == ("May 2026", 3)


REPORT = {
    "object": "batch_report", "pipeline": "fake", "valid": False, "format": "xlsx", "encoding": None,
    "delimiter": None, "compression": None, "sheet": "May", "sheets": ["April", "May"], "skip_lines": 2,
    "columns": ["text", "n"], "inputs": {"text": "text"}, "id_column": None, "counts": {"total": 3, "invalid": 1},
    "rows": [{"row": 0, "line": 4, "inputs": {"text": "mild"}, "parameters": {}, "id": None}],
    "errors": [{"row": 1, "line": 5, "code": "missing_field", "message": "Not a row."}], "error": None,
    "estimate": None,
}  # fmt: skip


def test_a_dry_run_says_how_a_file_is_read_and_runs_nothing(run, server, tmp_path):
    (tmp_path / "r.xlsx").write_bytes(b"PK")
    server.on("POST /api/v1/batches/validate", REPORT)

    done = run("batch", "fake", str(tmp_path / "r.xlsx"), "--sheet", "May", "--dry-run")
    assert done.exit_code == 1
    words = (
        "xlsx", "May (of April, May)", "lines above  2", "text, n", "from text", "3 in all: 1 invalid", "mild",
        "line 5: Not a row.",
    )  # fmt: skip
    for word in words:
        assert word in done.stdout
    assert server.sent("POST /api/v1/batches") == []

    server.on("POST /api/v1/batches/validate", REPORT | {"valid": True})
    done = run("batch", "fake", "--dataset", "bakers/reviews", "--dry-run", "--json")
    assert (done.exit_code, json.loads(done.stdout)["valid"]) == (0, True)
    _, (_, body) = server.sent("POST /api/v1/batches/validate")
    assert json.loads(body)["dataset"] == {"name": "bakers/reviews"}


def test_a_dry_run_of_what_cannot_be_used_says_why(run, server, tmp_path):
    (tmp_path / "r.xlsx").write_bytes(b"PK")
    nothing = {"sheet": None, "skip_lines": None, "columns": [], "inputs": {}, "rows": [], "errors": []}
    error = {"row": None, "line": None, "code": "invalid_value", "field": "sheet", "message": "No such sheet."}
    server.on("POST /api/v1/batches/validate", REPORT | nothing | {"error": error})

    done = run("batch", "fake", str(tmp_path / "r.xlsx"), "--sheet", "Mai", "--dry-run")
    assert done.exit_code == 1
    for word in ("- (of April, May)", "No such sheet."):
        assert word in done.stdout


def test_watching_outlives_a_server_that_is_restarted(run, server, tmp_path):
    (tmp_path / "r.csv").write_text("text\ngood\n", encoding="utf-8")
    server.on("POST /api/v1/batches", RUNNING, status=202)
    server.answers["GET /api/v1/batches/b1"] = [(503, error("unavailable", "Soon.")), (200, BATCH)]

    assert run("batch", "fake", str(tmp_path / "r.csv"), "--watch").exit_code == 0


def test_watching_gives_up_on_a_server_that_stays_away(run, server, tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "_PATIENCE", 0.0)
    (tmp_path / "r.csv").write_text("text\ngood\n", encoding="utf-8")
    server.on("POST /api/v1/batches", RUNNING, status=202)
    server.on("GET /api/v1/batches/b1", error("unavailable", "Gone."), status=503)

    done = run("batch", "fake", str(tmp_path / "r.csv"), "--out", str(tmp_path / "my results.csv"))

    assert done.exit_code == 3
    assert f"The batch is kept: fournil results b1 --out '{tmp_path}/my results.csv'" in done.stderr


def test_results_go_to_stdout_or_to_a_file(run, server, tmp_path):
    server.on("GET /api/v1/batches/b1/results", b'{"label": "even"}\n')

    assert run("results", "b1", "--format", "jsonl", "--columns", "results").stdout == '{"label": "even"}\n'
    assert server.requests[-1][0].endswith("?format=jsonl&columns=results&numbered=true")
    run("results", "b1", "--out", str(tmp_path / "r.jsonl"), "--status", "failed")
    assert (tmp_path / "r.jsonl").read_bytes() == b'{"label": "even"}\n'
    assert server.requests[-1][0].endswith("?format=jsonl&status=failed&numbered=true")


def test_results_of_nothing_leave_no_file(run, tmp_path):
    done = run("results", "b1", "--out", str(tmp_path / "r.csv"))

    assert done.exit_code == 5
    assert list(tmp_path.iterdir()) == []


def test_pipelines_are_listed_and_shown(run, server):
    server.on("GET /api/v1/pipelines", {"data": [PIPELINE]})

    assert "text-classification" in run("pipelines").stdout
    assert "text-classification" in run("pipelines", "list").stdout
    assert json.loads(run("pipelines", "--json").stdout)["data"][0]["name"] == "fake"
    shown = run("pipelines", "show", "fake").stdout
    assert "parameter top_k" in shown
    assert "sigmoid | softmax | none" in shown
    assert json.loads(run("pipelines", "show", "fake", "--json").stdout) == PIPELINE
