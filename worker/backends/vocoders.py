"""What makes sound of spectrograms: a checkpoint of its own beside that which writes them.

Named as a model is, a directory or a Hub id, here with `@` and a revision behind it where that matters. Safetensors
as all weights are, and its commit stands in every result.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract.errors import CheckpointError, ErrorCode
from worker.backends.candidates import Candidate, look
from worker.backends.checkpoints import HUB_ID, Checkpoint, resolve

if TYPE_CHECKING:
    import torch

#: By the type of a checkpoint that writes spectrograms: what its vocoder is.
ARCHITECTURE_OF = {"speecht5": "SpeechT5HifiGan"}


def named(vocoder: str) -> tuple[str, str | None]:
    """The model and the revision in what an operator wrote."""
    model, at, revision = vocoder.rpartition("@")
    return (model, revision) if at and HUB_ID.match(model) and not Path(vocoder).is_dir() else (vocoder, None)


def beside(checkpoint: Checkpoint, vocoder: str, *, cache: Path) -> Checkpoint:
    """The checkpoint together with its vocoder, and named after both."""
    model, revision = named(vocoder)
    found = resolve(model, revision=revision, adapter=None, cache=cache)
    return dataclasses.replace(
        checkpoint,
        id=f"{checkpoint.id}+{found.id}",
        commit=f"{checkpoint.commit}+{found.commit[:12]}",
        vocoder=found.path,
    )


def needed(candidate: Candidate, vocoder: str, *, cache: Path) -> str:
    """The vocoder as the pipelines file should name it, "" for none; CheckpointError where it is the wrong one."""
    writes = ARCHITECTURE_OF.get(candidate.model_type)
    if not vocoder:
        if writes is None:
            return ""
        raise _refused(
            f"'{candidate.id}' writes spectrograms; say what makes sound of them: --set vocoder=ID_OR_DIR, such as "
            f"microsoft/speecht5_hifigan."
        )
    if writes is None:
        raise _refused(f"'{candidate.id}' needs no vocoder; leave it out.")
    model, revision = named(vocoder)
    found = look(model, revision=revision, cache=cache)
    if writes not in found.architectures:
        raise _refused(f"'{found.id}' is no {writes}; choose a vocoder that is.")
    return f"{model}@{found.commit}" if found.on_hub else model


def load(path: Path, *, dtype: torch.dtype, device: str) -> Any:
    """Raises CheckpointError where it is none, or not whole."""
    import torch
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    try:
        config = SpeechT5HifiGanConfig.from_pretrained(path, local_files_only=True)
        model, report = SpeechT5HifiGan.from_pretrained(
            path, config=config, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise _refused("The weights of the vocoder cannot be read. Copy or download it again.") from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise _refused(f"The vocoder is no HiFi-GAN of SpeechT5: it has no {missing[0]}. Choose one that is.")
    return model.to(device).eval()


def _refused(sentence: str) -> CheckpointError:
    return CheckpointError(ErrorCode.CHECKPOINT_CORRUPT, sentence)
