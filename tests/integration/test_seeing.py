"""What models see in images is what the library's own pipelines see with the same weights, alone and together."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from contract.media import Media
from tests.integration.beside_library import Oven
from tests.tiny.images import MAKERS
from worker.backends.backend import WithFiles
from worker.backends.media import MediaFile

Image = pytest.importorskip("PIL.Image", reason="needs Pillow")
np = pytest.importorskip("numpy", reason="needs numpy")
pytestmark = pytest.mark.real_model

#: Wide, tall and square ones, so that a model of many sizes has several shapes at once.
SIZES = [(64, 48), (48, 64), (40, 40), (64, 48)]
WORDS = ["bread", "oven"]
#: By name: a task, what Fournil is asked, and what the library is.
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "labels": ("image-classification", {"top_k": 3}, {"top_k": 3}),
    "labels apart": ("image-classification", {"function_to_apply": "sigmoid"}, {"function_to_apply": "sigmoid"}),
    "tokens": ("image-feature-extraction", {}, {}),
    "a vector": ("image-feature-extraction", {"pool": True}, {"pool": True}),
    "named labels": ("zero-shot-image-classification", {"candidate_labels": WORDS}, {"candidate_labels": WORDS}),
    "boxes": ("object-detection", {"threshold": 0.1}, {"threshold": 0.1}),
    "named boxes": (
        "zero-shot-object-detection",
        {"candidate_labels": WORDS, "threshold": 0.01},
        {"candidate_labels": WORDS, "threshold": 0.01},
    ),
    "parts": ("image-segmentation", {"threshold": 0.1}, {"threshold": 0.1}),
    "parts of a kind": ("image-segmentation", {"subtask": "semantic"}, {"subtask": "semantic"}),
    "depths": ("depth-estimation", {}, {}),
}


def pictures() -> list[Any]:
    noise = np.random.default_rng(7)
    return [Image.fromarray(noise.integers(0, 256, (height, width, 3), dtype=np.uint8)) for width, height in SIZES]


def as_row(image: Any) -> dict[str, Any]:
    out = io.BytesIO()
    image.save(out, "PNG")
    return {"image": MediaFile(lambda: io.BytesIO(out.getvalue()), "image", "image", Media())}


@pytest.fixture(scope="module")
def oven_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Oven]:
    kept: dict[str, Oven] = {}

    def made(task: str) -> Oven:
        if task not in kept:
            folder = tmp_path_factory.mktemp(task)
            kept[task] = Oven(task, MAKERS[task](folder / "model"), folder / "cache", backend="torch")
        return kept[task]

    return made


@pytest.mark.parametrize("name", CASES)
def test_an_answer_is_the_librarys_alone_and_in_a_mixed_batch(oven_of, name):
    task, asked, of_library = CASES[name]
    oven = oven_of(task)
    images = pictures()
    rows = [as_row(image) for image in images]

    together = [shown(answer) for answer in oven.run(rows, **asked)]

    for row, image, answer in zip(rows, images, together, strict=True):
        [alone] = oven.run([row], **asked)
        assert_alike(shown(alone), answer)
        assert_alike(answer, expected(task, oven.library(image, **of_library)))


def shown(answer: Any) -> Any:
    """A result with its pictures as arrays of pixels."""
    return with_pixels(answer.result if isinstance(answer, WithFiles) else answer)


def with_pixels(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: with_pixels(one) for key, one in value.items()}
    if isinstance(value, list):
        return [with_pixels(one) for one in value]
    return np.asarray(Image.open(io.BytesIO(value.encode()))) if hasattr(value, "content_type") else value


def expected(task: str, found: Any) -> Any:
    if task == "image-feature-extraction":
        return found[0]
    if task == "depth-estimation":
        depths = found["predicted_depth"]
        return {"depth": np.asarray(found["depth"]), "min": float(depths.min()), "max": float(depths.max())}
    if task == "image-segmentation":
        return [{**part, "mask": np.asarray(part["mask"])} for part in found]
    return found


def assert_alike(answer: Any, other: Any) -> None:
    """Equal, but for the last digits of floats and one shade of a depth."""
    if isinstance(other, dict):
        assert answer.keys() == other.keys()
        if "depth" in other:
            # The nearest of hundreds may be nearly nothing: what is lost in the last digits is so of the whole range.
            near = pytest.approx([other["min"], other["max"]], abs=1e-5 * (other["max"] - other["min"]))
            assert [answer["min"], answer["max"]] == near
            other = {"depth": other["depth"]}
        for key in other:
            assert_alike(answer[key], other[key])
    elif isinstance(other, list):
        assert len(answer) == len(other)
        assert other, "nothing was found: this shows nothing"
        for one, another in zip(answer, other, strict=True):
            assert_alike(one, another)
    elif isinstance(other, np.ndarray):
        assert answer.shape == other.shape
        assert np.abs(answer.astype(int) - other.astype(int)).max() <= 1
    elif isinstance(other, float):
        assert answer == pytest.approx(other, rel=1e-6, abs=1e-5)
    else:
        assert answer == other
