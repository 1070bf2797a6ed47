"""Which task a checkpoint was trained for, by transformers' own tables of architectures.

Each task is loaded by one Auto class or a few, and each of these has a table: model type to architecture. The smaller
a table, the more it says: an architecture of table questions is also one of the plain encoders.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
from transformers.utils import is_torchvision_available

from contract.errors import CheckpointError, ErrorCode
from contract.tasks import CATALOGUE, canonical_name
from worker.backends import viewing
from worker.backends.candidates import POOLING, Candidate
from worker.backends.tasks import TASKS
from worker.backends.tasks.task import TaskModel

#: What a GGUF file is converted for.
_OF_GGUF = "text-generation"
#: sentence-transformers checkpoints keep the architecture that they were trained from, with a head or without.
_OF_SENTENCES = ("feature-extraction", "sentence-similarity")
#: Models that are all alike to the library (rewriters of texts, tellers of images), and made for one thing.
_MADE_FOR = {
    "blip": "image-to-text",
    "fsmt": "translation",
    "git": "image-to-text",
    "m2m_100": "translation",
    "marian": "translation",
    "mbart": "translation",
    "nllb-moe": "translation",
    "pegasus": "summarization",
    "pix2struct": "image-to-text",
}
_READERS = {"preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"}
_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", ".model", ".spm")


def _fitting(candidate: Candidate) -> list[str]:
    """Tasks that a checkpoint was trained for, the likeliest first; none where its configuration does not tell."""
    if candidate.is_gguf:
        return [_OF_GGUF]
    if any(name.endswith(POOLING) for name in candidate.files) and _reads_texts(candidate):
        return list(_OF_SENTENCES)
    ranks = {
        name: _rank(candidate, kind)
        for name, kind in TASKS.items()
        if _was_trained_for(candidate, kind) and _has_reader(candidate, kind) and not _reads_more(candidate, kind)
        # What was made to speak is no encoder of texts, though the library would load it as one.
        if not (_needs_no_head(kind) and _kept_from(candidate))
    }
    made_for = _MADE_FOR.get(candidate.model_type) or _only_task_of(candidate.config)
    return sorted(ranks, key=lambda name: (name != made_for, ranks[name]))


def check_task(candidate: Candidate, task: str) -> None:
    """Refuse a task, as an operator wrote it, that the checkpoint cannot do; CheckpointError names those it can."""
    name = canonical_name(task)
    if name not in CATALOGUE:
        close = difflib.get_close_matches(task, CATALOGUE, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"It is one of {', '.join(CATALOGUE)}."
        raise _refused(f"There is no task '{task}'. {hint}")
    if not _may_do(candidate, name):
        raise _refused(f"{_said(candidate)}; that cannot do {name}. {_kept_from(candidate)}{_choices(candidate)}")


def likeliest(candidate: Candidate) -> list[str]:
    """What it may be offered for where its operator says nothing, best first; at least one."""
    found = _fitting(candidate)
    if not found:
        raise _refused(
            f"{_said(candidate)}; what it was trained for does not follow from that. {_kept_from(candidate)}"
            f"{_choices(candidate)}"
        )
    return found


def _may_do(candidate: Candidate, name: str) -> bool:
    if candidate.is_gguf:
        return name == _OF_GGUF
    kind = TASKS[name]
    if not _has_reader(candidate, kind) or not _knows_type(candidate, kind):
        return False
    if _was_trained_for(candidate, kind):
        return True
    if _needs_no_head(kind):
        return not _reads_more(candidate, kind) and not candidate.config.get("is_encoder_decoder")
    # An architecture that no task here was made for says nothing against a task either: its weights will tell.
    return not _is_for_something(candidate)


def _tables(kind: type[TaskModel]) -> list[dict[str, Any]]:
    """Model type to the name of an architecture, or to several."""
    return [getattr(transformers, auto)._model_mapping._model_mapping for auto in (kind.auto_class, *kind.or_classes)]


def _names(table: dict[str, Any], model_type: str) -> tuple[str, ...]:
    found = table.get(model_type, ())
    return (found,) if isinstance(found, str) else tuple(found)


def _is_among(candidate: Candidate, table: dict[str, Any]) -> bool:
    return not set(candidate.architectures).isdisjoint(_names(table, candidate.model_type))


def _was_trained_for(candidate: Candidate, kind: type[TaskModel]) -> bool:
    return _may_be(candidate, kind) and any(_is_among(candidate, table) for table in _tables(kind))


def _rank(candidate: Candidate, kind: type[TaskModel]) -> tuple[int, int]:
    """How far down a task's Auto classes the first stands that has it, and how large that one's table is."""
    return min((place, len(table)) for place, table in enumerate(_tables(kind)) if _is_among(candidate, table))


def _knows_type(candidate: Candidate, kind: type[TaskModel]) -> bool:
    return _may_be(candidate, kind) and any(candidate.model_type in table for table in _tables(kind))


def _may_be(candidate: Candidate, kind: type[TaskModel]) -> bool:
    if candidate.model_type in kind.filmed_types:
        return bool(is_torchvision_available())
    return not kind.model_types or candidate.model_type in kind.model_types


def _needs_no_head(kind: type[TaskModel]) -> bool:
    return kind.auto_class == "AutoModel"


def _is_for_something(candidate: Candidate) -> bool:
    return any(_was_trained_for(candidate, kind) for kind in TASKS.values())


def _has_reader(candidate: Candidate, kind: type[TaskModel]) -> bool:
    """Whether what prepares the task's inputs lies beside the weights."""
    if kind.processor_class is None:
        return _reads_texts(candidate)
    for_images = kind.processor_class == "AutoImageProcessor" and candidate.model_type not in kind.filmed_types
    if for_images and candidate.model_type not in IMAGE_PROCESSOR_MAPPING_NAMES:
        return False
    # A processor of texts alone is a tokenizer.
    has_tokenizer = kind.processor_class == "AutoProcessor" and _reads_texts(candidate)
    return has_tokenizer or not _READERS.isdisjoint(candidate.files)


