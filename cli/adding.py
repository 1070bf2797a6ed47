"""One more pipeline in the pipelines file: `fournil pipelines add`.

Nothing is written before the checkpoint was looked at and the new file was read as every process will read it.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.values import typed
from contract.errors import CheckpointError
from contract.names import PIPELINE_NAME
from contract.pipelines import KINDS, OPTIONS, PipelineFileError, pipelines_of
from contract.tasks import CATALOGUE, canonical_name
from contract.tasks.task import JsonSchema

if TYPE_CHECKING:
    from worker.backends.candidates import Candidate


_TYPES = {str: "string", bool: "boolean", int: "integer"}


@dataclasses.dataclass(frozen=True)
class Offer:
    """What was typed."""

    name: str
    model: str
    task: str | None
    revision: str | None
    #: Other keys of its table.
    options: dict[str, str]


def add(offer: Offer, file: Path, *, cache: Path) -> list[str]:
    """Write the offer into `file`, which may be new; lines that say what was found."""
    text = _text_of(file)
    with _sentences():
        _check_name(offer.name, text, file)
        _check_keys(offer.options)
        candidate, tasks = _looked_at(offer, cache)
        offer = _with_vocoder(offer, candidate, cache)
        table = _table(offer, candidate, tasks[0], file)
        remark = "" if candidate.on_hub else f"{candidate.commit} when it was added"
        longer = _appended(text, offer.name, table, remark)
        pipelines_of(longer, file)
    _write(file, longer)
    return _said(offer, candidate, tasks, file)


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except (CheckpointError, PipelineFileError) as error:
        raise click.UsageError(str(error)) from error
    except ModuleNotFoundError as error:
        raise click.UsageError(
            "Checkpoints are read with the worker's packages; run pip install 'fournil[worker]'."
        ) from error


def _text_of(file: Path) -> str:
    """As bytes have it: what the file has for ends of lines stays."""
    try:
        return file.read_bytes().decode() if file.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"The pipelines file {file} cannot be read.") from error


def _check_name(name: str, text: str, file: Path) -> None:
    if not PIPELINE_NAME.match(name):
        raise click.UsageError("NAME is small letters, digits, '.', '_' and '-'.")
    if text.strip() and name in [spec.name for spec in pipelines_of(text, file)]:
        raise click.UsageError(f"{file} has a pipeline '{name}' already; choose another name, or edit that one.")


def _check_keys(options: dict[str, str]) -> None:
    for key in ("task", "model", "revision"):
        if key in options:
            raise click.UsageError(f"--set {key}: write --{key}.")


def _looked_at(offer: Offer, cache: Path) -> tuple[Candidate, list[str]]:
    """The checkpoint, and the task that was named or all that fit, the likeliest first."""
    from worker.backends.candidates import look

    candidate = look(offer.model, revision=offer.revision, cache=cache)
    if offer.revision and not candidate.on_hub:
        raise click.UsageError("--revision goes with a Hub id; a directory, a file or a package holds one commit.")
    from worker.backends import fitting  # which brings in torch, seconds later than the rest

    if offer.task is None:
        return candidate, fitting.likeliest(candidate)
    fitting.check_task(candidate, offer.task)
    return candidate, [offer.task]


def _with_vocoder(offer: Offer, candidate: Candidate, cache: Path) -> Offer:
    from worker.backends.vocoders import needed

    vocoder = needed(candidate, offer.options.get("vocoder", ""), cache=cache)
    return dataclasses.replace(offer, options={**offer.options, "vocoder": vocoder}) if vocoder else offer


def _table(offer: Offer, candidate: Candidate, task: str, file: Path) -> dict[str, Any]:
    more = _more(offer.options, task, file)
    if candidate.on_hub:
        return {"task": task, "model": offer.model, "revision": candidate.commit, **more}
    return {"task": task, "model": _as_seen_from(file, offer.model), **more}


def _more(words: dict[str, str], task: str, file: Path) -> dict[str, Any]:
    """Options, and defaults of the task's parameters, as the types that the file has for them."""
    own: JsonSchema = {key: {"type": _TYPES[KINDS.get(key, str)]} for key in OPTIONS}
    rules = {**CATALOGUE[canonical_name(task)].parameters["properties"], **own}
    found = typed(words, {"properties": rules})
    if nothing := next((key for key, value in found.items() if value is None), None):
        raise click.UsageError(f"--set {nothing}: TOML has no null. Leave it out.")
    if "adapter" in found:
        found["adapter"] = _as_seen_from(file, found["adapter"])
    if "vocoder" in found and Path(found["vocoder"]).is_dir():
        found["vocoder"] = _as_seen_from(file, found["vocoder"])
    return found


def _as_seen_from(file: Path, model: str) -> str:
    """What lies below the file's own directory moves with it; what lies elsewhere is named in full."""
    if model.startswith("package:"):
        return model
    folder, home = Path(model).resolve(), file.resolve().parent
    return folder.relative_to(home).as_posix() if folder.is_relative_to(home) else str(folder)


def _appended(text: str, name: str, table: dict[str, Any], remark: str) -> str:
    import tomlkit

    document = tomlkit.parse(text)
    if isinstance(document.get("pipelines"), tomlkit.items.InlineTable):
        raise PipelineFileError(
            "pipelines = {...} has no room for another: write its tables as [pipelines.NAME] first."
        )
    new = tomlkit.table()
    for key, value in table.items():
        written = tomlkit.item(value)
        if key == "model" and remark:
            written.comment(remark)
        new.add(key, written)
    if "pipelines" not in document:
        document.add("pipelines", tomlkit.table(is_super_table=True))
    document["pipelines"].add(name, new)
    return tomlkit.dumps(document)


def _write(file: Path, text: str) -> None:
    """In one go: a process that starts meanwhile reads the old file or the new one."""
    target = file.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=target.parent, delete=False, encoding="utf-8", newline="") as partial:
        partial.write(text)
    written = Path(partial.name)
    written.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
    written.replace(target)


def _said(offer: Offer, candidate: Candidate, tasks: list[str], file: Path) -> list[str]:
    lines = [f"{offer.name}: {tasks[0]} with {candidate.id} at {candidate.commit}, written to {file}."]
    if len(tasks) > 1:
        lines.append(f"It also fits {', '.join(tasks[1:])}: --task says so.")
    return lines
