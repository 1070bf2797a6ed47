"""Jobs: the list, and for each a page that keeps itself up to date until the job is over."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa
from flask import redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from contract.statuses import JobStatus
from contract.tasks import CATALOGUE, Task
from models.database import reading
from models.jobs import Job, list_jobs
from models.media import MediaRefused, images
from models.pipelines import list_pipelines
from web.api.jobs import cancel_one, load
from web.pages.fragments import fragment, is_news
from web.pages.offers import waits_for
from web.pages.outline import Outline, outlined
from web.pages.pipelines import as_programs
from web.pages.results import drawing
from web.pages.site import blueprint, check_token
from web.pages.summaries import files_in, summary
from web.pages.tables import WrittenTable
from web.requests import decode_cursor, encode_cursor, wait_seconds
from web.serializers import is_over, sent_for
from web.services import services

KIND = "jobs"
PAGE_ROWS = 30


class Canvas(NamedTuple):
    url: str
    width: int
    height: int


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
    """The changing part of the page; with Prefer: wait it waits until the job is another than the one seen."""
    explained(job_id)
    if wait := wait_seconds():
        services().changes.until([job_id], lambda: is_news(explained(job_id)), wait)
    shown = _shown(job_id)
    return fragment("_job.html", shown, shown["job"])


@blueprint.post("/jobs/<job_id>/cancel")
def cancel_job(job_id: str) -> Response:
    check_token()
    cancel_one(job_id)
    return redirect(url_for("pages.job", job_id=job_id), 303)


def _shown(job_id: str) -> dict[str, Any]:
    """Everything the page and its fragment are drawn from."""
    shown = explained(job_id)
    inputs, task = shown["inputs"], CATALOGUE.get(shown["task"] or "")
    delimiter = (shown["parameters"] or {}).get("delimiter", " ")
    drawn = drawing.draw(task, inputs, shown["result"], delimiter=delimiter)
    fields = input_fields(task, inputs, above=drawn.shows)
    body = {name: shown[name] for name in ("pipeline", "inputs", "parameters") if shown[name]}
    return {
        "job": shown,
        "task": task,
        "over": is_over(shown),
        "drawing": drawn,
        "turns": drawing.turns(inputs),
        "fields": fields,
        "is_outlined": any(isinstance(value, Outline) for _, value in fields),
        "canvases": canvases(task, inputs),
        "snippets": as_programs(body),
    }


def canvases(task: Task | None, inputs: Any) -> list[Canvas]:
    """The images that a result may be drawn over; empty where there are none, or not all are still there."""
    field = next((name for name, kind in task.media.items() if kind == "image"), None) if task else None
    found = [_canvas(file) for file in files_in(inputs.get(field))] if field else []
    seen = [canvas for canvas in found if canvas is not None]
    return seen if len(seen) == len(found) else []


def _canvas(file: dict[str, Any]) -> Canvas | None:
    here = services()
    try:
        with here.storage.open(file["id"]) as stream:
            seen = images.look(stream, here.settings.media)
    except (OSError, ValueError, MediaRefused):
        return None
    return Canvas(file["url"], seen.width, seen.height)


def explained(job_id: str) -> dict[str, Any]:
    """The job as the API shows it, and why it takes a while."""
    job = load(job_id)
    with reading(services().engine) as conn:
        return {**job, "waits_for": waits_for(conn, job)}


def input_fields(task: Task | None, inputs: Any, *, above: str | None = None) -> list[tuple[str, Any]]:
    """`(title, value)` of what was sent, conversations aside; `above` is shown with the result."""
    rules = task.inputs["properties"] if task else {}

    def value_of(name: str) -> Any:
        if name == above:
            return "Above, with the result."
        if task and (task.view, name) == ("table", "table"):
            return WrittenTable.of(inputs[name])
        return outlined(inputs[name])

    return [(rules.get(name, {}).get("title", name), value_of(name)) for name in inputs if name != "messages"]


def summaries(conn: sa.Connection, found: list[Job]) -> list[dict[str, Any]]:
    known = {stored.spec.name: stored for stored in list_pipelines(conn)}
    return [summary(job, CATALOGUE.get(sent_for(job, known.get(job.pipeline)) or "")) for job in found]
