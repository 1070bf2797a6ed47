"""Labels and words of a recording."""

from __future__ import annotations

from typing import Any

from contract.jsons import dumps
from contract.tasks.generation import LENGTH_PENALTY, NO_REPEATS, SEED
from contract.tasks.labels import FUNCTION_TO_APPLY, LABEL_SCORES, TOP_K, best_label, candidate_labels, hypothesis
from contract.tasks.media import AUDIO_SYNONYMS, audio_field
from contract.tasks.recordings import EXAMPLE_AUDIO
from contract.tasks.task import JsonSchema, Task, a_number, a_whole, an_object

_ALONE: dict[str, Any] = {"main_field": "audio", "synonyms": {"audio": AUDIO_SYNONYMS}}


def _a_recording(description: str) -> JsonSchema:
    return an_object({"audio": audio_field(description=description)}, required=("audio",))


def _an_example(**parameters: Any) -> dict[str, Any]:
    return {"inputs": {"audio": EXAMPLE_AUDIO}, "parameters": parameters}


AUDIO_CLASSIFICATION = Task(
    name="audio-classification",
    title="Audio classification",
    summary="Sorts a recording into the labels a model was trained on: a language, a mood, a noise.",
    modality="audio",
    inputs=_a_recording("The recording to classify."),
    parameters=an_object(
        {
            "top_k": TOP_K,
            "function_to_apply": FUNCTION_TO_APPLY,
        }
    ),
    result=LABEL_SCORES,
    example=_an_example(),
    example_result=[{"label": "music", "score": 0.94}, {"label": "speech", "score": 0.04}],
    columns=best_label,
    result_columns=("label", "score"),
    view="labels",
    **_ALONE,
)

ZERO_SHOT_AUDIO_CLASSIFICATION = Task(
    name="zero-shot-audio-classification",
    title="Zero-shot audio classification",
    summary="Sorts a recording into labels that you name, with no training.",
    modality="audio",
    inputs=_a_recording("The recording to classify."),
    parameters=an_object(
        {
            "candidate_labels": candidate_labels("The labels to choose from."),
            "hypothesis_template": hypothesis("This is a sound of {}."),
        },
        required=("candidate_labels",),
    ),
    result=LABEL_SCORES,
    example=_an_example(candidate_labels=["a bell", "a dog", "rain"]),
    example_result=[
        {"label": "a bell", "score": 0.97},
        {"label": "rain", "score": 0.02},
        {"label": "a dog", "score": 0.01},
    ],
    columns=best_label,
    result_columns=("label", "score"),
    view="labels",
    **_ALONE,
)


def _said(result: dict[str, Any]) -> dict[str, Any]:
    chunks = dumps(result["chunks"]) if "chunks" in result else None
    return {"text": result["text"], "chunks": chunks, "language": result.get("language")}


_OF_WHISPER: dict[str, JsonSchema] = {
    "return_language": {
        "type": "boolean",
        "default": False,
        "title": "Name the language",
        "description": "true: the result says what language is spoken, for Whisper of many languages.",
    },
    "prompt": {
        "type": "string",
        "minLength": 1,
        "maxLength": 2000,
        "title": "Words before",
        "description": "What may have been said before: names and words that are to be spelled so (Whisper).",
    },
    "condition_on_prev_tokens": {
        "type": "boolean",
        "title": "Go by the text before",
        "description": "true: each part of a long recording is written with the text before it in view (Whisper).",
    },
    "temperature": {
        "type": ["number", "array"],
        "items": {"type": "number", "minimum": 0, "maximum": 2},
        "minimum": 0,
        "maximum": 2,
        "minItems": 1,
        "maxItems": 10,
        "title": "Temperature",
        "description": "Above 0 words are drawn. Of a list, such as 0, 0.2, 0.4, the next is tried where a part is "
        "beyond the thresholds (Whisper).",
    },
    "compression_ratio_threshold": a_number(
        "Most repetition", "A part that compresses by more than this is written anew (Whisper).", 0.1, 100
    ),
    "logprob_threshold": a_number(
        "Least certainty",
        "A part whose words are less likely than this on average is written anew (Whisper).",
        -100,
        0,
    ),
    "no_speech_threshold": a_number(
        "Silence",
        "A part is left out that is silent with more than this probability, and below the least certainty (Whisper).",
        0,
        1,
    ),
    "seed": SEED,
}

AUTOMATIC_SPEECH_RECOGNITION = Task(
    name="automatic-speech-recognition",
    title="Speech recognition",
    summary="Writes down what is said in a recording, with times if you like.",
    modality="audio",
    inputs=_a_recording("The recording to write down."),
    parameters=an_object(
        {
            "return_timestamps": {
                "type": ["boolean", "string"],
                "enum": [False, True, "word", "char"],
                "default": False,
                "title": "Time stamps",
                "description": "word: of each word. true: of each sentence or so, for Whisper. char: of each letter, "
                "for CTC models.",
            },
            "language": {
                "type": "string",
                "minLength": 2,
                "maxLength": 40,
                "title": "Language",
                "description": "What is spoken, such as fr or french, for Whisper of many languages. "
                "Empty: it finds out.",
            },
            "task": {
                "type": "string",
                "enum": ["transcribe", "translate"],
                "title": "What to write",
                "description": "translate: in English, for Whisper of many languages. Empty: transcribe.",
            },
            "chunk_length_s": a_number(
                "Pieces",
                "Seconds that are heard at a time. Empty: Whisper hears on by itself; CTC models hear a recording of "
                "more than a minute in pieces of 30.",
                1,
                120,
            ),
            "stride_length_s": a_number(
                "Overlap", "Seconds that a piece shares with each neighbor. Empty: a sixth of a piece.", 0, 60
            ),
            "max_new_tokens": a_whole("Longest text", "Tokens to write at most for each piece.", 1, 4096),
            "num_beams": a_whole(
                "Beams", "Texts that are followed side by side. Empty: as the model says, else 5.", 1, 16
            ),
            "length_penalty": LENGTH_PENALTY,
            "no_repeat_ngram_size": NO_REPEATS,
            "repetition_penalty": a_number("Repetition penalty", "Above 1: repeats itself less.", 0.1, 10),
            **_OF_WHISPER,
        }
    ),
    result={
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "All that was said."},
            "language": {
                "type": ["string", "null"],
                "description": "Where it was asked for: that of the first words.",
            },
            "chunks": {
                "type": "array",
                "description": "Where return_timestamps asked for them: its parts, in order.",
                "items": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string", "description": "What was said in it."},
                        "language": {"type": ["string", "null"], "description": "Where it was asked for."},
                        "timestamp": {
                            "type": "array",
                            "description": "Start and end in seconds; null where the model does not say.",
                            "items": {"type": ["number", "null"]},
                            "minItems": 2,
                            "maxItems": 2,
                        },
                    },
                    "required": ["text", "timestamp"],
                },
            },
        },
        "required": ["text"],
    },
    example=_an_example(),
    example_result={
        "text": "The bread is done.",
        "chunks": [{"text": "The bread is done.", "timestamp": [0.0, 0.9]}],
    },
    columns=_said,
    result_columns=("text", "chunks", "language"),
    view="transcript",
    **_ALONE,
)
