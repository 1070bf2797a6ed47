"""Concurrent callers over HTTP, as light as possible: raw connections kept open, one request at a time on each."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence


@dataclasses.dataclass(frozen=True)
class Target:
    """Where requests go. Every body is sent as it is; `headers` are whole lines."""

    port: int
    path: str
    bodies: Sequence[bytes]
    headers: Sequence[str] = ()

    def requests(self) -> Iterator[bytes]:
        """The bodies one after the other, for ever."""
        lines = ["Host: 127.0.0.1", "Content-Type: application/json", *self.headers]
        for body in itertools.cycle(self.bodies):
            head = f"POST {self.path} HTTP/1.1\r\n" + "\r\n".join([*lines, f"Content-Length: {len(body)}"])
            yield head.encode() + b"\r\n\r\n" + body


@dataclasses.dataclass(frozen=True)
class Driven:
    #: Seconds of each call that ended in time.
    seconds: list[float]
    calls_per_second: float
    #: All that were answered, those of the warm-up and after the end too.
    answered: int


class Refused(Exception):
    """An answer that is not a 200; the message holds its beginning."""


def drive(target: Target, *, callers: int, seconds: float, warm_up: float = 1.0) -> Driven:
    """So many callers for so long, each asking again as soon as it is answered. Raises Refused, OSError."""
    return asyncio.run(_drive(target, callers, seconds, warm_up))


def ask(target: Target) -> bytes:
    """The body of one answer."""
    return asyncio.run(_ask(target))


async def _ask(target: Target) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    writer.write(next(target.requests()))
    body = await asyncio.wait_for(_answer(reader), 120)
    writer.close()
    return body


async def _drive(target: Target, callers: int, seconds: float, warm_up: float) -> Driven:
    begins = time.perf_counter() + warm_up
    ends, taken = begins + seconds, list[tuple[float, float]]()
    requests = target.requests()

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        while (start := time.perf_counter()) < ends:
            writer.write(next(requests))
            await _answer(reader)
            taken.append((start, time.perf_counter()))
        writer.close()

    await asyncio.wait_for(asyncio.gather(*(caller() for _ in range(callers))), warm_up + seconds + 120)
    # Counted by when they end; those still open at the end are nobody's.
    counted = [(start, end) for start, end in taken if begins <= end <= ends]
    return Driven([end - start for start, end in counted], len(counted) / seconds, len(taken))


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"transfer-encoding: chunked" in head:
        body = await _chunks(reader)
    else:
        body = await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
    if not head.startswith((b"http/1.1 200", b"http/1.1 201")):
        raise Refused((head.split(b"\r\n")[0] + b" " + body[:300]).decode(errors="replace"))
    return body


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    pieces = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        pieces.append((await reader.readexactly(size + 2))[:-2])
    await reader.readuntil(b"\r\n")
    return b"".join(pieces)
