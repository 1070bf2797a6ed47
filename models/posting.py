"""Posts to a URL that a caller named, under the rules by which such URLs are fetched (models/fetching.py).

No redirect is followed and nothing of the answer but its status is read: whoever names the URL learns no more of what
stands behind it.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Mapping
from urllib.parse import SplitResult

import httpcore

from models.fetching import Checked, checked_url, refuse_private


class Unanswered(Exception):
    """Nothing answered in time, or not in HTTP; the message is a sentence."""


def post(url: str, body: bytes, headers: Mapping[str, str], *, seconds: float, private: bool) -> int:
    """The status of the answer. Raises Refused, whose message ends the sentence 'This URL …', and Unanswered."""
    parts = checked_url(url)
    ends = time.monotonic() + seconds
    sent = [("Host", parts.netloc), ("User-Agent", "fournil"), ("Content-Length", str(len(body))), *headers.items()]
    try:
        with (
            httpcore.ConnectionPool(network_backend=Checked(ends, private=private)) as pool,
            pool.stream("POST", url, headers=sent, content=body) as response,
        ):
            return response.status
    except (httpcore.TimeoutException, TimeoutError) as error:
        raise Unanswered(f"It did not answer within {seconds:g} s.") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        raise Unanswered("It cannot be reached, or does not speak HTTP as it should.") from error


def look_at(url: str, *, private: bool) -> None:
    """Refuse a URL that could never be posted to; names are looked up when it is, for that may take seconds."""
    parts = checked_url(url)
    if private:
        return
    for address in _written_out(parts):
        refuse_private(address)


def _written_out(parts: SplitResult) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The address that a host is written as, in whatever notation; none for a name that must be looked up."""
    host = (parts.hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return [ipaddress.ip_address("127.0.0.1")]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return []
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
