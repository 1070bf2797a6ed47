"""The server's JSON API as a command sees it: answers as dicts, everything else as an exit code and a sentence."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import IO, Any

import httpx

from cli.exits import Broken, NotFound, Refused, Unreachable
from contract.jsons import dumps, loads

Json = dict[str, Any]
#: The longest the server lets one request wait.
LONGEST_WAIT = 60
_SLACK = 30.0
_LEAST_PAUSE = 0.1


class Api:
    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        timeout = httpx.Timeout(_SLACK, connect=5.0)
        headers = {"User-Agent": "fournil"}
        with self._sentences():
            self._client = httpx.Client(base_url=f"{self.url}/api/v1", timeout=timeout, headers=headers)

    def get(self, path: str, *, wait: float = 0, **params: Any) -> Json:
        return self._call("GET", path, wait=wait, params=_given(params))

    def post(self, path: str, body: Any = None, *, patience: float | None = None) -> Json:
        """`patience`: seconds that an answer may take which has more to do than most."""
        request: dict[str, Any] = {} if patience is None else {"timeout": httpx.Timeout(patience, connect=5.0)}
        if body is not None:
            request |= {"headers": {"Content-Type": "application/json"}, "content": dumps(body).encode()}
        return self._call("POST", path, **request)

    def upload(self, path: str, *, request: Json, name: str, file: IO[bytes]) -> Json:
        """multipart/form-data in two parts, read from `file` piece by piece as the socket takes it."""
        parts = [
            ("request", (None, dumps(request), "application/json")),
            ("file", (name, file, "application/octet-stream")),
        ]
        timeout = httpx.Timeout(None, connect=5.0, read=300.0)
        return self._call("POST", path, files=parts, timeout=timeout)

    @contextlib.contextmanager
    def stream(self, path: str, **params: Any) -> Iterator[httpx.Response]:
        """An answer that is no error, its body still to be read."""
        timeout = httpx.Timeout(300.0, connect=5.0)
        with self._sentences(), self._client.stream("GET", path, params=_given(params), timeout=timeout) as answer:
            if answer.is_error:
                answer.read()
                raise _problem(answer)
            yield answer

    def wait_until_over(self, job: Json, over: frozenset[str], *, end: float) -> Json:
        """Long-poll a job until its status is one of `over` or `time.monotonic()` is `end`; how it stood last."""
        while job["status"] not in over and (left := end - time.monotonic()) > 0:
            asked = time.monotonic()
            job = self.get(f"/jobs/{job['id']}", wait=left)
            if job["status"] not in over:
                # A server with no room for another long poll answers at once.
                time.sleep(max(0.0, min(left, asked + _LEAST_PAUSE - time.monotonic())))
        return job

    def _call(self, method: str, path: str, *, wait: float = 0, **request: Any) -> Json:
        if wait >= 1:
            request["headers"] = {**request.get("headers", {}), "Prefer": f"wait={int(min(LONGEST_WAIT, wait))}"}
            request["timeout"] = httpx.Timeout(LONGEST_WAIT + _SLACK, connect=5.0)
        return _json(self.ask(method, path, **request))

    def ask(self, method: str, path: str, *, taken: tuple[int, ...] = (), **request: Any) -> httpx.Response:
        """An answer that is no error, or has one of the statuses `taken`."""
        with self._sentences():
            answer = self._client.request(method, path, **request)
        if answer.is_error and answer.status_code not in taken:
            raise _problem(answer)
        return answer

    @contextlib.contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError as error:
            hint = "Start one with `fournil up`, or name another with --url or FOURNIL_URL."
            raise Unreachable(f"No server answers at {self.url}. {hint}") from error
        except httpx.TimeoutException as error:
            raise Unreachable(f"The server at {self.url} did not answer in time.") from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise Broken(f"The connection to {self.url} broke.") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Unreachable(f"{self.url} is not the URL of a server.") from error


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _json(answer: httpx.Response) -> Json:
    try:
        value: Json = loads(answer.content)
    except ValueError as error:
        raise Unreachable(f"{answer.url} answers, but not as Fournil does.") from error
    return value


def _problem(answer: httpx.Response) -> Unreachable | Refused | NotFound:
    message = _message(answer)
    if answer.status_code == httpx.codes.NOT_FOUND:
        return NotFound(message)
    return Refused(message) if answer.is_client_error else Unreachable(message)


def _message(answer: httpx.Response) -> str:
    """The server's own sentence, and the id by which its operator finds the request."""
    try:
        body = loads(answer.content)
        message = str(body["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"The server answered {answer.status_code}, but not as Fournil does."
    if answer.is_server_error and body.get("request_id"):
        message += f" (request {body['request_id']})"
    return message
