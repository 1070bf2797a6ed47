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
    #: As in `image`, or `images.1` for one of a list.
    field: str
    #: One of models.media.KINDS.
    kind: str
    limits: Media

    def decoded(self, **wanted: Any) -> Any:
        """What a processor of its kind takes; raises InputError. Nothing is kept of it.

        `wanted`: what `decode` of its kind may be asked for.
        """
        try:
            with self.open_file() as stream:
                return decode(self.kind, stream, self.limits, **wanted)
        except MediaRefused as refused:
            raise self._refusal(str(refused)) from refused
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise self._refusal("The file of this input is not in storage any more. Send it again.") from error

    def _refusal(self, sentence: str) -> InputError:
        # Of several files it must be said which one.
        message = f"inputs.{self.field}: {sentence}" if "." in self.field else sentence
        return InputError(ErrorCode.INPUT_REJECTED, message, field=self.field)


def in_place(value: Any, field: str, kind: str, bring: Callable[[Any, str, str], MediaFile]) -> Any:
    """What a worker has of a field: its file, or all those of a list."""
    if isinstance(value, list):
        return [bring(one, f"{field}.{place}", kind) for place, one in enumerate(value)]
    return bring(value, field, kind)


def example_inputs(task: Task) -> Inputs:
    """The catalogue's example, with its files as a worker has them."""
    inputs = dict(task.example["inputs"])
    return {
        name: in_place(value, name, task.media[name], _example) if name in task.media else value
        for name, value in inputs.items()
    }


def _example(value: Any, field: str, kind: str) -> MediaFile:
    body = base64.b64decode(value["data"])
    return MediaFile(lambda: io.BytesIO(body), field, kind, Media())
