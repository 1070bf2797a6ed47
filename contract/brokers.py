"""What all processes that share a broker say alike: its URL for Celery, its queues, and how long messages live."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

from kombu import Exchange, Queue

#: Seconds until a message that nobody acknowledged is delivered again. The smallest that any process says wins; a
#: message lives no longer than one slice and one microbatch.
VISIBILITY_SECONDS = 3600


def celery_url(url: str) -> str:
    """`url` as kombu writes it: a unix socket has another scheme and other words for its database."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    words = {"db": "virtual_host"}
    query = urlencode([(words.get(key, key), value) for key, value in parse_qsl(parts.query)])
    account = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return f"redis+socket://{account}{parts.path}" + (f"?{query}" if query else "")


def direct(name: str) -> Queue:
    """A queue on the default exchange: a message reaches its list even after the broker was emptied.

    On a named exchange kombu looks the binding up in the broker, and an emptied broker has none.
    """
    return Queue(name, Exchange(""), routing_key=name)
