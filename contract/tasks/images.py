"""Labels, vectors, boxes, masks and distances of an image."""

from __future__ import annotations

from typing import Any

from contract.jsons import dumps
from contract.tasks.embeddings import VECTORS, embedding
from contract.tasks.labels import FUNCTION_TO_APPLY, LABEL_SCORES, TOP_K, best_label, candidate_labels, hypothesis
from contract.tasks.media import EXAMPLE_IMAGE, IMAGE_SYNONYMS, STORED_FILE, image_field, stored_example
from contract.tasks.task import SCORE, JsonSchema, Task, an_object

_ALONE: dict[str, Any] = {"main_field": "image", "synonyms": {"image": IMAGE_SYNONYMS}}


def share(title: str, description: str, default: float) -> JsonSchema:
    return {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "default": default,
        "title": title,
        "description": description,
    }


def an_image(description: str) -> JsonSchema:
    return an_object({"image": image_field(description=description)}, required=("image",))


def an_example(**parameters: Any) -> dict[str, Any]:
    return {"inputs": {"image": EXAMPLE_IMAGE}, "parameters": parameters}


IMAGE_CLASSIFICATION = Task(
    name="image-classification",
    title="Image classification",
    summary="Sorts an image into the labels a model was trained on.",
    modality="image",
    inputs=an_image("The image to classify."),
    parameters=an_object(
        {
            "top_k": TOP_K,
            "function_to_apply": FUNCTION_TO_APPLY,
        }
    ),
    result=LABEL_SCORES,
    example=an_example(),
    example_result=[{"label": "French loaf", "score": 0.89}, {"label": "bakery", "score": 0.05}],
    columns=best_label,
    result_columns=("label", "score"),
    view="labels",
    **_ALONE,
)


IMAGE_FEATURE_EXTRACTION = Task(
    name="image-feature-extraction",
    title="Image feature extraction",
    summary="Turns an image into vectors for search, clustering or a classifier of your own.",
    modality="image",
    inputs=an_image("The image to embed."),
    parameters=an_object(
        {
            "pool": {
                "type": "boolean",
                "default": False,
                "title": "One vector",
                "description": "true: one vector an image, where the model has one. false: one vector a patch.",
            }
        }
    ),
    result=VECTORS,
    example=an_example(),
    example_result=[[0.411, -0.173, 0.052], [0.398, -0.201, 0.077]],
    columns=embedding,
    result_columns=("embedding",),
    view="vector",
    **_ALONE,
)

ZERO_SHOT_IMAGE_CLASSIFICATION = Task(
    name="zero-shot-image-classification",
    title="Zero-shot image classification",
    summary="Sorts an image into labels that you name, with no training.",
    modality="image",
    inputs=an_image("The image to classify."),
    parameters=an_object(
        {
            "candidate_labels": candidate_labels("The labels to choose from."),
            "hypothesis_template": hypothesis("This is a photo of {}."),
        },
        required=("candidate_labels",),
    ),
    result=LABEL_SCORES,
    example=an_example(candidate_labels=["bread", "a bicycle", "a cat"]),
    example_result=[
        {"label": "bread", "score": 0.98},
        {"label": "a cat", "score": 0.01},
        {"label": "a bicycle", "score": 0.01},
    ],
    columns=best_label,
    result_columns=("label", "score"),
    view="labels",
    **_ALONE,
)

_EDGES = {"xmin": "Its left edge.", "ymin": "Its top.", "xmax": "Its right edge.", "ymax": "Its bottom."}
BOX: JsonSchema = {
    "type": "object",
    "description": "Around it, in pixels of the image, counted from its left top corner.",
    "properties": {name: {"type": "integer", "description": words} for name, words in _EDGES.items()},
    "required": list(_EDGES),
}
_BOXES: JsonSchema = {
    "type": "array",
    "description": "What was found; best first, where the labels are your own.",
    "items": {
        "type": "object",
        "properties": {
            "label": {"type": "string", "description": "As the model or, for labels of your own, the job names it."},
            "score": SCORE,
            "box": BOX,
        },
        "required": ["label", "score", "box"],
    },
}
_A_FIND = {"label": "bread", "score": 0.96, "box": {"xmin": 10, "ymin": 12, "xmax": 54, "ymax": 37}}


def _found(result: list[dict[str, Any]]) -> dict[str, Any]:
    return {"objects": len(result), **best_label(result), "boxes": dumps([entry["box"] for entry in result])}


_FOUND_COLUMNS = ("objects", "label", "score", "boxes")

OBJECT_DETECTION = Task(
    name="object-detection",
    title="Object detection",
    summary="Finds the things a model was trained on in an image, each with a box around it.",
    modality="image",
    inputs=an_image("The image to look through."),
    parameters=an_object({"threshold": share("Threshold", "Boxes with a lower score are left out.", 0.5)}),
    result=_BOXES,
    example=an_example(),
    example_result=[_A_FIND],
    columns=_found,
    result_columns=_FOUND_COLUMNS,
    view="boxes",
    **_ALONE,
)

