"""Masks of everything in an image, whatever it is."""

from __future__ import annotations

from typing import Any

from contract.jsons import dumps
from contract.tasks.images import BOX, an_image, mask_files, share
from contract.tasks.media import EXAMPLE_IMAGE, IMAGE_SYNONYMS, STORED_FILE, stored_example
from contract.tasks.task import Task, a_number, a_whole, an_object


def _in_columns(result: list[dict[str, Any]]) -> dict[str, Any]:
    best = result[0]["score"] if result else None
    boxes = dumps([entry["box"] for entry in result])
    return {"masks": len(result), "score": best, "boxes": boxes, "mask_files": mask_files(result)}


MASK_GENERATION = Task(
    name="mask-generation",
    title="Mask generation",
    summary="Cuts out everything in an image, whatever it is: a mask for each thing, without a label.",
    modality="image",
    inputs=an_image("The image to cut. Of more than 4 megapixels, a smaller copy is cut and the masks are enlarged."),
    parameters=an_object(
        {
            "points_per_crop": a_whole(
                "Points a side", "The model is asked at a grid of so many by so many points.", 1, 64, default=32
            ),
            "points_per_batch": a_whole(
                "Points at once", "More are faster and take more memory; the result is the same.", 1, 256, default=64
            ),
            "pred_iou_thresh": share("Quality", "Masks of which the model itself thinks less are left out.", 0.88),
            "stability_score_thresh": share(
                "Stability", "Masks that change more than this with their threshold are left out.", 0.95
            ),
            "stability_score_offset": a_number(
                "Stability offset", "By how much the threshold is moved for that.", 0, 10, default=1
            ),
            "mask_threshold": a_number(
                "Mask threshold", "From where on a pixel belongs to a mask.", -20, 20, default=0
            ),
            "crops_n_layers": a_whole(
                "Layers of crops",
                "0: the whole image. Each further layer looks at four times as many parts.",
                0,
                2,
                default=0,
            ),
            "crop_overlap_ratio": a_number(
                "Overlap of crops", "The share of the image by which crops overlap.", 0, 0.9, default=512 / 1500
            ),
            "crops_nms_thresh": share(
                "Overlap of masks", "Of masks whose boxes overlap more, the best is kept.", 0.7
            ),
            "max_masks": a_whole("Masks to return", "The best so many.", 1, 200, default=100),
        }
    ),
    result={
        "type": "array",
        "description": "The masks, best first.",
        "items": {
            "type": "object",
            "properties": {
                "score": {"type": "number", "description": "What the model thinks of the mask, mostly from 0 to 1."},
                "mask": {**STORED_FILE, "description": "A PNG of the image's size: white is what belongs to it."},
                "box": BOX,
            },
            "required": ["score", "mask", "box"],
        },
    },
    example={"inputs": {"image": EXAMPLE_IMAGE}, "parameters": {"points_per_crop": 4, "max_masks": 8}},
    example_result=[
        {
            "score": 1.01,
            "mask": stored_example("image/png", 198),
            "box": {"xmin": 10, "ymin": 12, "xmax": 54, "ymax": 37},
        }
    ],
    columns=_in_columns,
    result_columns=("masks", "score", "boxes", "mask_files"),
    view="things",
    main_field="image",
    synonyms={"image": IMAGE_SYNONYMS},
)
