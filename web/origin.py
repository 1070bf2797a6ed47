"""Refuses what another site makes somebody's browser send here.

A server on loopback has no keys to protect it, and a form on any page of the web can post to it. Browsers say where a
request comes from (Fetch Metadata, https://www.w3.org/TR/fetch-metadata/); programs do not send the header.
"""

from __future__ import annotations

from flask import Flask, request

from contract.errors import ErrorCode, FournilError

_SAFE = {"GET", "HEAD", "OPTIONS"}


def register(app: Flask) -> None:
    app.before_request(_refuse_other_sites)


def _refuse_other_sites() -> None:
    if request.method not in _SAFE and request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise FournilError(ErrorCode.FORBIDDEN, "Requests that another site makes a browser send are not taken.")
