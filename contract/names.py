"""The names both sides send messages by, and the keys they share in the broker.

A message carries ids and names only, and may be lost, doubled or late: the row is the truth.
"""

from __future__ import annotations

import re

PIPELINE_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,62}$")

# Celery tasks: sent by name, so that the web never imports the worker.
INFER = "fournil.infer"  # (pipeline): claim what waits for it and bake
INGEST = "fournil.ingest"  # (batch_id): read on in its file, for one slice of time
SWEEP = "fournil.sweep"  # (): expire, reap, close batches, wake what was committed and not picked up
TIDY = "fournil.tidy"  # (): remove files that belong to nothing
CANCEL_BATCH = "fournil.cancel_batch"  # (batch_id): cancel its open rows in pieces
DELIVER = "fournil.deliver"  # (ids): tell the webhooks of these jobs and batches, those that are due

UPKEEP_QUEUE = "upkeep"  # sweeps, cancels and webhooks: short
INGEST_QUEUE = "ingest"  # files: long, in slices


def infer_queue(pipeline: str) -> str:
    return f"infer.{pipeline}"


class Keys:
    """Broker keys and channels under one prefix; two stacks with two prefixes never meet."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def wake(self, pipeline: str) -> str:
        """Set while an `infer` message for this pipeline is under way."""
        return f"{self.prefix}:wake:{pipeline}"

    @property
    def idle(self) -> str:
        """Sorted set: device slots that wait for a knock, by the second until which they do."""
        return f"{self.prefix}:idle"

    def knocks(self, slot: str) -> str:
        """List: the pipeline that an idle slot is called for."""
        return f"{self.idle}:{slot}"

    def queue(self, name: str) -> str:
        """List: the Celery messages of a queue."""
        return f"{self.prefix}:{name}"

    def reading(self, batch_id: str) -> str:
        """Set while an `ingest` message for this batch is under way."""
        return f"{self.prefix}:reading:{batch_id}"

    @property
    def changes(self) -> str:
        """Channel: ids of jobs and batches whose row changed, a space between them."""
        return f"{self.prefix}:changes"

    def tokens(self, job_id: str) -> str:
        """Stream: the text of a running generation, piece by piece, in the field `text`; it lives ten minutes."""
        return f"{self.prefix}:tokens:{job_id}"
