"""Small random checkpoints, written without a network: each a real architecture, under a megabyte and a second.

Weights are drawn from a fixed seed and made large, so that scores differ enough for their order to be safe.
`python -m tests.tiny DIR` writes one for every task, and DIR/pipelines.toml with a pipeline for each. A new task adds
its maker to MAKERS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from tests.tiny import conversing, documents, images, sounds, videos
from tests.tiny.checkpoint import poisoned
from tests.tiny.encoders import (
    answerer,
    classifier,
    embedder,
    entailment,
    filler,
    small_answerer,
    tagger,
    untied_filler,
)
from tests.tiny.rewriters import bart, marian, mbart, pieced_marian, t5
from tests.tiny.tables import tapas
from tests.tiny.tokens import POSITIONS, WORDS
from tests.tiny.writers import decider, gpt2, writer, writer_of

__all__ = [
    "MAKERS",
    "POSITIONS",
    "WORDS",
    "answerer",
    "bart",
    "classifier",
    "embedder",
    "entailment",
    "filler",
    "gpt2",
    "marian",
    "mbart",
    "pieced_marian",
    "poisoned",
    "small_answerer",
    "t5",
    "tagger",
    "tapas",
    "untied_filler",
    "write_all",
    "writer",
    "writer_of",
]

#: What writes the checkpoint of a task into a folder.
MAKERS: dict[str, Callable[[Path], Path]] = {
    "text-classification": classifier,
    "token-classification": tagger,
    "fill-mask": filler,
    "zero-shot-classification": entailment,
    "feature-extraction": embedder,
    "sentence-similarity": embedder,
    "question-answering": small_answerer,
    "table-question-answering": tapas,
    "decision": decider,
    "text-generation": gpt2,
    "text2text-generation": bart,
    "summarization": t5,
    "translation": pieced_marian,
    "image-text-to-text": conversing.seer,
    "any-to-any": conversing.seer,
    "document-question-answering": documents.pointer,
    "video-classification": videos.classifier,
    **images.MAKERS,
    **sounds.MAKERS,
}


def write_all(folder: Path, tasks: Iterable[str] = tuple(MAKERS)) -> Path:
    """A checkpoint for each task, and the pipelines file that offers them, named as their tasks."""
    tables = []
    for task in tasks:
        MAKERS[task](folder / task)
        tables.append(f'[pipelines.{task}]\ntask = "{task}"\nmodel = "{task}"\n')
    file = folder / "pipelines.toml"
    file.write_text("\n".join(tables), encoding="utf-8")
    return file
