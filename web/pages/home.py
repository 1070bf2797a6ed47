"""The front page: what this is, what it offers, and what happened last."""

from __future__ import annotations

from flask import render_template, request

from models.batches import list_batches
from models.database import reading
from models.jobs import list_jobs
from web.pages.jobs import summaries
from web.pages.offers import offers
from web.pages.site import blueprint
from web.services import services


@blueprint.get("/")
def home() -> str:
    with reading(services().engine) as conn:
        recent = list_jobs(conn, limit=7, single=True)
        batches, _ = list_batches(conn, limit=5)
        return render_template(
            "home.html",
            offers=offers(conn),
            jobs=summaries(conn, recent.items),
            batches=batches,
            url=request.host_url.rstrip("/"),
        )
