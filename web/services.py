"""What a request handler works with, made once by `create_app`."""

from __future__ import annotations

import dataclasses

import sqlalchemy as sa
from flask import current_app

from contract.settings import Settings
from models.files import FileStorage
from web.changes import Changes
from web.counter import Counter
from web.dispatch import Dispatch


@dataclasses.dataclass(frozen=True)
class Services:
    settings: Settings
    engine: sa.Engine
    storage: FileStorage
    dispatch: Dispatch
    changes: Changes
    counter: Counter

    def close(self) -> None:
        """Give back connections and threads, of an application that is not the process's last."""
        self.changes.close()
        self.engine.dispose()


def services() -> Services:
    """The services of the application that handles this request."""
    found: Services = current_app.extensions["fournil"]
    return found
