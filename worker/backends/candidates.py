"""A checkpoint looked at before it is offered: which commit, what it says of itself, whether it may be loaded.

No weights are fetched, read or converted for that, but for the digest of a directory's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from contract.errors import CheckpointError, ErrorCode
from worker.backends import checkpoints, conversions

#: How a file of a sentence-transformers checkpoint that makes vectors ends; one that compares pairs has none.
POOLING = "_Pooling/config.json"


@dataclasses.dataclass(frozen=True)
class Candidate:
    #: What to call it in public.
    id: str
    commit: str
    on_hub: bool
    #: Its config.json; empty for a GGUF file.
    config: dict[str, Any]
    #: Names of its files, relative to the configuration.
    files: frozenset[str]

    @property
    def is_gguf(self) -> bool:
        return not self.config

    @property
    def architectures(self) -> list[str]:
        return [str(name) for name in self.config.get("architectures") or ()]

    @property
    def model_type(self) -> str:
        return str(self.config.get("model_type", ""))


def look(model: str, *, revision: str | None, cache: Path) -> Candidate:
    """Raises CheckpointError with a sentence for the operator where it is missing, damaged or not safe."""
    found = checkpoints.on_this_machine(model, cache=cache)
    if found is None:
        return _on_the_hub(model, revision)
    source = found.source
    if source.gguf is not None:
        return Candidate(found.id, found.commit, False, {}, frozenset({source.gguf.name}))
    checkpoints.check(source.folder, found.id)
    config = conversions.read_json(source.folder / "config.json", model=found.id)
    return Candidate(found.id, found.commit, False, config, _names(source.folder))


def _on_the_hub(model: str, revision: str | None) -> Candidate:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    # The word for a commit is its folder's name; without a network it is what an earlier download left.
    try:
        found = snapshot_download(model, revision=revision, allow_patterns=list(checkpoints.CODE_SWITCHES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise checkpoints.hub_refusal(model, revision, error) from error
    folder = Path(found)
    files = _listed(model, folder)
    _refuse_weights(model, files)
    checkpoints.refuse_code(folder, model)
    config = conversions.read_json(folder / "config.json", model=model)
    if not config:
        raise CheckpointError(
            ErrorCode.CHECKPOINT_MISSING, f"'{model}' has no config.json; choose another checkpoint."
        )
    return Candidate(model, folder.name, True, config, files)


def _listed(model: str, folder: Path) -> frozenset[str]:
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        return frozenset(file.path for file in get_cached_repo_tree(model, revision=folder.name))
    except CachedRepoTreeNotFoundError:  # fetched by a release that kept no lists
        return _names(folder)


def _names(folder: Path) -> frozenset[str]:
    return frozenset(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def _refuse_weights(model: str, files: Iterable[str]) -> None:
    if any(name.endswith(".safetensors") and "/" not in name for name in files):
        return
    if any(name.endswith(".gguf") for name in files):
        raise CheckpointError(
            ErrorCode.CHECKPOINT_MISSING,
            f"'{model}' holds GGUF files; download the one you mean and name that file.",
        )
    raise checkpoints.pickled(model)
