"""Connections to the broker, for redis-py and for Celery, none of which may hold a request for long."""

from __future__ import annotations

import redis
from celery import Celery
from redis.backoff import NoBackoff
from redis.retry import Retry

from contract.brokers import VISIBILITY_SECONDS, celery_url
from contract.settings import Broker

SOCKET_SECONDS = 2.0


def connect(url: str, *, read_timeout: float | None = SOCKET_SECONDS) -> redis.Redis:
    """A client whose every call is bounded; one retry, because a pooled connection may be stale."""
    return redis.Redis.from_url(
        url,
        socket_timeout=read_timeout,
        # A unix socket knows neither; a peer on another machine may vanish without a word.
        **({} if url.startswith("unix:") else {"socket_connect_timeout": SOCKET_SECONDS, "socket_keepalive": True}),
        health_check_interval=10,
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )


def producer(broker: Broker) -> Celery:
    """A Celery app without tasks: it sends messages by name and knows nobody's code."""
    app = Celery("fournil-web", broker=celery_url(broker.url), set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        result_backend=None,
        broker_pool_limit=8,
        broker_pool_acquire_timeout=SOCKET_SECONDS,
        broker_connection_timeout=SOCKET_SECONDS,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_SECONDS,
            "socket_timeout": SOCKET_SECONDS,
            "socket_connect_timeout": SOCKET_SECONDS,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "priority_steps": [0],
            "global_keyprefix": broker.prefix + ":",
            "max_retries": 1,
        },
        task_publish_retry=True,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_max": 0.2},
    )
    return app
