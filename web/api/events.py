"""Server-Sent Events of a job. To come; registered so that its name is fixed."""

from __future__ import annotations

from flask import Blueprint

blueprint = Blueprint("events", __name__, url_prefix="/api/v1")
