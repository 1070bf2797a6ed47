"""A file of a job, decoded when it is asked for."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Callable
from typing import Any, BinaryIO

from contract.errors import ErrorCode, InputError
from contract.media import Media
from contract.tasks import Task
from models.media import MediaRefused, decode
from worker.backends.backend import Inputs


@dataclasses.dataclass(frozen=True)
class MediaFile:
    open_file: Callable[[], BinaryIO]
    field: str
    #: One of models.media.KINDS.
    kind: str
    limits: Media

    def decoded(self) -> Any:
        """What a processor of its kind takes; raises InputError. Nothing is kept of it."""
        try:
            with self.open_file() as stream:
                return decode(self.kind, stream, self.limits)
        except MediaRefused as refused:
            raise InputError(ErrorCode.INPUT_REJECTED, str(refused), field=self.field) from refused
        except (OSError, KeyError, TypeError, ValueError) as error:
            message = "The file of this input is not in storage any more. Send it again."
            raise InputError(ErrorCode.INPUT_REJECTED, message, field=self.field) from error


def example_inputs(task: Task) -> Inputs:
    """The catalogue's example, with its files as a worker has them."""
    inputs = dict(task.example["inputs"])
    return {name: _example(task, name) if name in task.media else inputs[name] for name in inputs}


def _example(task: Task, field: str) -> MediaFile:
    body = base64.b64decode(task.example["inputs"][field]["data"])
    return MediaFile(lambda: io.BytesIO(body), field, task.media[field], Media())
