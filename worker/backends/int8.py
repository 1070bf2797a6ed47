"""Linear layers of a torch model in int8: a quarter of their bytes, and the integer arithmetic of a CPU.

Weights are scaled by output channel and kept so; activations are scaled by token as they come. Integers add up
exactly and no scale is another row's, so a row's numbers do not depend on its neighbors, as they do where a runtime
scales a whole microbatch by its largest number. What is no linear layer (attention, norms, embeddings, convolutions)
stays in float32.

What writes reads its own words again, and its errors with them. There an activation takes two bytes, which are two
rows of the same product: the weights, whose way through the processor is what a step costs, go by once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from contract.errors import CheckpointError, ErrorCode
from contract.pipelines import PipelineSpec
from worker.backends.onnx_model import has_vnni
from worker.backends.tasks.task import TaskModel

#: Largest int8, and the largest that does not overflow where a processor adds products of two bytes in 16 bits.
_MOST, _MOST_WITHOUT_VNNI = 127, 63
#: Parts of a step: half of them, which is what rounding leaves, are the largest int8.
_PARTS = 254
#: A row of zeros has no scale of its own.
_LEAST = 1e-12


class Int8Linear(torch.nn.Module):
    """A linear layer, (..., in_features) to (..., out_features), of a weight (out_features, in_features).

    `most`: the largest number that a weight becomes. `fine`: activations in two bytes.
    """

    weight: torch.Tensor
    scales: torch.Tensor
    bias: torch.Tensor | None

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor | None, *, most: int = _MOST, fine: bool = False
    ) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.fine = fine
        scales = _scales(weight, most)
        self.register_buffer("weight", (weight / scales).round_().to(torch.int8))
        self.register_buffer("scales", scales.squeeze(1))
        self.register_buffer("bias", bias)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        rows = input.reshape(-1, self.in_features)
        scales = _scales(rows, _MOST)
        steps = rows / scales
        found = (self._fine(steps) if self.fine else self._products(steps.round_())) * scales
        found.mul_(self.scales)
        if self.bias is not None:
            found.add_(self.bias)
        return found.view(*input.shape[:-1], self.out_features)

    def _products(self, steps: torch.Tensor) -> torch.Tensor:
        return torch._int_mm(steps.to(torch.int8), self.weight.t())

    def _fine(self, steps: torch.Tensor) -> torch.Tensor:
        """Whole steps and parts of one as rows of one product, so that the weights go by once for both."""
        whole = steps.round()
        parts = (steps - whole).mul_(_PARTS).round_()
        coarse, fine = self._products(torch.cat([whole, parts])).tensor_split(2)
        return fine / _PARTS + coarse


def wants_int8(spec: PipelineSpec, kind: type[TaskModel], device: str) -> bool:
    """Whether torch is to compute in int8. Raises CheckpointError where the operator asks for what cannot be."""
    if spec.backend != "torch" or spec.quantize == "none":
        return False
    if not kind.int8_bytes:
        raise _refused(f"int8 is for tasks of texts and speech, and {spec.task} is none. Take quantize out.")
    if not device.startswith("cpu") or spec.dtype not in ("auto", "float32"):
        raise _refused("int8 is computed on a CPU, in the place of float32. Take quantize or dtype out.")
    return True


def compute_in_int8(model: torch.nn.Module, *, fine: bool) -> None:
    """Change the linear layers of a model in place, one after the other; raises CheckpointError where it has none.

    `fine` as Int8Linear has it.
    """
    most = _MOST if has_vnni() else _MOST_WITHOUT_VNNI
    found = list(_layers(model))
    if not found:
        raise _refused("This checkpoint has no linear layers to compute in int8. Take quantize out.")
    for parent, name, layer in found:
        weight = layer.weight.detach()
        bias = None if layer.bias is None else layer.bias.detach()
        with torch.inference_mode(mode=False):
            weight = weight.t() if isinstance(layer, Conv1D) else weight
            setattr(parent, name, Int8Linear(weight, bias, most=most, fine=fine))
    # What is left keeps the whole file of float32 weights mapped, of which nobody reads the rest any more.
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()


def _layers(model: torch.nn.Module) -> Iterator[tuple[torch.nn.Module, str, Any]]:
    """Each linear layer with the module that holds it, and its name there."""
    for parent in model.modules():
        for name, layer in parent.named_children():
            # Not what is derived of it: attention of torch's own reads the weights of its layers itself.
            if type(layer) in (torch.nn.Linear, Conv1D) and layer.weight.dtype == torch.float32:
                yield parent, name, layer


def _scales(rows: torch.Tensor, most: int) -> torch.Tensor:
    """What one step of an integer stands for in each row, (rows, 1)."""
    return rows.abs().amax(dim=1, keepdim=True).clamp_min_(_LEAST).div_(most)


def _refused(sentence: str) -> CheckpointError:
    return CheckpointError(ErrorCode.CHECKPOINT_CORRUPT, sentence)