ZERO_SHOT_OBJECT_DETECTION = Task(
    name="zero-shot-object-detection",
    title="Zero-shot object detection",
    summary="Finds the things that you name in an image, each with a box around it.",
    modality="image",
    inputs=an_image("The image to look through."),
    parameters=an_object(
        {
            "candidate_labels": candidate_labels("The things to look for."),
            "threshold": share("Threshold", "Boxes with a lower score are left out.", 0.1),
            "top_k": {**TOP_K, "default": None, "title": "Boxes to return", "description": "The best k boxes."},
        },
        required=("candidate_labels",),
    ),
    result=_BOXES,
    example=an_example(candidate_labels=["bread", "a cat"]),
    example_result=[_A_FIND],
    columns=_found,
    result_columns=_FOUND_COLUMNS,
    view="boxes",
    **_ALONE,
)


def _labels_found(result: list[dict[str, Any]]) -> dict[str, Any]:
    labels = dumps([entry["label"] for entry in result])
    return {"segments": len(result), "labels": labels, "mask_files": mask_files(result)}


def mask_files(result: list[dict[str, Any]]) -> str:
    """Ids of the stored masks, in the order of what they are masks of."""
    return dumps([entry["mask"]["file"]["id"] for entry in result])


IMAGE_SEGMENTATION = Task(
    name="image-segmentation",
    title="Image segmentation",
    summary="Cuts an image into its parts: a label and a mask for each.",
    modality="image",
    inputs=an_image("The image to cut."),
    parameters=an_object(
        {
            "subtask": {
                "type": "string",
                "enum": ["panoptic", "instance", "semantic"],
                "title": "Kind of parts",
                "description": "Empty: the first of panoptic, instance and semantic that the model can do.",
            },
            "threshold": share("Threshold", "Parts with a lower score are left out. Not for semantic.", 0.9),
            "mask_threshold": share("Mask threshold", "From where on a pixel belongs to a mask.", 0.5),
            "overlap_mask_area_threshold": share(
                "Overlap threshold", "Parts that keep less of themselves than this are left out.", 0.5
            ),
        }
    ),
    result={
        "type": "array",
        "description": "The parts.",
        "items": {
            "type": "object",
            "properties": {
                "label": {"type": "string", "description": "As the model names it."},
                "score": {"type": ["number", "null"], "description": f"{SCORE['description']} null of semantic."},
                "mask": {**STORED_FILE, "description": "A PNG of the image's size: white is what belongs to it."},
            },
            "required": ["label", "score", "mask"],
        },
    },
    example=an_example(),
    example_result=[{"label": "bread", "score": 0.97, "mask": stored_example("image/png", 214)}],
    columns=_labels_found,
    result_columns=("segments", "labels", "mask_files"),
    view="masks",
    **_ALONE,
)


def _nearest_and_farthest(result: dict[str, Any]) -> dict[str, Any]:
    return {"min": result["min"], "max": result["max"], "depth": result["depth"]["file"]["id"]}


DEPTH_ESTIMATION = Task(
    name="depth-estimation",
    title="Depth estimation",
    summary="Says for every pixel of an image how near or far it is, as a gray image.",
    modality="image",
    inputs=an_image("The image to measure."),
    parameters=an_object({}),
    result={
        "type": "object",
        "properties": {
            "depth": {**STORED_FILE, "description": "A gray PNG of the image's size: black is `min`, white `max`."},
            "min": {"type": "number", "description": "The least number that the model gave."},
            "max": {"type": "number", "description": "The largest."},
        },
        "required": ["depth", "min", "max"],
    },
    example=an_example(),
    example_result={"depth": stored_example("image/png", 1622), "min": 0.31, "max": 4.72},
    columns=_nearest_and_farthest,
    result_columns=("min", "max", "depth"),
    view="depth",
    **_ALONE,
)


def _picture(result: dict[str, Any]) -> dict[str, Any]:
    return {"image": result["image"]["file"]["id"]}


IMAGE_TO_IMAGE = Task(
    name="image-to-image",
    title="Image to image",
    summary="Makes another image of an image: larger and sharper, with the models that there are.",
    modality="image",
    inputs=an_image("The image to begin with."),
    parameters=an_object({}),
    result={
        "type": "object",
        "properties": {"image": {**STORED_FILE, "description": "The image that came out, a PNG."}},
        "required": ["image"],
    },
    example=an_example(),
    example_result={"image": stored_example("image/png", 9310)},
    columns=_picture,
    result_columns=("image",),
    view="picture",
    **_ALONE,
)
