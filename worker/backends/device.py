"""The device a child computes on: how it is set up, what its errors mean, and how its memory is given back."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from contract.cores import at_once
from worker.backends import onednn
from worker.backends.backend import DeviceLost, OutOfMemory
from worker.backends.footprint import trim
from worker.backends.onnx_model import OnnxModel

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")
_MINE = threading.local()
#: A deck takes Python's lock after every operator. A thread that computes in Python, such as the one that plans the
#: next claim, would keep it for 5 ms each time: 5 to 19% fewer rows with torch on two decks.
_SWITCH_SECONDS = 0.0002
_DEAD = ("CUDA error", "device-side assert", "CUBLAS_STATUS", "CUDNN_STATUS")


def configure(threads: int, device: str) -> None:
    """Set up this process, once and before its first load; 0 threads stands for all it may run on."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    threads = threads or at_once()
    torch.set_num_threads(threads)
    # Unset, transformers turns the tokenizer's threads off for good as soon as a pipeline sees a list.
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    onednn.keep_little()
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def use_threads(count: int) -> None:
    """Let forward passes of the calling thread use so many threads: torch keeps the number for each thread."""
    if getattr(_MINE, "threads", None) != count:
        torch.set_num_threads(count)
        _MINE.threads = count


@contextlib.contextmanager
def errors_translated() -> Iterator[None]:
    """Raise OutOfMemory or DeviceLost for what torch says in many ways; let everything else through."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if _is_no_memory(error):
            # Its frames hold the tensors that did not fit; until they go, a smaller microbatch fails too.
            traceback.clear_frames(error.__traceback__)
            give_back()
            raise OutOfMemory from None
        if isinstance(error, torch.AcceleratorError) or any(word in str(error) for word in _DEAD):
            raise DeviceLost from error
        raise


def _is_no_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return any(words in text for words in _NO_MEMORY)


def give_back() -> None:
    """Return what nobody holds any more to the device, and to this host."""
    gc.collect()
    trim()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def weight_bytes(model: Any) -> int:
    """Parameters and buffers; tied ones count once. Of a graph, what its file holds."""
    if isinstance(model, OnnxModel):
        return model.nbytes
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class Peak:
    """How far memory on the device rose above where it stood; always 0 on a CPU."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._start = 0
        if device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats(device)
            self._start = torch.cuda.memory_allocated(device)

    def bytes(self) -> int:
        if not self._device.startswith("cuda"):
            return 0
        return max(0, torch.cuda.max_memory_allocated(self._device) - self._start)
