"""Speech, music and other sound made of a text."""

from __future__ import annotations

from typing import Any

from contract.tasks.media import STORED_FILE, stored_example
from contract.tasks.task import TEXT_SYNONYMS, Task, a_number, a_whole, an_object, text_field


def _file(result: dict[str, Any]) -> dict[str, Any]:
    return {"sampling_rate": result["sampling_rate"], "audio": result["audio"]["file"]["id"]}


TEXT_TO_AUDIO = Task(
    name="text-to-audio",
    title="Text to speech and sound",
    summary="Says a text aloud, or makes the sound or music that it describes.",
    modality="audio",
    inputs=an_object(
        {"text": text_field(description="What to say, or the sound to make.", maxLength=1_000)}, required=("text",)
    ),
    parameters=an_object(
        {
            "seed": a_whole(
                "Seed", "The same seed gives the same sound. Empty: another one for each job.", 0, 2**32 - 1
            ),
            "speaker_id": a_whole("Speaker", "Which voice, of models that have several (VITS).", 0, 100_000),
            "speaking_rate": a_number("Speed", "1.5: half as fast again (VITS). Empty: as the model says.", 0.25, 4),
            "speaker_embeddings": {
                "type": "array",
                "items": {"type": "number"},
                "minItems": 1,
                "maxItems": 4096,
                "title": "Voice",
                "description": "A speaker's vector, of models that need one (SpeechT5: 512 numbers). Empty: zeros.",
                "x-json": True,
            },
            "max_new_tokens": a_whole(
                "Longest sound", "Tokens at most, of models that write sound in them (MusicGen, Bark): 50 a second.",
                1, 2048,
            ),
            "do_sample": {
                "type": "boolean",
                "title": "Sample",
                "description": "true: draw, another sound for each seed. Empty: as the model says (MusicGen, Bark).",
            },
            "temperature": a_number("Temperature", "Higher is more daring, where sound is drawn.", 0.01, 5),
            "top_k": a_whole("Top k", "Draw from the k likeliest tokens (MusicGen).", 1, 1000),
            "top_p": a_number("Top p", "Draw from the likeliest tokens that make up this share (MusicGen).", 0.01, 1),
            "guidance_scale": a_number("Guidance", "Higher keeps closer to the text (MusicGen).", 1, 20),
        }
    ),
    result={
        "type": "object",
        "properties": {
            "audio": {**STORED_FILE, "description": "A WAV of 16 bits."},
            "sampling_rate": {"type": "integer", "description": "Samples a second."},
        },
        "required": ["audio", "sampling_rate"],
    },
    example={"inputs": {"text": "The oven is warm, and the bread is in."}, "parameters": {"seed": 7}},
    example_result={"audio": stored_example("audio/wav", 89_132), "sampling_rate": 16_000},
    main_field="text",
    synonyms={"text": TEXT_SYNONYMS},
    columns=_file,
    result_columns=("sampling_rate", "audio"),
    view="sound",
    deterministic=False,
)  # fmt: skip
