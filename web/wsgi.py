"""Entry of the web server: `gunicorn 'web.wsgi:application()'`."""

from __future__ import annotations

import logging
import os
import sys

from flask import Flask

from contract.logs import set_up_logs
from contract.settings import Settings, SettingsError
from web.app import create_app


def application() -> Flask:
    """Read the environment, set up logs, build the application."""
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        sys.exit(str(error))
    set_up_logs(level=settings.logs.level, fmt=settings.logs.format)
    # It announces each of its plugins when readiness loads it.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return create_app(settings)
