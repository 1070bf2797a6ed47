"""The one blueprint of all pages: what every page shares, the forms' tokens, and how errors look."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, render_template, request
from flask.blueprints import BlueprintSetupState
from flask_bootstrap import Bootstrap5
from flask_wtf.csrf import generate_csrf, validate_csrf
from wtforms.validators import ValidationError

from contract.errors import ErrorCode, FournilError, RequestError
from web.errors import ERROR_PAGE
from web.pages import filters
from web.pages.advice import advice
from web.responses import request_id
from web.services import services

blueprint = Blueprint("pages", __name__)
filters.register(blueprint)

#: Stricter than for the rest of the server: no page of ours sets a style as an attribute.
_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_STALE_FORM = "This page was open for a long time, or its cookie is gone. Send it once more; what you wrote is kept."


@blueprint.record_once
def _set_up(state: BlueprintSetupState) -> None:
    app = state.app
    app.config["BOOTSTRAP_SERVE_LOCAL"] = True
    # A token is as good as the browser's session: a form that was open over night must not lose its text.
    app.config["WTF_CSRF_TIME_LIMIT"] = None
    Bootstrap5().init_app(app)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    # Globals, not a context processor: macros of an imported template see only these.
    app.jinja_env.globals.update(advice=advice, csrf_token=generate_csrf)
    app.extensions[ERROR_PAGE] = error_page


@blueprint.before_request
def _bound_the_form() -> None:
    """Forms are as small as JSON bodies. (Uploads set limits of their own, before they read.)"""
    request.max_form_memory_size = services().settings.web.max_json_bytes


@blueprint.after_request
def _finish(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers.setdefault("Cache-Control", "private, no-cache")
    return response


def check_token(token: str | None = None) -> None:
    """Refuse a form that none of our pages made; `token` when it did not come as a form field."""
    if not current_app.config.get("WTF_CSRF_ENABLED", True):
        return
    try:
        validate_csrf(token or request.form.get("csrf_token"))
    except ValidationError as error:
        raise RequestError(ErrorCode.FORBIDDEN, _STALE_FORM, field="csrf_token") from error


def error_page(error: FournilError, status: int) -> str:
    """An error as a person reads it."""
    return render_template("error.html", error=error, status=status, request_id=request_id())


@blueprint.app_context_processor
def _shared() -> dict[str, Any]:
    return {"here": request.path}
