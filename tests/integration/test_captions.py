"""What is written about an image is what the model itself writes, in all the ways that a caller may ask for."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.errors import InputError
from contract.media import Media
from tests.integration.beside_library import Oven
from tests.tiny import images as tiny
from worker.backends.backend import Context
from worker.backends.media import MediaFile

Image = pytest.importorskip("PIL.Image", reason="needs Pillow")
pytestmark = pytest.mark.real_model

CAPTIONS, ANSWERS = "image-to-text", "visual-question-answering"
PICTURES = [Image.effect_noise((40, 30), 80).convert("RGB"), Image.new("RGB", (30, 30), "red")]
QUESTION = "what is on the table"
MAKERS = {CAPTIONS: tiny.captioner, ANSWERS: tiny.answerer}


@pytest.fixture(scope="module")
def oven(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Oven]:
    @functools.cache
    def of(task: str) -> Oven:
        folder: Path = tmp_path_factory.mktemp(task)
        return Oven(task, MAKERS[task](folder / "model"), folder / "cache")

    return of


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Oven:
    folder = tmp_path_factory.mktemp("git")
    return Oven(CAPTIONS, tiny.completer(folder / "model"), folder / "cache")


def as_row(image: Any, **more: Any) -> dict[str, Any]:
    out = io.BytesIO()
    image.save(out, "PNG")
    return {"image": MediaFile(lambda: io.BytesIO(out.getvalue()), "image", "image", Media()), **more}


def library(oven: Oven, image: Any, text: str | None = None, **asked: Any) -> str:
    import torch
    import transformers

    processor = transformers.AutoProcessor.from_pretrained(oven.folder)
    auto = {CAPTIONS: "AutoModelForImageTextToText", ANSWERS: "AutoModelForVisualQuestionAnswering"}[oven.spec.task]
    model = getattr(transformers, auto).from_pretrained(oven.folder).eval()
    more = {} if text is None else {"text": text}
    inputs = processor(images=image, return_tensors="pt", **more)
    inputs = {name: value for name, value in inputs.items() if text is not None or name == "pixel_values"}
    with torch.inference_mode():
        [tokens] = model.generate(**inputs, do_sample=False, **asked)
    return str(processor.tokenizer.decode(tokens, skip_special_tokens=True)).strip()


ASKED: list[dict[str, Any]] = [
    {}, {"num_beams": 3}, {"num_beams": 2, "length_penalty": 2.0, "min_new_tokens": 6}, {"no_repeat_ngram_size": 2},
    {"repetition_penalty": 1.8}, {"prompt": "the bread"},
]  # fmt: skip


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_a_caption_is_the_models_own_alone_and_beside_others(oven, asked):
    of = oven(CAPTIONS)
    found = of.together_and_alone([as_row(image) for image in PICTURES], max_new_tokens=9, **asked)

    prompt = asked.get("prompt")
    options = {name: value for name, value in asked.items() if name != "prompt"} | {"max_new_tokens": 9}
    assert found == [[{"generated_text": library(of, image, prompt, **options)}] for image in PICTURES]
    assert prompt is None or all(text.startswith(prompt) for [answer] in found for text in answer.values())


@pytest.mark.parametrize("asked", [{}, {"prompt": "the bread"}, {"prompt": "a loaf", "num_beams": 2}], ids=str)
def test_git_goes_on_from_a_prompt_as_its_model_does(git, asked):
    import torch
    import transformers

    found = git.together_and_alone([as_row(image) for image in PICTURES], max_new_tokens=9, **asked)

    processor = transformers.AutoProcessor.from_pretrained(git.folder)
    model = transformers.GitForCausalLM.from_pretrained(git.folder).eval()
    options = {name: value for name, value in asked.items() if name != "prompt"}
    words = processor.tokenizer(asked.get("prompt", ""), add_special_tokens=False)["input_ids"]
    for image, [answer] in zip(PICTURES, found, strict=True):
        pixels = processor.image_processor(images=image, return_tensors="pt")["pixel_values"]
        begun = torch.tensor([[processor.tokenizer.cls_token_id, *words]])
        with torch.inference_mode():
            [tokens] = model.generate(
                pixel_values=pixels, input_ids=begun, max_new_tokens=9, do_sample=False, **options
            )
        text = processor.tokenizer.decode(tokens, skip_special_tokens=True).strip()
        assert answer == {"generated_text": text}
        assert text.startswith(asked.get("prompt", ""))


def test_several_captions_are_the_best_beams_or_drawn_by_their_seed(oven):
    caption = oven(CAPTIONS)
    rows = [as_row(picture) for picture in PICTURES]
    best = caption.together_and_alone(rows, num_beams=3, num_return_sequences=2, max_new_tokens=8)
    assert [len(each) for each in best] == [2, 2]
    assert [each[0] for each in best] == [each[0] for each in caption.run(rows, num_beams=3, max_new_tokens=8)]

    asked: dict[str, Any] = {"temperature": 2, "num_return_sequences": 2, "max_new_tokens": 8}
    together = caption.run(rows, Context(job_ids=["a", "b"]), **asked)
    alone = [caption.run([row], Context(job_ids=[job]), **asked)[0] for row, job in zip(rows, "ab", strict=True)]
    assert together == alone
    assert together != caption.run(rows, Context(job_ids=["c", "d"]), **asked)

    [refused] = caption.run(rows[:1], num_return_sequences=2)
    assert refused.field == "parameters.num_return_sequences"


@pytest.mark.parametrize("asked", [{}, {"num_beams": 3, "max_new_tokens": 5}], ids=str)
def test_a_written_answer_is_the_models_own(oven, asked):
    of = oven(ANSWERS)
    found = of.together_and_alone([as_row(image, question=QUESTION) for image in PICTURES], **asked)

    options = {"max_new_tokens": 20} | asked
    assert found == [[{"answer": library(of, image, QUESTION, **options), "score": None}] for image in PICTURES]


def test_each_beam_is_a_sequence_of_the_row(oven):
    for task, row in ((CAPTIONS, as_row(PICTURES[0])), (ANSWERS, as_row(PICTURES[0], question=QUESTION))):
        assert [oven(task).prepare([row], **asked)[0].sequences for asked in ({}, {"num_beams": 4})] == [1, 4]


def test_what_the_model_cannot_do_is_refused_by_name(oven, monkeypatch):
    def refusal(of: Oven, **asked: Any) -> str | None:
        [found] = of.run([as_row(PICTURES[0])], **asked)
        assert isinstance(found, InputError)
        return found.field

    assert refusal(oven(CAPTIONS), min_new_tokens=9, max_new_tokens=3) == "parameters.min_new_tokens"
    from worker.backends.tasks import captions

    monkeypatch.setattr(captions, "_UNPROMPTED", ("blip",))
    assert refusal(oven(CAPTIONS), prompt="a photo of") == "parameters.prompt"
