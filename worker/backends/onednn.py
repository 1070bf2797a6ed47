"""Linear layers through oneDNN: the same weights where they lie, multiplied faster on many processors.

torch multiplies float32 through MKL. oneDNN's own kernels take weights as they are, so that they stay mapped from the
file and shared with other processes, and compute the GELU behind a layer in the same call: with AVX-512 on AMD an
encoder is 6 to 17% faster, and a step of SmolLM2 that writes eight rows takes 63 ms in place of 89. No two processors
are alike, so it is measured at the load; and the model is changed only after it has given the same numbers as before
on real sentences, padded and not.
"""

from __future__ import annotations

import dataclasses
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from transformers.activations import GELUActivation

from contract.logs import get_logger
from worker.backends.proof import is_within

log = get_logger(__name__)


@dataclasses.dataclass(frozen=True)
class Passes:
    """What a model's passes are like."""

    #: Rows that its layers get: of one text, and of a microbatch of a file.
    rows: tuple[int, ...]
    #: Largest difference of a logit or a hidden state from the unchanged model, beside one of its own size.
    tolerance: float


READING = Passes((64, 512), 1e-5)
#: Deeper, and with logits in the tens: SmolLM2 in float32 is off from float64 by 5e-5, either way of multiplying.
WRITING = Passes((1, 8), 2e-4)
_TRIALS, _TRIAL_SECONDS = 40, 0.4
#: So many go through all layers of a trial.
_FEW_ROWS = 64
#: Weights of a trial: more than processors keep at hand, since a pass finds none of them there.
_TRIAL_BYTES = 1 << 28
#: oneDNN makes code for every number of rows, which is another in every microbatch, and torch keeps a plan of each. A
#: thousand of both are kept unless told otherwise, and what lies between them on the heap is lost: 2.8 GB after 800
#: microbatches. Sixteen are what two passes side by side use over and over; making one anew costs 0.3 ms.
_KEPT = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16", "LRU_CACHE_CAPACITY": "16"}
#: A module that holds a layer and the activation it is followed by, under these names.
_FOLLOWED = (("dense", "intermediate_act_fn"), ("lin1", "activation"))


def keep_little() -> None:
    """Before this process multiplies through oneDNN for the first time: keep no more of its code than is used."""
    for name, value in _KEPT.items():
        os.environ.setdefault(name, value)


class Linear(torch.nn.Linear):
    """A linear layer through oneDNN."""

    then = "none"

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return _multiply(input, self, self.then)


class LinearThenGelu(Linear):
    """A linear layer and the exact GELU behind it, in one call."""

    then = "gelu"


@dataclasses.dataclass(frozen=True)
class _Followed:
    """A layer, and the exact GELU behind it in the same module."""

    module: Any
    layer: torch.nn.Linear
    name: str
    gelu: Any


def multiply_faster(
    model: Any,
    numbers: Callable[[], Sequence[torch.Tensor]],
    *,
    passes: Passes = READING,
    is_faster: Callable[[Sequence[torch.nn.Linear], Passes], bool] | None = None,
) -> bool:
    """Let a model in float32 on a CPU multiply through oneDNN, where that is faster; whether it does now.

    `numbers` computes what must stay the same, of sentences; none are no proof.
    """
    layers = [layer for layer in model.modules() if type(layer) is torch.nn.Linear]
    if not layers or not _can(model):
        return False
    with torch.inference_mode():
        if not (is_faster or _is_faster)(_heaviest(layers), passes):
            return False
        expected = numbers()
        followed = list(_followed_by_gelu(model))
        _change(layers, followed)
        if expected and all(_is_close(*pair, passes) for pair in zip(numbers(), expected, strict=True)):
            return True
        _change_back(layers, followed)
        return False


def _can(model: Any) -> bool:
    fits = model.device.type == "cpu" and model.dtype == torch.float32 and not model.training
    return bool(fits and torch._C._has_mkldnn and _KEPT.keys() <= os.environ.keys())


def _heaviest(layers: Sequence[torch.nn.Linear]) -> list[torch.nn.Linear]:
    """Layers of the shape that has the most weights together, as many as a trial takes."""
    by_shape: dict[torch.Size, list[torch.nn.Linear]] = {}
    for layer in layers:
        by_shape.setdefault(layer.weight.shape, []).append(layer)
    found = max(by_shape.values(), key=lambda alike: sum(layer.weight.nbytes for layer in alike))
    return found[: max(1, _TRIAL_BYTES // found[0].weight.nbytes)]


def _is_faster(layers: Sequence[torch.nn.Linear], passes: Passes) -> bool:
    found = {rows: round(_times_as_fast(layers, rows), 2) for rows in passes.rows}
    log.info("Torch beside oneDNN.", times_as_fast=found)
    return math.prod(found.values()) > 1


def _times_as_fast(layers: Sequence[torch.nn.Linear], count: int) -> float:
    """How much sooner so many rows are through the layers with oneDNN."""
    # Each trial multiplies about as much, whatever its rows: many trials take a moment.
    layers = layers[: max(1, len(layers) * _FEW_ROWS // max(count, _FEW_ROWS))]
    rows = torch.rand(count, layers[0].in_features)
    as_it_is, through_onednn = list[float](), list[float]()
    ends = time.perf_counter() + _TRIAL_SECONDS
    # In turns, and each beside the one right after it: many a pipeline is loaded on a busy machine, where neither way
    # may have a moment for itself.
    while len(as_it_is) < _TRIALS and (len(as_it_is) < 2 or time.perf_counter() < ends):
        as_it_is.append(_seconds(lambda: [layer(rows) for layer in layers]))
        through_onednn.append(_seconds(lambda: [_multiply(rows, layer, "none") for layer in layers]))
    return statistics.median(one / other for one, other in zip(as_it_is, through_onednn, strict=True))


def _seconds(way: Callable[[], object]) -> float:
    """Of this thread's work: with the time on the wall, whoever else loads a model just then would decide."""
    start = time.thread_time()
    way()
    return time.thread_time() - start


def _multiply(rows: torch.Tensor, layer: torch.nn.Linear, then: str) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, layer.weight, layer.bias, then, [], "none")
    return product


def _followed_by_gelu(model: Any) -> Iterator[_Followed]:
    for module in model.modules():
        for layer_name, name in _FOLLOWED:
            layer, activation = getattr(module, layer_name, None), getattr(module, name, None)
            if type(layer) is torch.nn.Linear and _is_gelu(activation):
                yield _Followed(module, layer, name, activation)


def _is_gelu(activation: Any) -> bool:
    if isinstance(activation, GELUActivation):
        return activation.act is torch.nn.functional.gelu
    return isinstance(activation, torch.nn.GELU) and activation.approximate == "none"


def _change(layers: Sequence[torch.nn.Linear], followed: Sequence[_Followed]) -> None:
    # The class alone changes: parameters, their names and their bytes stay where they are.
    for layer in layers:
        layer.__class__ = Linear
    for one in followed:
        one.layer.__class__ = LinearThenGelu
        setattr(one.module, one.name, torch.nn.Identity())


def _change_back(layers: Sequence[torch.nn.Linear], followed: Sequence[_Followed]) -> None:
    for one in followed:
        setattr(one.module, one.name, one.gelu)
    for layer in layers:
        layer.__class__ = torch.nn.Linear


def _is_close(found: torch.Tensor, expected: torch.Tensor, passes: Passes) -> bool:
    return is_within((found - expected).abs(), expected, passes.tolerance)
