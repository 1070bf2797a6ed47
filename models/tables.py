"""The tables. What must always hold is written here, as keys, checks and partial indexes.

`jobs` is the hot table and stays narrow: claims and records touch only it. What was sent stands in `job_data`,
what came back in `job_results`.
"""

from __future__ import annotations

import sqlalchemy as sa

from contract.statuses import BatchStatus, JobStatus, OnInvalidRows, PipelineState
from models.types import Json, UtcDateTime

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ID = sa.String(32)


def _one_of(
    column: str, words: type[JobStatus] | type[BatchStatus] | type[PipelineState] | type[OnInvalidRows]
) -> str:
    return f"{column} IN ({', '.join(repr(word.value) for word in words)})"


def _partial(name: str, *columns: sa.Column[object] | str, where: str, unique: bool = False) -> sa.Index:
    return sa.Index(name, *columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


pipelines = sa.Table(
    "pipelines",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("definition", Json, nullable=False, comment="contract.pipelines.PipelineSpec"),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("reason", sa.Text, comment="Why it is broken or paused, in a sentence"),
    sa.Column("model", Json, comment="Identity it was last loaded with: id, commit, dtype, backend"),
    sa.Column("fidelity", Json, comment="How far a quantized checkpoint's results are from float32's; null: exact"),
    sa.Column("place", sa.Integer, nullable=False, comment="Order of the pipelines file"),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.CheckConstraint(_one_of("state", PipelineState), name="state"),
)

files = sa.Table(
    "files",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("content_type", sa.String(255), nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column(
        "of_jobs", sa.Boolean, nullable=False, server_default=sa.false(),
        comment="Made for a job: goes with the last job that needs it",
    ),
)  # fmt: skip

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("pipeline", sa.String(64), nullable=False),
    sa.Column("task", sa.String(64), comment="What its pipeline was for; null: not known"),
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("filename", sa.String(255), nullable=False),
    sa.Column("file_id", ID, sa.ForeignKey("files.id"), nullable=False, index=True),
    sa.Column("format", sa.String(16), comment="Null until it is sniffed"),
    sa.Column("layout", Json, comment="models.sheets.layout.Layout once the file is sniffed"),
    sa.Column("mapping", Json, nullable=False, comment="Input field to column, as asked for"),
    sa.Column("id_column", Json, comment="Name or place of the column with the caller's ids"),
    sa.Column("on_invalid_rows", sa.String(4), nullable=False),
    sa.Column("parameters", Json, nullable=False),
    sa.Column("metadata", Json),
    sa.Column("total", sa.BigInteger, comment="Data rows of the file; null until counting is over"),
    sa.Column("invalid", sa.BigInteger, nullable=False, default=0),
    sa.Column("errors", Json, nullable=False, comment="The first 100"),
    sa.Column("cursor", Json, nullable=False, comment="models.batches.Cursor: where reading goes on"),
    sa.Column("cursor_version", sa.Integer, nullable=False, comment="Fences two readers of one file"),
    sa.Column("ingested", sa.Boolean, nullable=False, comment="Every row of the file is in jobs or rejected_rows"),
    sa.Column("tally", Json, comment="Counts by status, frozen when the batch is over"),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("expires_at", UtcDateTime),
    sa.Column("resumed_at", UtcDateTime, comment="When a retry last opened it again"),
    sa.Column("resumed_with", sa.BigInteger, comment="Rows that were over already at that moment"),
    sa.Column("deleted_at", UtcDateTime, comment="Gone for whoever asks; upkeep takes what is left of its rows away"),
    sa.CheckConstraint(_one_of("status", BatchStatus), name="status"),
    sa.CheckConstraint(_one_of("on_invalid_rows", OnInvalidRows), name="on_invalid_rows"),
)  # fmt: skip
# What upkeep looks through: batches that are not over.
_partial("ix_batches_open", batches.c.status, where="status IN ('validating', 'running', 'canceling')")
# In the words of the index, and in their order.
BATCH_OPEN = batches.c.status.in_(
    [sa.literal_column(f"'{status}'") for status in ("validating", "running", "canceling")]
)
_partial("ix_batches_deleted", batches.c.deleted_at, where="deleted_at IS NOT NULL")

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", ID, primary_key=True, comment="UUIDv7: the order of submission"),
    sa.Column("pipeline", sa.String(64), nullable=False),
    sa.Column("batch_id", ID, sa.ForeignKey("batches.id")),
    sa.Column("row", sa.BigInteger, comment="Data row of the file, from 0"),
    sa.Column("line", sa.BigInteger, comment="Line of the file where the row starts, from 1"),
    sa.Column("external_id", sa.String(255), comment="The caller's own id, from id_column"),
    sa.Column("status", sa.String(9), nullable=False),
    sa.Column("priority", sa.SmallInteger, nullable=False, comment="contract.statuses.PRIORITY_RANK"),
    sa.Column("available_at", UtcDateTime, nullable=False, comment="Its turn; after a requeue, that moment"),
    sa.Column("attempts", sa.Integer, nullable=False, comment="Times it was begun, not only claimed"),
    sa.Column("fence", sa.Integer, nullable=False, comment="Claims ever: only grows, so that a late writer is known"),
    sa.Column("crashes", sa.SmallInteger, nullable=False, comment="Processes that died with it in hand"),
    sa.Column("max_group", sa.Integer, comment="A suspect runs only with so many others like it"),
    sa.Column("worker", sa.String(128), comment="The slot that holds it"),
    sa.Column("lease_until", UtcDateTime),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("expires_at", UtcDateTime),
    sa.Column("error_code", sa.String(32)),
    sa.Column("error_message", sa.Text),
    sa.Column("queue_seconds", sa.Float),
    sa.Column("load_seconds", sa.Float),
    sa.Column("inference_seconds", sa.Float),
    # Here, so that whoever ends a row learns it from that very statement: most rows have none.
    sa.Column(
        "webhook", sa.Boolean, nullable=False, server_default=sa.false(),
        comment="Somebody is to be told when it is over: it has a row in webhooks",
    ),
    sa.CheckConstraint(_one_of("status", JobStatus), name="status"),
    sa.CheckConstraint("(status = 'running') = (lease_until IS NOT NULL)", name="only_running_rows_have_a_lease"),
    sa.CheckConstraint("(status = 'failed') = (error_code IS NOT NULL)", name="only_failed_rows_have_an_error"),
    sa.CheckConstraint("(batch_id IS NULL) = (row IS NULL)", name="a_row_number_is_in_a_batch"),
    # A doubled ingest message must not make a second row. Also serves reading a batch in the order of its file.
    sa.UniqueConstraint("batch_id", "row"),
)  # fmt: skip
_partial(
    "ix_jobs_claim",
    jobs.c.pipeline, jobs.c.priority, jobs.c.available_at, jobs.c.id,
    where="status = 'queued'",
)  # fmt: skip
_partial("ix_jobs_lease", jobs.c.lease_until, where="status = 'running'")
_partial("ix_jobs_worker", jobs.c.worker, where="status = 'running'")
_partial("ix_jobs_expiry", jobs.c.expires_at, where="expires_at IS NOT NULL AND status IN ('queued', 'running')")
# Rows of a batch in one status, in the order of its file; whether any is still open. Most rows are, or will be, those
# that succeeded, and they leave it: the order of the file itself finds them. A query must say NOT_SUCCEEDED.
_partial(
    "ix_jobs_batch_rest",
    jobs.c.batch_id, jobs.c.status, jobs.c.row,
    where="batch_id IS NOT NULL AND status <> 'succeeded'",
)  # fmt: skip
# In the words of the index: SQLite does not conclude it from another status.
NOT_SUCCEEDED = jobs.c.status != sa.literal_column("'succeeded'")
# Literals: with a bound status PostgreSQL's generic plan would leave the partial indexes aside.
QUEUED = jobs.c.status == sa.literal_column("'queued'")
RUNNING = jobs.c.status == sa.literal_column("'running'")
OPEN = sa.and_(jobs.c.status.in_([sa.literal_column("'queued'"), sa.literal_column("'running'")]), NOT_SUCCEEDED)
# The few that did not succeed, newest first, among any number that did.
_partial("ix_jobs_ended_badly", jobs.c.status, jobs.c.id, where="status IN ('failed', 'canceled', 'expired')")
ENDED_BADLY = jobs.c.status.in_([sa.literal_column(f"'{status}'") for status in ("failed", "canceled", "expired")])
# Open jobs of forms and programs, counted without the rows of files among them (batch_counts has those).
_partial(
    "ix_jobs_single_open",
    jobs.c.pipeline, jobs.c.status,
    where="batch_id IS NULL AND status IN ('queued', 'running')",
)  # fmt: skip
# The newest jobs of forms and programs, behind which a file may have put a million rows.
# batch_id stands in it although it is always NULL: SQLite then sees that the index is in the order of ids.
_partial("ix_jobs_single", jobs.c.batch_id, jobs.c.id, where="batch_id IS NULL")