def _reads_texts(candidate: Candidate) -> bool:
    return any(name.endswith(_TOKENIZERS) for name in candidate.files)


def _reads_more(candidate: Candidate, kind: type[TaskModel]) -> bool:
    """A model of documents or of pictures is in the tables of texts too, and not made for them.

    A task that names its types has no such table, and a voice comes with what read the sound it was trained on.
    """
    return kind.processor_class is None and not kind.model_types and not _READERS.isdisjoint(candidate.files)


def _only_task_of(config: dict[str, Any]) -> str | None:
    """Encoder-decoders may say how they are to write, task by task."""
    written = {canonical_name(task) for task in config.get("task_specific_params") or ()}
    return written.pop() if len(written) == 1 else None


def _said(candidate: Candidate) -> str:
    if candidate.is_gguf:
        return f"'{candidate.id}' is a GGUF file, which is read as a model that writes text"
    if candidate.model_type not in CONFIG_MAPPING_NAMES:
        kind = candidate.model_type or "nothing"
        return f"'{candidate.id}' is of type {kind}, which this version of transformers does not know"
    if not candidate.architectures:
        return f"'{candidate.id}' is of type {candidate.model_type} and names no architecture"
    return f"'{candidate.id}' holds {' and '.join(candidate.architectures)}"


def _kept_from(candidate: Candidate) -> str:
    """Why not, where the library has it among a task's architectures and no more than some of them are served."""
    for name, kind in TASKS.items():
        known = not _needs_no_head(kind) and any(_is_among(candidate, table) for table in _tables(kind))
        if known and candidate.model_type in kind.filmed_types and not _may_be(candidate, kind):
            return f"{viewing.needs_torchvision(candidate.model_type).message} "
        if known and not _may_be(candidate, kind):
            return f"Of {name} these types are served: {', '.join((*kind.model_types, *kind.filmed_types))}. "
    return ""


def _choices(candidate: Candidate) -> str:
    possible = list(_possible(candidate))
    if not possible:
        return "No task that is served here fits it: choose another checkpoint."
    return f"--task may be {', '.join(possible)}."


def _possible(candidate: Candidate) -> Iterator[str]:
    return (name for name in TASKS if _may_do(candidate, name))


def _refused(sentence: str) -> CheckpointError:
    return CheckpointError(ErrorCode.CHECKPOINT_CORRUPT, sentence)
