"""What gunicorn itself is told: `gunicorn --config python:web.serving`."""

from __future__ import annotations

import os
from typing import Any

from contract.settings import Settings
from web.patience import limit_silence


def when_ready(server: Any) -> None:
    """Connections inherit the limit: a request may be as silent in its head as in its body, and no longer."""
    for listener in server.LISTENERS:
        limit_silence(listener.sock, Settings.from_env(os.environ).web.silence_seconds)
