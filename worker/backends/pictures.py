"""A picture of a job, decoded when it is asked for."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any, BinaryIO

from contract.errors import ErrorCode, InputError
from contract.tasks import Task
from models.images import ImageRefused, decode
from worker.backends.backend import Inputs

_MOST_OF_AN_EXAMPLE = 1 << 20


class Picture:
    def __init__(self, open_file: Callable[[], BinaryIO], *, field: str, max_pixels: int) -> None:
        self._open = open_file
        self._field = field
        self._max_pixels = max_pixels

    def decoded(self) -> Any:
        """A PIL image in RGB, standing upright; raises InputError. Nothing is kept of it."""
        try:
            with self._open() as stream:
                return decode(stream, max_pixels=self._max_pixels)
        except ImageRefused as refused:
            raise InputError(ErrorCode.INPUT_REJECTED, str(refused), field=self._field) from refused
        except (OSError, KeyError, TypeError, ValueError) as error:
            message = "The file of this input is not in storage any more. Send it again."
            raise InputError(ErrorCode.INPUT_REJECTED, message, field=self._field) from error


def example_inputs(task: Task) -> Inputs:
    """The catalogue's example, with its image as a worker has it."""
    inputs = dict(task.example["inputs"])
    return {name: _example(inputs[name], name) if name in task.media else inputs[name] for name in inputs}


def _example(value: dict[str, str], field: str) -> Picture:
    body = base64.b64decode(value["data"])
    return Picture(lambda: io.BytesIO(body), field=field, max_pixels=_MOST_OF_AN_EXAMPLE)
