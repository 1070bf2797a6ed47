"""The task catalogue: every Hugging Face task that Fournil serves, by name.

A new task is added in two places: a `Task` in this package, and its computation under worker/backends/.
"""

from __future__ import annotations

from contract.tasks.captions import IMAGE_TO_TEXT, VISUAL_QUESTION_ANSWERING
from contract.tasks.classification import TEXT_CLASSIFICATION, ZERO_SHOT_CLASSIFICATION
from contract.tasks.embeddings import FEATURE_EXTRACTION, SENTENCE_SIMILARITY
from contract.tasks.generation import TEXT_GENERATION
from contract.tasks.images import (
    DEPTH_ESTIMATION,
    IMAGE_CLASSIFICATION,
    IMAGE_FEATURE_EXTRACTION,
    IMAGE_SEGMENTATION,
    IMAGE_TO_IMAGE,
    OBJECT_DETECTION,
    ZERO_SHOT_IMAGE_CLASSIFICATION,
    ZERO_SHOT_OBJECT_DETECTION,
)
from contract.tasks.task import JsonSchema, Task
from contract.tasks.tokens import FILL_MASK, TOKEN_CLASSIFICATION

__all__ = ["ALIASES", "CATALOGUE", "JsonSchema", "Task", "canonical_name"]

CATALOGUE: dict[str, Task] = {
    task.name: task
    for task in (
        TEXT_CLASSIFICATION,
        TOKEN_CLASSIFICATION,
        FILL_MASK,
        ZERO_SHOT_CLASSIFICATION,
        FEATURE_EXTRACTION,
        SENTENCE_SIMILARITY,
        TEXT_GENERATION,
        IMAGE_CLASSIFICATION,
        IMAGE_FEATURE_EXTRACTION,
        ZERO_SHOT_IMAGE_CLASSIFICATION,
        OBJECT_DETECTION,
        ZERO_SHOT_OBJECT_DETECTION,
        IMAGE_SEGMENTATION,
        DEPTH_ESTIMATION,
        VISUAL_QUESTION_ANSWERING,
        IMAGE_TO_TEXT,
        IMAGE_TO_IMAGE,
    )
}

ALIASES = {
    "sentiment-analysis": "text-classification",
    "ner": "token-classification",
    "vqa": "visual-question-answering",
}


def canonical_name(name: str) -> str:
    return ALIASES.get(name, name)
