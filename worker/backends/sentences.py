"""What a checkpoint of sentence-transformers says besides its weights: how tokens become one vector, and its prompts.

modules.json lists the steps. Pooling (the mean of the tokens, their first or their last), linear layers and a final
normalization are computed here; a checkpoint with any other step is refused by name, rather than served as if it
had none. A checkpoint without these files pools by the mean.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch

from contract.errors import CheckpointError, ErrorCode
from worker.backends import conversions
from worker.backends.weights import Loaded, corrupt

#: Their words for it, and ours.
_POOLINGS = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")
_NAME = "It"


@dataclasses.dataclass(frozen=True)
class Dense:
    linear: torch.nn.Linear
    activation: torch.nn.Module

    def __call__(self, pooled: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.activation(self.linear(pooled))
        return made


@dataclasses.dataclass(frozen=True)
class Sentences:
    #: mean, cls or last; what is computed elsewhere is its own word (`max`).
    pooling: str = "mean"
    #: Whether the tokens of a prompt are pooled with those of the text.
    pools_prompt: bool = True
    layers: tuple[Dense, ...] = ()
    normalize: bool = False
    prompts: dict[str, str] = dataclasses.field(default_factory=dict)
    #: The prompt of a text whose caller names none.
    default_prompt: str | None = None
    #: Most tokens of a text that it was trained with.
    max_tokens: int | None = None
    lower_case: bool = False

    @property
    def can_pool(self) -> bool:
        return self.pooling in _POOLINGS.values()

    @property
    def size(self) -> int | None:
        """Numbers in a vector, where its layers say that."""
        return self.layers[-1].linear.out_features if self.layers else None

    def vectors(self, pooled: torch.Tensor) -> torch.Tensor:
        """What its layers make of pooled vectors, (rows, numbers)."""
        for layer in self.layers:
            pooled = layer(pooled)
        return pooled


def read(folder: Path) -> Sentences:
    """Raises CheckpointError for a step that is not computed here."""
    said = conversions.read_json(folder / "config_sentence_transformers.json", model=_NAME)
    length, lower_case = _limits(folder)
    prompts = {name: text or "" for name, text in (said.get("prompts") or {}).items()}
    pooling = _pooling(folder / "1_Pooling")
    found = Sentences(
        **pooling,
        prompts=prompts,
        default_prompt=said.get("default_prompt_name"),
        max_tokens=length,
        lower_case=lower_case,
    )
    for module in _modules(folder):
        found = _with_step(
            found, str(module.get("type", "")).rpartition(".")[2], folder / str(module.get("path", ""))
        )
    return found


def limited(loaded: Loaded, sentences: Sentences) -> Loaded:
    """With the greatest length that the checkpoint was trained with, where its operator names none."""
    limit = min(loaded.positions, loaded.max_tokens or sentences.max_tokens or loaded.positions)
    return dataclasses.replace(loaded, limit=limit)


def _modules(folder: Path) -> list[dict[str, Any]]:
    file = folder / "modules.json"
    if not file.is_file():
        return []
    try:
        modules = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        modules = None
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise corrupt("The modules.json of this checkpoint is not a list of modules. Copy or download it again.")
    return modules


def _with_step(found: Sentences, kind: str, folder: Path) -> Sentences:
    if kind in ("Transformer", "Dropout"):
        return found
    if kind == "Pooling":
        return dataclasses.replace(found, **_pooling(folder))
    if kind == "Normalize":
        return dataclasses.replace(found, normalize=True)
    if kind == "Dense" and not found.normalize:
        return dataclasses.replace(found, layers=(*found.layers, _dense(folder)))
    raise corrupt(
        f"The modules.json of this checkpoint has a step '{kind}' where none is computed here: pooling, dense layers "
        "and then a normalization are. Choose another checkpoint."
    )


def _pooling(folder: Path) -> dict[str, Any]:
    """`pooling` and `pools_prompt`; empty where there is no such file."""
    said = conversions.read_json(folder / "config.json", model=_NAME)
    if not said:
        return {}
    flags = [word for flag, word in _FLAGS.items() if said.get(flag)]
    modes = said.get("pooling_mode") or flags or ["mean"]
    words = "+".join([modes] if isinstance(modes, str) else modes)
    return {"pooling": _POOLINGS.get(words, words), "pools_prompt": bool(said.get("include_prompt", True))}


def _limits(folder: Path) -> tuple[int | None, bool]:
    """Most tokens, and whether texts are put into small letters; the file is named after the first such model."""
    for file in sorted(folder.glob("sentence_*_config.json")):
        said = conversions.read_json(file, model=_NAME)
        return said.get("max_seq_length"), bool(said.get("do_lower_case"))
    return None, False


def _dense(folder: Path) -> Dense:
    said = conversions.read_json(folder / "config.json", model=_NAME)
    activation = str(said.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
    reads = said.get("module_input_name", "sentence_embedding")
    if activation not in _ACTIVATIONS or said.get("use_residual") or reads != "sentence_embedding":
        raise corrupt(f"The dense layer in {folder.name} is of a kind that is not computed here. Choose another.")
    file = folder / "model.safetensors"
    if not file.is_file():
        raise CheckpointError(
            ErrorCode.CHECKPOINT_UNSAFE,
            f"The dense layer in {folder.name} has no safetensors weights, and pickled ones can run code when they "
            "are loaded. Convert them.",
        )
    return Dense(_linear(file), getattr(torch.nn, activation)())


def _linear(file: Path) -> torch.nn.Linear:
    from safetensors.torch import load_file

    conversions.check_weights(file, model=_NAME)
    weights = {name.removeprefix("linear."): tensor.float() for name, tensor in load_file(file).items()}
    if "weight" not in weights or weights["weight"].dim() != 2:
        raise corrupt(f"The dense layer in {file.parent.name} has no weight. Copy or download it again.")
    rows, columns = weights["weight"].shape
    layer = torch.nn.Linear(columns, rows, bias="bias" in weights)
    layer.load_state_dict(weights)
    return layer.requires_grad_(False)
