"""Media: what is in a file, by its content, and how it becomes what a model takes; one module a kind.

A file's name and declared type say nothing. Each kind has two sides: `look` reads a header where a job is taken, and
`decode` reads all of it where the job is run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, BinaryIO

from contract.media import Media
from models.media import audio, documents, images, videos
from models.media.seen import MediaRefused, Seen

__all__ = ["KINDS", "MediaRefused", "Seen", "decode", "look"]


@dataclasses.dataclass(frozen=True)
class Kind:
    look: Callable[[BinaryIO, Media], Seen]
    #: What it takes besides is its kind's own: the rate at which a model hears, the frames that it sees.
    decode: Callable[..., Any]


#: By the name that `x-media` of an input field gives.
KINDS = {
    "image": Kind(images.look, images.decode),
    "audio": Kind(audio.look, audio.decode),
    "document": Kind(documents.look, documents.decode),
    "video": Kind(videos.look, videos.decode),
}


def look(kind: str, stream: BinaryIO, limits: Media) -> Seen:
    """Read no more than a header; raises MediaRefused for what `decode` would not take either."""
    return KINDS[kind].look(stream, limits)


def decode(kind: str, stream: BinaryIO, limits: Media, **wanted: Any) -> Any:
    """What a worker hands to a processor of this kind; raises MediaRefused."""
    return KINDS[kind].decode(stream, limits, **wanted)
