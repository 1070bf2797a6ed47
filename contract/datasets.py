"""Settings of datasets that a batch may name in place of a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from contract.options import BOOL, FOLDER, TEXT, a_url, option, seconds


@dataclasses.dataclass(frozen=True)
class Datasets:
    """Datasets of the Hub, and of one folder, as the input of a batch."""

    fetch: bool = option(
        "FETCH_DATASETS",
        BOOL,
        True,
        "false: no dataset is fetched from the Hub for a caller; those in FOURNIL_DATASETS_DIR can still be named. "
        "FOURNIL_HUB_OFFLINE says the same.",
    )
    folder: Path | None = option(
        "DATASETS_DIR",
        FOLDER,
        None,
        "Folders in this one can be named as datasets, before those of the Hub. Whoever may submit a batch may read "
        "all of them. Web server and workers must see the same folder.",
    )
    endpoint: str = option(
        "DATASETS_HUB",
        a_url("https://", "http://"),
        "https://huggingface.co",
        "Where datasets are fetched from: the Hub, or a mirror of it.",
    )
    token: str = option(
        "DATASETS_TOKEN",
        TEXT,
        "",
        "Account that datasets are fetched with. Empty: only public ones, whatever HF_TOKEN says. Whoever may submit "
        "a batch may then read what this account may.",
        secret=True,
    )
    seconds: float = option(
        "DATASETS_SECONDS",
        seconds(1, 300),
        30.0,
        "How long a request may take to find a dataset and look at its first rows; a dry run reads on for as long.",
    )
