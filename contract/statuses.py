"""The two life cycles a caller can see, and which moves are legal.

Terminal is final: only a batch retry re-opens a row, as a new attempt. `running` goes back to `queued` when its
worker is lost. The database repeats these words in CHECK constraints; tests compare them, and hold every move that
the stores make to JOB_MOVES.
"""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    QUEUED = "queued"  # accepted and committed; nobody has it
    RUNNING = "running"  # claimed by one worker, under a lease
    SUCCEEDED = "succeeded"  # it has a result
    FAILED = "failed"  # it has an error code
    CANCELED = "canceled"  # somebody asked for it to stop before it was over
    EXPIRED = "expired"  # its own time limit passed before it was over


class BatchStatus(StrEnum):
    VALIDATING = "validating"  # the file is being read; with on_invalid_rows=fail nothing runs yet
    RUNNING = "running"  # rows are in the queue
    COMPLETED = "completed"  # every row is terminal, failed rows included
    FAILED = "failed"  # the file as a whole is unusable and nothing ran
    CANCELING = "canceling"  # asked to stop; some rows are not yet terminal
    CANCELED = "canceled"
    EXPIRED = "expired"


JOB_OVER = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.EXPIRED})
JOB_RETRYABLE = frozenset({JobStatus.FAILED, JobStatus.CANCELED, JobStatus.EXPIRED})
BATCH_OVER = frozenset({BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.CANCELED, BatchStatus.EXPIRED})

JOB_MOVES: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELED, JobStatus.EXPIRED, JobStatus.FAILED}),
    JobStatus.RUNNING: JOB_OVER | {JobStatus.QUEUED},
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),
    JobStatus.CANCELED: frozenset({JobStatus.QUEUED}),
    JobStatus.EXPIRED: frozenset({JobStatus.QUEUED}),
}


class Priority(StrEnum):
    INTERACTIVE = "interactive"  # somebody is looking at the page, or a service is polling
    BULK = "bulk"  # a row of a file


# Stored as a small integer so that one ORDER BY puts people before files.
PRIORITY_RANK: dict[Priority, int] = {Priority.INTERACTIVE: 0, Priority.BULK: 1}


class PipelineState(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"  # accepts jobs, runs none
    BROKEN = "broken"  # its checkpoint cannot be loaded; jobs wait until an operator mends it


class OnInvalidRows(StrEnum):
    FAIL = "fail"  # one bad row and nothing of the file runs
    SKIP = "skip"  # good rows run, bad rows are listed
