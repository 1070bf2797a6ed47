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
