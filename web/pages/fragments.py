"""Fragments: the changing part of a page, with a validator, so that a page may ask again and again for little.

The tag is made from what the row says and not from the HTML, in which every form has a new token.
"""

from __future__ import annotations

from typing import Any

from flask import make_response, render_template, request
from werkzeug.wrappers import Response

from web.responses import tag_of


def is_news(body: dict[str, Any], volatile: tuple[str, ...] = ()) -> bool | None:
    """True when the page that asks has another state than this one; None to go on waiting."""
    return None if request.if_none_match.contains_weak(tag_of(body, volatile)) else True


def fragment(template: str, given: dict[str, Any], body: dict[str, Any], volatile: tuple[str, ...] = ()) -> Response:
    """The fragment, or 304 when the page has it."""
    if is_news(body, volatile) is None:
        response = make_response("", 304)
    else:
        response = make_response(render_template(template, **given))
    response.set_etag(tag_of(body, volatile), weak=True)
    return response