# The newest jobs of a pipeline: of one with few they would be looked for through the millions of another.
sa.Index("ix_jobs_pipeline", jobs.c.pipeline, jobs.c.id)

job_data = sa.Table(
    "job_data",
    metadata,
    sa.Column("job_id", ID, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("inputs", Json, nullable=False),
    sa.Column("parameters", Json, nullable=False),
    sa.Column("metadata", Json),
    sa.Column("task", sa.String(64), comment="What its pipeline was for; null: as its batch has it, or not known"),
)

job_results = sa.Table(
    "job_results",
    metadata,
    sa.Column("job_id", ID, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("body", sa.Text, comment="JSON, unless vector is set"),
    sa.Column("vector", sa.LargeBinary, comment="float32, little endian: a vector as JSON takes 30 times the time"),
    sa.Column("model", Json, nullable=False, comment="id, commit, dtype, backend"),
    sa.CheckConstraint("(body IS NULL) <> (vector IS NULL)", name="one_form"),
)

batch_counts = sa.Table(
    "batch_counts",
    metadata,
    sa.Column("batch_id", ID, sa.ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("part", sa.SmallInteger, primary_key=True, comment="Who counted; only the sum of all means anything"),
    *(sa.Column(status.value, sa.BigInteger, nullable=False) for status in JobStatus),
)

job_files = sa.Table(
    "job_files",
    metadata,
    sa.Column("job_id", ID, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    # Without a cascade: a file that a job needs cannot be deleted under it.
    sa.Column("file_id", ID, sa.ForeignKey("files.id"), primary_key=True, index=True),
)

webhooks = sa.Table(
    "webhooks",
    metadata,
    sa.Column("id", ID, primary_key=True, comment="That of its job or batch"),
    sa.Column("job_id", ID, sa.ForeignKey("jobs.id", ondelete="CASCADE"), unique=True),
    sa.Column("batch_id", ID, sa.ForeignKey("batches.id", ondelete="CASCADE"), unique=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("events", Json, comment="Those asked for; null: every end"),
    sa.Column("state", sa.String(9), nullable=False, comment="models.webhooks.State"),
    sa.Column("round", sa.Integer, nullable=False, comment="Times its batch was over; part of webhook-id"),
    sa.Column("tries", sa.Integer, nullable=False, comment="Times it was sent in this round"),
    sa.Column("next_at", UtcDateTime, comment="When it is to be sent; while it is, when others may think it was not"),
    sa.Column("answered", sa.Integer, comment="Status that the last try was answered with"),
    sa.Column("problem", sa.Text, comment="Why the last try failed, in a sentence"),
    sa.Column("told_at", UtcDateTime, comment="When it was delivered"),
    sa.CheckConstraint("(job_id IS NULL) <> (batch_id IS NULL)", name="of_a_job_or_of_a_batch"),
    sa.CheckConstraint("(state = 'due') = (next_at IS NOT NULL)", name="only_what_is_due_has_a_moment"),
    sa.CheckConstraint("state IN ('waiting', 'due', 'delivered', 'unwanted', 'given_up')", name="state"),
)
_partial("ix_webhooks_next_at", webhooks.c.next_at, where="state = 'due'")
# What metrics count: not the many that were delivered.
_partial("ix_webhooks_state", webhooks.c.state, where="state NOT IN ('delivered', 'unwanted')")

rejected_rows = sa.Table(
    "rejected_rows",
    metadata,
    sa.Column("batch_id", ID, sa.ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("row", sa.BigInteger, primary_key=True),
    sa.Column("line", sa.BigInteger, nullable=False),
    sa.Column("external_id", sa.String(255)),
    sa.Column("code", sa.String(32), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("input", Json),
)

row_ids = sa.Table(
    "row_ids",
    metadata,
    # The key is what finds a second row with an id, however many rows lie between. Only files with an id_column.
    sa.Column("batch_id", ID, sa.ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("external_id", sa.String(255), primary_key=True),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False, comment="SHA-256 of the canonical request body"),
    sa.Column("job_id", ID, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

kept_answers = sa.Table(
    "kept_answers",
    metadata,
    sa.Column(
        "key", sa.LargeBinary(32), primary_key=True, comment="worker.cellar: weights, task, parameters, inputs"
    ),
    sa.Column("body", sa.Text, comment="As in job_results"),
    sa.Column("vector", sa.LargeBinary),
    sa.Column("bytes", sa.Integer, nullable=False, comment="About what it takes"),
    sa.Column("kept_at", UtcDateTime, nullable=False),
    sa.CheckConstraint("(body IS NULL) <> (vector IS NULL)", name="one_form"),
    # Upkeep counts them and finds the oldest without a look at the answers.
    sa.Index("ix_kept_answers_kept_at", "kept_at", "bytes"),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True, comment="host/slot"),
    sa.Column("host", sa.String(128), nullable=False),
    sa.Column("device", sa.String(32), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False, comment="Of the main process"),
    sa.Column("state", sa.String(16), nullable=False, comment="starting, ready, busy or stopped"),
    sa.Column("warm", Json, nullable=False, comment="Pipeline to bytes, for what is loaded and proven"),
    sa.Column("baking", Json, comment="pipeline, rows and since, for the microbatch in hand"),
    sa.Column("memory_bytes", sa.BigInteger, comment="What warm pipelines may take"),
    sa.Column("tally", Json, comment="What its child has counted since it started: worker.tally.Tally"),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("heartbeat_at", UtcDateTime, nullable=False),
    sa.CheckConstraint("state IN ('starting', 'ready', 'busy', 'stopped')", name="state"),
)
