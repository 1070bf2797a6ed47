"""Where the same things are in two images."""

from __future__ import annotations

from typing import Any

from contract.jsons import dumps
from contract.tasks.images import share
from contract.tasks.media import EXAMPLE_IMAGE, OTHER_EXAMPLE_IMAGE, images_field
from contract.tasks.task import JsonSchema, Task, an_object

_POINT: JsonSchema = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
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
        "description": "Best first.",
        "items": {
            "type": "object",
            "properties": {"keypoint_image_0": _POINT, "keypoint_image_1": _POINT, "score": {"type": "number"}},
            "required": ["keypoint_image_0", "keypoint_image_1", "score"],
        },
    },
    example={"inputs": {"images": [EXAMPLE_IMAGE, OTHER_EXAMPLE_IMAGE]}, "parameters": {}},
    columns=_in_columns,
    result_columns=("matches", "score", "keypoints"),
    view="matches",
    main_field="images",
    synonyms={"images": ("images", "pair", "pictures", "photos")},
)
