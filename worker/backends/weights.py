"""A checkpoint's files as a model and a tokenizer on the device, or a sentence for the operator.

safetensors only, no remote code, nothing from the network, and no weight that the checkpoint does not hold:
transformers would make up a missing classification head at random and only warn of it.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import types
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import is_torchvision_available

from contract.errors import CheckpointError, ErrorCode
from worker.backends import viewing

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_NO_LIMIT = 1 << 30


@dataclasses.dataclass(frozen=True)
class Loaded:
    """What a task computes with."""

    task: str
    model: Any
    tokenizer: Any
    #: Most tokens of one input.
    limit: int
    #: Most tokens the model takes at all; what it writes counts too.
    positions: int
    #: What turns pictures or sound into tensors; None for a task of texts.
    processor: Any = None
    #: Weights that the checkpoint does not hold, and that the task can do without.
    made_up: tuple[str, ...] = ()
    #: Where it was read from: some tasks have files of their own there.
    folder: Path = Path()
    #: What the operator wrote; None: nothing.
    max_tokens: int | None = None
    #: What makes sound of spectrograms, where the operator named one.
    vocoder: Any = None

    @property
    def parts(self) -> list[Any]:
        """All that has weights."""
        return [self.model] if self.vocoder is None else [self.model, self.vocoder]


@dataclasses.dataclass(frozen=True)
class Wanted:
    """How a task wants its checkpoint loaded."""

    task: str
    #: A class of transformers, such as AutoModelForMaskedLM.
    auto_class: str
    #: Parts of weight names whose absence does not change the task's result.
    optional: tuple[str, ...] = ()
    #: Further classes, for architectures that `auto_class` does not know.
    or_classes: tuple[str, ...] = ()
    #: AutoImageProcessor, AutoFeatureExtractor or AutoProcessor, where inputs hold pictures or sound.
    processor: str | None = None
    #: Whether a checkpoint may do without one, and have a tokenizer alone.
    may_be_blind: bool = False
    #: What a config.json calls the architectures that are served; none named: all that the classes give.
    model_types: tuple[str, ...] = ()
    #: Further ones, whose inputs AutoVideoProcessor prepares.
    filmed_types: tuple[str, ...] = ()


def load(
    path: Path, wanted: Wanted, *, dtype: str, device: str, max_tokens: int | None, attention: str = "auto"
) -> Loaded:
    """Read model and tokenizer from a directory; raise CheckpointError that says how to mend it."""
    config = _config(path, attention)
    _check_type(config.model_type, wanted)
    _check_flash(attention, device)
    if wanted.processor is not None:
        return _load_with_processor(path, wanted, config, _dtype(dtype, device), device)
    tokenizer = _tokenizer(path)
    model, _ = _model(path, wanted, _dtype(dtype, device), config)
    _give_padding(tokenizer, model)
    model.to(device).eval()
    positions = _positions(model, tokenizer)
    limit = min(positions, max_tokens or positions)
    return Loaded(wanted.task, model, tokenizer, limit, positions, folder=path, max_tokens=max_tokens)


def _load_with_processor(path: Path, wanted: Wanted, config: Any, dtype: torch.dtype | str, device: str) -> Loaded:
    processor = _processor(path, wanted, config)
    model, missing = _model(path, wanted, dtype, config)
    model.to(device).eval()
    tokenizer = getattr(processor, "tokenizer", None)
    limit = _NO_LIMIT if tokenizer is None else _positions(model, tokenizer)
    return Loaded(wanted.task, model, tokenizer, limit, limit, processor, missing)


def bytes_to_load(path: Path, *, graph: bool) -> int:
    """Bytes that a load is thought to need at its worst, from the sizes of its files.

    A graph is proven, and made the first time, beside the model it is made from: three times the weights.
    """
    return (3 if graph else 1) * sum(file.stat().st_size for file in path.glob("*.safetensors"))


def _config(path: Path, attention: str) -> Any:
    chosen = {} if attention == "auto" else {"attn_implementation": attention}
    try:
        return transformers.AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False, **chosen)
    except Exception as error:
        raise corrupt(
            "The config.json of this checkpoint names no architecture that this version of transformers knows. "
            "Mend it, or choose another checkpoint."
        ) from error


def _tokenizer(path: Path) -> Any:
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise corrupt("The tokenizer of this checkpoint cannot be read. Is its tokenizer.json there?") from error
    # bake() pads what prepare() tokenized long before; the library would rather have both in one call.
    tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True
    return tokenizer


def _processor(path: Path, wanted: Wanted, config: Any) -> Any:
    try:
        return _read_processor(path, wanted, config)
    except Exception as error:
        if wanted.processor == "AutoProcessor" and viewing.lacks_torchvision(config.model_type):
            raise viewing.needs_torchvision(config.model_type) from error
        raise corrupt(
            "What prepares pictures or sound for this checkpoint cannot be read. Is its preprocessor_config.json "
            "there, and for texts its tokenizer.json?"
        ) from error


def _read_processor(path: Path, wanted: Wanted, config: Any) -> Any:
    from_disk = {"local_files_only": True, "trust_remote_code": False}
    files = ("preprocessor_config.json", "processor_config.json")
    if wanted.may_be_blind and not any((path / name).exists() for name in files):
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, **from_disk)
        return types.SimpleNamespace(image_processor=None, tokenizer=tokenizer)
    auto_class = "AutoVideoProcessor" if config.model_type in wanted.filmed_types else wanted.processor or ""
    if auto_class == "AutoProcessor" and viewing.lacks_torchvision(config.model_type):
        return viewing.without_videos(path, config)
    found = getattr(transformers, auto_class).from_pretrained(path, **from_disk)
    if auto_class != "AutoProcessor" or hasattr(found, "image_processor") or hasattr(found, "feature_extractor"):
        return found
    # An encoder of images before a decoder of texts has two readers and no processor over them.
    return types.SimpleNamespace(
        image_processor=transformers.AutoImageProcessor.from_pretrained(path, **from_disk),
        tokenizer=transformers.AutoTokenizer.from_pretrained(path, **from_disk),
    )


def _class_for(path: Path, wanted: Wanted, config: Any) -> Any:
    """The Auto class that gives the architecture the checkpoint names, else the first that knows its type."""
    kinds = [getattr(transformers, name) for name in (wanted.auto_class, *wanted.or_classes)]
    known = [kind for kind in kinds if type(config) in kind._model_mapping and _has_head(path, kind, config)]
    named = [kind for kind in known if _architectures(kind, config) & set(config.architectures or ())]
    headed = [kind for kind in known if hasattr(kind._model_mapping[type(config)], "checkpoint_config")]
    # Where none knows the type, the first one says so.
    return (headed or named or known or kinds)[0]


def _has_head(path: Path, kind: Any, config: Any) -> bool:
    """False for a class that reads a decision head, where none lies beside the weights."""
    architecture = kind._model_mapping[type(config)]
    if not hasattr(architecture, "checkpoint_config"):
        return True
    # The configuration is that of a writer and says nothing of the head.
    head, _ = architecture.checkpoint_config(path, local_files_only=True)
    return head is not None or isinstance(config, architecture.config_class)


def _architectures(kind: Any, config: Any) -> set[str]:
    found = kind._model_mapping[type(config)]
    return {one.__name__ for one in (found if isinstance(found, tuple) else (found,))}


def _model(path: Path, wanted: Wanted, dtype: torch.dtype | str, config: Any) -> tuple[Any, tuple[str, ...]]:
    """The model, and names of weights that the checkpoint does not hold."""
    auto_class = _class_for(path, wanted, config)
    try:
        model, report = auto_class.from_pretrained(
            path,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if "Unrecognized configuration class" in str(error):
            raise corrupt(
                f"A checkpoint of type {config.model_type} cannot do {wanted.task}. Choose one that was trained "
                "for this task, or name the task that it was trained for."
            ) from error
        if "attention implementation" in str(error):
            raise corrupt(
                f"This version of transformers does not compute attention in that way for a {config.model_type}. "
                'Take attention = "eager", or take it out.'
            ) from error
        raise corrupt("The weights of this checkpoint cannot be read. Copy or download it again.") from error
    _check_complete(report["missing_keys"], wanted)
    return model, tuple(sorted(report["missing_keys"]))


def _check_complete(missing_keys: Any, wanted: Wanted) -> None:
    missing = sorted(key for key in missing_keys if not any(part in key for part in wanted.optional))
    if missing:
        raise corrupt(
            f"This checkpoint was not trained for {wanted.task}: it has no {missing[0]} "
            f"({len(missing)} missing in all). Choose one that was, or an adapter that adds them."
        )


def _check_type(model_type: str, wanted: Wanted) -> None:
    """Before its files are read: one that is not served may lack what prepares its inputs here, and is named."""
    served = (*wanted.model_types, *wanted.filmed_types)
    if served and model_type not in served:
        raise corrupt(
            f"{wanted.task} is served with checkpoints of type {' or '.join(served)}, and this one is of "
            f"type {model_type}. Choose another."
        )
    if model_type in wanted.filmed_types and not is_torchvision_available():
        raise viewing.needs_torchvision(model_type)


def _check_flash(attention: str, device: str) -> None:
    """Before the library is asked: it would fetch compiled code from the Hub where the package is missing."""
    if attention != "flash_attention_2":
        return
    if device.startswith("cpu") or not importlib.util.find_spec("flash_attn"):
        raise corrupt(
            'attention = "flash_attention_2" needs a GPU and the package flash-attn on the worker. Take "sdpa", or '
            "take attention out."
        )


def _dtype(name: str, device: str) -> torch.dtype | str:
    """float32 for auto on a CPU: bfloat16 takes six to nine times as long where the CPU has no arithmetic for it."""
    if name != "auto":
        return _DTYPES[name]
    return torch.float32 if device.startswith("cpu") else "auto"


def _give_padding(tokenizer: Any, model: Any) -> None:
    """Rows of different lengths need a padding token; decoders often name none and take their end token."""
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise corrupt(
                "The tokenizer of this checkpoint has neither a padding nor an end token. "
                "Add pad_token to its tokenizer_config.json."
            )
        tokenizer.pad_token = tokenizer.eos_token
    # That of a model of several has none of its own.
    if getattr(model.config, "pad_token_id", 0) is None:
        model.config.pad_token_id = tokenizer.pad_token_id


def _positions(model: Any, tokenizer: Any) -> int:
    """The lesser of what the model has positions for and what its tokenizer says, which may be absurd."""
    reader = text_config(model.config)
    positions = getattr(reader, "max_position_embeddings", None) or _NO_LIMIT
    said = min(tokenizer.model_max_length, _NO_LIMIT)
    return int(min(positions - _positions_before_the_first(model), said))


def _positions_before_the_first(model: Any) -> int:
    """RoBERTa and its kin number positions from padding_idx + 1 on and have that many fewer."""
    embeddings = getattr(model.base_model, "embeddings", None)
    table = getattr(embeddings, "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return 0 if padding is None else int(padding) + 1


def corrupt(sentence: str) -> CheckpointError:
    return CheckpointError(ErrorCode.CHECKPOINT_CORRUPT, sentence)


def text_config(config: Any) -> Any:
    """Of the part that reads texts; where another part writes something else the library does not choose."""
    return getattr(config, "text_encoder", None) or config.get_text_config()
