"""The sentences of reviews, editorials and tweets in the source distribution of vaderSentiment (MIT).

Fetched once by pip, kept beside the peers' environments and read there: none of it is part of this repository.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

HOME = Path.home() / ".cache" / "fournil-peers"
_VERSION = "3.3.2"
_INNER = "hutto_ICWSM_2014.tar.gz"
#: Lines of `id <tab> mean rating <tab> sentence`.
_RATED = "_GroundTruth.txt"


def sentences() -> Iterator[str]:
    """About 24,000, in the order of the distribution."""
    with tarfile.open(_distribution()) as outer:
        inner = next(member for member in outer if member.name.endswith(_INNER))
        with tarfile.open(fileobj=outer.extractfile(inner)) as files:
            for member in files:
                if member.name.endswith(_RATED) and (file := files.extractfile(member)):
                    for line in file.read().decode().splitlines():
                        yield " ".join(line.split("\t", 2)[2].split())


def _distribution() -> Path:
    found = HOME / f"vaderSentiment-{_VERSION}.tar.gz"
    if not found.exists():
        words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*words, "--dest", str(HOME), f"vaderSentiment=={_VERSION}"], check=True)
    return found
