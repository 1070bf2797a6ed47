"""Where the same things are in two images."""

from __future__ import annotations

from typing import Any

from contract.jsons import dumps
from contract.tasks.images import share
from contract.tasks.media import EXAMPLE_IMAGE, OTHER_EXAMPLE_IMAGE, images_field
from contract.tasks.task import SCORE, JsonSchema, Task, an_object


def _point(image: str) -> JsonSchema:
    return {
        "type": "object",
        "description": f"The place in the {image} image, in its pixels.",
        "properties": {
            "x": {"type": "integer", "description": "From the left."},
            "y": {"type": "integer", "description": "From the top."},
        },
        "required": ["x", "y"],
    }


def _in_columns(result: list[dict[str, Any]]) -> dict[str, Any]:
    places = [[match[f"keypoint_image_{n}"][axis] for n in (0, 1) for axis in ("x", "y")] for match in result]
    return {"matches": len(result), "score": result[0]["score"] if result else None, "keypoints": dumps(places)}


KEYPOINT_MATCHING = Task(
    name="keypoint-matching",
    title="Keypoint matching",
    summary="Finds points of one image again in another one: the same place from elsewhere, or the same thing.",
    modality="image",
    inputs=an_object(
        {
            "images": images_field(
                "Images", "The two images, in order; points are in the pixels of each.", least=2, most=2
            )
        },
        required=("images",),
    ),
    parameters=an_object(
        {"threshold": share("Threshold", "Only pairs of points with a higher score are given.", 0.0)}
    ),
    result={
        "type": "array",
        "description": "Pairs of points, best first.",
        "items": {
            "type": "object",
            "properties": {
                "keypoint_image_0": _point("first"),
                "keypoint_image_1": _point("second"),
                "score": SCORE,
            },
            "required": ["keypoint_image_0", "keypoint_image_1", "score"],
        },
    },
    example={"inputs": {"images": [EXAMPLE_IMAGE, OTHER_EXAMPLE_IMAGE]}, "parameters": {}},
    example_result=[
        {"keypoint_image_0": {"x": 14, "y": 21}, "keypoint_image_1": {"x": 8, "y": 19}, "score": 0.88},
        {"keypoint_image_0": {"x": 51, "y": 23}, "keypoint_image_1": {"x": 57, "y": 22}, "score": 0.71},
    ],
    columns=_in_columns,
    result_columns=("matches", "score", "keypoints"),
    view="matches",
    main_field="images",
    synonyms={"images": ("images", "pair", "pictures", "photos")},
)
