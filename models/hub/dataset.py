"""What a caller names, what this server reaches for, and what is known of a dataset once it was looked at."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from contract.settings import Settings

#: A name of the Hub. It is joined to the operator's folder, so no part of it may begin with a dot.
NAME = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,95})?$"


@dataclasses.dataclass(frozen=True)
class Dataset:
    name: str
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    #: Exactly which data; of a folder, a digest of its files' names, sizes and times.
    commit: str | None = None

    def as_dict(self) -> dict[str, str | None]:
        return dataclasses.asdict(self)

    @property
    def filename(self) -> str:
        """What its rows are called as a file."""
        words = [self.name.replace("/", "-"), self.config if self.config != "default" else None, self.split]
        return "-".join(word for word in words if word) + ".jsonl"


@dataclasses.dataclass(frozen=True)
class About:
    """What a look at a dataset tells."""

    dataset: Dataset
    columns: list[str]
    #: Columns of files that the pipeline does not take, which are left out.
    media: list[str]
    #: Rows, where the dataset says how many it has.
    rows: int | None

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> About:
        return cls(**{**found, "dataset": Dataset(**found["dataset"])})


@dataclasses.dataclass(frozen=True)
class Reach:
    """What the operator lets datasets be read from, and where the library keeps its cache."""

    hub: bool
    folder: Path | None
    endpoint: str
    token: str = dataclasses.field(repr=False)
    cache: Path

    @classmethod
    def of(cls, settings: Settings) -> Reach:
        own = settings.datasets
        hub = own.fetch and not settings.inference.hub_offline
        return cls(hub, own.folder, own.endpoint, own.token, settings.storage.data_dir.absolute() / "datasets")

    def folder_of(self, name: str) -> Path | None:
        """The operator's folder with this name."""
        if self.folder is None:
            return None
        root = self.folder.resolve()
        found = (root / name).resolve()
        return found if found.is_dir() and found.is_relative_to(root) and found != root else None

    def environment(self) -> dict[str, str]:
        """For the process that reads: the library takes these when it is imported, and torch it must not import."""
        kept = {
            name: text for name, text in os.environ.items() if not name.startswith(("HF_", "FOURNIL_", "HUGGING"))
        }
        given = {
            "HF_HOME": str(self.cache),
            "HF_ENDPOINT": self.endpoint,
            "HF_HUB_OFFLINE": "0" if self.hub else "1",
            "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "TRANSFORMERS_OFFLINE": "0",
            "USE_TORCH": "0",
            "USE_TF": "0",
            "USE_JAX": "0",
        }
        return {**kept, **given}
