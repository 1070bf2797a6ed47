"""Fetches a URL that a caller named, and nothing that only this machine should reach.

A name is resolved once, every address it stands for is looked at, and the connection goes to the address that was
looked at: a name that answers differently the next time (DNS rebinding) gains nothing. Each hop of a redirect is a
new URL under the same rules. Bytes, hops and seconds are bounded, those spent waiting for a single byte included.
"""

from __future__ import annotations

import concurrent.futures
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import httpcore

from contract.errors import ErrorCode, FournilError, RequestError
from contract.media import Media

_MOST_HOPS = 5
_MOVED = (301, 302, 303, 307, 308)
#: Fetches of one process at once: each holds a thread that could answer a request.
_AT_ONCE = 16
_PORTS = {"http": 80, "https": 443}
#: Addresses of IPv4 inside IPv6, which a gateway may lead to a private one.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

_turns = threading.BoundedSemaphore(_AT_ONCE)
_names = concurrent.futures.ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="names")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Refused(Exception):
    """The message is the end of the sentence 'This URL …'."""


@contextmanager
def fetched(
    url: str, limits: Media, *, kind: str, field: str, ends: float | None = None
) -> Iterator[Iterator[bytes]]:
    """The body behind `url`, in pieces; raises RequestError that names `field`, also while they are read.

    `ends`: until when on the monotonic clock, where several share their time.
    """
    if not limits.fetch:
        message = "This server fetches no URLs. Send the file as a part, as base64 or as a file_id."
        raise RequestError(ErrorCode.INVALID_VALUE, message, field=field)
    if not _turns.acquire(blocking=False):
        raise FournilError(ErrorCode.OVERLOADED, "Too many URLs are being fetched. Try again in a moment.")
    try:
        with _Fetch(limits, kind, ends or time.monotonic() + limits.fetch_seconds) as fetch:
            yield fetch.body(url)
    except Refused as refused:
        raise RequestError(ErrorCode.INVALID_VALUE, f"This URL {refused}", field=field) from refused
    except (httpcore.TimeoutException, TimeoutError) as error:
        message = f"Fetching took longer than the {limits.fetch_seconds:g} s that it may."
        raise RequestError(ErrorCode.INVALID_VALUE, message, field=field) from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        message = "This URL could not be fetched: its server cannot be reached, or does not speak HTTP as it should."
        raise RequestError(ErrorCode.INVALID_VALUE, message, field=field) from error
    finally:
        _turns.release()


class _Fetch:
    def __init__(self, limits: Media, kind: str, ends: float) -> None:
        self._limits = limits
        self._most_bytes = limits.most_bytes(kind)
        self._ends = ends
        self._pool = httpcore.ConnectionPool(network_backend=Checked(self._ends, private=limits.fetch_private))

    def __enter__(self) -> _Fetch:
        return self

    def __exit__(self, *_error: object) -> None:
        self._pool.close()

    def body(self, url: str) -> Iterator[bytes]:
        for _ in range(_MOST_HOPS + 1):
            parts = checked_url(url)
            with self._pool.stream("GET", url, headers=_headers(parts)) as response:
                if response.status in _MOVED:
                    url = urljoin(url, _header(response, b"location"))
                    continue
                if response.status != 200:
                    raise Refused(f"was answered with status {response.status}.")
                yield from self._pieces(response)
                return
        raise Refused(f"leads on more than {_MOST_HOPS} times.")

    def _pieces(self, response: httpcore.Response) -> Iterator[bytes]:
        left = self._most_bytes
        for piece in response.iter_stream():
            left -= len(piece)
            if left < 0:
                raise Refused(f"leads to more than {self._most_bytes:,} bytes, the most this server takes.")
            yield piece


def checked_url(url: str) -> SplitResult:
    """The parts of a URL that may be asked; raises Refused."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise Refused("is not one that can be read.") from error
    if parts.scheme not in _PORTS:
        raise Refused("must begin with http:// or https://.")
    if not host or port == 0 or not url.isascii() or any(c.isspace() for c in url):
        raise Refused("must name a host, and hold neither blanks nor letters that are not ASCII.")
    if parts.username is not None or parts.password is not None:
        raise Refused("must not hold a name and a password.")
    return parts


def _headers(parts: SplitResult) -> list[tuple[str, str]]:
    # identity: what is small on the way and large when it is unpacked would pass the limit of bytes.
    return [("Host", parts.netloc), ("User-Agent", "fournil"), ("Accept", "*/*"), ("Accept-Encoding", "identity")]


def _header(response: httpcore.Response, name: bytes) -> str:
    found = next((value for key, value in response.headers if key.lower() == name), None)
    if found is None:
        raise Refused("leads on, but does not say where to.")
    return found.decode("latin-1")


class Checked(httpcore.NetworkBackend):
    """Connects to addresses that were looked at, until a moment that no wait outlasts."""

    def __init__(self, ends: float, *, private: bool) -> None:
        self._ends = ends
        self._private = private
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        addresses = _resolve(host, port, _left(self._ends))
        if not self._private:
            for address in addresses:
                refuse_private(address)
        stream = self._plain.connect_tcp(str(addresses[0]), port, _left(self._ends), local_address, socket_options)
        return _Timed(stream, self._ends)

    def connect_unix_socket(self, path: str, timeout: float | None = None, socket_options: Any = None) -> Any:
        raise Refused("must lead to a host.")

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class _Timed(httpcore.NetworkStream):
    """A stream whose every wait ends when the fetch must."""

    def __init__(self, stream: httpcore.NetworkStream, ends: float) -> None:
        self._stream = stream
        self._ends = ends

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._ends))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._ends))

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _Timed:
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, _left(self._ends)), self._ends)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _resolve(host: str, port: int, seconds: float) -> list[Address]:
    """Every address of a name, in a thread because a resolver knows no limit of time."""
    asked = _names.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = asked.result(seconds)
    except (socket.gaierror, UnicodeError) as error:
        raise Refused("names a host that is not known.") from error
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def refuse_private(address: Address) -> None:
    """Raises Refused for an address that not anybody can reach."""
    for one in _inside(address):
        if not one.is_global or one.is_multicast or one.is_reserved:
            raise Refused("leads to an address that is not public, which this server does not ask.")


def _inside(address: Address) -> Iterator[Address]:
    """An address, and those of IPv4 that it may stand for."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        yield from (one for one in inner if one is not None)
