"""How each task of the catalogue is computed with transformers, by the same name.

A new task is added in two places: contract/tasks/ says what it takes and gives, and a class here computes it.
"""

from __future__ import annotations

from worker.backends.tasks.classification import TextClassification, ZeroShotClassification
from worker.backends.tasks.embeddings import FeatureExtraction, SentenceSimilarity
from worker.backends.tasks.generation import TextGeneration
from worker.backends.tasks.images import ImageClassification
from worker.backends.tasks.task import TaskModel
from worker.backends.tasks.tokens import FillMask, TokenClassification

TASKS: dict[str, type[TaskModel]] = {
    "text-classification": TextClassification,
    "token-classification": TokenClassification,
    "fill-mask": FillMask,
    "zero-shot-classification": ZeroShotClassification,
    "feature-extraction": FeatureExtraction,
    "sentence-similarity": SentenceSimilarity,
    "text-generation": TextGeneration,
    "image-classification": ImageClassification,
}
