"""Checkpoints made from others: a GGUF file becomes safetensors, an adapter is merged into its base.

Both are made once, in the cache, under a name that says from what. A reader sees the finished directory or
none: it is built beside its place and renamed into it, while a file lock keeps the other workers of this
machine from building the same. The lock goes with the process, so a killed builder blocks nobody.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from contract.errors import CheckpointError, ErrorCode

if TYPE_CHECKING:
    import torch

#: Part of every name in the cache: raise it when a conversion changes, and nothing stale is trusted.
FORMAT = 1
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
)


def build_once(cache: Path, name: str, build: Callable[[Path], None], *, model: str) -> Path:
    """`cache/name`, filled by `build` unless it is there; concurrent callers wait for the first and share."""
    target = cache / name
    if target.is_dir():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / f".{name}.lock"):
            if not target.is_dir():
                _build_beside(target, build)
    except (OSError, SafetensorError) as error:  # the second is how a full disk shows while weights are written
        raise CheckpointError(
            ErrorCode.CHECKPOINT_MISSING,
            f"'{model}' could not be prepared in the data directory; make sure that it is writable and has room.",
        ) from error
    return target


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build_beside(target: Path, build: Callable[[Path], None]) -> None:
    for leftover in target.parent.glob(f".{target.name}.partial-*"):
        shutil.rmtree(leftover)  # of a killed builder: we hold the lock, so nobody is at work in it
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
    try:
        build(partial)
        _settle(partial)
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _settle(folder: Path) -> None:
    """On disk, and readable for a worker of another account, before the name says that it is finished.

    The rename may reach the disk before the data does: a power cut would leave a finished name on empty files.
    """
    for path in [*folder.iterdir(), folder]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as partial:
        partial.write(text)
    Path(partial.name).replace(path)


def read_json(path: Path, *, model: str) -> dict[str, Any]:
    """The object in a file of a checkpoint; empty where there is no such file."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise _corrupt(model, f"its {path.name} is not a JSON object")
    return values


def check_weights(path: Path, *, model: str) -> None:
    """Reads the header and compares it with the file's length: a broken download is found without its gigabytes."""
    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise _corrupt(model, f"its {path.name} is missing, cut short or no safetensors file") from error


def _corrupt(model: str, reason: str) -> CheckpointError:
    return CheckpointError(
        ErrorCode.CHECKPOINT_CORRUPT, f"'{model}' cannot be loaded: {reason}; install or download it again."
    )


def convert_gguf(gguf: Path, *, model: str, commit: str, cache: Path) -> Path:
    """Half a minute, once: read straight from GGUF, every start of a worker would take that long."""

    def build(target: Path) -> None:
        try:
            _convert(gguf, target)
        except ImportError as error:
            raise CheckpointError(
                ErrorCode.CHECKPOINT_MISSING,
                f"'{model}' is a GGUF file, which needs the packages gguf and accelerate; install fournil[worker].",
            ) from error
        except (ValueError, LookupError, RuntimeError, EOFError) as error:
            raise _corrupt(model, "transformers cannot read its GGUF file") from error

    return build_once(cache, _cache_name("gguf", commit), build, model=model)


def _convert(gguf: Path, target: Path) -> None:
    """Through a model built anew from the configuration: one that was read from GGUF refuses to be saved.

    float32 on disk: bfloat16 would halve the file and make each answer six to nine times slower on a CPU.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source: dict[str, Any] = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    read = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(read.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(**source)
    plain.generation_config = _generation_config(config, tokenizer)
    plain.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _generation_config(config: Any, tokenizer: Any) -> Any:
    """Without an end token a chat model talks until its limit; without a padding token it cannot be batched."""
    from transformers import GenerationConfig

    end = tokenizer.eos_token_id if config.eos_token_id is None else config.eos_token_id
    pad = end if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return GenerationConfig(bos_token_id=config.bos_token_id, eos_token_id=end, pad_token_id=pad)


def merge_adapter(base: Path, adapter: Path, *, model: str, commit: str, cache: Path) -> Path:
    """A full checkpoint of base plus adapter, so that serving needs to know nothing of adapters."""

    def build(target: Path) -> None:
        said = read_json(adapter / "adapter.json", model=adapter.name)
        try:
            _merge(base, adapter, said, target)
        except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            raise CheckpointError(
                ErrorCode.CHECKPOINT_CORRUPT,
                f"The adapter '{adapter.name}' does not fit '{model}'; train it again on this model.",
            ) from error

    check_weights(adapter / "adapter.safetensors", model=adapter.name)
    return build_once(cache, _cache_name("merged", commit), build, model=model)


def _merge(base: Path, adapter: Path, said: dict[str, Any], target: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = {
        f"{said['prefix']}{name}": tensor
        for shard in sorted(base.glob("*.safetensors"))
        for name, tensor in load_file(shard).items()
    }
    apply_adapter(weights, load_file(adapter / "adapter.safetensors"), scale=said["alpha"] / said["rank"])
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    (target / "config.json").write_text(json.dumps(_with_labels(config, said), indent=2), encoding="utf-8")
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, target / name)


def apply_adapter(weights: dict[str, torch.Tensor], trained: dict[str, torch.Tensor], *, scale: float) -> None:
    """`X.lora_A` with `X.lora_B` is added to `X.weight`; anything else was trained whole and takes its place."""
    for name, tensor in trained.items():
        stem, _, part = name.rpartition(".")
        if part == "lora_A":
            update = trained[f"{stem}.lora_B"].float() @ tensor.float() * scale
            weight = weights[f"{stem}.weight"]
            if weight.shape != update.shape:
                raise ValueError(name)
            weights[f"{stem}.weight"] = weight + update.to(weight.dtype)
        elif part != "lora_B":
            if name in weights and weights[name].shape != tensor.shape:
                raise ValueError(name)
            weights[name] = tensor.float()


def _with_labels(config: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    labels = list(said["labels"])
    return {key: value for key, value in config.items() if key != "_name_or_path"} | {
        "architectures": [said["architecture"]],
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }


def _cache_name(kind: str, commit: str) -> str:
    return f"{kind}-{FORMAT}-{re.sub(r'[^A-Za-z0-9.]+', '-', commit)}"
