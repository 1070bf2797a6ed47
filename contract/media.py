"""The settings of files as inputs: how much of one is taken and decoded, and what is fetched."""

from __future__ import annotations

import dataclasses

from contract.options import BOOL, option, seconds, whole


@dataclasses.dataclass(frozen=True)
class Media:
    """What is taken, and what is fetched for a caller."""

    max_bytes: int = option(
        "MAX_MEDIA_BYTES",
        whole(1_000, 1 << 34),
        32 << 20,
        "Largest image of a job. Larger ones take longer to send and to decode, and more memory while that lasts.",
    )
    max_pixels: int = option(
        "MAX_PIXELS",
        whole(1_000, 89_000_000),
        64_000_000,
        "Most pixels of an image, whatever its file's size; each takes four bytes or more while it is decoded.",
    )
    max_pages: int = option(
        "MAX_PAGES",
        whole(1, 1_000),
        20,
        "Most pages of a PDF. Each is read in windows, or looked at as a picture of up to four million pixels.",
    )
    document_seconds: float = option(
        "DOCUMENT_SECONDS",
        seconds(1, 600),
        20.0,
        "How long a process may take to read one PDF. Longer ones hold up the rows that are prepared behind them.",
    )
    max_audio_bytes: int = option(
        "MAX_AUDIO_BYTES",
        whole(1_000, 1 << 34),
        128 << 20,
        "Largest recording of a job, as a file.",
    )
    max_audio_seconds: float = option(
        "MAX_AUDIO_SECONDS",
        seconds(1, 86_400),
        3600.0,
        "Longest recording of a job, whatever its file's size; a second takes 64 kB or more while a model hears it.",
    )
    max_video_bytes: int = option(
        "MAX_VIDEO_BYTES",
        whole(1_000, 1 << 34),
        256 << 20,
        "Largest video of a job, as a file.",
    )
    max_video_seconds: float = option(
        "MAX_VIDEO_SECONDS",
        seconds(1, 86_400),
        3600.0,
        "Longest video of a job. Of a long one all bytes are read; what is not looked at is mostly not decoded.",
    )
    max_video_frames: int = option(
        "MAX_VIDEO_FRAMES",
        whole(1, 100_000),
        1024,
        "Most frames that are decoded of one video: num_frames times frame_sampling_rate, or those on the way to the "
        "frames of a model that writes. Larger ones cost time on the processor, 10 ms a frame and more.",
    )
    max_video_pixels: int = option(
        "MAX_VIDEO_PIXELS",
        whole(1_000, 35_700_000),
        8_912_896,
        "Most pixels of a frame. 16 frames of as many, which is 4K, take 430 MB while they are decoded.",
    )
    max_archive_files: int = option(
        "MAX_ARCHIVE_FILES",
        whole(1, 10_000_000),
        1_000_000,
        "Most files of an archive (.zip, .tar). A process of its own lists them in at most 4 GiB and 300 s of CPU.",
    )
    fetch: bool = option(
        "FETCH_URLS",
        BOOL,
        True,
        "false: a file given as a URL is refused, and this server asks no other one for anything.",
    )
    fetch_private: bool = option(
        "FETCH_PRIVATE",
        BOOL,
        False,
        "true: URLs may lead to loopback, link-local and private addresses. Whoever may submit a job then reaches "
        "what only this machine should.",
    )
    fetch_seconds: float = option(
        "FETCH_SECONDS",
        seconds(0.5, 50),
        10.0,
        "How long fetching the URLs of a job, or one of a row of a file, may take in all. A job meanwhile holds one "
        "of FOURNIL_WEB_THREADS.",
    )

    def most_bytes(self, kind: str) -> int:
        """The largest file of a kind, as `x-media` names it."""
        return {"audio": self.max_audio_bytes, "video": self.max_video_bytes}.get(kind, self.max_bytes)

    @property
    def most_bytes_of_all(self) -> int:
        """Where a file arrives before it is known what it is for."""
        return max(self.max_bytes, self.max_audio_bytes, self.max_video_bytes)
