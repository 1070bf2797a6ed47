"""Labels for a whole text: trained ones (text-classification) or ones named by the caller (zero-shot)."""

from __future__ import annotations

from contract.tasks.task import (
    LABEL_SCORES,
    TEXT_SYNONYMS,
    TRUNCATION,
    Task,
    an_object,
    best_label,
    text_field,
)

TEXT_CLASSIFICATION = Task(
    name="text-classification",
    title="Text classification",
    summary="Sorts a text into the labels a model was trained on, such as positive and negative.",
    modality="text",
    inputs=an_object(
        {
            "text": text_field(description="The text to classify."),
            "text_pair": text_field(
                "Second text", "Only for models that judge a pair of texts, such as entailment or reranking."
            ),
        },
        required=("text",),
    ),
    parameters=an_object(
        {
            "top_k": {
                "type": ["integer", "null"],
                "minimum": 1,
                "maximum": 1000,
                "default": None,
                "title": "Labels to return",
                "description": "The best k labels; empty for all of them.",
            },
            "function_to_apply": {
                "type": "string",
                "enum": ["sigmoid", "softmax", "none"],
                "title": "Function applied to the scores",
                "description": "Empty: softmax, or sigmoid where labels do not exclude each other.",
            },
            "truncation": TRUNCATION,
        }
    ),
    result=LABEL_SCORES,
    example={"inputs": {"text": "The oven was warm and the bread was better than ever."}, "parameters": {}},
    main_field="text",
    synonyms={
        "text": TEXT_SYNONYMS,
        "text_pair": ("text_pair", "second", "hypothesis", "text2", "sentence2"),
    },
    columns=best_label,
    result_columns=("label", "score"),
    view="labels",
)

ZERO_SHOT_CLASSIFICATION = Task(
    name="zero-shot-classification",
    title="Zero-shot classification",
    summary="Sorts a text into labels that you name, with no training.",
    modality="text",
    inputs=an_object({"text": text_field(description="The text to classify.")}, required=("text",)),
    parameters=an_object(
        {
            "candidate_labels": {
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": 500},
                "minItems": 1,
                "maxItems": 100,
                "title": "Candidate labels",
                "description": "The labels to choose from; one forward pass each.",
            },
            "hypothesis_template": {
                "type": "string",
                "pattern": r"^[^{}]*\{\}[^{}]*$",
                "maxLength": 500,
                "default": "This example is {}.",
                "title": "Hypothesis template",
                "description": "The sentence each label is put into, at {}.",
                "x-pattern-words": "hold {} exactly once, and no other braces",
            },
            "multi_label": {
                "type": "boolean",
                "default": False,
                "title": "Several labels may be true",
                "description": "true: every label is scored on its own. false: the scores add up to 1.",
            },
            "truncation": TRUNCATION,
        },
        required=("candidate_labels",),
    ),
    result=LABEL_SCORES,
    example={
        "inputs": {"text": "The parcel came two weeks late."},
        "parameters": {"candidate_labels": ["delivery", "price", "quality"]},
    },
    main_field="text",
    synonyms={"text": TEXT_SYNONYMS},
    columns=best_label,
    result_columns=("label", "score"),
    view="labels",
)
