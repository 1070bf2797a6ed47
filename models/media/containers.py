"""Sound and video files through FFmpeg's libraries (PyAV), shut in: one named format, and decoders from a list.

FFmpeg left alone guesses among hundreds of formats, some of which are lists of other files and addresses to open.
Here the caller has told the format by the file's first bytes; nothing else is tried, no other file is opened, and no
decoder runs that is not listed. What is read is a stream of ours, never a name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, NoReturn

import av
from av.container import InputContainer

from models.media.seen import MediaRefused

#: Bytes of a file that may be read to find out what its streams are.
_PROBED = 4 << 20


@contextmanager
def opened(
    stream: BinaryIO, demuxer: str, codecs: Collection[str], *, broken: str, more: Mapping[str, str] | None = None
) -> Iterator[InputContainer]:
    """The file's streams; raises MediaRefused with the sentence `broken` for what cannot be read, here or inside.

    `more`: options of FFmpeg, for what it decodes to find out what the streams are.
    """
    options = {
        "format_whitelist": demuxer,
        "codec_whitelist": ",".join(sorted(codecs)),
        "protocol_whitelist": "none",
        "probesize": str(_PROBED),
        **(more or {}),
    }
    try:
        # mode: left out, it is the stream's own, and a temporary file is there to be written too.
        with av.open(
            stream,
            mode="r",
            format=demuxer.partition(",")[0],
            options=options,
            metadata_errors="replace",
            io_open=_never,
        ) as container:
            yield container
    except (av.FFmpegError, EOFError, ValueError, LookupError, OverflowError) as error:
        # Whatever a reader of a format raises, the file is to blame.
        raise MediaRefused(broken) from error


def _never(*_asked: Any) -> NoReturn:
    raise ValueError("a media file asked for another one")
