"""Labels and vectors of a whole image."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from PIL import Image

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Binary, Context, Inputs, Parameters, Prepared, WithFiles
from worker.backends.holding import of_a_picture
from worker.backends.picture_model import PictureModel
from worker.backends.tasks.scores import FUNCTIONS, best_first, default_function
from worker.backends.tasks.task import Answer, TaskModel, refuse_all
from worker.backends.weights import Loaded


class ImageTask(TaskModel):
    """One image a row, and pictures of one shape in one pass."""

    processor_class = "AutoImageProcessor"
    #: Of 16 by 16 pixels, for models that take a picture in the size it has.
    most_patches: ClassVar[int] = 16_384

    def __init__(self, loaded: Loaded) -> None:
        self.pictures = PictureModel(loaded)
        self.config = loaded.model.config
        self.token_bytes = of_a_picture(loaded.model)

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        return [self.pictures.prepare(row["image"], self.process, most_patches=self.most_patches) for row in rows]

    def process(self, image: Any) -> Any:
        """A PIL image as tensors of one row."""
        return self.pictures.processor(images=image, return_tensors="pt")

    def bake(self, rows: Sequence[Prepared], parameters: Parameters, context: Context) -> list[Answer]:
        answers: list[Any] = [None] * len(rows)
        payloads = [row.payload for row in rows]
        for places, output in self.pictures.run(payloads, lambda count: self.more(parameters, count)):
            found = self.answers(output, [payloads[place] for place in places], parameters)
            for place, answer in zip(places, found, strict=True):
                answers[place] = answer
        return answers

    def more(self, parameters: Parameters, rows: int) -> dict[str, Any]:
        """What the model takes besides `rows` pictures."""
        return {}

    @abstractmethod
    def answers(self, output: Any, rows: Sequence[Any], parameters: Parameters) -> list[Answer]:
        """An answer a row from one pass over pictures of one shape."""


class ImageClassification(ImageTask):
    auto_class = "AutoModelForImageClassification"

    def answers(self, output: Any, rows: Sequence[Any], parameters: Parameters) -> list[Answer]:
        function = parameters.get("function_to_apply") or default_function(self.config, alone="sigmoid")
        scores = FUNCTIONS[function](output.logits.float().cpu())
        return [best_first(self.config.id2label, row, parameters["top_k"], of="image") for row in scores]


class ImageFeatureExtraction(ImageTask):
    auto_class = "AutoModel"
    #: Many checkpoints were trained without it; `pool` needs it.
    optional = ("pooler",)

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        self._made_up = any("pooler" in name for name in loaded.made_up)

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        if parameters["pool"] and self._made_up:
            return refuse_all(rows, _NO_POOLER)
        return super().prepare(rows, parameters)

    def answers(self, output: Any, rows: Sequence[Any], parameters: Parameters) -> list[Answer]:
        if not parameters["pool"]:
            return list(output[0].float().cpu().tolist())
        pooled = getattr(output, "pooler_output", None)
        if pooled is None:
            return [_NO_POOLER for _ in rows]
        # A convolutional network pools into a vector of 1 by 1 pixels.
        return list(pooled.float().cpu().flatten(1).tolist())


_NO_POOLER = refusals.rejected("This model has no single vector for an image. Send pool: false.", "parameters.pool")


class ZeroShotImageClassification(ImageTask):
    auto_class = "AutoModelForZeroShotImageClassification"
    processor_class = "AutoProcessor"

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        self._limit = loaded.limit
        self._each_alone = "siglip" in self.config.model_type

    def process(self, image: Any) -> Any:
        return self.pictures.processor.image_processor(images=image, return_tensors="pt")

    def prepare(self, rows: Sequence[Inputs], parameters: Parameters) -> list[Prepared | InputError]:
        length = self._texts(parameters)["input_ids"].shape[1]
        if length > self._limit:
            return refuse_all(rows, refusals.too_long_label(length, self._limit))
        return super().prepare(rows, parameters)

    def more(self, parameters: Parameters, rows: int) -> dict[str, Any]:
        return dict(self._texts(parameters).to(self.pictures.model.device))

    def _texts(self, parameters: Parameters) -> Any:
        # Never str.format: a template may hold {0.__class__}.
        template = parameters["hypothesis_template"]
        texts = [template.replace("{}", label) for label in parameters["candidate_labels"]]
        # SigLIP was trained on texts of one length.
        options = {"padding": "max_length", "max_length": 64, "truncation": True} if self._each_alone else {}
        return self.pictures.processor.tokenizer(texts, return_tensors="pt", **{"padding": True, **options})

    def answers(self, output: Any, rows: Sequence[Any], parameters: Parameters) -> list[Answer]:
        logits = output.logits_per_image.float().cpu()
        scores = logits.sigmoid() if self._each_alone else logits.softmax(dim=-1)
        return [best_first(parameters["candidate_labels"], row, None, of="image") for row in scores]


class DepthEstimation(ImageTask):
    auto_class = "AutoModelForDepthEstimation"

    def answers(self, output: Any, rows: Sequence[Any], parameters: Parameters) -> list[Answer]:
        sizes = [row.size for row in rows]
        found = self.pictures.processor.post_process_depth_estimation(output, sizes)
        return [_depth(one["predicted_depth"].float().cpu()) for one in found]


def _depth(depth: torch.Tensor) -> Answer:
    if not depth.isfinite().all():
        return refusals.not_finite("image")
    low, high = depth.min().item(), depth.max().item()
    # A flat one is black, not a division by nothing.
    gray = ((depth - low) / ((high - low) or 1.0) * 255).to(torch.uint8).numpy()
    return WithFiles({"depth": as_png(lambda: gray, "depth.png"), "min": low, "max": high})


def as_png(pixels: Callable[[], Any], name: str, *, size: tuple[int, int] | None = None) -> Binary:
    """A numpy array of bytes, gray or RGB, as a file of a result; enlarged to `size` (height, width)."""

    def encode() -> bytes:
        image = Image.fromarray(pixels())
        if size is not None:
            image = image.resize((size[1], size[0]), Image.Resampling.NEAREST)
        out = io.BytesIO()
        image.save(out, "PNG")
        return out.getvalue()

    return Binary(name, "image/png", encode)


class ImageToImage(ImageTask):
    auto_class = "AutoModelForImageToImage"
    #: The model sees every pixel: a photograph of a phone would take hours and all memory.
    most_patches = 4096

    def answers(self, output: Any, rows: Sequence[Any], parameters: Parameters) -> list[Answer]:
        return [
            self._picture(found.float().cpu(), row.size)
            for found, row in zip(output.reconstruction, rows, strict=True)
        ]

    def _picture(self, found: torch.Tensor, size: tuple[int, int]) -> Answer:
        if not found.isfinite().all():
            return refusals.not_finite("image")
        # What the processor padded at the right and below is cut off again.
        scale = int(getattr(self.config, "upscale", 1))
        found = found[:, : size[0] * scale, : size[1] * scale]
        pixels = (found.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        return WithFiles({"image": as_png(lambda: pixels, "image.png")})
