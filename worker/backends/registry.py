"""Which backend a pipeline asks for; imported only when asked for, so that the fake one never pulls in torch."""

from __future__ import annotations

from contract.pipelines import PipelineSpec
from worker.backends.backend import Backend


def backend_for(spec: PipelineSpec) -> Backend:
    if spec.backend == "fake":
        from worker.backends.fake import FakeBackend

        return FakeBackend()
    from worker.backends.transformers_backend import TransformersBackend

    return TransformersBackend()


def configure_process(threads: int, device: str) -> None:
    """Set this process up for its device, once, before the first real load. Imports torch."""
    from worker.backends.device import configure

    configure(threads, device)


def memory_of(device: str) -> int | None:
    """Bytes a GPU has; None for the CPU, whose memory is the host's. Imports torch for a GPU."""
    if not device.startswith("cuda"):
        return None
    import torch

    return int(torch.cuda.get_device_properties(device).total_memory)


def name_of(device: str) -> str:
    """What a GPU is called. Imports torch."""
    import torch

    return str(torch.cuda.get_device_name(device))
