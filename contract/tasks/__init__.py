"""The task catalogue: every Hugging Face task that Fournil serves, by name.

A new task is added in two places: a `Task` in this package, and its computation under worker/backends/.
"""

from __future__ import annotations

import re

from contract.tasks.audio import (
    AUDIO_CLASSIFICATION,
    AUTOMATIC_SPEECH_RECOGNITION,
    ZERO_SHOT_AUDIO_CLASSIFICATION,
)
from contract.tasks.captions import IMAGE_TO_TEXT, VISUAL_QUESTION_ANSWERING
from contract.tasks.classification import TEXT_CLASSIFICATION, ZERO_SHOT_CLASSIFICATION
from contract.tasks.conversing import ANY_TO_ANY, IMAGE_TEXT_TO_TEXT
from contract.tasks.decisions import DECISION
from contract.tasks.documents import DOCUMENT_QUESTION_ANSWERING
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
from contract.tasks.matching import KEYPOINT_MATCHING
from contract.tasks.questions import QUESTION_ANSWERING, TABLE_QUESTION_ANSWERING
from contract.tasks.rewriting import SUMMARIZATION, TEXT2TEXT_GENERATION, TRANSLATION
from contract.tasks.speaking import TEXT_TO_AUDIO
from contract.tasks.task import JsonSchema, Task
from contract.tasks.things import MASK_GENERATION
from contract.tasks.tokens import FILL_MASK, TOKEN_CLASSIFICATION
from contract.tasks.watching import VIDEO_CLASSIFICATION

__all__ = ["ALIASES", "CATALOGUE", "JsonSchema", "Task", "aliases_of", "canonical_name", "implied_parameters"]

CATALOGUE: dict[str, Task] = {
    task.name: task
    for task in (
        TEXT_CLASSIFICATION,
        TOKEN_CLASSIFICATION,
        FILL_MASK,
        ZERO_SHOT_CLASSIFICATION,
        FEATURE_EXTRACTION,
        SENTENCE_SIMILARITY,
        QUESTION_ANSWERING,
        TABLE_QUESTION_ANSWERING,
        DECISION,
        TEXT_GENERATION,
        TEXT2TEXT_GENERATION,
        SUMMARIZATION,
        TRANSLATION,
        IMAGE_CLASSIFICATION,
        IMAGE_FEATURE_EXTRACTION,
        ZERO_SHOT_IMAGE_CLASSIFICATION,
        OBJECT_DETECTION,
        ZERO_SHOT_OBJECT_DETECTION,
        IMAGE_SEGMENTATION,
        DEPTH_ESTIMATION,
        VISUAL_QUESTION_ANSWERING,
        DOCUMENT_QUESTION_ANSWERING,
        IMAGE_TEXT_TO_TEXT,
        ANY_TO_ANY,
        IMAGE_TO_TEXT,
        IMAGE_TO_IMAGE,
        KEYPOINT_MATCHING,
        AUDIO_CLASSIFICATION,
        AUTOMATIC_SPEECH_RECOGNITION,
        ZERO_SHOT_AUDIO_CLASSIFICATION,
        TEXT_TO_AUDIO,
        MASK_GENERATION,
        VIDEO_CLASSIFICATION,
    )
}

ALIASES = {
    "sentiment-analysis": "text-classification",
    "ner": "token-classification",
    "text-to-speech": "text-to-audio",
    "vqa": "visual-question-answering",
}


#: translation_xx_to_yy names its languages.
_PAIR = re.compile(r"translation_(.+?)_to_(.+)")


def aliases_of(task: str) -> list[str]:
    """Other names of a task of the catalogue; xx and yy stand for two languages."""
    pairs = ["translation_xx_to_yy"] if task == "translation" else []
    return [alias for alias, name in ALIASES.items() if name == task] + pairs


def canonical_name(name: str) -> str:
    return "translation" if _PAIR.fullmatch(name) else ALIASES.get(name, name)


def implied_parameters(name: str) -> dict[str, str]:
    """What a task's name says besides the task."""
    pair = _PAIR.fullmatch(name)
    return dict(zip(("src_lang", "tgt_lang"), pair.groups(), strict=True)) if pair else {}
