"""A stand-in for the Hugging Face Hub on loopback: dataset repositories as folders, each at one commit."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

COMMIT = "a" * 40


class Hub:
    """`root` holds `owner/name/files`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = ""
        #: Requests as `METHOD path`, and whether every one is answered 503.
        self.seen: list[str] = []
        self.is_down = False

    def add(self, name: str, **files: bytes | str) -> Path:
        folder = self.root / name
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data if isinstance(data, bytes) else data.encode())
        return folder


def parquet_of(
    folder: Path, name: str, columns: dict[str, Any], *, group: int = 1_000, files: dict[str, str] | None = None
) -> None:
    """`files`: which columns are of files, each with the name of its feature (Image, Audio, ...)."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if files:
        plain = {column: {"_type": "Value", "dtype": str(table[column].type)} for column in columns}
        features = plain | {column: {"_type": kind} for column, kind in files.items()}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, row_group_size=group)


@contextlib.contextmanager
def stub_hub(root: Path) -> Iterator[Hub]:
    hub = Hub(root)

    class Handler(_Handler):
        about = hub

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class _Handler(http.server.BaseHTTPRequestHandler):
    about: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._handle()

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.about.seen.append(f"{self.command} {self.path}")
        if self.about.is_down:
            self._send(503, b"")
            return
        url = urlsplit(self.path)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        if parts[:2] == ["api", "datasets"]:
            self._api("/".join(parts[2:4]), parts[4:], body)
        elif parts[:1] == ["datasets"] and parts[3:4] == ["resolve"]:
            self._file("/".join(parts[1:3]), parts[4], "/".join(parts[5:]))
        else:
            self._send(404, b"{}")

    def _folder(self, name: str, revision: str) -> Path | None:
        folder = self.about.root / name
        if not folder.is_dir():
            self._send(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
            return None
        if revision not in ("main", COMMIT):
            self._send(404, b'{"error": "Invalid rev id"}', {"X-Error-Code": "RevisionNotFound"})
            return None
        return folder

    def _api(self, name: str, rest: list[str], body: bytes) -> None:
        revision = rest[1] if len(rest) > 1 else "main"
        folder = self._folder(name, revision)
        if folder is None:
            return
        if not rest or rest[0] == "revision":
            files = [{"rfilename": str(path.relative_to(folder))} for path in sorted(folder.rglob("*"))]
            self._json({"_id": "1", "id": name, "sha": COMMIT, "siblings": files, "private": False, "tags": []})
        elif rest[0] == "tree":
            at = folder / "/".join(rest[2:])
            recursive = "recursive=True" in self.path or "recursive=true" in self.path
            if not at.is_dir():
                self._send(404, b'{"error": "no"}', {"X-Error-Code": "EntryNotFound"})
                return
            found = sorted(at.rglob("*") if recursive else at.iterdir())
            self._json([_entry(folder, path) for path in found])
        elif rest[0] == "paths-info":
            fields = json.loads(body) if body.startswith(b"{") else parse_qs(body.decode())
            paths = fields["paths"] if isinstance(fields["paths"], list) else [fields["paths"]]
            self._json([_entry(folder, folder / path) for path in paths if (folder / path).exists()])
        else:
            self._send(404, b"{}")

    def _file(self, name: str, revision: str, path: str) -> None:
        folder = self._folder(name, revision)
        if folder is None:
            return
        file = folder / path
        if not file.is_file():
            self._send(404, b"Entry not found", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        data = file.read_bytes()
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(data).hexdigest()}"', "Accept-Ranges": "bytes"}
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes="):
            first, _, last = asked[6:].partition("-")
            begin, end = int(first), min(int(last) if last else len(data) - 1, len(data) - 1)
            headers["Content-Range"] = f"bytes {begin}-{end}/{len(data)}"
            self._send(206, data[begin : end + 1], headers)
        else:
            self._send(200, data, headers)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    name = str(path.relative_to(folder))
    if path.is_dir():
        return {"type": "directory", "oid": "0" * 40, "size": 0, "path": name}
    return {
        "type": "file",
        "oid": hashlib.sha1(path.read_bytes()).hexdigest(),
        "size": path.stat().st_size,
        "path": name,
    }
