"""The Celery app. Messages are wakes and may be lost, doubled or late; every setting here follows from that."""

from __future__ import annotations

from typing import Any

from celery import Celery

from contract.brokers import VISIBILITY_SECONDS, celery_url, direct
from contract.names import INGEST_QUEUE, SWEEP, TIDY, UPKEEP_QUEUE
from contract.settings import Settings


def make_app(settings: Settings, queues: list[str]) -> Celery:
    """An app that consumes `queues`; its tasks are those of worker.tasks."""
    app = Celery("fournil", broker=celery_url(settings.broker.url), include=["worker.tasks"])
    app.conf.update(_configuration(settings, queues))
    return app


def _configuration(settings: Settings, queues: list[str]) -> dict[str, Any]:
    return {
        "task_queues": [direct(name) for name in queues],
        "task_create_missing_queues": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_backend": None,
        "task_ignore_result": True,
        # The table decides what runs again: a message is acknowledged whatever became of its task.
        "task_acks_late": True,
        "task_acks_on_failure": True,
        "task_acks_on_timeout": True,
        "task_reject_on_worker_lost": False,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        # A fresh interpreter: CUDA and OpenMP threads do not survive a fork.
        "worker_pool_start_method": "spawn",
        # A replacement child loads its pipelines before it reports; the default kills it after 4 s, for ever.
        "worker_proc_alive_timeout": max(900.0, 2 * settings.inference.microbatch_timeout),
        "worker_max_tasks_per_child": None,
        "worker_max_memory_per_child": None,
        # Would throw the warm pipelines away at every hiccup of the broker.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_enable_soft_shutdown_on_idle": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_send_task_events": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_acquire_timeout": 3,
        "broker_transport_options": transport_options(settings.broker.prefix),
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0, "interval_max": 0.2},
        "beat_schedule": {
            "sweep": _every(settings.upkeep.sweep_seconds, SWEEP),
            "tidy": _every(settings.upkeep.tidy_seconds, TIDY),
        },
    }


def transport_options(prefix: str) -> dict[str, Any]:
    return {
        "visibility_timeout": VISIBILITY_SECONDS,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 10,
        # One list a queue: priorities are the table's business.
        "priority_steps": [0],
        "global_keyprefix": f"{prefix}:",
    }


def _every(interval: float, task: str) -> dict[str, Any]:
    # One that waited for two others asks for nothing new.
    return {"task": task, "schedule": interval, "options": {"queue": UPKEEP_QUEUE, "expires": 2 * interval}}


UPKEEP_QUEUES = [UPKEEP_QUEUE, INGEST_QUEUE]
