"""Labels for a whole text: trained ones (text-classification) or ones named by the caller (zero-shot)."""

from __future__ import annotations

from contract.tasks.labels import FUNCTION_TO_APPLY, LABEL_SCORES, TOP_K, best_label, candidate_labels, hypothesis
from contract.tasks.task import TEXT_SYNONYMS, TRUNCATION, Task, an_object, text_field

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
            "top_k": {**TOP_K, "default": None, "description": "The best k labels; empty for all of them."},
            "function_to_apply": FUNCTION_TO_APPLY,
            "truncation": TRUNCATION,
        }
    ),
    result=LABEL_SCORES,
    example={"inputs": {"text": "The oven was warm and the bread was better than ever."}, "parameters": {}},
    example_result=[{"label": "POSITIVE", "score": 0.98}, {"label": "NEGATIVE", "score": 0.02}],
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
            "candidate_labels": candidate_labels("The labels to choose from; one forward pass each."),
            "hypothesis_template": hypothesis("This example is {}."),
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
    example_result=[
        {"label": "delivery", "score": 0.95},
        {"label": "quality", "score": 0.03},
        {"label": "price", "score": 0.02},
    ],
    main_field="text",
    synonyms={"text": TEXT_SYNONYMS},
    columns=best_label,
    result_columns=("label", "score"),
    view="labels",
)
