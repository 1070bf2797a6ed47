"""Logs: one line an event, a sentence for people and ids for machines; never an input or a result."""

from __future__ import annotations

import logging
import sys

import structlog

_CHATTY = (
    "celery.worker.strategy",
    "celery.app.trace",
    "celery.beat",
    "alembic.runtime.migration",
    "alembic.runtime.plugins",
)


def set_up_logs(*, level: str, fmt: str) -> None:
    """Send structlog and the standard library through one formatter to stderr."""
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(fmt))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Lines for every message, every sweep and every look at the migrations say nothing that the rows do not.
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))


def _shared() -> list[structlog.typing.Processor]:
    """What is added to an event, whoever logs it."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(fmt: str) -> logging.Formatter:
    """`json`: for machines; else for people."""
    last: structlog.typing.Processor = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    if fmt == "json":
        last = structlog.processors.JSONRenderer()
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            last,
        ],
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
