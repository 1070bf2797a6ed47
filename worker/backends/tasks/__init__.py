"""How each task of the catalogue is computed with transformers, by the same name.

A new task is added in two places: contract/tasks/ says what it takes and gives, and a class here computes it.
"""

from __future__ import annotations

from worker.backends.tasks.audio import AudioClassification, ZeroShotAudioClassification
from worker.backends.tasks.boxes import ObjectDetection, ZeroShotObjectDetection
from worker.backends.tasks.captions import ImageToText, VisualQuestionAnswering
from worker.backends.tasks.classification import TextClassification, ZeroShotClassification
from worker.backends.tasks.conversing import AnyToAny, ImageTextToText
from worker.backends.tasks.decisions import Decision
from worker.backends.tasks.documents import DocumentQuestionAnswering
from worker.backends.tasks.embeddings import FeatureExtraction, SentenceSimilarity
from worker.backends.tasks.generation import TextGeneration
from worker.backends.tasks.images import (
    DepthEstimation,
    ImageClassification,
    ImageFeatureExtraction,
    ImageToImage,
    ZeroShotImageClassification,
)
from worker.backends.tasks.masks import ImageSegmentation
from worker.backends.tasks.matching import KeypointMatching
from worker.backends.tasks.questions import QuestionAnswering
from worker.backends.tasks.rewriting import Summarization, Text2TextGeneration, Translation
from worker.backends.tasks.speaking import TextToAudio
from worker.backends.tasks.speech import AutomaticSpeechRecognition
from worker.backends.tasks.tables import TableQuestionAnswering
from worker.backends.tasks.task import TaskModel
from worker.backends.tasks.things import MaskGeneration
from worker.backends.tasks.tokens import FillMask, TokenClassification
from worker.backends.tasks.watching import VideoClassification

TASKS: dict[str, type[TaskModel]] = {
    "text-classification": TextClassification,
    "token-classification": TokenClassification,
    "fill-mask": FillMask,
    "zero-shot-classification": ZeroShotClassification,
    "feature-extraction": FeatureExtraction,
    "sentence-similarity": SentenceSimilarity,
    "question-answering": QuestionAnswering,
    "table-question-answering": TableQuestionAnswering,
    "decision": Decision,
    "text-generation": TextGeneration,
    "text2text-generation": Text2TextGeneration,
    "summarization": Summarization,
    "translation": Translation,
    "image-classification": ImageClassification,
    "image-feature-extraction": ImageFeatureExtraction,
    "zero-shot-image-classification": ZeroShotImageClassification,
    "object-detection": ObjectDetection,
    "zero-shot-object-detection": ZeroShotObjectDetection,
    "image-segmentation": ImageSegmentation,
    "depth-estimation": DepthEstimation,
    "visual-question-answering": VisualQuestionAnswering,
    "document-question-answering": DocumentQuestionAnswering,
    "image-text-to-text": ImageTextToText,
    "any-to-any": AnyToAny,
    "image-to-text": ImageToText,
    "image-to-image": ImageToImage,
    "keypoint-matching": KeypointMatching,
    "audio-classification": AudioClassification,
    "automatic-speech-recognition": AutomaticSpeechRecognition,
    "zero-shot-audio-classification": ZeroShotAudioClassification,
    "text-to-audio": TextToAudio,
    "mask-generation": MaskGeneration,
    "video-classification": VideoClassification,
}
