"""The application factory: one Flask application from one Settings, with nothing done at import."""

from __future__ import annotations

import importlib
import os
import secrets
from pathlib import Path

from flask import Flask

from contract.settings import Settings
from models.database import make_engine
from models.files import FileStorage
from web import errors, origin, responses
from web.changes import Changes
from web.counter import Counter
from web.dispatch import Dispatch
from web.patience import Patience
from web.services import Services

#: Every part of the surface; each of these modules has a `blueprint`.
PARTS = (
    "web.api.jobs",
    "web.api.events",
    "web.api.pipelines",
    "web.api.tasks",
    "web.api.workers",
    "web.api.files",
    "web.api.resumable",
    "web.api.batches",
    "web.api.batch_events",
    "web.api.exports",
    "web.api.document",
    "web.health",
    "web.metrics",
    "web.pages",
)


def create_app(settings: Settings) -> Flask:
    app = Flask("web", static_folder="static", template_folder="templates")
    app.config["MAX_CONTENT_LENGTH"] = settings.web.max_json_bytes
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.secret_key = _secret_key(settings)
    app.extensions["fournil"] = make_services(settings)
    responses.register(app)
    errors.register(app)
    origin.register(app)
    for name in PARTS:
        app.register_blueprint(importlib.import_module(name).blueprint)
    app.wsgi_app = Patience(app.wsgi_app, settings.web.silence_seconds)  # type: ignore[method-assign]
    return app


def make_services(settings: Settings) -> Services:
    engine, dispatch = make_engine(settings.storage.url), Dispatch(settings.broker)
    return Services(
        settings=settings,
        engine=engine,
        storage=FileStorage(settings.storage.files_dir),
        dispatch=dispatch,
        changes=Changes(settings.broker, waiting=settings.web.waiting),
        counter=Counter(engine, dispatch),
    )


def _secret_key(settings: Settings) -> str:
    """The configured key, or one made once and kept in the data directory, so that a restart forgets no form."""
    return settings.web.secret_key or _kept_key(settings.storage.data_dir / "secret-key")


def _kept_key(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    mine.touch(mode=0o600)
    mine.write_text(secrets.token_hex(32), encoding="ascii")
    try:
        # A link is made whole or not at all: of several processes that start together one wins, and all read it.
        os.link(mine, path)
    except FileExistsError:
        pass
    finally:
        mine.unlink()
    return path.read_text(encoding="ascii")
