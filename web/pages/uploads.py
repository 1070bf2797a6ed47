"""Bulk upload in two steps: the file is sent once and kept; then a preview says what would run. A dataset in one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from flask import jsonify, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from contract.errors import HTTP_STATUS, ErrorCode, FournilError, RequestError
from contract.ids import is_id
from contract.statuses import OnInvalidRows
from contract.times import utc_now
from models.database import reading, transaction
from models.files import StoredFile, delete_file, find_file
from models.pipelines import StoredPipeline, list_pipelines
from models.sheets import encodings
from models.sheets.formats import REQUESTABLE
from models.sheets.layout import AS_FOUND, MAX_SKIPPED, Corrections
from models.sheets.mapping import PARAMETER, Column
from models.sheets.preview import Preview, preview
from web.api.files import keep
from web.batch_requests import read_request
from web.batches import glancing, most_files, take_batch
from web.datasets import take_dataset, try_dataset
from web.errors import not_found
from web.estimate import estimate
from web.pages.datasets import DatasetForm, are_offered
from web.pages.forms import PipelineForm, parameters_form
from web.pages.pipelines import named
from web.pages.site import blueprint, check_token
from web.pages.summaries import members_in
from web.services import services
from web.uploads import AROUND_FILE, Received, receive_body, receive_form, stored_file

#: How long a page may take to look through a file; a longer one is counted when it is started.
LOOK_SECONDS = 4.0
#: A file of so many bytes is sent in pieces of as many; a smaller one is sent again sooner than it is gone on with.
_IN_PIECES_FROM = 16 << 20
#: Of a number in a form; Python takes ages for one of millions.
_DIGITS = 20
#: Delimiters that can be chosen, by what people call them.
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "colon": ":", "space": " "}


@blueprint.get("/batches/new")
def new_batch() -> str:
    return _choose(request.args.get("pipeline"))


@blueprint.post("/batches/new")
def receive_batch() -> Response | tuple[str, int]:
    """A multipart form (no JavaScript), or the file itself as the body (with it): either is read once."""
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        # Said before a byte is read; the token below is what decides.
        raise FournilError(ErrorCode.FORBIDDEN, "This upload came from another site.")
    if request.mimetype != "multipart/form-data":
        return _receive_body()
    try:
        received, pipeline = _receive_form()
    except RequestError as error:
        return _choose(request.args.get("pipeline"), error), 413 if error.code is ErrorCode.TOO_LARGE else 422
    return redirect(url_for("pages.preview_batch", file_id=received.id, pipeline=pipeline), 303)


def _receive_body() -> Response:
    check_token(request.headers.get("X-CSRFToken", "none"))
    here = services()
    name = request.args.get("filename", "")[:255]
    received = receive_body(here.storage, max_bytes=here.settings.web.max_upload_bytes, filename=name)
    stored = keep(here, received)
    pipeline = request.args.get("pipeline")
    answer = jsonify(preview=url_for("pages.preview_batch", file_id=stored.id, pipeline=pipeline))
    answer.status_code = 201
    return answer


def _receive_form() -> tuple[StoredFile, str]:
    here = services()
    form = receive_form(here.storage, max_bytes=here.settings.web.max_upload_bytes, max_field_bytes=AROUND_FILE)
    try:
        check_token(form.fields.get("csrf_token", "none"))
        return keep(here, _not_empty(form.file)), form.fields.get("pipeline", "")
    except BaseException:
        if form.file is not None:
            here.storage.delete(form.file.file_id)
        raise


def _not_empty(received: Received | None) -> Received:
    # A browser sends an empty part for a form without a file.
    if received is None or not received.bytes:
        raise RequestError(ErrorCode.MISSING_FIELD, "Choose a file that holds something.", field="file")
    return received


@blueprint.post("/batches/new/dataset")
def start_dataset() -> Response | str | tuple[str, int]:
    """A batch of a dataset, or a look at its first rows: they are not here to be looked through."""
    check_token()
    here, form, name = services(), DatasetForm.posted(request.form), request.form.get("pipeline", "")
    with reading(here.engine) as conn:
        spec = named(conn, name).spec
    try:
        with reading(here.engine) as conn:
            asked = read_request(here, conn, form.body(spec))
        if request.form.get("do") == "look":
            form.seen = try_dataset(here, asked)
            return _choose(name, dataset=form)
        batch_id = take_dataset(here, asked)
    except FournilError as error:
        form.refuse(error)
        return _choose(name, dataset=form), HTTP_STATUS[error.code]
    return redirect(url_for("pages.batch", batch_id=batch_id), 303)


def _choose(pipeline: str | None, error: RequestError | None = None, *, dataset: DatasetForm | None = None) -> str:
    settings = services().settings
    with reading(services().engine) as conn:
        offered = list_pipelines(conn)
    return render_template(
        "batch_new.html",
        offered=offered,
        chosen=pipeline,
        error=error,
        largest=settings.web.max_upload_bytes,
        in_pieces_from=_IN_PIECES_FROM,
        dataset=dataset or (DatasetForm() if are_offered(settings) else None),
        members=members_in,
    )


@blueprint.get("/batches/new/<file_id>")
def preview_batch(file_id: str) -> str:
    stored, pipeline = _file(file_id), _pipeline()
    asked = PreviewForm({}, None, OnInvalidRows.FAIL)
    return _page(stored, pipeline, asked, parameters_form(pipeline.spec, posted=None))


@blueprint.post("/batches/new/<file_id>")
def start(file_id: str) -> Response | str | tuple[str, int]:
    check_token()
    stored, pipeline = _file(file_id), _pipeline()
    asked = PreviewForm.from_form(pipeline)
    form = parameters_form(pipeline.spec, posted=request.form)
    if request.form.get("do") != "start":
        return _page(stored, pipeline, asked, form)
    try:
        batch_id = _take(stored, asked.as_request(form.body()))
    except RequestError as error:
        form.refuse(error)
        return _page(stored, pipeline, asked, form), 422
    return redirect(url_for("pages.batch", batch_id=batch_id), 303)


def _take(stored: StoredFile, body: dict[str, Any]) -> str:
    here = services()
    with reading(here.engine) as conn:
        request_for_batch, file = read_request(here, conn, body), stored_file(conn, here.storage, stored.id)
    return take_batch(here, request_for_batch, file, is_known=True)


@blueprint.post("/batches/new/<file_id>/discard")
def discard(file_id: str) -> Response:
    check_token()
    here = services()
    if is_id(file_id) and transaction(here.engine, lambda conn: delete_file(conn, file_id)):
        here.storage.delete(file_id)
    return redirect(url_for("pages.new_batch", pipeline=request.args.get("pipeline")), 303)


@dataclasses.dataclass(frozen=True)
class PreviewForm:
    """What the preview's form says besides parameters."""

    mapping: dict[str, Column]
    id_column: str | None
    on_invalid_rows: OnInvalidRows
    format: str | None = None
    corrections: Corrections = AS_FOUND

    @classmethod
    def from_form(cls, pipeline: StoredPipeline) -> PreviewForm:
        fields = mapped_fields(pipeline)
        chosen = {field: request.form.get(f"column.{field}", "") for field, _ in fields}
        skip = request.form.get("on_invalid_rows") == OnInvalidRows.SKIP
        return cls(
            {field: column for field, column in chosen.items() if column},
            request.form.get("id_column") or None,
            OnInvalidRows.SKIP if skip else OnInvalidRows.FAIL,
            request.form.get("format") if request.form.get("format") in REQUESTABLE else None,
            Corrections(
                encoding=encodings.named(request.form.get("encoding", "")),
                delimiter=DELIMITERS.get(request.form.get("delimiter", "")),
                header=False if request.form.get("header") == "no" else None,
                sheet=request.form.get("sheet", "")[:255] or None,
                skip_lines=_lines_above(request.form.get("skip_lines", "")),
            ),
        )

    def among(self, columns: Sequence[str]) -> PreviewForm:
        """The same for a file that has other columns, read another way: those that are gone are guessed anew."""
        if not columns:
            return self
        mapping = self.mapping if set(self.mapping.values()) <= set(columns) else {}
        return dataclasses.replace(
            self, mapping=mapping, id_column=self.id_column if self.id_column in columns else None
        )

    def as_request(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body that POST /api/v1/batches takes for the same batch."""
        shown = {"inputs": self.mapping, "id_column": self.id_column, "on_invalid_rows": self.on_invalid_rows.value}
        given = {name: value for name, value in {**shown, "format": self.format}.items() if value}
        corrections = dataclasses.asdict(self.corrections)
        return {"pipeline": body["pipeline"], "parameters": body.get("parameters", {}), **given, **corrections}


def _lines_above(word: str) -> int | None:
    """As the page shows it again: never more than may be passed over."""
    return min(int(word), MAX_SKIPPED) or None if word.isdecimal() and len(word) < _DIGITS else None


def mapped_fields(pipeline: StoredPipeline) -> list[tuple[str, str]]:
    """`(field, title)` of everything a column may feed: inputs, then parameters."""
    inputs, parameters = pipeline.spec.catalogue.inputs, pipeline.spec.parameters_schema()
    return [
        *((name, rule.get("title", name)) for name, rule in inputs["properties"].items()),
        *((PARAMETER + name, rule.get("title", name)) for name, rule in parameters["properties"].items()),
    ]


def _page(stored: StoredFile, pipeline: StoredPipeline, asked: PreviewForm, form: PipelineForm) -> str:
    seen = _look(stored, pipeline, asked, form)
    if seen.error and (still := asked.among(seen.columns)) != asked:
        asked, seen = still, _look(stored, pipeline, still, form)
    chosen = {**seen.mapping, **asked.mapping}
    return render_template(
        "batch_preview.html",
        file=stored,
        pipeline=pipeline,
        task=pipeline.spec.catalogue,
        seen=seen,
        takes=_takes(pipeline, seen),
        chosen=chosen,
        asked=asked,
        with_ids=asked.id_column is not None,
        form=form,
        fields=mapped_fields(pipeline),
        formats=REQUESTABLE,
        encodings=encodings.NAMED,
        delimiters=DELIMITERS,
        most_skipped=MAX_SKIPPED,
        members=members_in,
        shown_fields=[field for field in pipeline.spec.catalogue.inputs["properties"] if field in chosen],
    )


def _takes(pipeline: StoredPipeline, seen: Preview) -> dict[str, Any] | None:
    rows = None if seen.total is None else seen.total - seen.invalid
    with reading(services().engine) as conn:
        return estimate(conn, pipeline.spec.name, rows, now=utc_now())


def _look(stored: StoredFile, pipeline: StoredPipeline, asked: PreviewForm, form: PipelineForm) -> Preview:
    """A dry run. A parameter that is needed and not yet written is no fault of the rows: an example stands for it."""
    spec = pipeline.spec
    stands_in = {**spec.catalogue.example.get("parameters", {}), **spec.defaults}
    with glancing(services(), spec) as bring:
        return preview(
            services().storage.path(stored.id),
            spec=dataclasses.replace(spec, defaults=stands_in),
            mapping=asked.mapping,
            id_column=asked.id_column,
            format=asked.format,
            filename=stored.name,
            parameters=form.body().get("parameters", {}),
            seconds=LOOK_SECONDS,
            bring=bring,
            limit=services().settings.storage.max_unpacked_bytes,
            files=most_files(services(), spec),
            corrections=asked.corrections,
        )


def _file(file_id: str) -> StoredFile:
    with reading(services().engine) as conn:
        stored = find_file(conn, file_id) if is_id(file_id) else None
    if stored is None or not services().storage.path(stored.id).is_file():
        raise not_found("file")
    return stored


def _pipeline() -> StoredPipeline:
    with reading(services().engine) as conn:
        return named(conn, request.args.get("pipeline", ""))
