"""Jobs: the list, and for each a page that keeps itself up to date until the job is over."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from contract.ids import is_id
from contract.statuses import JOB_OVER, JobStatus
from contract.tasks import CATALOGUE
from contract.times import utc_now
from models.database import reading, transaction
from models.jobs import Job, find_job, find_status, list_jobs
from models.pipelines import list_pipelines
from models.sweeps import cancel
from web.errors import not_found
from web.pages import drawing
from web.pages.pipelines import as_programs
from web.pages.rows import summary
from web.pages.site import blueprint, check_token
from web.requests import decode_cursor, encode_cursor, wait_seconds
from web.responses import seen_statuses
from web.serializers import show_job
from web.services import services

KIND = "jobs"
PAGE_ROWS = 30


@blueprint.get("/jobs")
def jobs() -> str:
    wanted = request.args.get("status", "")
    status = JobStatus(wanted) if wanted in list(JobStatus) else None
    pipeline = request.args.get("pipeline") or None
    single = request.args.get("rows") != "all"
    after = decode_cursor(KIND, request.args.get("cursor") or None)
    with reading(services().engine) as conn:
        found = list_jobs(conn, limit=PAGE_ROWS, after=after, pipeline=pipeline, status=status, single=single)
        names = [stored.spec.name for stored in list_pipelines(conn)]
        rows = summaries(conn, found.items)
    following = None if found.next_cursor is None else encode_cursor(KIND, found.next_cursor)
    return render_template(
        "jobs.html",
        jobs=rows,
        names=names,
        statuses=[status.value for status in JobStatus],
        chosen={
            "pipeline": pipeline,
            "status": status.value if status else None,
            "rows": None if single else "all",
        },
        following=following,
        first_page=after is None,
    )


@blueprint.get("/jobs/<job_id>")
def job(job_id: str) -> str:
    return render_template("job.html", **_shown(job_id))


@blueprint.get("/jobs/<job_id>/fragment")
def job_fragment(job_id: str) -> Response:
    """The changing part of the page; with Prefer: wait it waits until the status is another than the one seen."""
    if (wait := wait_seconds()) and is_id(job_id):
        services().changes.until([job_id], lambda: _news(job_id, seen_statuses()), wait)
    shown = _shown(job_id)
    return fragment(render_template("_job.html", **shown), status=shown["job"]["status"])


@blueprint.post("/jobs/<job_id>/cancel")
def cancel_job(job_id: str) -> Response:
    check_token()
    here = services()
    if is_id(job_id) and transaction(here.engine, lambda conn: cancel(conn, job_id, now=utc_now())):
        here.dispatch.changed(job_id)
    return redirect(url_for("pages.job", job_id=job_id), 303)


def fragment(html: str, *, status: str) -> Response:
    """A part of a page with an ETag that names the status, as the API's are."""
    response = make_response(html)
    response.add_etag()
    tag, _ = response.get_etag()
    response.set_etag(f"{status}.{tag}")
    return response.make_conditional(request)


def _news(job_id: str, seen: set[str]) -> bool | None:
    with reading(services().engine) as conn:
        status = find_status(conn, job_id)
    return None if status in seen and status not in JOB_OVER else True


def _shown(job_id: str) -> dict[str, Any]:
    """Everything the page and its fragment are drawn from."""
    with reading(services().engine) as conn:
        found = find_job(conn, job_id) if is_id(job_id) else None
        if found is None:
            raise not_found("job")
        shown = show_job(conn, found)
    task = CATALOGUE.get(shown["task"] or "")
    body = {"pipeline": found.pipeline, "inputs": found.inputs}
    return {
        "job": shown,
        "task": task,
        "over": found.status in JOB_OVER,
        "drawing": drawing.draw(task, found.inputs, shown["result"]),
        "turns": drawing.turns(found.inputs),
        "fields": input_fields(task, found.inputs),
        "snippets": as_programs(body | ({"parameters": found.parameters} if found.parameters else {})),
    }


def input_fields(task: Any, inputs: Any) -> list[tuple[str, Any]]:
    """`(title, value)` of what was sent, conversations aside."""
    rules = task.inputs["properties"] if task else {}
    return [(rules.get(name, {}).get("title", name), value) for name, value in inputs.items() if name != "messages"]


def summaries(conn: sa.Connection, found: list[Job]) -> list[dict[str, Any]]:
    tasks = {stored.spec.name: stored.spec.catalogue for stored in list_pipelines(conn)}
    return [summary(job, tasks.get(job.pipeline)) for job in found]
