"""Webhooks: the events that somebody else's server is told of, and the settings of telling it."""

from __future__ import annotations

import base64
import binascii
import dataclasses

from contract.options import BOOL, Form, option, seconds, whole
from contract.statuses import BATCH_OVER, JOB_OVER

#: What may be asked for, by what it is asked of; ANY_END is short for all of them.
ANY_END = "completed"
JOB_EVENTS = tuple(f"job.{status}" for status in sorted(JOB_OVER))
BATCH_EVENTS = tuple(f"batch.{status}" for status in sorted(BATCH_OVER))
_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)


def _read_secret(text: str) -> str:
    """As Standard Webhooks writes one; the library would read almost anything, and sign with what is left of it."""
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(text) from error
    if not text.startswith(_PREFIX) or len(key) not in _KEY_BYTES:
        raise ValueError(text)
    return text


SECRET = Form("whsec_ and 24 to 64 random bytes in base64 (`echo whsec_$(openssl rand -base64 32)`)", _read_secret)


@dataclasses.dataclass(frozen=True)
class Webhooks:
    """Whether and how the end of a job or a batch is told to a URL that its caller gave."""

    secret: str = option(
        "WEBHOOK_SECRET",
        SECRET,
        "",
        "What webhooks are signed with (Standard Webhooks); whoever receives them verifies with the same. Every "
        "process needs it. Empty: requests with a webhook are refused.",
        secret=True,
    )
    private: bool = option(
        "WEBHOOK_PRIVATE",
        BOOL,
        False,
        "true: webhooks may go to loopback, link-local and private addresses. Whoever may submit a job then sends "
        "POSTs to what only this machine should reach.",
    )
    seconds: float = option(
        "WEBHOOK_SECONDS",
        seconds(0.5, 60),
        10.0,
        "How long a receiver may take to answer. A slow one holds one of the 16 places of an upkeep node so long.",
    )
    tries: int = option(
        "WEBHOOK_TRIES",
        whole(1, 20),
        15,
        "Times a webhook is sent before it is given up; the pauses grow from 2 seconds to at most 6 hours. 15 take "
        "about half a day.",
    )
