"""What every kind of media is looked at for, and how one is refused."""

from __future__ import annotations

import dataclasses


class MediaRefused(Exception):
    """A file that is nothing we take; the message is a sentence for its sender."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a file's header says."""

    content_type: str
