"""The postman: tells whoever asked that a job or a batch is over. One signed POST (Standard Webhooks), repeated with
growing pauses until it is answered with 2xx, refused for good with 410, or was tried often enough.

Receivers are slow, and the process also reads files and sweeps: each try has a thread of its own. The row says what
is due and when; a message or a sweep only brings its id. What a killed process had in hand is due again by itself.
No host has more than a few of the threads (worker/satchel.py).
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from celery.utils.time import get_exponential_backoff_interval
from standardwebhooks import Webhook

from contract.jsons import dumps
from contract.logs import get_logger
from contract.times import rfc3339, utc_now
from contract.webhooks import Webhooks
from models import webhooks
from models.database import reading, transaction
from models.fetching import Refused
from models.posting import Unanswered, post
from models.webhooks import Delivery, State
from worker.satchel import Satchel, host_of

log = get_logger(__name__)

#: Tries of one process at once.
AT_ONCE = 16
#: A look goes through so many of those that are due: most may be of one host, and stay in the table.
_LOOKED_THROUGH = 10_000
_PAUSE, _LONGEST_PAUSE = 2, 6 * 3600
#: Seconds after its time until a try that nobody settled may be repeated.
_GRACE = 5.0
#: A host is slow whose last try took this part of the time it had.
_SLOW = 0.5
_GONE = 410


class Postman:
    """`again(id, seconds)` asks for one to be brought again; that may be forgotten: the next sweep brings it too."""

    def __init__(self, engine: sa.Engine, settings: Webhooks, again: Callable[[str, float], None]) -> None:
        self._engine = engine
        self._settings = settings
        self._again = again
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="postman")
        self._satchel = Satchel()

    def look(self) -> None:
        """Bring along all that is due."""
        with reading(self._engine) as conn:
            found = webhooks.due(conn, now=utc_now(), limit=_LOOKED_THROUGH)
        self._bring(found)

    def bring(self, ids: Sequence[str]) -> None:
        """Try these soon, each once; returns at once. Those for which there is no room stay due."""
        with reading(self._engine) as conn:
            found = webhooks.due(conn, now=utc_now(), limit=len(ids), of=ids)
        self._bring(found)

    def _bring(self, found: Iterable[tuple[str, str]]) -> None:
        if not self._settings.secret:
            return
        for webhook_id, url in found:
            host = host_of(url)
            if self._satchel.begin(webhook_id, host):
                self._threads.submit(self._try, webhook_id, host)

    def stop(self) -> None:
        """Begin nothing more. What is in hand ends, within its time."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _try(self, webhook_id: str, host: str) -> None:
        began, pause = time.monotonic(), None
        try:
            pause = self.deliver(webhook_id)
        except Exception:
            log.exception("A webhook could not be looked after; the sweep tries again.", webhook=webhook_id)
        slow = time.monotonic() - began >= _SLOW * self._settings.seconds
        following = self._satchel.end(webhook_id, host, slow=slow)
        if following is not None:
            # Behind what other hosts wait for. Nothing more is begun once the postman stops.
            with contextlib.suppress(RuntimeError):
                self._threads.submit(self._try, following, host)
        if pause is not None:
            self._again(webhook_id, pause)

    def deliver(self, webhook_id: str) -> float | None:
        """One try, if it is due; seconds until the next one, None where there is none."""
        now = utc_now()
        until = now + timedelta(seconds=self._settings.seconds + _GRACE)
        delivery = transaction(
            self._engine, lambda conn: webhooks.take(conn, webhook_id, until=until, now=now), lasting=False
        )
        if delivery is None:
            return None
        with reading(self._engine) as conn:
            row = webhooks.subject(conn, delivery)
        if row is None:
            # Deleted, or a batch that runs again: its next end is told.
            return None
        news = _news(row, of_job=delivery.job_id is not None)
        event = f"{news['object']}.{news['status']}"
        if delivery.events is not None and event not in delivery.events:
            self._settle(delivery, State.UNWANTED)
            return None
        return self._send(delivery, {"type": event, "timestamp": rfc3339(row.finished_at), "data": news})

    def _send(self, delivery: Delivery, message: dict[str, Any]) -> float | None:
        status, problem = None, None
        try:
            status = self._post(delivery, dumps(message))
        except Refused as refused:
            problem = f"This URL {refused}"
        except Unanswered as error:
            problem = str(error)
        if status is not None and 200 <= status < 300:
            self._settle(delivery, State.DELIVERED, answered=status)
            return None
        if status == _GONE or delivery.tries >= self._settings.tries:
            log.warning("A webhook was given up.", webhook=delivery.id, answered=status, problem=problem)
            self._settle(delivery, State.GIVEN_UP, answered=status, problem=problem or _said(status))
            return None
        pause = pause_after(delivery.tries)
        self._settle(delivery, State.DUE, pause=pause, answered=status, problem=problem or _said(status))
        return pause

    def _post(self, delivery: Delivery, body: str) -> int:
        settings, now = self._settings, utc_now()
        # No full stop: they part what is signed.
        name = f"{delivery.id}-{delivery.round}"
        headers = {
            "Content-Type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(settings.secret).sign(name, now, body),
        }
        return post(delivery.url, body.encode(), headers, seconds=settings.seconds, private=settings.private)

    def _settle(self, delivery: Delivery, state: State, **how: Any) -> None:
        transaction(self._engine, lambda conn: webhooks.settle(conn, delivery, state, now=utc_now(), **how))


def pause_after(tries: int) -> float:
    """Seconds until the next try: they double, and are spread so that what failed together does not return so."""
    longest = get_exponential_backoff_interval(_PAUSE, tries - 1, _LONGEST_PAUSE)
    return random.uniform(longest / 2, longest)


def _said(status: int | None) -> str:
    return f"It answered with status {status}."


def _news(row: Any, *, of_job: bool) -> dict[str, Any]:
    """What is said of a job or batch: enough to know whether and where to look, and nothing of its results."""
    kind, folder = ("job", "jobs") if of_job else ("batch", "batches")
    return {
        "object": kind,
        "id": row.id,
        "pipeline": row.pipeline,
        "status": row.status,
        "metadata": row.metadata or {},
        **(_error(row) if of_job else _counts(row)),
        "created_at": rfc3339(row.created_at),
        "finished_at": rfc3339(row.finished_at),
        "urls": {"self": f"/api/v1/{folder}/{row.id}"},
    }


def _error(row: Any) -> dict[str, Any]:
    return {"error": None if row.error_code is None else {"code": row.error_code, "message": row.error_message}}


def _counts(row: Any) -> dict[str, Any]:
    """None of a file that could not be used."""
    return {"counts": None if row.tally is None else {"total": row.total, **row.tally}}
