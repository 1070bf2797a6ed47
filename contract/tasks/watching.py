"""Labels of a video."""

from __future__ import annotations

from contract.tasks.clips import EXAMPLE_VIDEO
from contract.tasks.labels import FUNCTION_TO_APPLY, LABEL_SCORES, TOP_K, best_label
from contract.tasks.media import VIDEO_SYNONYMS, video_field
from contract.tasks.task import Task, a_whole, an_object

VIDEO_CLASSIFICATION = Task(
    name="video-classification",
    title="Video classification",
    summary="Sorts a video into the labels a model was trained on: what is done in it, or happens.",
    modality="video",
    inputs=an_object(
        {"video": video_field(description="The video to classify; its beginning is looked at.")}, required=("video",)
    ),
    parameters=an_object(
        {
            "top_k": TOP_K,
            "function_to_apply": FUNCTION_TO_APPLY,
            "num_frames": a_whole(
                "Frames", "How many frames the model sees. Empty: as many as it was trained with.", 1, 128
            ),
            "frame_sampling_rate": a_whole(
                "Every n-th frame",
                "The frames are spread over so many times num_frames from the beginning on; over all of a video "
                "that is shorter.",
                1,
                1000,
                default=1,
            ),
        }
    ),
    result=LABEL_SCORES,
    example={"inputs": {"video": EXAMPLE_VIDEO}, "parameters": {}},
    example_result=[{"label": "baking", "score": 0.87}, {"label": "washing dishes", "score": 0.06}],
    main_field="video",
    synonyms={"video": VIDEO_SYNONYMS},
    columns=best_label,
    result_columns=("label", "score"),
    view="watched",
)
